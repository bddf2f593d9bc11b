"""Tells how an import stands or ended."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ingot_client._cli.printing import moment, plain, show, show_facts, show_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ingot_client import Batch, Counts, ErrorGroup, Import, RecordError
    from ingot_client._cli.session import Session

WARNING = "WARNING"

PARTIAL = 3
NOT_DONE = 4

EXIT_CODES = {"PARTIALLY_SUCCEEDED": PARTIAL, "FAILED": NOT_DONE, "CANCELLED": NOT_DONE}
COLORS = {"SUCCEEDED": 32, "PARTIALLY_SUCCEEDED": 33, "AWAITING_COMMIT": 33, "FAILED": 31, "CANCELLED": 31}


def report(session: Session, job: Import, *listed: Sequence[RecordError], unfetched: Sequence[Batch] = ()) -> None:
    """Prints the import: one JSON object, or a few lines for people, and then the errors listed."""
    if session.json:
        show_message(job.message)
        return
    how = ", a rehearsal" if job.validate_only else ", being committed" if job.being_committed else ""
    show(f"import {plain(job.import_id)} into {plain(job.table)}: {_colored(job.state)}{how}")
    if job.state_message:
        show(f"  {plain(job.state_message)}")
    for batch in unfetched:
        show(f"  batch {plain(batch.batch_id)}, {plain(batch.uri)}: {plain(batch.status_message)}")
    show(f"  {words(job.counts, would_be=job.would_be, dropped=job.final)}")
    if job.removed:
        show(f"  {job.removed:,} not named by the import: {'would be deleted' if job.would_be else 'deleted'}")
    # Warnings come last: they cost no record.
    for group in sorted(job.error_groups, key=lambda group: group.severity == WARNING):
        show(f"  {_group(group)}")
    for errors in filter(None, listed):
        show("")
        for error in errors:
            show(f"  {error_line(error)}")


def exit_code(job: Import) -> int:
    """The exit code that tells how the import ended, or stopped to be committed."""
    if job.awaits_commit:
        return PARTIAL if job.counts.rejected else 0
    return EXIT_CODES.get(job.state, 0)


def has_warnings(job: Import) -> bool:
    """Whether values were imported with doubt."""
    return any(group.severity == WARNING for group in job.error_groups)


def details(job: Import, *, cut_off: bool = False) -> None:
    """Prints what else is known about the import, for people. `cut_off`: not all of it was uploaded when it ended."""
    show("")
    facts = {
        "kind": job.kind,
        "key fields": ", ".join(job.key_fields),
        "country": job.reading.country,
        "time zone": job.reading.time_zone,
        "locale": job.reading.locale,
        "mode": job.mode,
        "made as": ", ".join(manner(job)),
        "errors allowed": _budget(job),
        "labels": ", ".join(f"{name}={value}" for name, value in job.labels.items()),
        "request id": job.request_id,
        "upload": job.upload.state + (" of what came: it was cut off" if cut_off else ""),
        "processing": job.processing.state,
        "batches": str(job.batch_count),
        "created": moment(job.create_time),
        "finished": moment(job.finish_time),
    }
    show_facts(facts)


def manner(job: Import) -> Iterator[str]:
    """What is special about the import, besides its mode."""
    if job.validate_only:
        yield "rehearsal"
    if job.staged:
        yield "staged"
    if job.reconcile:
        yield "full replacement"
    if job.retry_of:
        yield f"retry of {job.retry_of}"
    elif job.mended_from:
        yield f"mended from {job.mended_from}"


def _budget(job: Import) -> str:
    limits = []
    if job.max_errors is not None:
        limits.append(f"{job.max_errors:,}")
    if job.max_error_ratio is not None:
        limits.append(f"a share of {job.max_error_ratio:.4g}")
    return ", ".join(limits)


def words(counts: Counts, *, would_be: bool = False, dropped: bool = False) -> str:
    """The counts as a sentence; what is zero is left out. `dropped`: what is pending will never be processed."""

    def parts(*names: str) -> str:
        return ", ".join(f"{getattr(counts, name):,} {name}" for name in names if getattr(counts, name))

    received = f"{counts.received:,} received"
    done = parts("created", "updated", "unchanged", "skipped", "deleted", "superseded")
    others = parts("rejected", "pending")
    if dropped:
        others = others.replace("pending", "dropped")
    if not would_be:
        return ", ".join(filter(None, (received, done, others)))
    known = ", ".join(filter(None, (received, others)))
    return f"{known}; would be: {done}" if done else known


def error_line(error: RecordError) -> str:
    """One error or warning on one line."""
    where = f"line {error.line:,}" if error.line else f"record {error.index:,}"
    what = ("warning: " if error.severity == WARNING else "") + _what(error)
    cut = error.raw[:200] + ("…" if error.raw_truncated or len(error.raw) > 200 else "")
    return plain(f"{where}: {what}: {error.text}   {cut}".rstrip())


def _group(group: ErrorGroup) -> str:
    if group.code == "EMPTY_PAYLOAD":
        # There is no record that was rejected.
        return plain(f"{_what(group)}: {group.example.text}")
    became = "rejected" if group.severity != WARNING else "with a warning"
    example = "e.g. " if group.count > 1 else ""
    return plain(f"{group.count:,} {became}: {_what(group)}: {example}{group.example.text}")


def _what(error: ErrorGroup | RecordError) -> str:
    # A code that only a newer server knows has no name.
    code = error.code if error.code == str(error.number) else f"{error.number} {error.code}"
    return f"{code} {error.field}" if error.field else code


def _colored(state: str) -> str:
    color = COLORS.get(state)
    if color is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return plain(state)
    return f"\x1b[{color}m{plain(state)}\x1b[0m"
