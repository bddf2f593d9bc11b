"""Tells how an import stands or ended."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ingot_client._cli.printing import moment, plain, show, show_facts, show_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingot_client import Counts, ErrorGroup, Import, RecordError
    from ingot_client._cli.session import Session

WARNING = "WARNING"

PARTIAL = 3
NOT_DONE = 4

EXIT_CODES = {"PARTIALLY_SUCCEEDED": PARTIAL, "FAILED": NOT_DONE, "CANCELLED": NOT_DONE}
COLORS = {"SUCCEEDED": 32, "PARTIALLY_SUCCEEDED": 33, "FAILED": 31, "CANCELLED": 31}


def report(session: Session, job: Import, *listed: Sequence[RecordError]) -> None:
    """Prints the import: one JSON object, or a few lines for people, and then the errors listed."""
    if session.json:
        show_message(job.message)
        return
    show(f"import {plain(job.import_id)} into {plain(job.table)}: {_colored(job.state)}")
    if job.state_message:
        show(f"  {plain(job.state_message)}")
    show(f"  {words(job.counts)}")
    # Warnings come last: they cost no record.
    for group in sorted(job.error_groups, key=lambda group: group.severity == WARNING):
        show(f"  {_group(group)}")
    for errors in filter(None, listed):
        show("")
        for error in errors:
            show(f"  {error_line(error)}")


def has_warnings(job: Import) -> bool:
    """Whether values were imported with doubt."""
    return any(group.severity == WARNING for group in job.error_groups)


def details(session: Session, job: Import) -> None:
    """Prints what else is known about the import, for people."""
    if session.json:
        return
    show("")
    facts = {
        "kind": job.kind,
        "key fields": ", ".join(job.key_fields),
        "country": job.reading.country,
        "time zone": job.reading.time_zone,
        "locale": job.reading.locale,
        "labels": ", ".join(f"{name}={value}" for name, value in job.labels.items()),
        "request id": job.request_id,
        "upload": job.upload.state,
        "processing": job.processing.state,
        "batches": str(job.batch_count),
        "created": moment(job.create_time),
        "finished": moment(job.finish_time),
    }
    show_facts(facts)


def words(counts: Counts) -> str:
    """The counts as a sentence; what is zero is left out."""
    names = ("created", "updated", "unchanged", "superseded", "rejected", "pending")
    parts = (f"{getattr(counts, name):,} {name}" for name in names if getattr(counts, name))
    return ", ".join((f"{counts.received:,} received", *parts))


def error_line(error: RecordError) -> str:
    """One error or warning on one line."""
    where = f"line {error.line:,}" if error.line else f"record {error.index:,}"
    what = ("warning: " if error.severity == WARNING else "") + _what(error)
    cut = error.raw[:200] + ("…" if error.raw_truncated or len(error.raw) > 200 else "")
    return plain(f"{where}: {what}: {error.text}   {cut}".rstrip())


def _group(group: ErrorGroup) -> str:
    became = "rejected" if group.severity != WARNING else "with a warning"
    return plain(f"{group.count:,} {became}: {_what(group)}: {group.example.text}")


def _what(error: ErrorGroup | RecordError) -> str:
    # A code that only a newer server knows has no name.
    code = error.code if error.code == str(error.number) else f"{error.number} {error.code}"
    return f"{code} {error.field}" if error.field else code


def _colored(state: str) -> str:
    color = COLORS.get(state)
    if color is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return plain(state)
    return f"\x1b[{color}m{plain(state)}\x1b[0m"
