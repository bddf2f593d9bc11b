"""Reads the key of each record.

A string is the key as it is; a number, true or false is the key as its JSON text, exactly as it was sent. Several key
fields make a JSON array of such texts, as in `["DE","4711"]`. An array or object is no key.

Where an import names no key fields, a record may carry a `keys` field with the names of its own. A table has one list
of key fields, so they must be the table's, or, if it has none yet, those that the first record names. The `keys` field
is no part of what is stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from ingot_server.domain.records import KEY_BYTES_MAX, ErrorCode, Fault

_RECORD = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES = msgspec.json.Decoder(list[str])
_CHARACTER_BYTES_MAX = 4


@dataclass(slots=True)
class Keyed:
    """The keys of some records."""

    records: list[tuple[str, str]] = field(default_factory=list)
    """The key and the JSON text of each record that has a key."""
    positions: Sequence[int] = ()
    """Where each of them was among the texts."""
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    """Where the others were, and what is wrong."""
    named_keys: tuple[str, ...] = ()
    """The key fields that the first record with usable `keys` names; empty if there is none, or none was looked for."""


def read_keys(texts: Sequence[bytes], key_fields: tuple[str, ...], *, own_keys: bool) -> Keyed:
    """The key of each record. `texts` have passed `checking.check`.

    With `own_keys`, records may carry a `keys` field. If then `key_fields` is empty, `named_keys` takes its place.
    """
    if own_keys and any(b"keys" in text or b"\\" in text for text in texts):
        return _read_own_keys(texts, key_fields)
    return _read_keys(texts, key_fields)


def _read_keys(texts: Sequence[bytes], key_fields: tuple[str, ...]) -> Keyed:
    keyed = Keyed()
    keys = _keys(texts, key_fields)
    if keys and max(map(len, keys)) * _CHARACTER_BYTES_MAX <= KEY_BYTES_MAX:
        pass
    return keyed


def _keys(texts: Sequence[bytes], key_fields: tuple[str, ...]) -> list[str]:
    return []
