"""Reads what tables are made of from the command line, and from files as `ingot tables show --json` prints them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
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


def rules_of(path: str) -> dict[str, Any]:
    """The rules that the table in a file names, by their names in the client; `fields` among them."""
    content = _content(path)
    table = _table(path, content)
    named = {name for name, value in content.items() if value is not None}
    rules: dict[str, Any] = {}
    if named & {"kind"}:
        rules["kind"] = spelled_kind(table.kind)
    if named & {"key_fields", "keyFields"}:
        rules["key_fields"] = table.key_fields
    if named & {"fields"}:
        rules["fields"] = table.fields
    if named & {"unknown_fields", "unknownFields"}:
        rules["unknown_fields"] = table.unknown_fields or "KEEP"
    if named & {"reading"}:
        rules |= asdict(table.reading)
    return rules


def differing(rules: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Those of the rules that are not the table's already."""
    now: dict[str, Any] = {
        "kind": spelled_kind(table.kind),
        "key_fields": list(table.key_fields),
        "fields": [field.write() for field in table.fields],
        "unknown_fields": table.unknown_fields or "KEEP",
        **asdict(table.reading),
    }
    then: dict[str, Any] = dict(rules)
    if "kind" in then:
        then["kind"] = spelled_kind(then["kind"])
    if "key_fields" in then:
        then["key_fields"] = list(then["key_fields"])
    if "fields" in then:
        then["fields"] = [field.write() for field in then["fields"]]
    return {name: rules[name] for name, value in then.items() if value != now[name]}


def spelled_kind(kind: str) -> str:
    """The kind's name as the server spells it: the same for all names of the same kind."""
    return kind.upper() or "GENERIC"


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
    from ingot_client._definitions import with_prefixes  # noqa: PLC0415

    if not isinstance(content, dict):
        fail(f"{_called(path)} is not a table", "It should be as `ingot tables show TABLE --json` prints it.")
    try:
        return Table.read(ParseDict(with_prefixes(content), TableMessage()))
    except (ParseError, TypeError) as error:
        fail(
            f"{_called(path)}: {' '.join(str(error).split())}",
            "It should be as `ingot tables show TABLE --json` prints it.",
        )


def _called(path: str) -> str:
    return "stdin" if path == "-" else path
