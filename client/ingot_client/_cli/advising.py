"""Says what can be done next with an import, with the commands for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ingot_client._cli.failing import advice
from ingot_client._cli.printing import plain
from ingot_client._cli.reporting import has_warnings

if TYPE_CHECKING:
    from ingot_client import Import, NothingToRetry


def next_steps(job: Import) -> Iterator[str]:
    """Lines for people, none if there is nothing to do."""
    name, table = plain(job.import_id), plain(job.table)
    if job.counts.rejected:
        yield f"Rejected records: ingot errors {name}"
        if job.final and (otherwise := _instead_of_retry(job)):
            yield otherwise
        elif _only_rejects_are_missing(job):
            yield f"Mend them: ingot errors {name} --rejects -o mend.csv, and then: ingot retry {name} mend.csv"
            if _lacked_others(job):
                unread = f" (without the {job.upload.rejected:,} that could not be read)" if job.upload.rejected else ""
                yield f"When what was not found is there, try them again as they are: ingot retry {name}{unread}"
        elif job.final and job.state != "CANCELLED" and not job.validate_only:
            yield "Mend the data, and import all of it again."
        if any(group.code == "INVALID_ENCODING" for group in job.error_groups):
            yield "If the file is in another encoding, import it again, and say which: --encoding latin-1, for example."
    if has_warnings(job):
        yield f"Warnings: ingot errors {name} --severity warning"
    if job.state == "PROCESSING":
        yield f"Follow it: ingot watch {name}"
    if job.awaits_commit:
        if job.counts.created + job.counts.updated:
            yield f"What it would write: ingot records list {table} --staged {name}"
        if job.counts.deleted + job.removed:
            yield f"What it would delete: ingot records list {table} --staged {name} --deleted"
        yield "All of it is processed again at the commit: what the table holds then decides."
        yield f"Commit it: ingot commit {name}"
        yield f"Or take it back: ingot cancel {name}"
    if job.validate_only and job.state in {"SUCCEEDED", "PARTIALLY_SUCCEEDED"}:
        yield "It was a rehearsal: import the same without --validate-only, and not with a sandbox key, to store it."


def not_tried(original: Import) -> Iterator[str]:
    """A line if not all records that the import rejected can be tried again as they are."""
    if unread := original.upload.rejected:
        were = "was" if unread == 1 else "were"
        yield (
            f"{unread:,} of {original.counts.rejected:,} could not be read and {were} not tried: "
            f"ingot errors {plain(original.import_id)} --rejects"
        )


def nothing_to_retry(original: Import, error: NothingToRetry) -> tuple[str, str]:
    """Why there was nothing to be tried again, and what to do."""
    name = plain(original.import_id)
    if not original.counts.rejected:
        return f"import {name} has rejected no record", ""
    why = f"none of the {original.counts.rejected:,} records that import {name} rejected could be read"
    return why, _instead_of_retry(original) or advice(error)


def _instead_of_retry(job: Import) -> str:
    """What to do where mending the rejected records does not help; empty if it may."""
    if any(group.code == "UNREADABLE_REST" for group in job.error_groups):
        return "The file could not be read to its end: mend it there, and import all of it again."
    keyless = any((group.code, group.field) == ("MISSING_KEY", "keys") for group in job.error_groups)
    if keyless and job.counts.rejected == job.counts.received:
        return "Nothing says which fields are the key: import it again with --key FIELD, or with --kind KIND."
    return ""


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
