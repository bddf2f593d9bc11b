"""Columns of values that are read at once, in less time than it takes to read each.

A column that cannot be read so may have good values all the same; a reader decides about each.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

from ingot_server.domain.fields import FieldType
from ingot_server.pipeline.values.codes import ALPHA_2, COMMON_LANGUAGES
from ingot_server.pipeline.values.codes_data import CURRENCIES
from ingot_server.pipeline.values.email import email_column
from ingot_server.pipeline.values.numbers import INTEGER_END, NUMBER_END
from ingot_server.pipeline.values.phone import phone_column
from ingot_server.pipeline.values.texts import IDENTIFIER_CHARACTERS_MAX

Column = Sequence[Any]
_Check = Callable[[Column], bool]


def read_column(type: FieldType, column: Column) -> Column | None:
    """The values of a column in their normal forms, if none is missing or empty and all are surely good; else None.

    There must be one. The column itself, if they are all in their normal forms already.
    """
    if (check := _CHECKS.get(type)) is not None:
        return column if check(column) else None
    read = _READERS.get(type)
    return read(column) if read is not None and _are(str, column) else None


def _are(kind: type, column: Column) -> bool:
    return set(map(type, column)) == {kind}


def _are_texts(column: Column) -> bool:
    return _are(str, column) and "" not in column


def _are_identifiers(column: Column) -> bool:
    return _are_texts(column) and max(map(len, column)) <= IDENTIFIER_CHARACTERS_MAX and _are_stripped(column)


def _are_stripped(column: Column) -> bool:
    # Nearly all have no blanks within them either, which is seen in half the time.
    return "\n".join(column).split() == list(column) or all(map(str.__eq__, column, map(str.strip, column)))


def _among(codes: Set[str]) -> _Check:
    return lambda column: _are(str, column) and codes >= set(column)


def _within(end: int) -> _Check:
    return lambda column: _are(int, column) and -end < min(column) and max(column) < end


_CHECKS: Mapping[FieldType, _Check] = MappingProxyType(
    {
        FieldType.TEXT: _are_texts,
        FieldType.IDENTIFIER: _are_identifiers,
        FieldType.BOOLEAN: lambda column: _are(bool, column),
        FieldType.INTEGER: _within(INTEGER_END),
        FieldType.NUMBER: _within(NUMBER_END),
        FieldType.COUNTRY: _among(ALPHA_2),
        FieldType.CURRENCY: _among(frozenset(CURRENCIES)),
        FieldType.LANGUAGE: _among(COMMON_LANGUAGES),
    }
)
_READERS: Mapping[FieldType, Callable[[Sequence[str]], Sequence[str] | None]] = MappingProxyType(
    {FieldType.EMAIL: email_column, FieldType.PHONE: phone_column}
)
