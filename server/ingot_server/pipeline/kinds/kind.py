"""The language in which kinds are written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingot_server.domain.fields import Field
from ingot_server.domain.records import ErrorCode, Fault

Record = Mapping[str, Any]
"""A record whose fields have been read: normal forms under their own names. A field that could not be read is missing,
and one without a value is missing or None."""

DERIVED = "derived"
"""The field that holds what was derived from the others."""


@dataclass(frozen=True, slots=True)
class Name:
    """One of the ways in which a record names another."""

    identifier: str
    """Which of the other kind's identifiers; empty if it is the other's key."""
    value: str
    field: str
    """The path of the field that holds it, for errors."""


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


def nothing(record: Record) -> Sequence[Any]:
    """No faults, no references."""
    return ()


def no_fields(record: Record) -> Mapping[str, Any]:
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
    identity: Callable[[Record], Sequence[str]] | None = None
    """The parts of the key of a record, which has all required fields, and all that was derived under DERIVED."""
    needs_one_of: tuple[str, ...] = ()
    """Fields of which at least one must have a value."""
    refers_to: tuple[str, ...] = ()
    """The names of the kinds that `references` names."""
    references: Callable[[Record], Iterable[Reference]] = nothing
    """What a record refers to."""
    check: Callable[[Record], Iterable[Fault]] = nothing
    """What is wrong between the fields of a record, each of which is right for itself."""
    derive: Callable[[Record], Mapping[str, Any]] = no_fields
    """What follows from the fields of a record."""

    @property
    def identifies_itself(self) -> bool:
        """Whether its records need no key fields, neither by its own nor by a table's choice."""
        return bool(self.identifiers or self.identity)
