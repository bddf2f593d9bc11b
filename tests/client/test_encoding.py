"""Records become JSON without losing anything, or are refused by their index."""

import dataclasses
import enum
import json
import math
import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from ingot_client import IngotError, RecordUnencodable
from ingot_client._encoding import encode_record

ID = uuid.UUID("15871d1c-fec0-4917-9719-2a9c55c0b077")


class Color(enum.Enum):
    RED = "red"


class Text(str):
    """A string of another class, as some database drivers give them."""


class Scalar:
    """What looks like a scalar of numpy."""

    ndim = 0

    def __init__(self, value: Any) -> None:
        self._value = value

    def item(self) -> Any:
        return self._value


@dataclasses.dataclass
class Point:
    x: float
    y: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (10**30, "1" + "0" * 30),
        (1.5, "1.5"),
        (None, "null"),
        (True, "true"),
        ("é\n", '"é\\n"'),
        (Text("t"), '"t"'),
        (Decimal("1.10"), "1.10"),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (ID, f'"{ID}"'),
        (datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC), '"2026-11-20T01:02:03Z"'),
        (date(2026, 11, 20), '"2026-11-20"'),
        (Color.RED, '"red"'),
        ([1, (2,)], "[1,[2]]"),
        (MappingProxyType({"b": 1}), '{"b":1}'),
        (Point(1, 2.5), '{"x":1,"y":2.5}'),
        (Scalar(7), "7"),
        ("null NaN Infinity", '"null NaN Infinity"'),
    ],
)
def test_value_is_written(value: object, text: str) -> None:
    assert encode_record({"a": value}, 0).decode() == f'{{"a":{text}}}'


@pytest.mark.parametrize("record", [MappingProxyType({"x": 1, "y": 2}), OrderedDict(x=1, y=2), Point(1, 2)])
def test_whatever_has_fields_is_a_record(record: object) -> None:
    assert json.loads(encode_record(record, 0)) == {"x": 1, "y": 2}


@pytest.mark.parametrize("record", [b'{"a": 1}', bytearray(b'{"a": 1}'), memoryview(b'{"a": 1}')])
def test_bytes_are_json_already(record: Any) -> None:
    assert encode_record(record, 0) == b'{"a": 1}'


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity"), Scalar(math.nan)])
@pytest.mark.parametrize(
    ("place", "path"),
    [
        (lambda bad: {"a": bad}, "a"),
        (lambda bad: {"a": None, "b": [1, {"c": bad}]}, r"b\[1\]\.c"),
        (lambda bad: {"p": Point(1, bad)}, r"p\.y"),
    ],
)
def test_number_that_is_not_finite_is_refused(bad: Any, place: Any, path: str) -> None:
    with pytest.raises(RecordUnencodable, match=rf"records\[7\] .*: {path} is NaN or infinite"):
        encode_record(place(bad), 7)


@pytest.mark.parametrize(
    "bad", [{"a": object()}, {"a": "\ud800"}, {"a": {(1, 2): 3}}, "text", ["list"], 5, None, math.nan]
)
def test_what_has_no_form_in_json_is_refused_by_its_index(bad: object) -> None:
    with pytest.raises(RecordUnencodable, match=r"records\[3\] cannot be written as JSON") as refused:
        encode_record(bad, 3)
    assert refused.value.index == 3
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, IngotError)


@pytest.mark.parametrize("bad", [{1, 2}, frozenset({"a"}), set()])
@pytest.mark.parametrize(
    ("place", "path"),
    [
        (lambda bad: {"a": bad}, "a"),
        (lambda bad: {"a": [1], "b": [1, {"c": (bad,)}]}, r"b\[1\]\.c\[0\]"),
        (lambda bad: {"p": Point([bad], 1)}, r"p\.x\[0\]"),  # type: ignore[arg-type]
        (lambda bad: Point(1, bad), "y"),
        (lambda bad: MappingProxyType({"m": MappingProxyType({"n": bad})}), r"m\.n"),
    ],
)
def test_set_is_refused_because_it_has_no_order(bad: Any, place: Any, path: str) -> None:
    with pytest.raises(TypeError, match=rf"records\[7\] .*: {path} is a set, .* make it a list") as refused:
        encode_record(place(bad), 7)
    assert isinstance(refused.value, RecordUnencodable)


def test_record_that_contains_itself_is_refused() -> None:
    record: dict[str, object] = {}
    record["self"] = record
    with pytest.raises(RecordUnencodable):
        encode_record(record, 0)
