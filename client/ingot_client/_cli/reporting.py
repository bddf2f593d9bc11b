"""Tells how an import stands or ended."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ingot_client._cli.printing import moment, plain, show, show_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingot_client import Counts, ErrorGroup, Import, RecordError
    from ingot_client._cli.session import Session

PARTIAL = 3
NOT_DONE = 4

EXIT_CODES = {"PARTIALLY_SUCCEEDED": PARTIAL, "FAILED": NOT_DONE, "CANCELLED": NOT_DONE}
COLORS = {"SUCCEEDED": 32, "PARTIALLY_SUCCEEDED": 33, "FAILED": 31, "CANCELLED": 31}


def report(session: Session, job: Import, bad: Iterable[RecordError] = ()) -> None:
    """Prints the import: one JSON object, or a few lines for people."""
    if session.json:
        show_message(job.message)
        return
    show(f"import {plain(job.import_id)} into {plain(job.table)}: {_colored(job.state)}")
    if job.state_message:
        show(f"  {plain(job.state_message)}")
    show(f"  {words(job.counts)}")
    for group in job.error_groups:
        show(f"  {_group(group)}")
    if bad:
        show("")
        for error in bad:
            show(f"  {error_line(error)}")


def details(session: Session, job: Import) -> None:
    """Prints what else is known about the import, for people."""
    if session.json:
        return
    show("")
    facts = {
        "key fields": ", ".join(job.key_fields),
        "labels": ", ".join(f"{name}={value}" for name, value in job.labels.items()),
        "request id": job.request_id,
        "upload": job.upload.state,
        "processing": job.processing.state,
        "batches": str(job.batch_count),
        "created": moment(job.create_time),
        "finished": moment(job.finish_time),
    }
    for name, value in facts.items():
        if value:
            show(f"  {name + ':':<12} {plain(value)}")


def words(counts: Counts) -> str:
    """The counts as a sentence; what is zero is left out."""
    names = ("created", "updated", "unchanged", "superseded", "rejected", "pending")
    parts = (f"{getattr(counts, name):,} {name}" for name in names if getattr(counts, name))
    return ", ".join((f"{counts.received:,} received", *parts))


def error_line(error: RecordError) -> str:
    """One rejected record on one line."""
    where = f"line {error.line:,}" if error.line else f"record {error.index:,}"
    what = f"{error.code} {error.field}" if error.field else error.code
    cut = error.raw[:200] + ("…" if error.raw_truncated or len(error.raw) > 200 else "")
    return plain(f"{where}: {what}: {error.text}   {cut}".rstrip())


def _group(group: ErrorGroup) -> str:
    what = f"{group.code} {group.field}" if group.field else group.code
    return plain(f"{group.count:,} rejected: {what}: {group.example.text}")


def _colored(state: str) -> str:
    color = COLORS.get(state)
    if color is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return plain(state)
    return f"\x1b[{color}m{plain(state)}\x1b[0m"
