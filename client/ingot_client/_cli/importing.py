"""`ingot import` and `ingot watch`."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ingot_client._cli import options
from ingot_client._cli.bars import Bars
from ingot_client._cli.failing import INTERRUPTED, fail, interruptible
from ingot_client._cli.peeking import check_beginning
from ingot_client._cli.printing import plain, say
from ingot_client._cli.reporting import EXIT_CODES, has_warnings, report
from ingot_client._cli.session import Session, session_of
from ingot_client._errors import UploadInterrupted

if TYPE_CHECKING:
    from ingot.v1.batch_pb2 import DataFormat
    from ingot_client import Import, Progress


def import_file(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to import; - is stdin.")],
    table: Annotated[str | None, typer.Option(help="The table to write to; it is made if it does not exist.")] = None,
    key: options.Key = None,
    kind: options.Kind = None,
    country: options.Country = None,
    time_zone: options.TimeZone = None,
    locale: options.Locale = None,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="ndjson|csv|json", help="Default: what the suffix of FILE says.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(metavar="C", help=r"CSV: between cells; \t is a tab.")] = None,
    quote: Annotated[str | None, typer.Option(metavar="C", help="CSV: around cells.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,…", help="CSV: the names of the columns, for a file without a header row."),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="The character encoding; utf-8 by default.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For finding the import again; repeatable.")
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The same id again is the same import, which goes on.")
    ] = None,
    watch: Annotated[bool, typer.Option(help="Wait until all records are processed.")] = True,
    resume: Annotated[str | None, typer.Option(metavar="IMPORT", help="Go on with an interrupted import.")] = None,
) -> None:
    """Import a file into a table, and tell what became of its records.

    The key, the kind, the country, the time zone and the locale are the table's if they are not given.
    """
    session = session_of(context)
    if table is None and resume is None:
        raise typer.BadParameter("say which table to write to", param_hint="--table")
    if file != "-" and not Path(file).exists():
        raise typer.BadParameter(f"there is no file {plain(file)!r}", param_hint="FILE")
    if file != "-" and Path(file).is_dir():
        raise typer.BadParameter(f"{plain(file)!r} is a directory", param_hint="FILE")
    if delimiter in {"\\t", "tab"}:
        delimiter = "\t"
    key_fields = options.names(key)
    kind = options.kind_name(kind)
    form = _format(
        file, type=type_, delimiter=delimiter, quote=quote, encoding=encoding, columns=options.names(columns)
    )
    if file != "-" and resume is None:
        check_beginning(Path(file), form, key_fields, kind)
    labels = options.labels(label)
    done: Import | None = None
    stopped: KeyboardInterrupt | UploadInterrupted = KeyboardInterrupt()
    with interruptible(), Bars() as bars, session.client() as ingot:
        try:
            done = ingot.import_file(
                table if table is not None else ingot.get_import(resume or "").table,
                sys.stdin.buffer if file == "-" else file,
                type=type_,
                delimiter=delimiter,
                quote=quote,
                encoding=encoding,
                columns=options.names(columns),
                key_fields=key_fields,
                kind=kind or "",
                country=country or "",
                time_zone=time_zone or "",
                locale=locale or "",
                labels=labels,
                request_id=request_id,
                resume=resume,
                wait=watch,
                on_progress=bars.tell,
            )
        except (KeyboardInterrupt, UploadInterrupted) as error:
            stopped = error
    if done is not None:
        if done.already_ended:
            what = "been uploaded" if bars.first is not None and bars.first.state == "PROCESSING" else "ended"
            say(f"import {plain(done.import_id)} had already {what}: nothing was sent")
        _end(session, done)
    said = {
        "table": table,
        "type": type_,
        "delimiter": delimiter,
        "quote": quote,
        "encoding": encoding,
        "columns": ",".join(options.names(columns)),
    }
    again = ["ingot", "import", file, *(part for name, value in said.items() if value for part in (f"--{name}", value))]
    _stopped(stopped, bars.last, again)


def watch(
    context: typer.Context,
    import_id: Annotated[str, typer.Argument(metavar="IMPORT", help="The import's id.")],
) -> None:
    """Follow an import until it has ended."""
    session = session_of(context)
    job: Import | None = None
    with interruptible(), Bars() as bars, session.client() as ingot:
        from ingot_client import Progress  # noqa: PLC0415 - `--help` does not wait for grpc

        for job in ingot.watch(import_id, on_trouble=bars.tell_trouble):
            received = job.counts.received
            bars.tell(Progress(job.import_id, job.state, "RECORDS", received, None, job.counts))
    if job is not None:
        _end(session, job)


def _end(session: Session, job: Import) -> NoReturn:
    # The exit code says how the import ended, even if nobody reads the report.
    with contextlib.suppress(BrokenPipeError):
        report(session, job)
        if job.counts.rejected and not session.json:
            say(f"Rejected records: ingot errors {plain(job.import_id)}")
        if has_warnings(job) and not session.json:
            say(f"Warnings: ingot errors {plain(job.import_id)} --severity warning")
    raise typer.Exit(EXIT_CODES.get(job.state, 0))


def _stopped(failure: KeyboardInterrupt | UploadInterrupted, last: Progress | None, again: list[str]) -> NoReturn:
    if isinstance(failure, UploadInterrupted):
        go_on = shlex.join([*again, "--resume", failure.import_id])
        fail(f"the upload stopped: {failure.why.rstrip('.')}", f"What was sent is kept. Go on with: {go_on}")
    if last is None:
        say("interrupted; nothing was sent")
    elif last.state == "RECEIVING":
        say(
            f"interrupted; what was sent is kept. Go on with: {plain(shlex.join([*again, '--resume', last.import_id]))}"
        )
    else:
        say(f"interrupted; the import goes on. Follow it with: ingot watch {plain(last.import_id)}")
    raise typer.Exit(INTERRUPTED)


def _format(file: str, **reading: Any) -> DataFormat:
    from ingot_client._formats import TypeUnknown, data_format  # noqa: PLC0415 - `--help` does not wait for protobuf

    try:
        return data_format("" if file == "-" else file, **reading)
    except TypeUnknown as error:
        raise typer.BadParameter(f"{plain(str(error))} with --type") from None
    except ValueError as error:
        raise typer.BadParameter(plain(str(error))) from None
