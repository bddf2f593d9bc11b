"""The commands about imports: `imports`, `show`, `batches`, `cancel`, `delete`."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from ingot_client._cli import options
from ingot_client._cli.advising import next_steps
from ingot_client._cli.following import batches_not_fetched
from ingot_client._cli.options import ImportId, one_of
from ingot_client._cli.printing import moment, plain, say, show, show_message, show_table
from ingot_client._cli.reporting import details, has_warnings, manner, report
from ingot_client._cli.session import session_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingot_client import Batch, RecordError

UNFINISHED = ("RECEIVING", "PROCESSING", "AWAITING_COMMIT", "CANCELLING")
STATES = (*UNFINISHED, "SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED")
STOPPED = ("FAILED", "CANCELLED")
SHOWN_ERRORS = 10


def list_imports(
    context: typer.Context,
    table: Annotated[str, typer.Option(help="Only imports into this table.")] = "",
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="Only imports in this state; repeatable.")
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only imports that have not ended.")] = False,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only imports with this label; repeatable.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only those created then or later: 2026-11-20, or 2026-11-20T13:30 (UTC)."),
    ] = None,
    before: Annotated[str | None, typer.Option(metavar="TIME", help="Only those created before.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> None:
    """List imports, newest first: those for which all of this holds."""
    session = session_of(context)
    states = [one_of(STATES, word, "--state") for word in state or ()]
    if unfinished and states:
        raise typer.BadParameter("it says which states: leave out --state", param_hint="--unfinished")
    states += UNFINISHED if unfinished else ()
    labels = options.labels(label)
    created_from, created_before = options.time(since, "--since"), options.time(before, "--before")
    with session.client() as ingot:
        jobs = ingot.list_imports(
            table=table,
            states=states,
            labels=labels,
            created_from=created_from,
            created_before=created_before,
            page_size=min(limit, 1000),
        )
        found = list(islice(jobs, limit))
        more = not session.json and next(jobs, None) is not None
    if session.json:
        for job in found:
            show_message(job.message)
        return
    if not found:
        say("no imports")
        return
    show_table(
        ("IMPORT", "TABLE", "STATE", "RECEIVED", "REJECTED", "PENDING", "DROPPED", "CREATED AT", "MADE AS"),
        (
            (
                job.import_id,
                job.table,
                job.state,
                job.counts.received,
                job.counts.rejected,
                0 if job.final else job.counts.pending,
                job.counts.pending if job.final else 0,
                moment(job.create_time),
                ", ".join(manner(job)),
            )
            for job in found
        ),
        optional=("PENDING", "DROPPED", "MADE AS"),
    )
    if more:
        say("There are older ones: say --limit N.")


def show_import(context: typer.Context, import_id: ImportId) -> None:
    """Show how an import stands, and the first errors and warnings."""
    session = session_of(context)
    with session.client() as ingot:
        job = ingot.get_import(import_id)

        def first(severity: str) -> list[RecordError]:
            found = ingot.list_errors(import_id, severity=severity, page_size=SHOWN_ERRORS)
            return list(islice(found, SHOWN_ERRORS))

        bad = first("ERROR") if job.counts.rejected and not session.json else []
        doubtful = first("WARNING") if has_warnings(job) and not session.json else []
        unfetched = [] if session.json else batches_not_fetched(ingot, job)
        cut_off = not session.json and job.state in STOPPED and _any_unfinished(ingot.list_batches(import_id))
    report(session, job, bad, doubtful, unfetched=unfetched)
    if not session.json:
        details(job, cut_off=cut_off)
        for step in next_steps(job):
            say(step)


def _any_unfinished(batches: Iterable[Batch]) -> bool:
    return any(not batch.finished for batch in batches)


def list_batches(context: typer.Context, import_id: ImportId) -> None:
    """List the batches of an import: its uploads, and how far each has come."""
    session = session_of(context)
    with session.client() as ingot:
        found = list(ingot.list_batches(import_id, page_size=1000))
    if session.json:
        for batch in found:
            show_message(batch.message)
    elif not found:
        say("no batches")
    else:
        show_table(
            ("BATCH", "STATUS", "RECEIVED", "REJECTED", "COMMITTED", "UNIT", "FROM"),
            (
                (
                    batch.batch_id,
                    batch.status,
                    batch.counts.received,
                    batch.counts.rejected,
                    batch.committed_offset,
                    "" if batch.unit == "UNSPECIFIED" else batch.unit,
                    batch.uri,
                )
                for batch in found
            ),
            optional=("FROM",),
        )
        for batch in found:
            if batch.status_message:
                say(f"batch {plain(batch.batch_id)}: {plain(batch.status_message)}")


def cancel(context: typer.Context, import_id: ImportId) -> None:
    """Cancel an import that has not ended. What was written stays written; of a staged import that is nothing."""
    session = session_of(context)
    with session.client() as ingot:
        from ingot_client import ScopeMissing  # noqa: PLC0415 - `--help` does not wait for grpc

        job = ingot.cancel(import_id)
        # What stayed is known at the end. A key that may not read does without.
        with suppress(ScopeMissing):
            for job in ingot.watch(import_id):  # noqa: B007 - the last one is the end
                pass
    report(session, job)


def delete(context: typer.Context, import_id: ImportId) -> None:
    """Delete an import that has ended, with its errors. The records it wrote stay."""
    session = session_of(context)
    with session.client() as ingot:
        ingot.delete(import_id)
    if session.json:
        show("{}")
    else:
        say(f"deleted import {plain(import_id)}")
