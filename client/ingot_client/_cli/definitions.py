"""Reads what tables are made of from the command line, and from files as `ingot tables show --json` prints them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from ingot_client._cli.failing import fail
from ingot_client._cli.printing import plain

if TYPE_CHECKING:
    from ingot_client import Field, Table

FLAGS: Final = ("required", "many", "indexed")
TYPE_PREFIX: Final = "FIELD_TYPE_"


def field_of(text: str, option: str) -> Field:
    """The field that `NAME[:TYPE][:required][:many][:indexed]` tells."""
    from ingot.v1.field_pb2 import FieldType  # noqa: PLC0415 - `--help` does not wait for protobuf
    from ingot_client import Field  # noqa: PLC0415

    types = [name.removeprefix(TYPE_PREFIX) for name, number in FieldType.items() if number]
    name, *words = text.split(":")
    flags = [word.lower() for word in words if word.lower() in FLAGS]
    others = [word.upper() for word in words if word and word.lower() not in FLAGS]
    if not name:
        raise typer.BadParameter(f"{plain(text)!r} has no name before the colon", param_hint=option)
    if wrong := [word for word in others if word not in types] or others[1:]:
        raise typer.BadParameter(
            f"{plain(wrong[0])!r} in {plain(text)!r} is neither {', '.join(FLAGS)} nor a type: {', '.join(types)}",
            param_hint=option,
        )
    return Field(
        name,
        others[0] if others else "TEXT",
        required="required" in flags,
        many="many" in flags,
        indexed="indexed" in flags,
    )


def fields_of(path: str) -> list[Field]:
    """The fields in a file: a list of them, or a table that has them."""
    content = _content(path)
    return list(_table(path, {"fields": content} if isinstance(content, list) else content).fields)


def table_of(path: str) -> Table:
    """The table in a file."""
    return _table(path, _content(path))


def changed_fields(declared: Sequence[Field], removed: Sequence[str], added: Sequence[Field]) -> list[Field]:
    """The fields a table declares, without some and with some more; ends the command if that makes no sense."""
    there = [field.name for field in declared]
    for name in removed:
        if name not in there:
            fail(f"the table declares no field {name!r}, but {', '.join(map(repr, there)) or 'none at all'}")
    kept = [field for field in declared if field.name not in removed]
    for field in added:
        if any(other.name == field.name for other in kept):
            fail(
                f"the table declares a field {field.name!r} already",
                f"To replace it say --remove-field {field.name} too; to change what has no option, see --fields.",
            )
        kept.append(field)
    return kept


def _content(path: str) -> Any:
    try:
        return json.loads(sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes())
    except ValueError as error:
        fail(f"{_called(path)} is not JSON: {error}")


def _table(path: str, content: Any) -> Table:
    from google.protobuf.json_format import ParseDict, ParseError  # noqa: PLC0415 - as above

    from ingot.v1.table_pb2 import Table as TableMessage  # noqa: PLC0415
    from ingot_client import Table  # noqa: PLC0415

    if not isinstance(content, dict):
        fail(f"{_called(path)} is not a table", "It should be as `ingot tables show TABLE --json` prints it.")
    try:
        return Table.read(ParseDict(_with_prefixes(content), TableMessage()))
    except (ParseError, TypeError) as error:
        fail(
            f"{_called(path)}: {' '.join(str(error).split())}",
            "It should be as `ingot tables show TABLE --json` prints it.",
        )


def _with_prefixes(content: Any) -> Any:
    """The table or field as protobuf reads it, with the prefix of types, which people leave out."""
    if not isinstance(content, dict):
        return content
    changed = dict(content)
    if isinstance(fields := content.get("fields"), list):
        changed["fields"] = [_with_prefixes(field) for field in fields]
    if isinstance(type_ := content.get("type"), str) and not type_.startswith(TYPE_PREFIX):
        changed["type"] = TYPE_PREFIX + type_.upper()
    return changed


def _called(path: str) -> str:
    return "stdin" if path == "-" else path
