"""The commands about imports: `imports`, `show`, `errors`, `cancel`, `delete`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from ingot_client._cli.counting import CountedErrors, count_in_file, tell_missing
from ingot_client._cli.options import one_of
from ingot_client._cli.printing import moment, plain, say, show, show_message, show_table, stdout_file
from ingot_client._cli.reporting import details, error_line, has_warnings, report
from ingot_client._cli.session import session_of

if TYPE_CHECKING:
    from typing import Literal

    from ingot_client import RecordError

ImportId = Annotated[str, typer.Argument(metavar="IMPORT", help="The import's id.")]

STATES = ("RECEIVING", "PROCESSING", "CANCELLING", "SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED")
SEVERITIES = ("ERROR", "WARNING")
SHOWN_ERRORS = 10


def list_imports(
    context: typer.Context,
    table: Annotated[str, typer.Option(help="Only imports into this table.")] = "",
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="Only imports in this state; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> None:
    """List imports, newest first."""
    session = session_of(context)
    states = [one_of(STATES, word, "--state") for word in state or ()]
    with session.client() as ingot:
        found = list(islice(ingot.list_imports(table=table, states=states, page_size=min(limit, 1000)), limit))
    if session.json:
        for job in found:
            show_message(job.message)
        return
    if not found:
        say("no imports")
        return
    show_table(
        ("IMPORT", "TABLE", "STATE", "RECEIVED", "REJECTED", "PENDING", "CREATED AT"),
        (
            (
                job.import_id,
                job.table,
                job.state,
                job.counts.received,
                job.counts.rejected,
                job.counts.pending,
                moment(job.create_time),
            )
            for job in found
        ),
    )


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
    report(session, job, bad, doubtful)
    details(session, job)


def errors(
    context: typer.Context,
    import_id: ImportId,
    severity: Annotated[
        str | None, typer.Option(metavar="error|warning", help="Only errors, or only warnings.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="csv|ndjson", help="Print all stored errors as a file.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write them to FILE.")] = None,
) -> None:
    """List or save why records were rejected, and what is doubtful."""
    session = session_of(context)
    wanted = one_of(SEVERITIES, severity, "--severity") if severity is not None else ""
    if wanted and (format_ is not None or output is not None):
        raise typer.BadParameter(
            "a file has all of them: leave it out, or --format and --output", param_hint="--severity"
        )
    if format_ is None and output is None:
        shown = 0
        with session.client() as ingot:
            # Asked before: an import that goes on may have more errors afterwards.
            job = ingot.get_import(import_id)
            for error in ingot.list_errors(import_id, severity=wanted, page_size=1000):
                shown += 1
                if session.json:
                    show_message(error.message)
                else:
                    show(error_line(error))
        tell_missing(job, shown, wanted)
        return
    chosen = _format(format_ or ("csv" if output is not None and output.suffix.lower() == ".csv" else "ndjson"))
    with session.client() as ingot:
        job = ingot.get_import(import_id)
        if output is not None:
            ingot.export_errors(import_id, output, format=chosen)
            say(f"wrote {plain(str(output))}")
            tell_missing(job, count_in_file(output, csv=chosen == "csv"))
        else:
            counted = CountedErrors(stdout_file(json=chosen == "ndjson"), csv=chosen == "csv")
            ingot.export_errors(import_id, cast(IO[bytes], counted), format=chosen)
            tell_missing(job, counted.count)


def cancel(context: typer.Context, import_id: ImportId) -> None:
    """Cancel an import that has not ended. What was written stays written."""
    session = session_of(context)
    with session.client() as ingot:
        report(session, ingot.cancel(import_id))


def delete(context: typer.Context, import_id: ImportId) -> None:
    """Delete an import that has ended, with its errors. The records it wrote stay."""
    session = session_of(context)
    with session.client() as ingot:
        ingot.delete(import_id)
    if session.json:
        show("{}")
    else:
        say(f"deleted import {plain(import_id)}")


def _format(word: str) -> Literal["csv", "ndjson"]:
    if word == "csv":
        return "csv"
    if word == "ndjson":
        return "ndjson"
    raise typer.BadParameter(f"{plain(word)!r} is neither csv nor ndjson", param_hint="--format")
