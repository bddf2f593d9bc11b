"""The `keys` field, with which a record names its own key fields.

It is looked at where the import names no key fields. A table has one list of key fields, so a record must name those of
the table, or, if it has none yet, those that the first record names. The field is no part of what is stored. A `keys`
field that is not a list of distinct names, each short enough for an index, is a field like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ingot_server.domain.records import KEY_FIELD_BYTES_MAX, KEY_FIELDS_MAX, ErrorCode, Fault

_RECORD = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES = msgspec.json.Decoder(list[str])
MISSING_KEYS = Fault(
    ErrorCode.MISSING_KEY,
    "Nothing says which fields are the key: name them in `key_fields` of the import or call, or name a kind that needs "
    f"none. Or let each record list them in `keys`: 1 to {KEY_FIELDS_MAX} distinct names, of at most "
    f"{KEY_FIELD_BYTES_MAX} bytes, of fields that have a value.",
    "keys",
)


@dataclass(slots=True)
class BareRecords:
    """Records without their `keys` field."""

    texts: list[bytes] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Where each of them was among the texts."""
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    """Where each of the others was, and what is wrong with it."""
    named_keys: tuple[str, ...] = ()
    """The key fields that the first record with a usable `keys` field names; empty if there is none."""


def without_keys(texts: Sequence[bytes], key_fields: tuple[str, ...]) -> BareRecords:
    """The records that name `key_fields` (if that is empty, what the first one names), or no key fields at all."""
    bare = BareRecords()
    for position, text in enumerate(texts):
        names, bare_text = _named(text)
        bare.named_keys = bare.named_keys or names
        expected = key_fields or bare.named_keys
        if names and set(names) != set(expected):
            bare.faults.append((position, _other_keys(names, expected)))
        else:
            bare.texts.append(bare_text)
            bare.positions.append(position)
    return bare


def key_names(value: bytes | msgspec.Raw) -> tuple[str, ...]:
    """The names that the JSON text of a `keys` field lists; none if it is not a list of distinct, short names."""
    try:
        names = _NAMES.decode(value)
    except (msgspec.MsgspecError, ValueError):
        return ()
    usable = 1 <= len(names) <= KEY_FIELDS_MAX and "keys" not in names and len({*names}) == len(names)
    return tuple(names) if usable and all(1 <= len(name.encode()) <= KEY_FIELD_BYTES_MAX for name in names) else ()


def _named(text: bytes) -> tuple[tuple[str, ...], bytes]:
    """The key fields that a record names, and the record without its `keys` field, which is left if it names none."""
    # The name of a field may be written with escapes.
    if b'"keys"' not in text and b"\\u" not in text:
        return (), text
    record = _RECORD.decode(text)
    names = key_names(record.get("keys", b"null"))
    if not names:
        return (), text
    del record["keys"]
    return names, msgspec.json.encode(record)


def _other_keys(names: tuple[str, ...], expected: tuple[str, ...]) -> Fault:
    message = f"Expected the key fields of the table, {', '.join(expected)}, got {', '.join(names)}."
    return Fault(ErrorCode.INVALID_VALUE, message[:500], "keys")
