"""JSON array: each element is a record.

A malformed element whose end can be found costs that element. UNREADABLE_REST, for the first record that cannot be
read, if there is no array at all, if brackets do not match so that an element has no end, if the array is not closed,
or if something follows it. `[]` and an empty file hold no records. An element is on the line where it begins.
"""

import re
from enum import StrEnum
from typing import Any

import msgspec

from ingot_server.domain.records import (
    RAW_BYTES_MAX,
    RECORD_BYTES_MAX,
    RECORD_TOO_LARGE,
    Decoded,
    ErrorCode,
    Fault,
)
from ingot_server.pipeline.decoding.decoder import BYTE_ORDER_MARK
from ingot_server.pipeline.decoding.elements import Skipping, element_end
from ingot_server.pipeline.decoding.gathering import Gathering
from ingot_server.pipeline.decoding.pace import Pace

_BLANKS = b" \t\r\n"
_BLANK_RUN = re.compile(rb"[ \t\r\n]*+")
_GAP = re.compile(rb"[ \t\r\n,]*+")
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_NO_ELEMENT = Fault(ErrorCode.SYNTAX_ERROR, "There is nothing before the comma or bracket: expected an element.")
_SEARCH_BYTES_MAX = RECORD_BYTES_MAX + 65_536
"""Up to where the end of an element is looked for; blanks behind it do not count towards its size."""
_CUTS_MAX = 1_000


class _Phase(StrEnum):
    """What is expected next."""

    BEGINNING = "beginning"
    ARRAY = "array"
    FIRST = "first"
    """An element, or the end of the array."""
    ELEMENT = "element"
    SKIPPED = "skipped"
    """The end of an element that is too large."""
    NOTHING = "nothing"
    LOST = "lost"
    """Whatever comes is ignored."""


class ArrayDecoder:
    """Reads a JSON array in UTF-8."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._phase = _Phase(state.get("phase", _Phase.BEGINNING))
        self._index: int = state.get("index", 0)
        self._line: int = state.get("line", 1)
        self._skipping = Skipping(state.get("depth", 0), state.get("in_string", False))
        self._pace = Pace()
        self._uncut_from = 0

    def state(self) -> dict[str, Any]:
        return {
            "phase": self._phase.value,
            "index": self._index,
            "line": self._line,
            "depth": self._skipping.depth,
            "in_string": self._skipping.in_string,
        }

    def feed(self, data: bytes, final: bool) -> tuple[Decoded, int]:
        found = Gathering(self._index)
        self._uncut_from = len(data)
        position = self._read(data, final, found)
        if final:
            self._close(found)
            position = len(data)
        self._index = found.next_index
        return found.decoded(), position

    def lose(self, rest: bytes, fault: Fault) -> Decoded:
        found = Gathering(self._index)
        if self._phase is not _Phase.LOST:
            found.reject(self._line, rest, fault)
        self._phase, self._index = _Phase.LOST, found.next_index
        return found.decoded()

    def _read(self, data: bytes, final: bool, found: Gathering) -> int:
        """Reads as far as there are whole elements; where the next one begins."""
        position = 0
        if self._phase is _Phase.BEGINNING:
            if len(data) < len(BYTE_ORDER_MARK) and not final:
                return 0
            position = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
            self._phase = _Phase.ARRAY
        while self._phase is not _Phase.LOST:
            if self._phase is not _Phase.SKIPPED:
                position = self._advance(data, position, _end(_BLANK_RUN, data, position))
                if position == len(data):
                    return position
            after = self._step(data, position, final, found)
            if after is None:
                return position
            position = after
        return len(data)

    def _step(self, data: bytes, position: int, final: bool, found: Gathering) -> int | None:
        """Reads what begins at `position`; where it ends, or None if more bytes are needed."""
        match self._phase, data[position : position + 1]:
            case _Phase.SKIPPED, _:
                return self._skip(data, position)
            case (_Phase.ARRAY, b"[") | (_Phase.FIRST, b"]"):
                self._phase = _Phase.FIRST if self._phase is _Phase.ARRAY else _Phase.NOTHING
                return position + 1
            case _Phase.ARRAY, _:
                problem = f"Expected `[`, the beginning of an array, on line {self._line}"
                return self._lose(data, position, final, f"{problem}: for one object per line choose NDJSON.", found)
            case _Phase.NOTHING, _:
                problem = f"Expected nothing more after the end of the array, on line {self._line}."
                return self._lose(data, position, final, problem, found)
        after = self._read_block(data, position, found)
        return after if after > position else self._read_element(data, position, final, found)

    def _read_element(self, data: bytes, position: int, final: bool, found: Gathering) -> int | None:
        end = element_end(data, position, min(len(data), position + _SEARCH_BYTES_MAX))
        if isinstance(end, int):
            self._take(data[position:end].rstrip(_BLANKS), found)
            self._phase = _Phase.ELEMENT if data[end] == ord(",") else _Phase.NOTHING
            return self._advance(data, position, end) + 1
        if end.reason:
            line = self._line + data.count(b"\n", position, end.position)
            return self._lose(data, position, final, f"{self._endless} {end.reason} on line {line}.", found)
        if len(data) - position > _SEARCH_BYTES_MAX:
            found.reject(self._line, data[position:], RECORD_TOO_LARGE)
            self._phase, self._skipping = _Phase.SKIPPED, Skipping()
            return position
        if not final:
            return None
        if not end.balanced:
            problem = f"{self._endless} the file ends before its closing bracket."
            return self._lose(data, position, final, problem, found)
        self._take(data[position:].rstrip(_BLANKS), found)
        self._phase = _Phase.ELEMENT
        return self._advance(data, position, len(data))

    @property
    def _endless(self) -> str:
        return f"The element that begins on line {self._line} has no end:"

    def _take(self, text: bytes, found: Gathering) -> None:
        if not text:
            found.reject(self._line, text, _NO_ELEMENT)
        elif len(text) > RECORD_BYTES_MAX:
            found.reject(self._line, text, RECORD_TOO_LARGE)
        else:
            found.add([text], [self._line])

    def _skip(self, data: bytes, position: int) -> int | None:
        end, ended = self._skipping.skip(data, position)
        self._advance(data, position, end)
        if ended:
            self._phase = _Phase.ELEMENT if data[end] == ord(",") else _Phase.NOTHING
            return end + 1
        return end if end > position else None

    def _read_block(self, data: bytes, start: int, found: Gathering) -> int:
        """Reads many elements at once; where it stopped, which is `start` if the next element needs care."""
        end = start + self._pace.block_bytes()
        if start >= self._uncut_from or end == start:
            return start
        cut = _last_cut(data, start, end)
        if end >= len(data):
            # Behind the last cut there is no other, so there is no use in looking again before more bytes come.
            self._uncut_from = max(start, cut + 1)
        elif cut < 0:
            self._pace.failed()
        if cut < 0:
            return start
        try:
            # That this is a list proves the cut to be behind an element, and not within a string or an inner array.
            texts = list(map(bytes, _ELEMENTS.decode(b"[%b]" % data[start:cut])))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._uncut_from = len(data)
            self._pace.failed()
            return start
        self._pace.succeeded()
        found.add(texts, self._lines(data, start, cut, texts))
        self._phase = _Phase.ELEMENT
        return self._advance(data, start, cut + 1)

    def _lines(self, data: bytes, start: int, end: int, texts: list[bytes]) -> list[int]:
        if data.find(b"\n", start, end) < 0:
            return [self._line] * len(texts)
        lines = []
        line, position = self._line, start
        for text in texts:
            at = _end(_GAP, data, position)
            line += data.count(b"\n", position, at)
            lines.append(line)
            position = at + len(text)
            line += text.count(b"\n")
        return lines

    def _advance(self, data: bytes, start: int, end: int) -> int:
        self._line += data.count(b"\n", start, end)
        return end

    def _lose(self, data: bytes, position: int, final: bool, problem: str, found: Gathering) -> int | None:
        # The reject shows what stands there, wherever the file was cut.
        if len(data) - position <= RAW_BYTES_MAX and not final:
            return None
        found.reject(self._line, data[position:], Fault(ErrorCode.UNREADABLE_REST, problem))
        self._phase = _Phase.LOST
        return len(data)

    def _close(self, found: Gathering) -> None:
        if self._phase in (_Phase.FIRST, _Phase.ELEMENT, _Phase.SKIPPED):
            problem = f"The file ends on line {self._line} within the array: expected `]`, so something may be missing."
            found.reject(self._line, b"", Fault(ErrorCode.UNREADABLE_REST, problem))
            self._phase = _Phase.LOST


def _last_cut(data: bytes, start: int, end: int) -> int:
    """The position of a comma between elements, as late as possible, or so it seems; -1 if none was found."""
    cut = data.rfind(b"},", start, end)
    depth = _opened(data, start, cut + 1)
    for _ in range(_CUTS_MAX):
        if cut < 0 or not depth:
            break
        earlier = data.rfind(b"},", start, cut)
        depth -= _opened(data, earlier + 1, cut + 1)
        cut = earlier
    return -1 if depth or cut < 0 else cut + 1


def _opened(data: bytes, start: int, end: int) -> int:
    return data.count(b"{", start, end) - data.count(b"}", start, end)


def _end(pattern: re.Pattern[bytes], data: bytes, position: int) -> int:
    found = pattern.match(data, position)
    return found.end() if found else position
