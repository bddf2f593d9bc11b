"""Turns the definitions of fields, tables and kinds from messages into domain values, and back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from google.protobuf import json_format, struct_pb2

from ingot.v1 import field_pb2, table_pb2
from ingot_server.domain.blocked import BlockedType, BlockedValue
from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.fields import NO_READING, Field, FieldType, UnknownFields
from ingot_server.domain.tables import GENERIC, Rules, Table
from ingot_server.pipeline.kinds.kind import Kind
from ingot_server.pipeline.validation.declaring import field_violations, table_violations
from ingot_server.pipeline.values import Unreadable, normal_text, shown
from ingot_server.rpc.requests import Violations, reading_options, table_use
from ingot_server.rpc.structures import struct_value
from ingot_server.rpc.wire import reading_message, timestamp
from ingot_server.storage.tables import rules_text

_NEVER = datetime.min.replace(tzinfo=UTC)
RULES_BYTES_MAX = 65_536
"""The rules travel with every lease of a batch, and with a table in a list."""
_CHANGEABLE = ("key_fields", "kind", "fields", "unknown_fields", "reading")


def new_table(message: table_pb2.Table) -> Table:
    """A table to be created. Raises InvalidRequest."""
    use = table_use(message.table, message.kind, message.key_fields, "table.")
    empty = Table(0, message.table, use.new_key_fields, Rules(use.kind or GENERIC), True, _NEVER, _NEVER)
    return _with_settings(empty, message, ("fields", "unknown_fields", "reading"))


def changed_table(table: Table, message: table_pb2.Table, paths: Sequence[str]) -> Table:
    """A table with the settings of `message` that `paths` name. Raises InvalidRequest."""
    if not paths:
        raise InvalidRequest({"update_mask": f"expected some of {', '.join(_CHANGEABLE)}"})
    if unknown := [path for path in paths if path not in _CHANGEABLE]:
        raise InvalidRequest({"update_mask": f"expected some of {', '.join(_CHANGEABLE)}, got {shown(unknown[0])}"})
    kind = (message.kind or GENERIC) if "kind" in paths else table.rules.kind
    use = table_use(table.name, kind, message.key_fields if "key_fields" in paths else (), "table.")
    if "kind" in paths and kind != table.rules.kind:
        table = replace(table, key_fields=use.new_key_fields, rules=replace(table.rules, kind=kind))
    elif "key_fields" in paths:
        table = replace(table, key_fields=use.new_key_fields)
    return _with_settings(table, message, paths)


def _with_settings(table: Table, message: table_pb2.Table, paths: Sequence[str]) -> Table:
    violations = Violations()
    rules = table.rules
    if "fields" in paths:
        # As text they take more than half of that. Each of a million fields without a name would be looked at.
        if (size := message.ByteSize()) > 2 * RULES_BYTES_MAX:
            raise InvalidRequest({"table.fields": f"expected at most {RULES_BYTES_MAX:,} bytes in all, got {size:,}"})
        rules = replace(rules, fields=_fields(message.fields, "table.fields", violations))
    if "unknown_fields" in paths:
        if message.unknown_fields not in field_pb2.UnknownFields.values():
            violations["table.unknown_fields"] = f"expected KEEP or REJECT, got {message.unknown_fields}"
        else:
            rejects = message.unknown_fields == field_pb2.UNKNOWN_FIELDS_REJECT
            rules = replace(rules, unknown_fields=UnknownFields.REJECT if rejects else UnknownFields.KEEP)
    if "reading" in paths:
        reading = violations.collect(lambda: reading_options(message.reading, "table.reading"))
        rules = replace(rules, reading=reading or rules.reading)
    violations.raise_if_any()
    violations.update(field_violations(rules.fields, rules.reading, "table.fields"))
    violations.raise_if_any()
    violations.update(table_violations(rules, table.key_fields or (), "table.fields"))
    if (size := len(rules_text(rules))) > RULES_BYTES_MAX:
        violations["table.fields"] = f"expected at most {RULES_BYTES_MAX:,} bytes in all, got {size:,}"
    violations.raise_if_any()
    return replace(table, rules=rules)


def _fields(messages: Iterable[field_pb2.Field], path: str, violations: Violations) -> tuple[Field, ...]:
    return tuple(_field(message, f"{path}[{number}]", violations) for number, message in enumerate(messages))


def _field(message: field_pb2.Field, path: str, violations: Violations) -> Field:
    if message.type not in field_pb2.FieldType.values():
        violations[f"{path}.type"] = f"expected a type of field, got {message.type}"
    known = message.type in field_pb2.FieldType.values() and message.type != field_pb2.FIELD_TYPE_UNSPECIFIED
    default = struct_value(message.default_value)
    try:
        json.dumps(default, allow_nan=False)
    except ValueError:
        violations[f"{path}.default_value"] = "expected a value of JSON, which knows neither NaN nor Infinity"
    return Field(
        name=message.name,
        type=FieldType(field_pb2.FieldType.Name(message.type).removeprefix("FIELD_TYPE_")) if known else FieldType.ANY,
        description=message.description,
        required=message.required,
        many=message.many,
        aliases=tuple(message.aliases),
        pattern=message.pattern,
        allowed=tuple(message.allowed_values),
        default=default,
        indexed=message.indexed,
        fields=_fields(message.fields, f"{path}.fields", violations),
    )


def blocked_type(number: table_pb2.BlockedValueType.ValueType) -> BlockedType | None:
    """A type of blocked values; None if none is named. Raises InvalidRequest."""
    if number not in table_pb2.BlockedValueType.values():
        raise InvalidRequest({"type": f"expected EMAIL, PHONE or DOMAIN, got {number}"})
    if number == table_pb2.BLOCKED_VALUE_TYPE_UNSPECIFIED:
        return None
    return BlockedType(table_pb2.BlockedValueType.Name(number).removeprefix("BLOCKED_VALUE_TYPE_"))


def blocked(messages: Sequence[table_pb2.BlockedValue]) -> list[tuple[BlockedType, str]]:
    """Values to be blocked or not, in their normal forms, each once. Raises InvalidRequest."""
    violations = Violations()
    found: dict[tuple[BlockedType, str], None] = {}
    for number, message in enumerate(messages):
        try:
            type_ = blocked_type(message.type)
        except InvalidRequest:
            type_ = None
        if type_ is None:
            violations[f"values[{number}].type"] = f"expected EMAIL, PHONE or DOMAIN, got {message.type}"
            continue
        try:
            found[type_, _normal(type_, message.value)] = None
        except Unreadable as unreadable:
            violations[f"values[{number}].value"] = unreadable.message
    violations.raise_if_any()
    return sorted(found)


def _normal(type_: BlockedType, value: str) -> str:
    if not value.strip() or "\0" in value:
        raise Unreadable(f"expected a value, got {shown(value)}")
    if type_ is BlockedType.DOMAIN:
        # The domain of an address is normalised with it.
        domain = value.strip().removeprefix("@")
        try:
            return normal_text(FieldType.EMAIL, NO_READING, f"a@{domain}").rpartition("@")[2]
        except Unreadable:
            raise Unreadable(f"expected a domain such as example.org, got {shown(value)}") from None
    return normal_text(FieldType(type_), NO_READING, value)


def table_message(table: Table, ready: Iterable[str] = ()) -> table_pb2.Table:
    """A table; `ready` names the fields whose index can be used."""
    rules, done = table.rules, frozenset(ready)
    return table_pb2.Table(
        table=table.name,
        key_fields=table.key_fields or (),
        create_time=timestamp(table.create_time),
        kind=rules.kind,
        fields=[field_message(field, field.name in done) for field in rules.fields],
        unknown_fields=field_pb2.UnknownFields.Value(f"UNKNOWN_FIELDS_{rules.unknown_fields}"),
        reading=reading_message(rules.reading),
        update_time=timestamp(table.update_time),
    )


def field_message(field: Field, is_ready: bool = False) -> field_pb2.Field:
    """A field."""
    message = field_pb2.Field(
        name=field.name,
        type=field_pb2.FieldType.Value(f"FIELD_TYPE_{field.type}"),
        description=field.description,
        required=field.required,
        many=field.many,
        aliases=field.aliases,
        pattern=field.pattern,
        allowed_values=field.allowed,
        indexed=field.indexed,
        fields=[field_message(nested) for nested in field.fields],
    )
    if field.default is not None:
        message.default_value.CopyFrom(json_format.ParseDict(field.default, struct_pb2.Value()))
    if field.indexed:
        message.index_state = field_pb2.INDEX_STATE_READY if is_ready else field_pb2.INDEX_STATE_BUILDING
    return message


def kind_message(kind: Kind) -> table_pb2.Kind:
    """A kind."""
    return table_pb2.Kind(
        kind=kind.name,
        description=kind.description,
        fields=map(field_message, kind.fields),
        key_fields=kind.key_fields,
        identifiers=kind.identifiers,
        identity=kind.identity,
        needs_one_of=kind.needs_one_of,
        references=kind.refers_to,
    )


def blocked_message(value: BlockedValue) -> table_pb2.BlockedValue:
    """A blocked value."""
    return table_pb2.BlockedValue(
        type=table_pb2.BlockedValueType.Value(f"BLOCKED_VALUE_TYPE_{value.type}"),
        value=value.value,
        create_time=timestamp(value.create_time),
    )
