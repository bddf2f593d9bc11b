"""Prints data to stdout and messages to stderr; nothing from the data may steer the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from google.protobuf.message import Message

# Control characters, C1 and DEL among them, and those that turn the direction of writing around.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# The same without line ends and tabs.
UNSAFE_IN_TEXT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)"
)


def plain(text: str) -> str:
    """The text on one line and without anything that a terminal would obey."""
    return UNSAFE.sub(_escaped, text)


def say(message: str) -> None:
    """Tells people something, on stderr."""
    print(message, file=sys.stderr, flush=True)


def ask(question: str) -> bool:
    """Asks people something, on stderr, and waits for the answer: anything but yes is no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def show(line: str) -> None:
    """Prints one line of data whose parts are plain already."""
    print(line)


def show_message(message: Message) -> None:
    """Prints a message of the API as one line of JSON, all its fields among it, zeros too."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - `--help` does not wait for protobuf

    print(MessageToJson(message, indent=None, always_print_fields_with_no_presence=True))


def show_json(text: str) -> None:
    """Prints JSON text as it is; on a terminal with escapes for what it would obey."""
    print(UNSAFE.sub(_escaped_json, text) if sys.stdout.isatty() else text)


def show_table(header: Sequence[str], rows: Iterable[Sequence[str | int]], *, optional: Sequence[str] = ()) -> None:
    """Prints rows below a header, in columns as wide as they need to be; numbers to the right.

    The `optional` columns are left out if they are empty, or hold only zeros.
    """
    rows = list(rows)
    kept = [at for at, name in enumerate(header) if name not in optional or any(row[at] for row in rows)]
    header, rows = [header[at] for at in kept], [[row[at] for at in kept] for row in rows]
    lines = [list(header)]
    right = [False] * len(header)
    for row in rows:
        lines.append([f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in row])
        right = [isinstance(cell, int) for cell in row]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        show(
            "  ".join(cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in cells).rstrip()
        )


def show_facts(facts: Mapping[str, str]) -> None:
    """Prints those that are known, one on a line."""
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        if value:
            show(f"  {name + ':':<{width}}{plain(value)}")


def moment(time: datetime | None) -> str:
    """The time in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if time is not None else ""


def stdout_file(*, json: bool) -> IO[bytes]:
    """Stdout for bytes of a file: as they are, but made harmless if it is a terminal."""
    return cast(IO[bytes], _Terminal(json=json)) if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal:
    def __init__(self, *, json: bool) -> None:
        self._escape = _escaped_json if json else _escaped

    def write(self, data: bytes) -> int:
        sys.stdout.write(UNSAFE_IN_TEXT.sub(self._escape, data.decode(errors="replace")))
        return len(data)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _escaped_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
