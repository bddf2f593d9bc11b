"""Arguments and options that several commands share, and how their texts are read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from ingot_client._cli.printing import plain

ImportId = Annotated[str, typer.Argument(metavar="IMPORT", help="The import's id.")]
TableName = Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")]

Key = Annotated[
    list[str] | None, typer.Option(metavar="FIELD,…", help="The fields whose values make up a record's key.")
]
Kind = Annotated[
    str | None, typer.Option(metavar="KIND", help="What the records are, as in CONTACTS: see `ingot kinds`.")
]
Country = Annotated[
    str | None, typer.Option(metavar="CC", help="The country of phone numbers that name none, as in SE.")
]
TimeZone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="The time zone of times that name none, as in Europe/Stockholm.")
]
Locale = Annotated[
    str | None, typer.Option(metavar="LOCALE", help="How numbers that come as text are written, as in de or en-IN.")
]

MODES = ("REPLACE", "MERGE", "FILL_EMPTY", "SKIP_EXISTING", "DELETE")
Mode = Annotated[
    str | None,
    typer.Option(
        metavar="replace|merge|fill-empty|skip-existing|delete",
        help="What happens to a record that is there already; replace by default.",
    ),
]
ValidateOnly = Annotated[
    bool, typer.Option("--validate-only", help="Rehearse it: check and tell everything, and store nothing.")
]

Filter = Annotated[
    str,
    typer.Option("--filter", metavar="FILTER", help="Only these, as in 'country = SE AND points >= 10 AND tags:vip'."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE; - is stdout, the default.")
]
OrderBy = Annotated[
    str, typer.Option(metavar="FIELD", help="Order by this field, as in points or 'points desc'; by key if not given.")
]

NOT_JSON: Final = (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".parquet", ".gz", ".zst")
"""Suffixes of files that hold something else than JSON."""


def names(parts: list[str] | None) -> list[str]:
    """The names in an option that takes several of them, with commas between, and may be repeated."""
    return [name.strip() for part in parts or () for name in part.split(",") if name.strip()]


def labels(parts: list[str] | None) -> dict[str, str]:
    """The labels in an option that takes one at a time."""
    found: dict[str, str] = {}
    for part in parts or ():
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{plain(part)!r} is not NAME=VALUE", param_hint="--label")
        found[name] = value
    return found


def time(text: str | None, option: str) -> datetime | None:
    """The time that the text tells, or the beginning of the day; in UTC, as times are printed, if it has no zone."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{plain(text)!r} is neither a date nor a time, as in 2026-11-20 or 2026-11-20T13:30Z", param_hint=option
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def kind_name(text: str | None) -> str | None:
    """The kind's name, which is in capitals."""
    return text.upper() if text is not None else None


def mode_name(text: str | None) -> str:
    """The write mode's name; that of none is empty."""
    return one_of(MODES, text, "--mode") if text is not None else ""


def one_of(words: tuple[str, ...], text: str, option: str) -> str:
    """The word that the text is, in any case and with `-` or `_` in it; else the command was called wrongly."""
    word = text.upper().replace("-", "_")
    if word not in words:
        known = ", ".join(word.lower().replace("_", "-") for word in words)
        raise typer.BadParameter(f"{plain(text)!r} is not one of {known}", param_hint=option)
    return word


def named_file(path: Path | None) -> Path | None:
    """The file to be written; none for stdout, which is called `-`."""
    return None if path == Path("-") else path
