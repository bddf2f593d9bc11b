"""`ingot import` and `ingot watch`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from ingot_client._cli import files, options
from ingot_client._cli.bars import Bars
from ingot_client._cli.following import follow, goes_on, resumed_by
from ingot_client._cli.options import ImportId
from ingot_client._cli.printing import plain
from ingot_client._cli.session import Session, session_of

if TYPE_CHECKING:
    from ingot_client import Client, Import, ImportOptions, Progress
    from ingot_client._cli.following import Tell

RESUME: Final = "Go on with an interrupted import, with the same FILE: what was sent already is not compared."


def import_file(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE|URI", help="The file to import; - is stdin. The server fetches a URI itself.")
    ],
    table: Annotated[str | None, typer.Option(help="The table to write to; it is made if it does not exist.")] = None,
    key: options.Key = None,
    kind: options.Kind = None,
    country: options.Country = None,
    time_zone: options.TimeZone = None,
    locale: options.Locale = None,
    mode: options.Mode = None,
    validate_only: options.ValidateOnly = False,
    staged: Annotated[
        bool, typer.Option("--staged", help="Write nothing until `ingot commit`: all records at once, or none.")
    ] = False,
    reconcile: Annotated[
        bool,
        typer.Option("--reconcile", help="Delete what the table has and FILE does not name: a full replacement."),
    ] = False,
    max_deleted_ratio: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="SHARE", help="With --reconcile: fail if more would go; 0.2 by default."),
    ] = None,
    max_errors: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Fail if more records are rejected.")
    ] = None,
    max_error_ratio: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="SHARE", help="Fail if a larger share is rejected: 0.01."),
    ] = None,
    type_: files.TypeOrFetched = None,
    sheet: files.Sheet = None,
    delimiter: files.Delimiter = None,
    quote: files.Quote = None,
    columns: files.Columns = None,
    encoding: files.Encoding = None,
    compression: files.Compression = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="FILE is a URI for the server, also if it begins with file://.")
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For finding the import again; repeatable.")
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The same id again is the same import, which goes on.")
    ] = None,
    watch: Annotated[bool, typer.Option(help="Wait until all records are processed.")] = True,
    resume: Annotated[str | None, typer.Option(metavar="IMPORT", help=RESUME)] = None,
) -> None:
    """Import a file into a table, and tell what became of its records.

    The key, the kind, the country, the time zone and the locale are the table's if they are not given.
    """
    session = session_of(context)
    if table is None and resume is None:
        raise typer.BadParameter("say which table to write to", param_hint="--table")
    if max_deleted_ratio is not None and not reconcile:
        raise typer.BadParameter("say --reconcile too", param_hint="--max-deleted-ratio")
    how = files.reading(type_, sheet, delimiter, quote, columns, encoding, compression)
    given: ImportOptions = {
        "key_fields": options.names(key),
        "kind": options.kind_name(kind) or "",
        "country": country or "",
        "time_zone": time_zone or "",
        "locale": locale or "",
        "labels": options.labels(label),
        "mode": options.mode_name(mode),
        "validate_only": validate_only,
        "staged": staged,
        "reconcile": max_deleted_ratio if max_deleted_ratio is not None else reconcile,
        "max_errors": max_errors,
        "max_error_ratio": max_error_ratio,
    }
    if files.is_reference(file, meant=reference):
        if table is None or resume is not None:
            raise typer.BadParameter("the server goes on by itself: see `ingot watch`", param_hint="--resume")
        files.check_reference(how)
        _import_reference(session, table, file, how, given, request_id, wait=watch)
    files.check_file(file, how, given["key_fields"], given["kind"] or None, peek=resume is None)

    def work(ingot: Client, tell: Tell) -> Import:
        return ingot.import_file(
            table if table is not None else ingot.get_import(resume or "").table,
            sys.stdin.buffer if file == "-" else file,
            request_id=request_id,
            resume=resume,
            wait=watch,
            on_progress=tell,
            **how,
            **given,
        )

    again = ["ingot", "import", file, *(["--table", table] if table is not None else []), *files.said(how)]
    follow(session, work, stopped=resumed_by(again))


def watch(context: typer.Context, import_id: ImportId) -> None:
    """Follow an import until it has ended, or awaits its commit."""
    session = session_of(context)
    bars = Bars()

    def work(ingot: Client, tell: Tell) -> Import:
        from ingot_client import Progress  # noqa: PLC0415 - `--help` does not wait for grpc

        for job in ingot.watch(import_id, on_trouble=bars.tell_trouble):
            tell(Progress.of(job))
        return job

    follow(session, work, stopped=lambda _: goes_on(import_id), bars=bars)


def _import_reference(
    session: Session,
    table: str,
    uri: str,
    how: files.Reading,
    given: ImportOptions,
    request_id: str | None,
    *,
    wait: bool,
) -> NoReturn:
    def work(ingot: Client, tell: Tell) -> Import:
        return ingot.import_reference(table, uri, request_id=request_id, wait=wait, on_progress=tell, **how, **given)

    def stopped(last: Progress | None) -> str:
        if last is None:
            return "nothing was begun"
        if last.state == "RECEIVING":
            return f"the import may wait for its file for ever. Give it up with: ingot cancel {plain(last.import_id)}"
        return goes_on(last.import_id)

    follow(session, work, stopped=stopped, bars=Bars(receiving="fetch"))
