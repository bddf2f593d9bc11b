"""What tables are made of: their fields and kinds, and what is blocked in all of them.

Fields and blocked values are also made by the user, to be sent. Types are the words of the API without their prefix,
in capitals.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError

from ingot.v1 import field_pb2, table_pb2
from ingot_client._translating import filled, moment, names, number, spelled, stamp, type_of, value, value_message, word
from ingot_client._views import Reading

TYPE_PREFIX: Final = "FIELD_TYPE_"
UNKNOWN_PREFIX: Final = "UNKNOWN_FIELDS_"
BLOCKED_PREFIX: Final = "BLOCKED_VALUE_TYPE_"
EXAMPLE: Final = 'Field("points", "INTEGER")'


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a table declares, or that a kind has: `Field("points", "INTEGER", indexed=True)`.

    The types are ANY, TEXT, IDENTIFIER, EMAIL, PHONE, URL, BOOLEAN, INTEGER, NUMBER, DATE, TIMESTAMP, COUNTRY,
    CURRENCY, LANGUAGE and OBJECT, in any case.
    """

    name: str
    type: str = "TEXT"
    _: dataclasses.KW_ONLY
    required: bool = False
    """Whether a record without a value for the field is rejected."""
    many: bool = False
    """Whether the value is a list of values of the type."""
    aliases: Sequence[str] = ()
    """Other names under which the value may come."""
    pattern: str = ""
    """A regular expression that the whole text must match."""
    allowed_values: Sequence[str] = ()
    """The only values there are; any if empty."""
    default: Any = None
    """What is stored for a record that has no value for the field; nothing if None."""
    indexed: bool = False
    """Whether the field has an index, for filters and orders."""
    description: str = ""
    fields: Sequence["Field"] = ()
    """The fields of an OBJECT."""
    index_state: str = dataclasses.field(default="", compare=False)
    """BUILDING or READY, as read from the server; never sent."""

    def __post_init__(self) -> None:
        # So that it is equal to what the server gives back.
        object.__setattr__(self, "type", spelled(self.type, TYPE_PREFIX))
        object.__setattr__(self, "fields", fields_of(self.fields))

    @classmethod
    def read(cls, message: field_pb2.Field) -> "Field":
        return cls(
            message.name,
            word(field_pb2.FieldType, message.type or field_pb2.FIELD_TYPE_ANY, TYPE_PREFIX),
            required=message.required,
            many=message.many,
            aliases=tuple(message.aliases),
            pattern=message.pattern,
            allowed_values=tuple(message.allowed_values),
            default=value(message.default_value) if message.HasField("default_value") else None,
            indexed=message.indexed,
            description=message.description,
            fields=tuple(map(Field.read, message.fields)),
            index_state=word(field_pb2.IndexState, message.index_state, "INDEX_STATE_") if message.index_state else "",
        )

    def write(self) -> field_pb2.Field:
        """The message that declares the field."""
        return filled(
            field_pb2.Field,
            name=self.name,
            type=number(field_pb2.FieldType, self.type, TYPE_PREFIX),
            required=self.required,
            many=self.many,
            aliases=names(self.aliases),
            pattern=self.pattern,
            allowed_values=names(self.allowed_values),
            default_value=value_message(self.default) if self.default is not None else None,
            indexed=self.indexed,
            description=self.description,
            fields=written_fields(self.fields),
        )


FieldLike = Field | Mapping[str, Any]


def fields_of(given: Iterable[FieldLike]) -> tuple[Field, ...]:
    """The fields. A dict is one too, with the names and words that Ingot's JSON has for them."""
    if isinstance(given, Field | Mapping | str) or not isinstance(given, Iterable):
        raise TypeError(f"fields is {type_of(given)}: give a list, as in [{EXAMPLE}]")
    return tuple(_field(field, index) for index, field in enumerate(given))


def written_fields(given: Iterable[FieldLike]) -> list[field_pb2.Field]:
    """The messages that declare the fields."""
    return [field.write() for field in fields_of(given)]


def _field(given: FieldLike, index: int) -> Field:
    if isinstance(given, Field):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"fields[{index}] is {type_of(given)}, not a Field or a dict: {EXAMPLE}")
    try:
        return Field.read(ParseDict(with_prefixes(given), field_pb2.Field()))
    except (ParseError, TypeError, AttributeError) as error:
        raise ValueError(f"fields[{index}]: {' '.join(str(error).split())}") from error


def with_prefixes(content: Any) -> Any:
    """A field or table as protobuf reads it from JSON, with the prefixes of words, which people leave out."""
    if not isinstance(content, Mapping):
        return content
    changed = dict(content)
    if isinstance(fields := content.get("fields"), list | tuple):
        changed["fields"] = [with_prefixes(field) for field in fields]
    for name, prefix in (("type", TYPE_PREFIX), ("unknown_fields", UNKNOWN_PREFIX), ("unknownFields", UNKNOWN_PREFIX)):
        if isinstance(word := content.get(name), str):
            changed[name] = prefix + spelled(word, prefix)
    return changed


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its rules. It has no `key_fields` while no import has named them, or if its kind needs none."""

    table: str
    kind: str
    key_fields: tuple[str, ...]
    fields: tuple[Field, ...]
    """Those it declares, beside those of its kind."""
    unknown_fields: str
    """What becomes of fields that neither the kind nor the table knows: KEEP or REJECT."""
    reading: Reading
    create_time: datetime | None
    update_time: datetime | None
    message: table_pb2.Table = dataclasses.field(repr=False, compare=False)

    @classmethod
    def read(cls, message: table_pb2.Table) -> "Table":
        return cls(
            message.table,
            message.kind,
            tuple(message.key_fields),
            tuple(map(Field.read, message.fields)),
            word(field_pb2.UnknownFields, message.unknown_fields, UNKNOWN_PREFIX) if message.unknown_fields else "",
            Reading.read(message.reading),
            moment(message, "create_time"),
            moment(message, "update_time"),
            message,
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of records that the server knows: its fields, and what identifies a record."""

    kind: str
    description: str
    fields: tuple[Field, ...]
    key_fields: tuple[str, ...]
    """The key fields of its tables, unless a table names others."""
    identifiers: tuple[str, ...]
    """Fields each of which alone identifies a record, the strongest first."""
    references: tuple[str, ...]
    """The kinds that its records refer to."""
    identity: tuple[str, ...]
    """Fields, or names of what is derived, whose values together identify a record."""
    needs_one_of: tuple[str, ...]
    """Fields of which a record must have at least one."""
    message: table_pb2.Kind = dataclasses.field(repr=False, compare=False)

    @classmethod
    def read(cls, message: table_pb2.Kind) -> "Kind":
        return cls(
            message.kind,
            message.description,
            tuple(map(Field.read, message.fields)),
            tuple(message.key_fields),
            tuple(message.identifiers),
            tuple(message.references),
            tuple(message.identity),
            tuple(message.needs_one_of),
            message,
        )


@dataclass(frozen=True, slots=True)
class BlockedValue:
    """A value that no record may have: `BlockedValue("DOMAIN", "example.org")`. Others are EMAIL and PHONE."""

    type: str
    value: str
    create_time: datetime | None = dataclasses.field(default=None, compare=False)
    """When it was blocked, as read from the server."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", spelled(self.type, BLOCKED_PREFIX))

    @classmethod
    def read(cls, message: table_pb2.BlockedValue) -> "BlockedValue":
        return cls(blocked_type_word(message.type), message.value, moment(message, "create_time"))

    def write(self) -> table_pb2.BlockedValue:
        """The message that names the value."""
        return filled(
            table_pb2.BlockedValue, type=blocked_type(self.type), value=self.value, create_time=stamp(self.create_time)
        )


def blocked_type(word: str) -> table_pb2.BlockedValueType.ValueType:
    """The number of a type of blocked values; that of any type for an empty word."""
    found: table_pb2.BlockedValueType.ValueType = number(table_pb2.BlockedValueType, word, BLOCKED_PREFIX)
    return found


def blocked_type_word(number: int) -> str:
    return word(table_pb2.BlockedValueType, number, BLOCKED_PREFIX)
