"""Records, and what can be wrong with one. A bad record is data, not an exception."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec
from msgspec.structs import replace

RECORD_BYTES_MAX = 2_097_152
WRITTEN_BYTES_MAX = 4_000_000
"""Of a record as PostgreSQL writes it, without exponents and with blanks: it must fit into a message of 4 MiB, the most
that clients of gRPC take unless they are told otherwise."""
KEY_BYTES_MAX = 1_024
"""A longer key does not fit into an entry of PostgreSQL's index (2,704 bytes) together with the other columns."""
KEY_FIELDS_MAX = 8
KEY_FIELD_BYTES_MAX = 255
"""The name of a key field; it is part of an index too."""
NESTING_MAX = 100
EXPONENT_MAX = 308
DIGITS_MAX = 4_300
RAW_BYTES_MAX = 8_192
FIELD_CHARACTERS_MAX = 255
FAULTS_MAX = 100
"""How many faults of one record are told; one that has more is no better known by them."""


class ErrorStage(IntEnum):
    """The stage in which a fault was found; numbers as in the API, which does not know READING."""

    UPLOAD = 1
    PROCESSING = 2
    READING = 3
    """While a file was read that the server had fetched: told as PROCESSING, but not looked for again by a commit."""

    @property
    def told(self) -> "ErrorStage":
        """The stage that callers are told."""
        return ErrorStage.PROCESSING if self is ErrorStage.READING else self


class Severity(IntEnum):
    """How grave a fault is; numbers as in the API."""

    ERROR = 1
    WARNING = 2


class ErrorCode(IntEnum):
    """What is wrong with a record; numbers as in the API, where each is explained."""

    TOO_LITTLE_INFORMATION = 1000
    INVALID_CUSTOM_ATTRIBUTE = 1001
    INVALID_VALUE = 1002
    BLOCKED_VALUE = 1003
    PACKAGE_NOT_FOUND = 1004
    TICKET_BUNDLE_NOT_FOUND = 1005
    CONTACT_NOT_FOUND = 1010
    EMPTY_RECORD = 1100
    EMPTY_LINE = 1101
    MISSING_KEY = 1102
    RECORD_TOO_LARGE = 1103
    CONTROL_CHARACTER = 1104
    SYNTAX_ERROR = 1105
    EMPTY_PAYLOAD = 1106
    INVALID_ENCODING = 1107
    TOO_DEEP = 1108
    NUMBER_OUT_OF_RANGE = 1109
    NOT_AN_OBJECT = 1110
    CELL_COUNT = 1111
    REFUSED_BY_DATABASE = 1112
    UNREADABLE_REST = 1113
    DOUBTFUL_VALUE = 1114
    CONFLICTING_IDENTIFIERS = 1115
    REFERENCE_NOT_FOUND = 1116

    @property
    def severity(self) -> Severity:
        """How grave such a fault is: a record with nothing but warnings is imported."""
        return Severity.WARNING if self is ErrorCode.DOUBTFUL_VALUE else Severity.ERROR


class Fault(msgspec.Struct, frozen=True, gc=False):
    """One thing that is wrong with a record.

    A struct of msgspec, as are rejects, because a bad file has as many as it has records.
    """

    code: ErrorCode
    message: str
    """What is wrong and what was expected, in a sentence for people."""
    field: str = ""
    """The path of the field, as in `items[2].price`."""


RECORD_TOO_LARGE = Fault(
    ErrorCode.RECORD_TOO_LARGE,
    f"The record is larger than {RECORD_BYTES_MAX:,} bytes: split it, or leave something out.",
)
EMPTY_LINE = Fault(ErrorCode.EMPTY_LINE, "The line is empty: expected a record.")


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A record with faults, and what they are. It is not imported, unless all of them are warnings."""

    index: int
    """The record's index in its batch."""
    line: int
    """The line of the file on which the record begins, from 1; 0 where there is no file."""
    raw: str
    """The record as it came, readable: see `raw_text`."""
    raw_truncated: bool
    faults: tuple[Fault, ...]
    key: str = ""


def raw_text(raw: bytes) -> tuple[str, bool]:
    """`raw` as text that PostgreSQL can hold, and whether it was cut at RAW_BYTES_MAX.

    Bytes that are not UTF-8, and NUL, become `\\xNN`.
    """
    truncated = len(raw) > RAW_BYTES_MAX
    cut = _without_partial_character(raw[:RAW_BYTES_MAX]) if truncated else raw
    return cut.decode("utf-8", "backslashreplace").replace("\0", "\\x00"), truncated


def _without_partial_character(cut: bytes) -> bytes:
    for back in range(1, 4):
        byte = cut[-back]
        if byte & 0xC0 != 0x80:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return cut[:-back] if length > back else cut
    return cut


def reject(index: int, line: int, raw: bytes, *faults: Fault, key: str = "") -> Reject:
    """A Reject for the record whose bytes are `raw`, with the names of fields cut at FIELD_CHARACTERS_MAX."""
    text, truncated = raw_text(raw)
    for fault in faults:
        if len(fault.field) > FIELD_CHARACTERS_MAX:
            faults = tuple([replace(fault, field=fault.field[:FIELD_CHARACTERS_MAX]) for fault in faults])
            break
    return Reject(index, line, text, truncated, faults, key)


@dataclass(slots=True)
class Decoded:
    """What a piece of an upload contained. The three sequences run side by side."""

    texts: list[bytes] = field(default_factory=list)
    """The records that could be read, each as JSON text; on one line after `pipeline.checking.check`.

    Empty once there is only the `block` of them.
    """
    indexes: Sequence[int] = ()
    """The index of each record in its batch."""
    lines: Sequence[int] = ()
    """The line on which each record begins; all 0 where there is no file."""
    rejects: list[Reject] = field(default_factory=list)
    """The records that could not be read."""
    received: int = 0
    """How many records there were, good and bad."""
    block: bytes | None = field(default=None, compare=False)
    """The texts on lines, if they are at hand like that. The last may have no line break behind it."""
    keys: Sequence[str] | None = None
    """The key of each of the texts, where all of them are known."""
    starts: Sequence[int] | None = None
    """The positions from which on indexes and lines count up by one; None if that is not known."""

    def joined(self) -> bytes:
        """The texts on lines, as `block`."""
        return b"\n".join(self.texts) if self.block is None else self.block

    @property
    def is_one_run(self) -> bool:
        """Whether indexes and lines count up by one from the first record on, as far as is seen at once."""
        # Only a file has lines.
        return isinstance(self.indexes, range) and (isinstance(self.lines, range) or not any(self.lines[:1]))
