"""Says what can be done next with an import, with the commands for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ingot_client._cli.printing import plain
from ingot_client._cli.reporting import has_warnings

if TYPE_CHECKING:
    from ingot_client import Import


def next_steps(job: Import) -> Iterator[str]:
    """Lines for people, none if there is nothing to do."""
    name, table = plain(job.import_id), plain(job.table)
    if job.counts.rejected:
        yield f"Rejected records: ingot errors {name}"
        if _only_rejects_are_missing(job):
            yield f"Mend them: ingot errors {name} --rejects -o mend.csv, and then: ingot retry {name} mend.csv"
            if _lacked_others(job):
                yield f"When what was not found is there, try them again as they are: ingot retry {name}"
        elif job.final and not job.validate_only:
            yield "Mend the data, and import all of it again."
    if has_warnings(job):
        yield f"Warnings: ingot errors {name} --severity warning"
    if job.state == "PROCESSING":
        yield f"Follow it: ingot watch {name}"
    if job.awaits_commit:
        if job.counts.created + job.counts.updated:
            yield f"What it would write: ingot records list {table} --staged {name}"
        if job.counts.deleted + job.removed:
            yield f"What it would delete: ingot records list {table} --staged {name} --deleted"
        yield f"Commit it: ingot commit {name}"
        yield f"Or take it back: ingot cancel {name}"
    if job.validate_only and job.state in {"SUCCEEDED", "PARTIALLY_SUCCEEDED"}:
        yield "It was a rehearsal: import the same without --validate-only, and not with a sandbox key, to store it."


def _only_rejects_are_missing(job: Import) -> bool:
    """Whether all records but the rejected ones are in the table, so that these can be brought in alone."""
    counts = job.counts
    if job.reconcile and job.state_message:
        # So a full replacement ends that did not know which records to keep, and deleted none.
        return False
    return job.final and (counts.rejected == counts.received or not (job.would_be or counts.pending))


def _lacked_others(job: Import) -> bool:
    """Whether records were rejected for the lack of others."""
    return any(group.code.endswith("_NOT_FOUND") for group in job.processing.error_groups)
