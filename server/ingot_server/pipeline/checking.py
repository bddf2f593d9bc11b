"""Checks records as they arrive, before anything is made of their values.

What passes is a JSON object on one line that PostgreSQL's jsonb accepts, and it has a key. While all is well Python
does nothing per record: a block of records is searched as a whole for what might be wrong, and read by msgspec, which
skips what is not a key. Only a record that one of them suspects is looked at by `diagnosis`, which decides.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import accumulate, compress, count, repeat
from operator import add, attrgetter, contains, eq, not_, sub
from typing import Any

import msgspec

from ingot_server.domain.records import DIGITS_MAX, NESTING_MAX, RECORD_BYTES_MAX, Decoded, Reject, reject
from ingot_server.pipeline.diagnosis import (
    BACKSLASH,
    MAY_GROW_FROM,
    NUMBER_SHAPES,
    WIDE_EXPONENT_SHAPE,
    faults_of,
    has_value,
    may_grow,
)
from ingot_server.pipeline.keys import ready_keys
from ingot_server.pipeline.own_keys import key_names

_RECORD = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Skips all fields.
_OBJECT = msgspec.json.Decoder(msgspec.defstruct("Object", [], gc=False))
_Scalar = str | int | float | bool | None
_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)
_ESCAPED_NUL = b"\\u0000"
_COLON = ord(":")
_MANY_DIGITS = b"0" * (DIGITS_MAX + 1)
_EXPONENT = re.compile(rb"[eE][+-]?[0-9]{3}")
_MANTISSA_BYTES = 40
_WORDS_MAX = 1_000
"""After so many words that look like exponents, diagnosis takes less time than looking at more of them."""
_SAMPLE_BYTES_MAX = 65_536
_BEFORE_NUMBER = (b":", b",", b"[", b" ", b"\n", b"\t", b"\r")


def check(decoded: Decoded, key_fields: tuple[str, ...] | None, is_name: Callable[[str, str], bool] = eq) -> Decoded:
    """Only the good records, each on one line, and a reject for every other one with all that is wrong with it.

    If `key_fields` is empty, each record must name its own in its `keys` field; if it is None, none needs a key.
    `is_name` tells whether a value under a name, the first, is one for a key field, the second.
    """
    texts = decoded.texts
    if not texts:
        return decoded
    block = decoded.joined()
    found: list[Any] = []
    if key_fields is None:
        suspects = _without_value(block, texts)
    else:
        found = _found_keys(texts, key_fields or _first_names(texts), own_keys=not key_fields)
        suspects = set() if all(found) else set(compress(count(), map(not_, found)))
    suspects |= _suspects_in(block, texts, objects=len(texts) - len(suspects))
    rejects: list[Reject] = []
    bad: list[int] = []
    # The records of a block have the same names of fields.
    is_name = cache(is_name)
    for position in sorted(suspects):
        text = texts[position]
        if faults := faults_of(text, key_fields, is_name):
            rejects.append(reject(decoded.indexes[position], decoded.lines[position], text, *faults))
            bad.append(position)
    # A line break within a string was a fault, so any other stands between tokens. To count them takes longer.
    if b"\r" in block or (decoded.block is None and b"\n" in b"".join(texts)):
        texts = [text.replace(b"\n", b" ").replace(b"\r", b" ") for text in texts]
        block = b"\n".join(texts)
    if not rejects:
        return replace(decoded, texts=texts, block=block, keys=ready_keys(found))
    good = bytearray(b"\1") * len(texts)
    for position in bad:
        good[position] = False
    texts = list(compress(texts, good))
    return Decoded(
        texts,
        list(compress(decoded.indexes, good)),
        list(compress(decoded.lines, good)),
        sorted([*decoded.rejects, *rejects], key=attrgetter("index")) if decoded.rejects else rejects,
        decoded.received,
        keys=ready_keys(list(compress(found, good))),
        starts=_starts_without(bad, len(texts)) if decoded.is_one_run else None,
    )


def _starts_without(bad: Sequence[int], left: int) -> list[int]:
    """Where the runs of records begin that are left of a single one, without those at some of its positions."""
    starts = dict.fromkeys([0, *map(sub, bad, count())])
    starts.pop(left, None)
    return list(starts)


def _suspects_in(block: bytes, texts: Sequence[bytes], objects: int) -> set[int]:
    """The positions of all records that may be wrong in what msgspec does not look at, and of some others.

    `objects` of the texts are known to be objects; the others are suspects already.
    """
    suspects: set[int] = set()
    if not block.isascii() and not _is_utf8(block):
        suspects.update(position for position, text in enumerate(texts) if not _is_utf8(text))
    # The search for a single byte is 50 times as fast, and most blocks have no escapes, nor have most records.
    if b"\\" in block:
        escaping = compress(count(), map(contains, texts, repeat(BACKSLASH)))
        # From the end: there the search looks for the backslash, which is rare, and from the beginning for a zero.
        suspects.update(position for position in escaping if texts[position].rfind(_ESCAPED_NUL) >= 0)
    longest = max(map(len, texts))
    # Each object has a bracket of its own. The others count as none: they may be blank.
    if longest > 2 * NESTING_MAX and block.count(b"{") + block.count(b"[") >= objects + NESTING_MAX:
        suspects.update(
            position
            for position, text in enumerate(texts)
            if len(text) > 2 * NESTING_MAX and text.count(b"{") + text.count(b"[") > NESTING_MAX
        )
    numbers = block.translate(NUMBER_SHAPES)
    if longest > DIGITS_MAX:
        suspects.update(position for position, text in enumerate(texts) if len(text) > RECORD_BYTES_MAX)
        suspects.update(_positions(texts, _many_digits(numbers)))
    if longest > MAY_GROW_FROM:
        suspects.update(position for position, text in enumerate(texts) if may_grow(text))
    suspects.update(_positions(texts, _wide_exponents(block, numbers)))
    return suspects


def _wide_exponents(block: bytes, numbers: bytes) -> list[int]:
    """Where exponents of three digits or more may stand: in numbers, and not in words such as UUIDs."""
    found = []
    words = 0
    # From the end: there the search takes half as long.
    at = numbers.rfind(WIDE_EXPONENT_SHAPE)
    while at >= 0:
        end = at + len(WIDE_EXPONENT_SHAPE) - 1
        if _EXPONENT.match(block, at + 1):
            before = numbers[max(0, at - _MANTISSA_BYTES) : at].rstrip(b"0")
            words += 1
            if not before or before.endswith(_BEFORE_NUMBER) or words > _WORDS_MAX:
                found.append(at)
                words = 0
                # One is enough to suspect the record, or this line of it.
                end = max(0, block.rfind(b"\n", 0, at))
        at = numbers.rfind(WIDE_EXPONENT_SHAPE, 0, end)
    return found


def _many_digits(numbers: bytes) -> list[int]:
    found = []
    at = numbers.find(_MANY_DIGITS)
    while at >= 0:
        found.append(at)
        at = numbers.find(_MANY_DIGITS, at + len(_MANY_DIGITS))
    return found


def _positions(texts: Sequence[bytes], offsets: Sequence[int]) -> set[int]:
    """The positions of the records that hold these offsets of the block."""
    if not offsets:
        return set()
    # Between two records the block has one byte more.
    ends = list(map(add, accumulate(map(len, texts)), count()))
    return {bisect_right(ends, offset) for offset in offsets}


def _found_keys(texts: Sequence[bytes], key_fields: tuple[str, ...], *, own_keys: bool) -> list[Any]:
    """For each record the value of its key field, or that its several ones have values.

    It is false for all records that are no objects or lack a key, and for some others.
    """
    if not key_fields:
        return [None] * len(texts)
    read, has_key = _reader(key_fields, own_keys)
    found: list[Any] = []
    reading = map(has_key, map(read, texts))
    while len(found) < len(texts):
        try:
            # Keeps what comes before one that cannot be read; the next try goes on behind it.
            found.extend(reading)
        except _ERRORS:
            found.append(None)
    return found


def _without_value(block: bytes, texts: Sequence[bytes]) -> set[int]:
    """The positions of all records that are no objects or have no field with a value."""
    # Objects with fields, of which none can be null or empty, surely have one. From the end, as for escaped NULs.
    any_empty = block.rfind(b"null") >= 0 or block.rfind(b'""') >= 0
    if not any_empty and all(map(contains, texts, repeat(_COLON))) and _are_objects(texts):
        return set()
    return {
        position
        for position, text in enumerate(texts)
        if not _surely_has_value(text) and not _is_good(text, _RECORD.decode, has_value)
    }


def _surely_has_value(text: bytes) -> bool:
    return _COLON in text and text.find(b"null") < 0 and text.find(b'""') < 0 and _is_good(text, _OBJECT.decode, bool)


def _are_objects(texts: Sequence[bytes]) -> bool:
    try:
        deque(map(_OBJECT.decode, texts), maxlen=0)
    except _ERRORS:
        return False
    return True


def _is_good(text: bytes, read: Callable[[bytes], Any], has_key: Callable[[Any], Any]) -> bool:
    try:
        return bool(has_key(read(text)))
    except _ERRORS:
        return False


@lru_cache(maxsize=256)
def _reader(key_fields: tuple[str, ...], own_keys: bool) -> tuple[Callable[[bytes], Any], Callable[[Any], Any]]:
    """How to read the key of a record, and how to see whether it is surely there."""
    names = {f"f{number}": name for number, name in enumerate(("keys", *key_fields) if own_keys else key_fields)}
    # Arrays and objects are left to diagnosis too: making Python objects of a large one would take long.
    types = [list[str] | None, *[_Scalar] * len(key_fields)] if own_keys else [_Scalar] * len(key_fields)
    fields = [(field, type_, None) for field, type_ in zip(names, types, strict=True)]
    try:
        decoder = msgspec.json.Decoder(msgspec.defstruct("Record", fields, rename=names, gc=False))
    except ValueError:
        # msgspec cannot look for names that would need escapes. Leaves every record to diagnosis.
        return msgspec.json.Decoder(dict[str, msgspec.Raw]).decode, lambda _: False
    values: Callable[[Any], Any] = attrgetter(*names)
    if own_keys:
        expected = list(key_fields)
        return decoder.decode, lambda record: record.f0 == expected and all(values(record))
    return decoder.decode, values if len(names) == 1 else lambda record: all(values(record))


def _first_names(texts: Sequence[bytes]) -> tuple[str, ...]:
    """The key fields that the first of the records name: most likely those of all."""
    for text in texts[:10]:
        if len(text) > _SAMPLE_BYTES_MAX:
            continue
        try:
            names = key_names(_RECORD.decode(text).get("keys", b"null"))
        except _ERRORS:
            continue
        if names:
            return names
    return ()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
