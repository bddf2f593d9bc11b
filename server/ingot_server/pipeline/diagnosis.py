"""Says what is wrong with one record: every fault that can be determined, each with its place."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import eq

import msgspec

from ingot_server.domain.records import (
    DIGITS_MAX,
    EMPTY_LINE,
    EXPONENT_MAX,
    NESTING_MAX,
    RECORD_BYTES_MAX,
    RECORD_TOO_LARGE,
    WRITTEN_BYTES_MAX,
    ErrorCode,
    Fault,
)
from ingot_server.pipeline.own_keys import MISSING_KEYS, key_names
from ingot_server.pipeline.syntax import syntax_fault

NUMBER_FAULTS_MAX = 10
"""A hostile record could have one in each of 100,000 fields."""
SEARCHED_FIELDS_MAX = 10_000
"""In how many fields a number that is out of range is looked for."""

_RECORD = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_ERRORS = (msgspec.MsgspecError, ValueError)
_KINDS = {b"[": "an array", b'"': "a string", b"n": "null", b"t": "true", b"f": "false"}
"""Of JSON, by how it begins; all others are numbers."""
_NO_VALUE = (b"null", b'""')

# As a number: Python 3.11 looks for bytes within bytes only after it has failed to take them for one, which takes 14
# times as long as the search in a record.
BACKSLASH = ord("\\")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_CONTROLS = bytes(range(32))
_CONTROL_IN_STRING = re.compile(rb'(?:[^"]*+"[^"\x00-\x1f]*+")*+[^"]*+"[^"\x00-\x1f]*+[\x00-\x1f]')
# Not NUL, which is reported by itself wherever it stands, and no blanks.
_CONTROL_OUTSIDE = re.compile(
    rb'(?:[^"\x01-\x08\x0b\x0c\x0e-\x1f]*+"[^"]*+")*+[^"\x01-\x08\x0b\x0c\x0e-\x1f]*+([\x01-\x08\x0b\x0c\x0e-\x1f])'
)
_CONTROLS_TO_BLANKS = bytes.maketrans(_CONTROLS, b" " * 32)
# Every digit and sign becomes 0, so that an exponent of three digits or more has one shape.
NUMBER_SHAPES = bytes.maketrans(b"123456789+-.E", b"000000000000e")
WIDE_EXPONENT_SHAPE = b"0e000"
_EXPONENT_SHAPES = bytes.maketrans(b"123456789.E", b"0000000000e")
_EXPONENTS = re.compile(rb"[eE][+-]?[0-9]+")
MAY_GROW_FROM = 64_000
"""No shorter record is longer than WRITTEN_BYTES_MAX when it is written out: at most 62 bytes come of one."""
_SEARCH_BYTES = 65_536
_NUMBERS = bytes.maketrans(b"123456789.", b"0000000000")
_MANY_DIGITS = b"0" * (DIGITS_MAX + 1)
_DIGITS = re.compile(rb"[0-9.]++")
# Up to the first exponent beyond EXPONENT_MAX that is not within a string.
_WIDE_EXPONENT = re.compile(
    rb'(?:[^"eE]++|"[^"]*+"|[eE](?![+-]?0*+(?:309|3[1-9][0-9]|[4-9][0-9]{2}|[1-9][0-9]{3})))*+[eE]'
)
# As long as what it masks, and never part of UTF-8.
_MASK = b"\xff\xff"
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_BRACKET_RUNS = re.compile(rb"\[++|\]++")
_LEVELS_TAKEN_AWAY = 3
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def faults_of(text: bytes, key_fields: tuple[str, ...] | None, is_name: Callable[[str, str], bool] = eq) -> list[Fault]:
    """All that is wrong with a record, with at most a few of the numbers; empty if it is good.

    `key_fields` and `is_name` as for `checking.check`.
    """
    if len(text) > RECORD_BYTES_MAX:
        return [RECORD_TOO_LARGE]
    if not text.strip():
        return [EMPTY_LINE]
    faults: list[Fault] = []
    if not text.isascii() or BACKSLASH in text or _has_controls(text):
        repair = _Repair(text)
        text, faults = repair.text, repair.faults
    try:
        record = _RECORD.decode(text)
    except RecursionError:
        return [*faults, _too_deep()]
    except _ERRORS as error:
        return [*faults, _unread(text, str(error))]
    if _is_too_deep(text):
        faults.append(_too_deep())
    if problem := _number_problem(text):
        faults += islice(_number_faults(problem, record), NUMBER_FAULTS_MAX)
    elif may_grow(text) and (size := _written_bytes(text)) > WRITTEN_BYTES_MAX:
        faults.append(_grown(size))
    faults += _key_faults(record, key_fields, is_name)
    return faults


def may_grow(text: bytes) -> bool:
    """Whether the text may be longer than WRITTEN_BYTES_MAX without exponents; quickly told, and often wrongly."""
    if len(text) <= MAY_GROW_FROM:
        return False
    shapes = text.translate(_EXPONENT_SHAPES, b"+-")
    added = 10 * shapes.count(b"0e0") + 100 * shapes.count(b"0e00") + EXPONENT_MAX * shapes.count(b"0e000")
    # Blanks alone make it longer by half.
    return len(text) * 3 // 2 + added > WRITTEN_BYTES_MAX


def has_value(record: Mapping[str, msgspec.Raw]) -> bool:
    """Whether any field of a record is neither null nor empty."""
    return any(bytes(value) not in _NO_VALUE for value in record.values())


class _Repair:
    """Finds what is wrong with the characters of a record, and replaces it, so that the rest can be read."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.faults: list[Fault] = []
        if not text.isascii():
            self._encoding()
        is_escaping = BACKSLASH in text
        if is_escaping and (rb"\ud" in text or rb"\uD" in text):
            self._surrogates()
        if _has_controls(text):
            self._controls()
        if is_escaping and rb"\u0000" in text:
            self._escaped_nul()

    def _encoding(self) -> None:
        try:
            self.text.decode()
        except UnicodeDecodeError as error:
            place = _place(self.text, error.start)
            byte = self.text[error.start]
            self._blame(ErrorCode.INVALID_ENCODING, f"The byte 0x{byte:02x} {place} is not valid UTF-8.")
            self.text = self.text.decode(errors="replace").encode()

    def _surrogates(self) -> None:
        masked = _masked(self.text)
        if found := _LONE_SURROGATE.search(masked):
            escape = found.group().decode()
            place = _place(self.text, found.start())
            self._blame(ErrorCode.INVALID_ENCODING, f"The escape {escape} {place} is half of a surrogate pair.")
            self.text = _LONE_SURROGATE.sub(rb"\\ufffd", masked).replace(_MASK, b"\\\\")

    def _controls(self) -> None:
        unescaped = _unescaped(self.text)
        found = _CONTROL_IN_STRING.match(unescaped)
        at = found.end() - 1 if found else self.text.find(b"\0")
        if at >= 0:
            kind = f"The control character U+{self.text[at]:04X}"
            advice = "leave it out" if not self.text[at] else "escape it, or leave it out"
            place = _place(self.text, at)
            self._blame(ErrorCode.CONTROL_CHARACTER, f"{kind} {place} may not stand there: {advice}.")
            blanked = self.text.translate(_CONTROLS_TO_BLANKS)
            # The first one between tokens stays: it is another fault, of syntax.
            kept = _CONTROL_OUTSIDE.match(unescaped)
            self.text = blanked[: kept.start(1)] + kept[1] + blanked[kept.end(1) :] if kept else blanked

    def _escaped_nul(self) -> None:
        if (at := _masked(self.text).find(rb"\u0000")) >= 0:
            place = _place(self.text, at)
            self._blame(ErrorCode.CONTROL_CHARACTER, f"The escape \\u0000 {place} stands for NUL: leave it out.")

    def _blame(self, code: ErrorCode, message: str) -> None:
        self.faults.append(Fault(code, message))


def _unread(text: bytes, error: str) -> Fault:
    start = text.lstrip()[:1]
    try:
        # An object that was well-formed has been read.
        if start == b"{" or not _is_json(text):
            return syntax_fault(text, error)
    except RecursionError:
        return _too_deep()
    return Fault(ErrorCode.NOT_AN_OBJECT, f"Expected a JSON object, got {_KINDS.get(start, 'a number')}.")


def _is_json(text: bytes) -> bool:
    try:
        _ANYTHING.decode(text)
    except _ERRORS:
        return False
    return True


def _has_controls(text: bytes) -> bool:
    return len(text.translate(None, _CONTROLS)) < len(text)


def _number_faults(problem: str, record: Mapping[str, msgspec.Raw]) -> Iterator[Fault]:
    is_attributed = False
    for name, raw in islice(record.items(), SEARCHED_FIELDS_MAX):
        if field_problem := _number_problem(bytes(raw)):
            is_attributed = True
            yield _out_of_range(field_problem, name.replace("\0", ""))
    # PostgreSQL reads every value of a field that stands twice; the record holds only the last one.
    if not is_attributed:
        yield _out_of_range(problem, "")


def _out_of_range(problem: str, field: str) -> Fault:
    return Fault(ErrorCode.NUMBER_OUT_OF_RANGE, f"A number {problem}: write it as a string.", field)


def _number_problem(text: bytes) -> str:
    """What is wrong with a number in well-formed JSON, outside its strings."""
    if len(text) > DIGITS_MAX and _has_many_digits(text):
        return f"has more than {DIGITS_MAX:,} digits"
    if text.translate(NUMBER_SHAPES).find(WIDE_EXPONENT_SHAPE) >= 0 and _WIDE_EXPONENT.match(_unescaped(text)):
        return f"has an exponent beyond {EXPONENT_MAX}"
    return ""


def _has_many_digits(text: bytes) -> bool:
    numbers = text.translate(_NUMBERS)
    at = numbers.find(_MANY_DIGITS)
    if at < 0:
        return False
    unescaped = _unescaped(text)
    quotes = counted = 0
    while at >= 0:
        run = _DIGITS.match(text, at)
        assert run is not None  # noqa: S101 it was found by its digits
        quotes += unescaped.count(b'"', counted, at)
        counted = at
        # An even number of quotes before it: it is not within a string.
        if quotes % 2 == 0 and len(run.group()) - run.group().count(b".") > DIGITS_MAX:
            return True
        at = numbers.find(_MANY_DIGITS, run.end())
    return False


def _written_bytes(text: bytes) -> int:
    """How long well-formed JSON is at most, as PostgreSQL writes it: with blanks, and without exponents."""
    outside = _outside_strings(text)
    exponents: Counter[bytes] = Counter()
    start = 0
    while start < len(outside):
        # Others get no turn while it searches. No exponent has a comma.
        comma = outside.find(b",", start + _SEARCH_BYTES)
        end = comma if comma >= 0 else len(outside)
        exponents.update(_EXPONENTS.findall(outside, start, end))
        start = end
    grown = sum(times * (abs(int(one[1:])) + (b"-" in one) - len(one)) for one, times in exponents.items())
    return len(text) + outside.count(b",") + outside.count(b":") + grown


def _grown(size: int) -> Fault:
    return Fault(
        ErrorCode.RECORD_TOO_LARGE,
        f"The record has {size:,} bytes when its numbers are written without exponents: expected at most"
        f" {WRITTEN_BYTES_MAX:,}; split it, or write numbers as strings.",
    )


def _key_faults(
    record: Mapping[str, msgspec.Raw], key_fields: tuple[str, ...] | None, is_name: Callable[[str, str], bool]
) -> Iterator[Fault]:
    if not has_value(record):
        yield Fault(ErrorCode.EMPTY_RECORD, "The record has no field with a value: expected at least one.")
    elif key_fields:
        for name in key_fields:
            if problem := _key_problem(record, name):
                others = [other for other in record if is_name(other, name)]
                if all(_key_problem(record, other) for other in others):
                    yield Fault(ErrorCode.MISSING_KEY, f"The key field is {problem}: expected a value.", name)
    elif key_fields is not None:
        names = key_names(record.get("keys", b"null"))
        if not names or any(_key_problem(record, name) for name in names):
            yield MISSING_KEYS


def _key_problem(record: Mapping[str, msgspec.Raw], name: str) -> str:
    if name not in record:
        return "missing"
    return {b"null": "null", b'""': "empty"}.get(bytes(record[name]), "")


def _is_too_deep(text: bytes) -> bool:
    """Whether well-formed JSON is nested too deeply."""
    # Each level has two brackets.
    if len(text) <= 2 * NESTING_MAX or text.count(b"{") + text.count(b"[") <= NESTING_MAX:
        return False
    brackets = _outside_strings(text).translate(_BRACKETS, _NO_BRACKETS)
    # Taking the innermost brackets away, which is fast, takes one level away, and leaves few runs to count.
    for _ in range(_LEVELS_TAKEN_AWAY):
        brackets = brackets.replace(b"[]", b"")
    depth = deepest = 0
    for run in _BRACKET_RUNS.findall(brackets):
        depth += len(run) if run.startswith(b"[") else -len(run)
        deepest = max(deepest, depth)
    return deepest > NESTING_MAX - _LEVELS_TAKEN_AWAY


def _too_deep() -> Fault:
    return Fault(ErrorCode.TOO_DEEP, f"Objects and arrays are nested more than {NESTING_MAX} deep.")


def _outside_strings(text: bytes) -> bytes:
    """What well-formed JSON has outside its strings; each string becomes a blank."""
    if b'"' not in text:
        return text
    return b" ".join(_unescaped(text).split(b'"')[::2])


def _masked(text: bytes) -> bytes:
    """The text with each `\\\\` masked, so that every backslash left begins another escape."""
    return text.replace(b"\\\\", _MASK)


def _unescaped(text: bytes) -> bytes:
    """The text with each `\\\\` and `\\"` masked, so that every quote left begins or ends a string."""
    return text if BACKSLASH not in text else _masked(text).replace(b'\\"', _MASK)


def _place(text: bytes, at: int) -> str:
    return f"at character {len(text[:at].decode(errors='replace')) + 1}"
