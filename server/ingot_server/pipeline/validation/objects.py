"""Reads the fields of a JSON object."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ingot_server.domain.fields import Field, FieldType, Reading
from ingot_server.domain.records import ErrorCode
from ingot_server.pipeline.validation.columns import NO_VALUES, ColumnField, ColumnReader, Columns
from ingot_server.pipeline.validation.constraints import Constraint, constraints_of
from ingot_server.pipeline.validation.rows import Row
from ingot_server.pipeline.values import Doubtful, Reader, Unreadable, reader, shown

_ADDRESSES = (FieldType.EMAIL, FieldType.PHONE)
ELEMENTS_MAX = 2_000
"""Of a list: each is read by itself, and some take a tenth of a millisecond."""
_TEXTS = (FieldType.TEXT, FieldType.ANY)


def as_sent(value: Any) -> Any:
    """A JSON value with numbers as they come in records: exact ones."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return [as_sent(item) for item in value]
    if isinstance(value, dict):
        return {name: as_sent(item) for name, item in value.items()}
    return value


def folded(name: str) -> str:
    """A name without what people write differently: case, blanks, hyphens and underscores."""
    return name.replace("_", "").replace("-", "").replace(" ", "").casefold()


@dataclass(slots=True)
class _FieldReader:
    """How the values of one field are read."""

    field: Field
    name: str
    read: Reader
    constraints: Sequence[Constraint]
    nested: "ObjectReader | None"
    code: ErrorCode
    """For values of the wrong type."""
    empty_is_missing: bool
    """Whether the empty string is no value: a cell of a CSV row with nothing in it."""
    is_address: bool
    default: Any
    is_quick: bool
    """Whether there is nothing to it but to be read."""

    def value(self, item: Any, path: str, row: Row) -> Any:
        """The value in its normal form; UNREAD, and a fault, if it has none."""
        if not self.field.many:
            return self._one(item, path, row)
        items = item if isinstance(item, list) else [item]
        if len(items) > ELEMENTS_MAX:
            message = f"Invalid value: expected a list of at most {ELEMENTS_MAX:,} elements, got {len(items):,}."
            row.blame(ErrorCode.INVALID_VALUE, message, path)
            return UNREAD
        values = [self._one(element, f"{path}[{number}]", row) for number, element in enumerate(items)]
        if any(value is UNREAD for value in values):
            row.note_unread(path)
            # Objects stay where they were: kinds tell of others in the list by their place.
            return [{} if value is UNREAD else value for value in values] if self.nested else UNREAD
        return values

    def _one(self, item: Any, path: str, row: Row) -> Any:
        try:
            value: Any = self.read(item)
        except Unreadable as unreadable:
            words = "Invalid custom attribute" if self.code is ErrorCode.INVALID_CUSTOM_ATTRIBUTE else "Invalid value"
            row.blame(self.code, f"{words}: {unreadable.message}.", path)
            return UNREAD
        if type(value) is Doubtful:
            row.blame(ErrorCode.DOUBTFUL_VALUE, f"Accepted with doubt: {value.message}.", path)
            value = value.value
        if self.constraints:
            try:
                for constraint in self.constraints:
                    value = constraint(value)
            except Unreadable as unreadable:
                row.blame(ErrorCode.INVALID_VALUE, f"Invalid value: {unreadable.message}.", path)
                return UNREAD
        if self.is_address:
            row.note_address(self.field.type, value, path)
        return value if self.nested is None else self.nested.read(value, f"{path}.", row)


UNREAD: Any = object()
"""Stands for a value that could not be read."""


class ObjectReader:
    """How the fields of an object are read."""

    def __init__(
        self, fields: Sequence[Field], reading: Reading, *, rejects_unknown: bool, own: frozenset[str]
    ) -> None:
        """`own` names the fields that the table has declared beside those of the kind."""
        self._rejects_unknown = rejects_unknown
        readers = [
            _FieldReader(
                field=field,
                name=field.name,
                read=reader(field.type, reading),
                constraints=list(constraints_of(field)),
                nested=(
                    ObjectReader(
                        field.fields,
                        reading,
                        rejects_unknown=rejects_unknown,
                        own=frozenset(nested.name for nested in field.fields) if field.name in own else frozenset(),
                    )
                    if field.fields
                    else None
                ),
                code=ErrorCode.INVALID_CUSTOM_ATTRIBUTE if field.name in own else ErrorCode.INVALID_VALUE,
                empty_is_missing=field.type not in _TEXTS or bool(field.many or field.allowed or field.pattern),
                is_address=field.type in _ADDRESSES,
                default=as_sent(field.default),
                is_quick=not (field.many or field.fields or field.allowed or field.pattern),
            )
            for field in fields
        ]
        self._by_name = {name: known for known in readers for name in (known.name, *known.field.aliases)}
        # A name that is no exact one is looked for as people may write it; those that a table declares are exact.
        self._by_folded_name = {
            folded(name): known for name, known in self._by_name.items() if known.field.name not in own
        }
        self._needed = [known for known in readers if known.field.required or known.field.default is not None]
        self._columns = ColumnReader(
            {
                name: ColumnField(
                    name=known.name,
                    type=known.field.type,
                    read=known.read,
                    is_address=known.is_address,
                    is_needed=known in self._needed,
                    empty_is_missing=known.empty_is_missing,
                )
                for name, known in self._by_name.items()
                if known.is_quick
            },
            lambda name: not rejects_unknown and self._known(name) is None,
            [known.name for known in self._needed],
        )

    def stored_name(self, name: str) -> str:
        """Under which name a value that comes under this one is stored."""
        known = self._known(name)
        return known.name if known else name

    def refuses(self, name: str) -> bool:
        """Whether a field of this name is unknown and rejected."""
        return self._rejects_unknown and self._known(name) is None

    def _known(self, name: str) -> _FieldReader | None:
        return self._by_name.get(name) or self._by_folded_name.get(folded(name))

    def read_columns(self, records: Sequence[dict[str, Any]]) -> tuple[list[Columns], list[int]]:
        """Reads whole records, which may be changed, as `read` does; and the positions of those that are left to it."""
        return self._columns.read(records)

    def read(self, record: dict[str, Any], prefix: str, row: Row, *, whole: bool = True) -> dict[str, Any]:
        """The object with its fields under their names and in their normal forms, without those that cannot be read.

        If it is only a part of a record, nothing is missing from it.
        """
        read: dict[str, Any] = {}
        by_name = self._by_name
        for name, item in record.items():
            known = by_name.get(name) or self._by_folded_name.get(folded(name))
            if known is None:
                if self._rejects_unknown:
                    self._blame_unknown(name, prefix, row)
                else:
                    read[name] = item
                continue
            # `_take` is right for all values; this is for nearly all, and takes half the time.
            if known.is_quick and item is not None and item != "" and known.name not in read:
                try:
                    value: Any = known.read(item)
                except Unreadable:
                    value = UNREAD
                if value is not UNREAD and type(value) is not Doubtful:
                    read[known.name] = value
                    if known.is_address:
                        row.note_address(known.field.type, value, prefix + known.name)
                    continue
            self._take(known, item, read, prefix, row)
        for path in row.unread:
            # Also if the value under another of its names could be read.
            known = by_name.get(path[len(prefix) :]) if path.startswith(prefix) else None
            if known is not None and known.nested is None:
                read.pop(known.name, None)
        for known in self._needed if whole else ():
            if read.get(known.name) in NO_VALUES and prefix + known.name not in row.unread:
                self._fill(known, read, prefix, row)
        return read

    @staticmethod
    def _take(known: _FieldReader, item: Any, read: dict[str, Any], prefix: str, row: Row) -> None:
        name = known.name
        if item is None:
            read.setdefault(name, None)
            return
        if item == "" and known.empty_is_missing:
            return
        path = prefix + name
        value = known.value(item, path, row)
        if value is UNREAD:
            row.note_unread(path)
        elif read.get(name) in (None, ""):
            read[name] = value
        elif value not in ("", read[name]):
            row.blame(
                ErrorCode.INVALID_VALUE,
                f"Invalid value: the field came twice, as {shown(read[name])} and as {shown(value)}.",
                path,
            )

    @staticmethod
    def _fill(known: _FieldReader, read: dict[str, Any], prefix: str, row: Row) -> None:
        if known.field.default is not None:
            read[known.name] = known.default
            if known.is_address:
                for value in known.default if known.field.many else [known.default]:
                    row.note_address(known.field.type, value, prefix + known.name)
        else:
            row.blame(
                ErrorCode.TOO_LITTLE_INFORMATION,
                f"Too little information: the field is required, but {'empty' if known.name in read else 'missing'}.",
                prefix + known.name,
            )

    def _blame_unknown(self, name: str, prefix: str, row: Row) -> None:
        row.blame(
            ErrorCode.INVALID_CUSTOM_ATTRIBUTE,
            "Invalid custom attribute: neither the kind nor the table knows this field; declare it, or leave it out.",
            (prefix + name)[:255],
        )
