"""Reads records of one shape together, column by column: those in which nothing is wrong, nor looks so.

Most records that come together have the same fields, and good values. What is special about one, such as a field that
comes twice, nested fields, or a fault that must be told, is left to the `ObjectReader`, which reads one by one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

from ingot_server.domain.fields import FieldType
from ingot_server.pipeline.validation.rows import Row
from ingot_server.pipeline.values import Doubtful, Reader, Unreadable, is_plain

NO_VALUES: tuple[Any, ...] = (None, "", [])
_TOGETHER_MIN = 10
"""Fewer records of a shape are read faster one by one."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ColumnField:
    """A field with nothing to it but a type."""

    name: str
    type: FieldType
    read: Reader
    is_address: bool
    is_needed: bool
    """Whether something is to be done if it has no value."""
    empty_is_missing: bool
    """Whether the empty string is no value."""


class ColumnReader:
    """How records of one shape are read together."""

    def __init__(
        self, fields: Mapping[str, ColumnField], is_other: Callable[[str], bool], needed: Sequence[str]
    ) -> None:
        """`fields` by the names under which they come; `is_other` tells of a name whether its values stay as they are;
        `needed` are the fields that a record may not lack."""
        self._fields = fields
        self._is_other = is_other
        self._needed = frozenset(needed)

    def read(self, records: Sequence[Record], rows: Sequence[Row]) -> list[int]:
        """Reads records, each into the row beside it, and changes them; the positions of those that are left."""
        shapes: dict[tuple[str, ...], list[int]] = {}
        for position, names in enumerate(map(tuple, records)):
            shapes.setdefault(names, []).append(position)
        left: list[int] = []
        for names, positions in shapes.items():
            if len(positions) < _TOGETHER_MIN or not self._is_common(names):
                left += positions
            else:
                found = self._read(names, [records[position] for position in positions], [rows[p] for p in positions])
                left += [positions[number] for number in found]
        return left

    def _is_common(self, names: Sequence[str]) -> bool:
        known = [self._fields[name].name for name in names if name in self._fields]
        return (
            len(set(known)) == len(known)
            and self._needed.issubset(known)
            and all(name in self._fields or self._is_other(name) for name in names)
        )

    def _read(self, names: Sequence[str], records: Sequence[Record], rows: Sequence[Row]) -> set[int]:
        """Reads records that have these names; which of them are left."""
        left: set[int] = set()
        changed: list[tuple[str, str, Sequence[Any]]] = []
        addresses: list[tuple[FieldType, str, Sequence[Any]]] = []
        for name, column in zip(names, zip(*[record.values() for record in records], strict=True), strict=True):
            field = self._fields.get(name)
            if field is None:
                continue
            values = _values(field, column)
            if _LEFT in values:
                left.update(number for number, value in enumerate(values) if value is _LEFT)
            if name != field.name or not all(map(is_, values, column)):
                changed.append((name, field.name, values))
            if field.is_address:
                addresses.append((field.type, field.name, values))
        kept = [number for number in range(len(records)) if number not in left] if left else range(len(records))
        for name, stored, values in changed:
            for number in kept:
                record, value = records[number], values[number]
                if name != stored or value is _GONE:
                    del record[name]
                if value is not _GONE:
                    record[stored] = value
        for number in kept:
            rows[number].record = records[number]
            if addresses:
                rows[number].addresses = [
                    (type_, values[number], path) for type_, path, values in addresses if type(values[number]) is str
                ]
        return left


_LEFT: Any = object()
"""Stands for a value of a record that is left."""
_GONE: Any = object()
"""Stands for a value that is none."""


def _values(field: ColumnField, column: Sequence[Any]) -> Sequence[Any]:
    if is_plain(field.type, column):
        return column
    if not field.is_needed:
        try:
            values = [field.read(item) for item in column]
        except Unreadable:
            pass
        else:
            if Doubtful not in set(map(type, values)):
                return values
    return [_value(field, item) for item in column]


def _value(field: ColumnField, item: Any) -> Any:
    if field.is_needed and item in NO_VALUES:
        return _LEFT
    if item is None:
        return None
    if item == "" and field.empty_is_missing:
        return _GONE
    try:
        value = field.read(item)
    except Unreadable:
        return _LEFT
    return _LEFT if type(value) is Doubtful else value
