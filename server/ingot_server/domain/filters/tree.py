"""What a filter is made of. A condition is true or false of each record, never unknown."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from ingot_server.domain.fields import FieldType

FieldPath: TypeAlias = tuple[str, ...]
"""The name of a field, after those of the objects that it is in."""


class Own(StrEnum):
    """The data of a record that are not its fields. None is ever missing but IMPORT_ID."""

    KEY = "_key"
    CREATE_TIME = "_create_time"
    UPDATE_TIME = "_update_time"
    IMPORT_ID = "_import_id"


class Form(StrEnum):
    """As what values compare; values that are not of the form compare as if they were missing."""

    TEXT = "TEXT"
    """Strings, numbers and booleans, by the bytes of their text."""
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    """By their text: `false` is less than `true`."""
    TIME = "TIME"
    """Strings, by the bytes of what stands before the Z: so fractions of seconds come after the whole second."""


class Operator(StrEnum):
    """How a field compares with a value. There is no `!=`: that is Not."""

    EQUAL = "="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    PREFIX = "*"
    """The field begins with the value."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The field has a value of the form, which compares so with `value`. Lists are not looked into."""

    field: FieldPath | Own
    form: Form
    operator: Operator
    value: str
    """Text; `true` or `false`; the number as in JSON; the time in RFC 3339, without the Z for fields."""


@dataclass(frozen=True, slots=True)
class Has:
    """The field, or an element of the lists in it or on the way to it, is the value or begins with it.

    Or it is an object that has a field of this name: if the form is TEXT and the operator EQUAL.
    """

    field: FieldPath
    form: Form
    operator: Operator
    """EQUAL or PREFIX."""
    value: str


@dataclass(frozen=True, slots=True)
class Present:
    """The field is neither missing nor null, in any element of the lists on the way to it."""

    field: FieldPath


@dataclass(frozen=True, slots=True)
class Absent:
    """The field is missing or null. Lists are not looked into: all is missing in them."""

    field: FieldPath | Own


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    operand: "Condition"


@dataclass(frozen=True, slots=True)
class And:
    """All of these, of which there are at least two."""

    operands: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of these, of which there are at least two."""

    operands: tuple["Condition", ...]


Condition: TypeAlias = Comparison | Has | Present | Absent | Not | And | Or

_FORMS = {
    FieldType.NUMBER: Form.NUMBER,
    FieldType.INTEGER: Form.NUMBER,
    FieldType.BOOLEAN: Form.BOOLEAN,
    FieldType.TIMESTAMP: Form.TIME,
}


def form_of(type_: FieldType) -> Form:
    """As what the values of a field of this type are ordered and indexed."""
    return _FORMS.get(type_, Form.TEXT)
