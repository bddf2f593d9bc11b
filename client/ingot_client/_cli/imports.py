"""The commands about imports: `imports`, `show`, `errors`, `cancel`, `delete`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from ingot_client._cli import options
from ingot_client._cli.counting import CountedErrors, count_in_file, tell_missing
from ingot_client._cli.options import one_of
from ingot_client._cli.printing import moment, plain, say, show, show_message, show_table, stdout_file
from ingot_client._cli.reporting import details, error_line, has_warnings, report
from ingot_client._cli.session import session_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from ingot_client import ErrorGroup, RecordError

ImportId = Annotated[str, typer.Argument(metavar="IMPORT", help="The import's id.")]

STATES = ("RECEIVING", "PROCESSING", "CANCELLING", "SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED")
SEVERITIES = ("ERROR", "WARNING")
STAGES = ("UPLOAD", "PROCESSING")
CODE_PREFIX = "RECORD_ERROR_CODE_"
SHOWN_ERRORS = 10


def list_imports(
    context: typer.Context,
    table: Annotated[str, typer.Option(help="Only imports into this table.")] = "",
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="Only imports in this state; repeatable.")
    ] = None,
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
            ("BATCH", "STATUS", "RECEIVED", "REJECTED", "COMMITTED", "UNIT"),
            (
                (
                    batch.batch_id,
                    batch.status,
                    batch.counts.received,
                    batch.counts.rejected,
                    batch.committed_offset,
                    "" if batch.unit == "UNSPECIFIED" else batch.unit,
                )
                for batch in found
            ),
        )


def errors(
    context: typer.Context,
    import_id: ImportId,
    code: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only this code: INVALID_VALUE, or its number, 1002.")
    ] = None,
    field: Annotated[str, typer.Option(metavar="FIELD", help="Only this field, as in email or items[0].price.")] = "",
    stage: Annotated[
        str | None, typer.Option(metavar="upload|processing", help="Only what this stage has found.")
    ] = None,
    batch: Annotated[str, typer.Option(metavar="ID", help="Only this batch: see `ingot batches`.")] = "",
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
    wanted = {
        "severity": one_of(SEVERITIES, severity, "--severity") if severity is not None else "",
        "code": _code(code) if code is not None else "",
        "field": field,
        "stage": one_of(STAGES, stage, "--stage") if stage is not None else "",
    }
    given = [f"--{name}" for name, value in {**wanted, "batch": batch}.items() if value]
    if given and (format_ is not None or output is not None):
        raise typer.BadParameter("a file has all of them: leave it out, or --format and --output", param_hint=given[0])
    if format_ is None and output is None:
        shown = 0
        with session.client() as ingot:
            # Asked before: an import that goes on may have more errors afterwards.
            groups = (ingot.get_batch(import_id, batch) if batch else ingot.get_import(import_id)).error_groups
            for error in ingot.list_errors(import_id, batch_id=batch, page_size=1000, **wanted):
                shown += 1
                if session.json:
                    show_message(error.message)
                else:
                    show(error_line(error))
        tell_missing((group for group in groups if _matches(group, wanted)), shown)
        return
    chosen = _format(format_ or ("csv" if output is not None and output.suffix.lower() == ".csv" else "ndjson"))
    with session.client() as ingot:
        job = ingot.get_import(import_id)
        if output is not None:
            ingot.export_errors(import_id, output, format=chosen)
            say(f"wrote {plain(str(output))}")
            tell_missing(job.error_groups, count_in_file(output, csv=chosen == "csv"))
        else:
            counted = CountedErrors(stdout_file(json=chosen == "ndjson"), csv=chosen == "csv")
            ingot.export_errors(import_id, cast(IO[bytes], counted), format=chosen)
            tell_missing(job.error_groups, counted.count)


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


def _code(text: str) -> str:
    """The code's name; a number that only a newer server knows stays one."""
    from ingot.v1.record_error_pb2 import RecordErrorCode  # noqa: PLC0415 - `--help` does not wait for protobuf
    from ingot_client._translating import number, word  # noqa: PLC0415

    try:
        return word(RecordErrorCode, number(RecordErrorCode, text, CODE_PREFIX), CODE_PREFIX)
    except ValueError as error:
        raise typer.BadParameter(plain(str(error)), param_hint="--code") from None


def _matches(group: ErrorGroup, wanted: Mapping[str, str]) -> bool:
    """Whether all errors of the group are among those wanted."""
    # The fields of groups have no index.
    return "[" not in wanted["field"] and all(getattr(group, name) == value for name, value in wanted.items() if value)


def _format(word: str) -> Literal["csv", "ndjson"]:
    if word == "csv":
        return "csv"
    if word == "ndjson":
        return "ndjson"
    raise typer.BadParameter(f"{plain(word)!r} is neither csv nor ndjson", param_hint="--format")
