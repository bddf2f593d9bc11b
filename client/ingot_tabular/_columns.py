"""Turns columns of Arrow into lists of what JSON can hold."""

from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any, Final
from uuid import UUID

import msgspec
import pyarrow
import pyarrow.compute
from pyarrow import types

from ingot_tabular import _texts

PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def values_of(array: Any) -> list[Any]:
    """The values, with None for null. Raises ValueError or OverflowError for those that have no form in JSON."""
    kind = array.type
    if types.is_dictionary(kind):
        return values_of(array.dictionary_decode())
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _uuids(array.storage) if kind.extension_name == "arrow.uuid" else values_of(array.storage)
    if types.is_map(kind):
        return _maps(array)
    if types.is_struct(kind):
        return _structs(array)
    return _lists(array) if _is_list(kind) else _scalars(array)


def _uuids(array: Any) -> list[Any]:
    return [None if value is None else str(UUID(bytes=value)) for value in array.to_pylist()]


def _lists(array: Any) -> list[Any]:
    lengths = pyarrow.compute.list_value_length(array).to_pylist()
    elements = iter(values_of(array.flatten()))
    return [None if length is None else list(islice(elements, length)) for length in lengths]


def _structs(array: Any) -> list[Any]:
    names = [field.name for field in array.type]
    if len(set(names)) < len(names):
        raise ValueError("two of its fields have the same name")
    valid = array.is_valid().to_pylist()
    if not names:
        return [{} if there else None for there in valid]
    rows = zip(*map(values_of, array.flatten()), strict=True)
    return [dict(zip(names, row, strict=True)) if there else None for there, row in zip(valid, rows, strict=True)]


def _maps(array: Any) -> list[Any]:
    # Keys and items are those of the whole array, also behind a slice of it; the offsets say where ours are.
    offsets = array.offsets.to_pylist()
    begin, end = offsets[0], offsets[-1]
    keys = [_name(key) for key in values_of(array.keys[begin:end])]
    items = values_of(array.items[begin:end])
    valid = array.is_valid().to_pylist()
    spans = pairwise(offsets)
    return [
        dict(zip(keys[start - begin : stop - begin], items[start - begin : stop - begin], strict=True))
        if there
        else None
        for there, (start, stop) in zip(valid, spans, strict=True)
    ]


def _name(key: object) -> str:
    return key if isinstance(key, str) else _encode(key).decode().strip('"')


def _scalars(array: Any) -> list[Any]:
    kind = array.type
    write: Callable[[Any], Any] | None = None
    if types.is_float64(kind):
        write = _texts.number
    elif types.is_floating(kind):
        form = "f" if types.is_float32(kind) else "e"
        write = lambda value: _texts.short_number(value, form)  # noqa: E731 - so do its neighbours
    elif _is_binary(kind):
        write = bytes.decode
    elif types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind):
        # Python's own types know no nanoseconds.
        array = array.view(pyarrow.int32() if kind.bit_width == 32 else pyarrow.int64())
        write = _moment(kind)
    values: list[Any] = array.to_pylist()
    if write is None:
        return values
    return [None if value is None else write(value) for value in values]


def _moment(kind: Any) -> Callable[[int], str]:
    per_second = PER_SECOND[kind.unit]
    if types.is_timestamp(kind):
        end = "Z" if kind.tz else ""
        return lambda ticks: _texts.timestamp(ticks, per_second, end)
    write = _texts.time_of_day if types.is_time(kind) else _texts.duration
    return lambda ticks: write(ticks, per_second)


def _is_list(kind: Any) -> bool:
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _is_binary(kind: Any) -> bool:
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )
