"""The language in which kinds are written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ingot_server.domain.fields import Field
from ingot_server.domain.records import ErrorCode, Fault
from ingot_server.pipeline import exact_json

Record = Mapping[str, Any]
"""A record whose fields have been read: normal forms under their own names. A field that could not be read is missing,
and one without a value is missing or None."""

DERIVED = "derived"
"""The field that holds what was derived from the others."""


class Name(msgspec.Struct, gc=False):
    """One of the ways in which a record names another, or itself. Never changed; frozen ones take twice the time."""

    identifier: str
    """Which of the other kind's identifiers; empty if it is the other's key."""
    value: str
    field: str
    """The path of the field that holds it, for errors."""
    text: str = ""
    """The identifier as it is stored: `email:ada@example.org`."""

    def __post_init__(self) -> None:
        self.text = f"{self.identifier}:{self.value}"


def name_texts(identifier: str, values: Iterable[str]) -> list[str]:
    """The `text` of the names with this identifier and each of some values."""
    return [f"{identifier}:{value}" for value in values]


@dataclass(frozen=True, slots=True)
class Reference:
    """Another record that a record refers to, and which must exist."""

    kind: str
    names: tuple[Name, ...]
    """The strongest first; not empty."""
    code: ErrorCode = ErrorCode.REFERENCE_NOT_FOUND
    """The code of the error if it does not exist."""
    derived: str = ""
    """Under which name the key of what was found is derived; empty if it is not."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from the value of a field."""

    name: str
    field: str
    """Of a type whose values are texts."""
    of: Callable[[Sequence[str]], Sequence[str | None]]
    """What follows from each of some values; None for one from which nothing does."""

    def together(self, values: Sequence[str | None]) -> Sequence[str | None]:
        """What follows from each of some values, of which some may be missing."""
        present = [value for value in values if value]
        found = self.of(present)
        if len(present) == len(values):
            return found
        following = iter(found)
        return [next(following) if value else None for value in values]


def nothing(record: Record) -> Sequence[Any]:
    """No faults, no references."""
    return ()


def no_fields(record: Record) -> dict[str, Any]:
    """Nothing that could be derived."""
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of records. Of `key_fields`, `identifiers` and `identity` it has at most one."""

    name: str
    description: str
    """A few sentences for the users of the API: what the records are, what identifies them, what is derived."""
    fields: tuple[Field, ...] = ()
    key_fields: tuple[str, ...] = ()
    """The key fields of its tables, if they name no others. A record without them is rejected as it arrives."""
    identifiers: tuple[str, ...] = ()
    """Fields each of which alone identifies a record, the strongest first."""
    identity: tuple[str, ...] = ()
    """Fields, or names of what is derived, whose values together identify a record, in order."""
    key_parts: Callable[[Record], Sequence[str]] | None = None
    """The parts of a record's key, where the values of `identity` are not all there is to it. The record has all
    required fields, and what was derived under DERIVED."""
    needs_one_of: tuple[str, ...] = ()
    """Fields of which at least one must have a value."""
    refers_to: tuple[str, ...] = ()
    """The names of the kinds that `references` names."""
    references: Callable[[Record], Iterable[Reference]] = nothing
    """What a record refers to."""
    check: Callable[[Record], Iterable[Fault]] = nothing
    """What is wrong between the fields of a record, each of which is right for itself."""
    derived: tuple[Derived, ...] = ()
    """What follows from single fields of a record."""
    derive: Callable[[Record], dict[str, Any]] = no_fields
    """What else follows from the fields of a record."""

    def __post_init__(self) -> None:
        """Raises ValueError if the kind contradicts itself: better at the start than in an import."""
        names = [name for field in self.fields for name in (field.name, *field.aliases)]
        fields = {field.name for field in self.fields}
        if len(set(names)) < len(names) or DERIVED in names:
            raise ValueError(f"{self.name}: the names and aliases of its fields are not distinct, or one is {DERIVED}")
        sources = {derived.field for derived in self.derived}
        if unknown := {*self.identifiers, *self.needs_one_of, *self.key_fields, *sources} - fields:
            raise ValueError(f"{self.name}: it has no field {', '.join(sorted(unknown))}")
        if bool(self.identifiers) + bool(self.identity) + bool(self.key_fields) > 1:
            raise ValueError(f"{self.name}: expected only one of identifiers, identity and key_fields")

    @property
    def identifies_itself(self) -> bool:
        """Whether its records need no key fields, neither by its own nor by a table's choice."""
        return bool(self.identifiers or self.identity)

    def key_parts_of(self, record: Record) -> Sequence[str]:
        """The parts of the key of a record that `identity` identifies."""
        return self.key_parts(record) if self.key_parts else [self._part(record, name) for name in self.identity]

    @staticmethod
    def _part(record: Record, name: str) -> str:
        value = record[name] if name in record else record.get(DERIVED, {}).get(name)
        if isinstance(value, str):
            return value
        return "" if value is None else exact_json.encode(value).decode()
