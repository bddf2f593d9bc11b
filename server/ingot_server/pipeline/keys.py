"""Reads the key of each record.

A string is the key as it is; a number, true or false is the key as its JSON text, exactly as it was sent. Several key
fields make a JSON array of such texts, as in `["DE","4711"]`. An array or object is no key.
"""

from collections.abc import Callable, Collection, Container, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress
from operator import attrgetter
from typing import Any

import msgspec

from ingot_server.domain.records import KEY_BYTES_MAX, ErrorCode, Fault
from ingot_server.pipeline import exact_json
from ingot_server.pipeline.own_keys import MISSING_KEYS, without_keys
from ingot_server.storage.keyed_records import KeyedRecords

_RECORD = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOTHING = msgspec.Raw(b"")
_CHARACTER_BYTES_MAX = 4


@dataclass(slots=True)
class Keyed:
    """The keys of some records."""

    records: KeyedRecords = field(default_factory=lambda: KeyedRecords([], []))
    """Each record that has a key."""
    positions: Sequence[int] = ()
    """Where each of them was among the texts."""
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    """Where each of the others was, and what is wrong with it."""
    named_keys: tuple[str, ...] = ()
    """The key fields that the first record with a usable `keys` field names; empty if none was found or looked for."""

    def pop(self, position: int) -> str:
        """Takes the record out that was at a position among the texts; its key."""
        number = self.positions.index(position)
        key = self.records.keys[number]
        is_left = [other != position for other in self.positions]
        self.positions, self.records = list(compress(self.positions, is_left)), self.records.selected(is_left)
        return key


class KeySet:
    """Keys, or identifiers, of which it is asked whether others have one of them as well."""

    def __init__(self, keys: Collection[str], bounds: tuple[str, str] | None = None) -> None:
        """`bounds` are the first and the last in their order, if they are known."""
        self._keys = keys
        self._bounds = bounds
        self._set: Set[str] | None = keys if isinstance(keys, Set) else None

    @classmethod
    def of(cls, records: KeyedRecords) -> "KeySet":
        """The keys of records."""
        keys = records.keys
        return cls(keys, (keys[0], keys[-1]) if keys and records.is_ascending else None)

    def isdisjoint(self, other: "KeySet") -> bool:
        """Whether they have none in common."""
        if self._bounds is not None and other._bounds is not None:
            (first, last), (other_first, other_last) = self._bounds, other._bounds
            if last < other_first or other_last < first:
                return True
        return self._as_set().isdisjoint(other._as_set())

    def _as_set(self) -> Set[str]:
        if self._set is None:
            self._set = frozenset(self._keys)
        return self._set


def read_keys(
    texts: Sequence[bytes], key_fields: tuple[str, ...], *, own_keys: bool, known: Sequence[str] | None = None
) -> Keyed:
    """The key of each record. `texts` have passed `checking.check`, which may have `known` them.

    With `own_keys` a record may carry a `keys` field. If `key_fields` is empty, `named_keys` takes its place.
    """
    if not own_keys:
        if known is not None:
            return Keyed(KeyedRecords(known, texts), range(len(texts)))
        return _keyed(texts, range(len(texts)), key_fields)
    bare = without_keys(texts, key_fields)
    keyed = _keyed(bare.texts, bare.positions, key_fields or bare.named_keys)
    keyed.named_keys = bare.named_keys
    keyed.faults = sorted(bare.faults + keyed.faults, key=lambda found: found[0])
    return keyed


def key_of(record: Mapping[str, Any], key_fields: tuple[str, ...], unread: Container[str] = ()) -> str | Fault:
    """The key of a record whose values have been read, but for those of the fields `unread`."""
    values = []
    for name in key_fields:
        value = record.get(name)
        if name in unread:
            # That it could not be read has been told; that there is no key follows.
            return ""
        values.append(b"" if value is None else exact_json.encode(value))
    return _key(values, key_fields)


def ready_keys(values: Sequence[Any]) -> Sequence[str] | None:
    """The keys, if all values of the only key field are strings and integers that will do; None: look at each one."""
    # Zero may have been sent as -0, and an empty string is no key.
    if not all(values) or not (types := set(map(type, values))) or not types <= {str, int}:
        return None
    keys = values if types == {str} else list(map(str, values))
    return keys if _are_short(keys) else None


def _are_short(keys: Sequence[str]) -> bool:
    """Whether none can be too long."""
    return max(map(len, keys)) * _CHARACTER_BYTES_MAX <= KEY_BYTES_MAX


def _keyed(texts: Sequence[bytes], positions: Sequence[int], key_fields: tuple[str, ...]) -> Keyed:
    keys = _plain_keys(texts, key_fields)
    if keys is not None:
        return Keyed(KeyedRecords(keys, texts), positions)
    read = _value_reader(key_fields)
    good: list[tuple[int, str, bytes]] = []
    faults: list[tuple[int, Fault]] = []
    for position, text in zip(positions, texts, strict=True):
        key = _key(read(text), key_fields)
        if isinstance(key, Fault):
            faults.append((position, key))
        else:
            good.append((position, key, text))
    records = KeyedRecords([key for _, key, _ in good], [text for _, _, text in good])
    return Keyed(records, [position for position, _, _ in good], faults)


def _plain_keys(texts: Sequence[bytes], key_fields: tuple[str, ...]) -> Sequence[str] | None:
    """The keys, if all their values are strings and integers that will do; None: look at each one."""
    decoder = _struct_decoder(key_fields, str | int)
    if decoder is None or not key_fields or not texts:
        return None
    columns = []
    try:
        records = list(map(decoder.decode, texts))
    except (msgspec.MsgspecError, ValueError):
        return None
    for number in range(len(key_fields)):
        values = ready_keys(list(map(attrgetter(f"f{number}"), records)))
        if values is None:
            return None
        columns.append(values)
    if len(columns) == 1:
        return columns[0]
    keys = _composed(columns)
    return keys if _are_short(keys) else None


def _composed(columns: Sequence[Sequence[str]]) -> list[str]:
    return [key.decode() for key in exact_json.encode_all(list(zip(*columns, strict=True)))]


def _value_reader(key_fields: tuple[str, ...]) -> Callable[[bytes], Sequence[bytes]]:
    """Gives the JSON texts of the key fields; an empty one for a field that is missing."""
    decoder = _struct_decoder(key_fields, msgspec.Raw)
    if decoder is not None:
        return lambda text: [bytes(value) for value in msgspec.structs.astuple(decoder.decode(text))]

    def read(text: bytes) -> list[bytes]:
        record = _RECORD.decode(text)
        return [bytes(record.get(name, _NOTHING)) for name in key_fields]

    return read


@lru_cache(maxsize=256)
def _struct_decoder(key_fields: tuple[str, ...], type_: Any) -> "msgspec.json.Decoder[Any] | None":
    """A decoder that skips all other fields; None if msgspec cannot look for one of these names."""
    names = {f"f{number}": name for number, name in enumerate(key_fields)}
    default = (_NOTHING,) if type_ is msgspec.Raw else ()
    try:
        return msgspec.json.Decoder(
            msgspec.defstruct("Key", [(name, type_, *default) for name in names], rename=names, gc=False)
        )
    except ValueError:
        return None


def _key(values: Sequence[bytes], key_fields: tuple[str, ...]) -> str | Fault:
    parts = []
    for name, value in zip(key_fields, values, strict=True):
        if value in (b"", b"null", b'""'):
            return Fault(ErrorCode.MISSING_KEY, "The key field is missing, null or empty.", name)
        if value.startswith((b"[", b"{")):
            kind = "an array" if value.startswith(b"[") else "an object"
            return Fault(ErrorCode.INVALID_VALUE, f"Expected a string or number in the key field, got {kind}.", name)
        parts.append(msgspec.json.decode(value, type=str) if value.startswith(b'"') else value.decode())
    if not parts:
        return MISSING_KEYS
    return joined_key(parts, key_fields[0] if len(key_fields) == 1 else "")


def joined_key(parts: Sequence[str], field: str = "") -> str | Fault:
    """The key that consists of these parts. A fault, of `field`, if it is too long."""
    key = parts[0] if len(parts) == 1 else msgspec.json.encode(parts).decode()
    if (size := len(key.encode())) > KEY_BYTES_MAX:
        message = f"The key has {size:,} bytes: expected at most {KEY_BYTES_MAX:,}."
        return Fault(ErrorCode.INVALID_VALUE, message, field)
    return key
