"""Finds where an element of a JSON array ends, without asking whether it is well-formed.

An element ends before the next comma or closing bracket that is neither in a string nor within brackets.
"""

import re
from dataclasses import dataclass

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OPENING, _CLOSING, _QUOTE, _BACKSLASH = b"[{", b"]}", ord('"'), ord("\\")
_CLOSING_OF = bytes.maketrans(_OPENING, _CLOSING)


def _within(levels: int) -> bytes:
    """A pattern for what stands within brackets, with brackets that close again up to `levels` deep."""
    if not levels:
        return rb'[^"{}\[\]]*+(?:%b[^"{}\[\]]*+)*+' % _STRING
    inner = _within(levels - 1)
    return rb'[^"{}\[\]]*+(?:(?:%b|\{%b\}|\[%b\])[^"{}\[\]]*+)*+' % (_STRING, inner, inner)


# Most elements close all brackets within 3 levels, so one match takes a whole element.
_INNER = _within(2)
_WITHIN = re.compile(_INNER, re.DOTALL)
_BETWEEN = re.compile(rb'[^"{}\[\],]*+(?:(?:%b|\{%b\}|\[%b\])[^"{}\[\],]*+)*+' % (_STRING, _INNER, _INNER), re.DOTALL)
_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_OPENINGS = re.compile(rb"[\[{]++")
_CLOSINGS = re.compile(rb"[\]}]++")


@dataclass(frozen=True, slots=True)
class Unended:
    """The element has no end."""

    position: int
    """Up to where it was read."""
    reason: str
    """What was expected instead of what is there; empty if the data ended."""
    balanced: bool = False
    """Whether every bracket and string was closed where the data ended."""


def element_end(data: bytes, start: int, end: int) -> int | Unended:
    """The position of the comma or closing bracket behind the element that begins at `start`; at most `end` is read."""
    # Looks at whole runs of brackets, so that nothing is slow in being nested deeply.
    expected = bytearray()
    position = start
    while True:
        position = _pass(_WITHIN if expected else _BETWEEN, data, position, end)
        if position == end:
            return Unended(position, "", balanced=not expected)
        if data[position] == _QUOTE:
            return Unended(end, "")
        if opened := _OPENINGS.match(data, position, end):
            expected += opened.group().translate(_CLOSING_OF)
            position = opened.end()
            continue
        if not expected and data[position] in b",]":
            return position
        closed = _CLOSINGS.match(data, position, end)
        closings = closed.group()[: len(expected)] if closed else b""
        wanted = bytes(expected[: -len(closings) - 1 : -1])
        if not closings or closings != wanted:
            return _mismatch(data, position, wanted)
        del expected[-len(closings) :]
        position += len(closings)


def _mismatch(data: bytes, position: int, wanted: bytes) -> Unended:
    if not wanted:
        return Unended(position, "expected `,` or `]`, found `}`")
    offset = next(at for at, closing in enumerate(wanted) if data[position + at] != closing)
    found = chr(data[position + offset])
    return Unended(position + offset, f"expected `{chr(wanted[offset])}`, found `{found}`")


@dataclass(slots=True)
class Skipping:
    """Goes through an element that is too large to keep. Which bracket closes which is not looked at."""

    depth: int = 0
    in_string: bool = False

    def skip(self, data: bytes, position: int) -> tuple[int, bool]:
        """Up to where the element was read, and whether its end is there."""
        while True:
            if self.in_string:
                position = _pass(_STRING_REST, data, position, len(data))
                # A backslash at the end is left for next time, together with what it escapes.
                if position == len(data) or data[position] == _BACKSLASH:
                    return position, False
                self.in_string = False
                position += 1
            position = _pass(_WITHIN if self.depth else _BETWEEN, data, position, len(data))
            if position == len(data):
                return position, False
            if data[position] == _QUOTE:
                self.in_string = True
                position += 1
            elif opened := _OPENINGS.match(data, position):
                self.depth += len(opened.group())
                position = opened.end()
            elif not self.depth and data[position] in b",]":
                return position, True
            elif closed := _CLOSINGS.match(data, position):
                count = min(max(self.depth, 1), len(closed.group()))
                self.depth = max(0, self.depth - count)
                position += count


def _pass(pattern: re.Pattern[bytes], data: bytes, position: int, end: int) -> int:
    found = pattern.match(data, position, end)
    return found.end() if found else position
