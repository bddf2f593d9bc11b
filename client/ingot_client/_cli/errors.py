"""`ingot errors`: why records were rejected, as a list or a file, and the rejected records themselves, to be mended."""

from __future__ import annotations

import shlex
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from ingot_client._cli import options
from ingot_client._cli.counting import CountedErrors, count_in_file, tell_missing
from ingot_client._cli.options import ImportId, Output, one_of
from ingot_client._cli.printing import plain, say, show, show_message, stdout_file
from ingot_client._cli.reporting import error_line
from ingot_client._cli.session import Session, session_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from ingot_client import ErrorGroup

SEVERITIES = ("ERROR", "WARNING")
STAGES = ("UPLOAD", "PROCESSING")
CODE_PREFIX = "RECORD_ERROR_CODE_"


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
    rejects: Annotated[
        bool, typer.Option("--rejects", help="The rejected records, to be mended and imported with `ingot retry`.")
    ] = False,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="csv|ndjson", help="Print all of them as a file.")
    ] = None,
    output: Output = None,
) -> None:
    """List or save why records were rejected, and what is doubtful; or the rejected records, to be mended."""
    session = session_of(context)
    wanted = {
        "severity": one_of(SEVERITIES, severity, "--severity") if severity is not None else "",
        "code": _code(code) if code is not None else "",
        "field": field,
        "stage": one_of(STAGES, stage, "--stage") if stage is not None else "",
    }
    as_file = rejects or format_ is not None or output is not None
    output = options.named_file(output)
    if output is not None and output.suffix.lower() != ".csv" and output.name.lower().endswith(options.NOT_JSON):
        raise typer.BadParameter("only CSV and NDJSON can be written: say FILE.csv", param_hint="--output")
    given = [f"--{name}" for name, value in {**wanted, "batch": batch}.items() if value]
    if given and as_file:
        raise typer.BadParameter(
            "a file has all of them: leave it out, or --format, --output and --rejects", param_hint=given[0]
        )
    if not as_file:
        _list(session, import_id, batch, wanted)
        return
    chosen = _format(format_ or ("csv" if output is not None and output.suffix.lower() == ".csv" else "ndjson"))
    csv = chosen == "csv"
    with session.client() as ingot:
        job = ingot.get_import(import_id)
        export = ingot.export_rejects if rejects else ingot.export_errors
        counted = CountedErrors(stdout_file(json=not csv), csv=csv)
        export(import_id, output if output is not None else cast(IO[bytes], counted), format=chosen)
    shown = count_in_file(output, csv=csv) if output is not None else counted.count
    if output is not None:
        say(f"wrote {plain(str(output))}")
    if not rejects:
        tell_missing(job.error_groups, shown)
    elif output is not None and shown:
        # If some were not kept, the last record of the file says so.
        name = shlex.join([str(output)])
        say(f"Mend the records, leave the columns, and import them: ingot retry {plain(import_id)} {plain(name)}")


def _list(session: Session, import_id: str, batch: str, wanted: Mapping[str, str]) -> None:
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
    known = [group for group in groups if _matches(group, wanted)]
    tell_missing(known, shown)
    if not shown and not known and not session.json:
        say("none of these is listed" if any(wanted.values()) else "no errors and no warnings")


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
