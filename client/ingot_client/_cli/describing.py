"""Tells what tables and kinds are, for people."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ingot_client._cli.printing import moment, plain, say, show, show_facts, show_message, show_table

if TYPE_CHECKING:
    from ingot_client import Field, Kind, Table
    from ingot_client._cli.session import Session

HEADER: Final = ("FIELD", "TYPE", "RULES", "ALSO NAMED", "WHAT")
SHOWN_VALUES: Final = 5


def describe_table(session: Session, table: Table) -> None:
    """Prints the table: one JSON object, or its rules and declared fields for people."""
    if session.json:
        show_message(table.message)
        return
    show(f"table {plain(table.table)}")
    show_facts(
        {
            "kind": table.kind,
            "key fields": ", ".join(table.key_fields),
            "other fields": "rejected" if table.unknown_fields == "REJECT" else "kept",
            "country": table.reading.country,
            "time zone": table.reading.time_zone,
            "locale": table.reading.locale,
            "created": moment(table.create_time),
            "changed": moment(table.update_time),
        }
    )
    if table.fields:
        show("")
        show_fields(table.fields)
    if table.kind not in {"", "GENERIC"}:
        say(f"Fields of the kind: ingot kinds {plain(table.kind)}")


def describe_kind(kind: Kind) -> None:
    """Prints the kind and its fields."""
    show(f"kind {plain(kind.kind)}")
    width = max(40, min(shutil.get_terminal_size().columns, 120) - 2)
    for line in textwrap.wrap(plain(kind.description), width):
        show(f"  {line}")
    show_facts(
        {
            "identifiers": ", ".join(kind.identifiers),
            "identified by": ", ".join(kind.identity),
            "needs one of": ", ".join(kind.needs_one_of),
            "key fields": ", ".join(kind.key_fields),
            "refers to": ", ".join(kind.references),
        }
    )
    if kind.fields:
        show("")
        show_fields(kind.fields)


def show_fields(fields: Sequence[Field]) -> None:
    """Prints a table of the fields, nested ones below those they are in. Empty columns are left out."""
    rows = list(_rows(fields, ""))
    filled = [column for column in range(len(HEADER)) if column == 0 or any(row[column] for row in rows)]
    show_table([HEADER[column] for column in filled], ([row[column] for column in filled] for row in rows))


def _rows(fields: Sequence[Field], within: str) -> Iterator[Sequence[str]]:
    for field in fields:
        path = within + field.name
        type_ = f"list of {field.type}" if field.many else field.type
        yield path, type_, ", ".join(_rules(field)), ", ".join(field.aliases), field.description
        yield from _rows(field.fields, f"{path}[]." if field.many else f"{path}.")


def _rules(field: Field) -> Iterator[str]:
    if field.required:
        yield "required"
    if field.indexed:
        yield "indexed" if field.index_state == "READY" else "index in the making"
    if field.pattern:
        yield f"like {field.pattern}"
    if field.allowed_values:
        more = "|…" if len(field.allowed_values) > SHOWN_VALUES else ""
        yield "|".join(field.allowed_values[:SHOWN_VALUES]) + more
    if field.default is not None:
        yield f"default {json.dumps(field.default, ensure_ascii=False)}"
