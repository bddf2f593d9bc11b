"""Files on the command line: how they are read, as the user says it, and what is checked before they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypedDict

import typer

from ingot_client._cli.options import names
from ingot_client._cli.peeking import check_beginning
from ingot_client._cli.printing import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

FETCHED: Final = ("https", "http", "s3")

TYPES: Final = "ndjson|csv|json"
TYPE_HELP: Final = "Default: what the suffix of FILE says."
Type = Annotated[str | None, typer.Option("--type", metavar=TYPES, help=TYPE_HELP)]
TypeOrFetched = Annotated[
    str | None, typer.Option("--type", metavar=TYPES, help=f"{TYPE_HELP} A URI may also be excel or parquet.")
]
Sheet = Annotated[str | None, typer.Option(metavar="NAME", help="Excel: the sheet; the first by default.")]
Delimiter = Annotated[str | None, typer.Option(metavar="C", help=r"CSV: between cells; \t is a tab.")]
Quote = Annotated[str | None, typer.Option(metavar="C", help="CSV: around cells.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME,…", help="CSV: the names of the columns, for a file without a header row."),
]
Encoding = Annotated[str | None, typer.Option(help="The character encoding; utf-8 by default.")]
Compression = Annotated[
    str | None, typer.Option(metavar="none|gzip|zstd", help="Default: gzip for .gz, zstd for .zst behind the suffix.")
]


class Reading(TypedDict):
    """How a file is read: parameters of the client."""

    type: str | None
    sheet: str | None
    delimiter: str | None
    quote: str | None
    encoding: str | None
    columns: list[str]
    compression: str | None


def reading(
    type: str | None,
    sheet: str | None,
    delimiter: str | None,
    quote: str | None,
    columns: list[str] | None,
    encoding: str | None,
    compression: str | None,
) -> Reading:
    """How a file is read, as the options say."""
    return Reading(
        type=type,
        sheet=sheet,
        delimiter="\t" if delimiter in {"\\t", "tab"} else delimiter,
        quote=quote,
        encoding=encoding,
        columns=names(columns),
        compression=compression,
    )


def said(how: Reading) -> list[str]:
    """The options that say it again."""
    given = {**how, "columns": ",".join(how["columns"])}
    return [part for name, value in given.items() if value for part in (f"--{name}", str(value))]


def is_reference(file: str, *, meant: bool) -> bool:
    """Whether the server is to fetch the file: it is a URI, and of a place that is not this machine, or so `meant`."""
    scheme, colon, _ = file.partition("://")
    if meant and not colon:
        raise typer.BadParameter(f"{plain(file)!r} is not a URI, as in https://example.com/a.csv", param_hint="FILE")
    if not meant and colon and scheme.lower() == "file":
        raise typer.BadParameter(
            "a file of this machine has no file:// in front; if the server is to read one of its own, say --reference",
            param_hint="FILE",
        )
    return meant or (bool(colon) and scheme.lower() in FETCHED)


def check_file(file: str, how: Reading, key_fields: Sequence[str] = (), kind: str | None = None, *, peek: bool) -> None:
    """Ends the command if the file cannot be sent, or cannot be what the user takes it for; looks into it to `peek`."""
    if file != "-" and not Path(file).exists():
        raise typer.BadParameter(f"there is no file {plain(file)!r}", param_hint="FILE")
    if file != "-" and Path(file).is_dir():
        raise typer.BadParameter(f"{plain(file)!r} is a directory", param_hint="FILE")
    from ingot_client._files import file_format  # noqa: PLC0415 - `--help` does not wait for protobuf

    with _called_wrongly():
        form = file_format("" if file == "-" else file, **how)
    if file != "-" and peek:
        check_beginning(Path(file), form, key_fields, kind, sheet=how["sheet"] or "")


def check_reference(how: Reading) -> None:
    """Ends the command if no file can be read so."""
    from ingot_client._formats import reference_format  # noqa: PLC0415 - `--help` does not wait for protobuf

    with _called_wrongly():
        reference_format(**how)


@contextmanager
def _called_wrongly() -> Iterator[None]:
    from ingot_client._formats import TypeUnknown  # noqa: PLC0415 - `--help` does not wait for protobuf

    try:
        yield
    except TypeUnknown as error:
        raise typer.BadParameter(f"{plain(str(error))} with --type") from None
    except ValueError as error:
        raise typer.BadParameter(plain(str(error))) from None
