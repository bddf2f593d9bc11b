"""Writes records as JSON."""

import math
import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from ingot_client._errors import RecordUnencodable


def _for_json(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # The scalars of numpy and their like.
    if callable(item := getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        return item()
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


# Numbers keep all their digits, Decimals too: the server stores the text.
SCALARS: Final = frozenset({str, int, float, bool, type(None), bytes})

_encoder: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=_for_json)


def encode_record(record: Any, index: int) -> bytes:
    """The record as JSON text; bytes are JSON text already and stay as they are.

    Takes mappings and whatever else msgspec writes as an object: dataclasses, attrs classes, its own structs. Dates,
    times and UUIDs become text, Decimals numbers, and bytes within a record base64. NaN and infinity have no form in
    JSON, and sets no order: they are refused, with RecordUnencodable.
    """
    # Most records are dicts; each check before them would cost a tenth of the whole.
    plain = type(record) is dict
    if not plain and isinstance(record, (bytes, bytearray, memoryview)):
        return bytes(record)
    try:
        text = _encoder.encode(record if plain or not isinstance(record, Mapping) else dict(record))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RecordUnencodable(index, str(error)) from error
    if not plain and not text.startswith(b"{"):
        raise RecordUnencodable(index, f"it is a {type(record).__name__}, not a mapping or bytes of JSON")
    # msgspec writes NaN as null, and Decimal("NaN") as NaN: only then need the values be looked at one by one.
    if (b"null" in text or b"NaN" in text or b"Infinity" in text) and (where := _not_finite(record, "")) is not None:
        raise RecordUnencodable(index, f"{where.lstrip('.') or 'a value'} is NaN or infinite")
    # msgspec writes a set as a list, in another order each time.
    if b"[" in text and (where := _set_within(record, "")) is not None:
        raise RecordUnencodable(index, f"{where.lstrip('.')} is a set, which has no order: make it a list")
    return text


def _set_within(value: object, path: str) -> str | None:
    """The path of the first set in `value`."""
    if isinstance(value, (set, frozenset)):
        return path
    # Most dicts and lists hold scalars only, and many of them.
    if isinstance(value, (dict, Mapping)):
        few = not SCALARS.issuperset(map(type, value.values()))
        inner = [(f".{key}", found) for key, found in value.items() if type(found) not in SCALARS] if few else []
    elif isinstance(value, (list, tuple)):
        few = not SCALARS.issuperset(map(type, value))
        inner = [(f"[{at}]", found) for at, found in enumerate(value) if type(found) not in SCALARS] if few else []
    else:
        inner = [(f".{name}", getattr(value, name, None)) for name in _field_names(type(value))]
    for step, found in inner:
        if (where := _set_within(found, path + step)) is not None:
            return where
    return None


def _field_names(kind: Any) -> list[str]:
    """The fields of a dataclass, an attrs class or a struct of msgspec; none of anything else."""
    names = [*getattr(kind, "__dataclass_fields__", ()), *getattr(kind, "__struct_fields__", ())]
    return names + [attribute.name for attribute in getattr(kind, "__attrs_attrs__", ())]


def _not_finite(value: object, path: str) -> str | None:
    """The path of the first number in `value` that is not finite."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    if isinstance(value, Decimal):
        return None if value.is_finite() else path
    if isinstance(value, Mapping):
        found = (_not_finite(inner, f"{path}.{key}") for key, inner in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        found = (_not_finite(inner, f"{path}[{index}]") for index, inner in enumerate(value))
    elif not isinstance(value, str | bytes | int | None):
        # Dataclasses and the like, and numpy scalars.
        plain = msgspec.to_builtins(value, builtin_types=(Decimal,), enc_hook=_for_json)
        return None if plain is value else _not_finite(plain, path)
    else:
        return None
    return next((where for where in found if where is not None), None)
