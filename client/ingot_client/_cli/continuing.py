"""What comes after an import: `ingot commit` and `ingot retry`."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from ingot_client._cli import files
from ingot_client._cli.advising import not_tried, nothing_to_retry
from ingot_client._cli.bars import Bars
from ingot_client._cli.failing import fail
from ingot_client._cli.following import follow, goes_on, resumed_by
from ingot_client._cli.options import ImportId
from ingot_client._cli.printing import plain
from ingot_client._cli.session import session_of
from ingot_client._errors import NothingToRetry, ScopeMissing

if TYPE_CHECKING:
    from ingot_client import Client, Import, Progress
    from ingot_client._cli.following import Tell


def commit(
    context: typer.Context,
    import_id: ImportId,
    watch: Annotated[bool, typer.Option(help="Wait until all records are written.")] = True,
) -> None:
    """Commit a staged import: write all its records in one transaction.

    They are processed again: what the table holds now decides, so the counts may differ from those that were shown.
    """
    session = session_of(context)

    def work(ingot: Client, tell: Tell) -> Import:
        return ingot.commit(import_id, wait=watch, on_progress=tell)

    def stopped(last: Progress | None) -> str:
        return goes_on(import_id) if last is not None else f"see how it stands with: ingot show {plain(import_id)}"

    follow(session, work, stopped=stopped, bars=Bars(committing=True))


def retry(
    context: typer.Context,
    import_id: ImportId,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="The rejected records, mended; without it they are tried as they were."),
    ] = None,
    type_: files.Type = None,
    delimiter: files.Delimiter = None,
    quote: files.Quote = None,
    encoding: files.Encoding = None,
    compression: files.Compression = None,
    request_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The same id again is the same import, which goes on.")
    ] = None,
    watch: Annotated[bool, typer.Option(help="Wait until all records are processed.")] = True,
) -> None:
    """Import rejected records once more: as they were sent, or from FILE, in which they are mended.

    `ingot errors IMPORT --rejects -o mend.csv` makes such a file. The new import has the options of the first, but is
    never a full replacement. Records that could not be read are not tried without FILE.
    """
    session = session_of(context)
    how = files.reading(type_, None, delimiter, quote, None, encoding, compression)
    if file is None:
        if said := files.said(how):
            raise typer.BadParameter("it says how a FILE is read, and there is none", param_hint=said[0])

        remarks: list[str] = []

        def again(ingot: Client, tell: Tell) -> Import:
            original: Import | None = None
            # A key that may not read does without.
            with suppress(ScopeMissing):
                original = ingot.get_import(import_id)
            try:
                done = ingot.retry(import_id, request_id=request_id, wait=watch, on_progress=tell)
            except NothingToRetry as error:
                if original is None:
                    raise
                fail(*nothing_to_retry(original, error))
            if original is not None:
                remarks.extend(not_tried(original))
            return done

        def stopped(last: Progress | None) -> str:
            return goes_on(last.import_id) if last is not None else "see what there is with: ingot imports"

        follow(session, again, stopped=stopped, remarks=remarks)
    files.check_file(file, how, peek=True)

    def mended(ingot: Client, tell: Tell) -> Import:
        data = sys.stdin.buffer if file == "-" else file
        return ingot.import_mended(import_id, data, request_id=request_id, wait=watch, on_progress=tell, **how)

    follow(session, mended, stopped=resumed_by(["ingot", "import", file, *files.said(how)]))
