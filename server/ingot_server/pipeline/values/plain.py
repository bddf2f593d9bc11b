"""Columns of values that read as themselves, which is seen in less time than it takes to read each.

A column that is not plain may have good values all the same; a reader decides about each.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

from ingot_server.domain.fields import FieldType
from ingot_server.pipeline.values.codes import ALPHA_2, COMMON_LANGUAGES
from ingot_server.pipeline.values.codes_data import CURRENCIES
from ingot_server.pipeline.values.numbers import INTEGER_END, NUMBER_END
from ingot_server.pipeline.values.texts import IDENTIFIER_CHARACTERS_MAX

Column = Sequence[Any]
_Check = Callable[[Column], bool]


def is_plain(type: FieldType, column: Column) -> bool:
    """Whether no value of a column is missing or empty, and each surely reads as itself. There must be one."""
    check = _CHECKS.get(type)
    return check is not None and check(column)


def _are(kind: type, column: Column) -> bool:
    return set(map(type, column)) == {kind}


def _are_texts(column: Column) -> bool:
    return _are(str, column) and "" not in column


def _are_identifiers(column: Column) -> bool:
    return _are_texts(column) and max(map(len, column)) <= IDENTIFIER_CHARACTERS_MAX and _are_stripped(column)


def _are_stripped(column: Column) -> bool:
    return all(map(str.__eq__, column, map(str.strip, column)))


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
