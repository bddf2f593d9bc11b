"""Reads records of one shape together, column by column: those in which nothing is wrong, nor looks so.

Most records that come together have the same fields, and good values. What is special about one, such as a field that
comes twice, nested fields, or a fault that must be told, is left to the `ObjectReader`, which reads one by one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import is_, not_
from typing import Any

from ingot_server.domain.fields import FieldType
from ingot_server.pipeline.values import Doubtful, Reader, Unreadable, read_column

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


@dataclass(slots=True)
class Columns:
    """Records of one shape that were read together, in which nothing is wrong."""

    positions: Sequence[int]
    """Where they were among the records."""
    records: Sequence[Record]
    """Their fields in their normal forms."""
    values: dict[str, Sequence[Any]] = field(default_factory=dict)
    """Those of each known field, by its name; None for a record that has none."""
    addresses: Sequence[tuple[FieldType, str]] = ()
    """The types and names of the fields that hold e-mail addresses and phone numbers."""
    texts: Sequence[bytes] = ()
    """They as JSON, once nothing is added to them."""

    def selected(self, selectors: Sequence[object]) -> "Columns":
        """Those records for which there is something true."""
        return Columns(
            list(compress(self.positions, selectors)),
            list(compress(self.records, selectors)),
            {name: list(compress(values, selectors)) for name, values in self.values.items()},
            self.addresses,
            list(compress(self.texts, selectors)),
        )


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

    def read(self, records: Sequence[Record]) -> tuple[list[Columns], list[int]]:
        """Reads records, and changes them; and the positions of those that are left."""
        shapes: dict[tuple[str, ...], Sequence[int]] = dict.fromkeys(map(tuple, records), range(len(records)))
        if len(shapes) > 1:
            of_shape: dict[tuple[str, ...], list[int]] = {}
            for position, names in enumerate(map(tuple, records)):
                of_shape.setdefault(names, []).append(position)
            shapes = dict(of_shape)
        read: list[Columns] = []
        left: list[int] = []
        for names, positions in shapes.items():
            if len(positions) < _TOGETHER_MIN or not self._is_common(names):
                left += positions
            else:
                found = [records[position] for position in positions] if len(shapes) > 1 else records
                columns, of_these = self._read(names, found, positions)
                left += of_these
                if columns.positions:
                    read.append(columns)
        return read, left

    def _is_common(self, names: Sequence[str]) -> bool:
        known = [self._fields[name].name for name in names if name in self._fields]
        return (
            len(set(known)) == len(known)
            and self._needed.issubset(known)
            and all(name in self._fields or self._is_other(name) for name in names)
        )

    def _read(
        self, names: Sequence[str], records: Sequence[Record], positions: Sequence[int]
    ) -> tuple[Columns, Sequence[int]]:
        """Reads records that have these names; and the positions of those that are left."""
        is_good = bytearray(b"\1") * len(records)
        changed: list[tuple[str, str, Sequence[Any]]] = []
        read = Columns(positions, records)
        for name, column in zip(names, zip(*map(dict.values, records), strict=True), strict=True):
            field = self._fields.get(name)
            if field is None:
                continue
            values = _values(field, column)
            if _LEFT in values:
                is_good = bytearray(good and value is not _LEFT for good, value in zip(is_good, values, strict=True))
            if name != field.name or not (values is column or all(map(is_, values, column))):
                changed.append((name, field.name, values))
            read.values[field.name] = (
                [None if value is _GONE else value for value in values] if _GONE in values else values
            )
            if field.is_address:
                read.addresses = [*read.addresses, (field.type, field.name)]
        for name, stored, values in changed:
            for record, value, good in zip(records, values, is_good, strict=True):
                if good and (name != stored or value is _GONE):
                    del record[name]
                if good and value is not _GONE:
                    record[stored] = value
        if not all(is_good):
            return read.selected(is_good), list(compress(positions, map(not_, is_good)))
        return read, ()


_LEFT: Any = object()
"""Stands for a value of a record that is left."""
_GONE: Any = object()
"""Stands for a value that is none."""


def _values(field: ColumnField, column: Sequence[Any]) -> Sequence[Any]:
    if (read := read_column(field.type, column)) is not None:
        return read
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
