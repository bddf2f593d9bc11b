"""Says where a text stops being JSON, and what was expected there."""

import json
import re
from typing import NoReturn

from ingot_server.domain.records import ErrorCode, Fault

_EXPLAINED_BYTES_MAX = 65_536
_CUT_OFF = "Input data was truncated"
"""What msgspec says of a text that goes wrong nowhere and only ends too early."""
_UNCLOSED = "the string that begins here is never closed"
_EXPECTED = {
    "Expecting value": "expected a value",
    "Expecting ',' delimiter": "expected a comma or the closing bracket",
    "Expecting ':' delimiter": "expected a colon",
    "Expecting property name": "expected a field name in double quotes",
    "Unterminated string": _UNCLOSED,
    "Invalid \\u": "expected four hexadecimal digits after \\u",
    "Invalid \\escape": "expected an escape such as \\n or \\\\",
    "Extra data": "expected the end of the record",
    "Illegal trailing comma": "expected no comma before the closing bracket",
}
_UP_TO_CONSTANT = re.compile(rb'(?:[^"NI]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)


class _ConstantFound(Exception):
    """The text contains NaN or an infinity."""


def _refuse(constant: str) -> NoReturn:
    raise _ConstantFound(constant)


# Only the place of an error is wanted, so numbers stay as they are: reading them could fail by itself.
_READER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def syntax_fault(text: bytes, otherwise: str) -> Fault:
    """The fault of a text in UTF-8 that is not JSON; says `otherwise` where nothing better is known.

    RecursionError if it is nested too deeply.
    """
    # The reader is slow on hostile texts, and in a very long record nobody counts characters.
    if len(text) <= _EXPLAINED_BYTES_MAX:
        # Most are cut off within a string, which can be seen without reading them once more.
        if otherwise == _CUT_OFF and b"\\" not in text and text.count(b'"') % 2:
            place = len(text[: text.rfind(b'"')].decode(errors="replace")) + 1
            return _fault(f' at character {place}: {_UNCLOSED}, found `"`.')
        try:
            _READER.decode(text.decode())
        except json.JSONDecodeError as error:
            return _explained(error)
        except _ConstantFound as error:
            found = _UP_TO_CONSTANT.match(text)
            place = len(text[: found.end() if found else 0].decode(errors="replace")) + 1
            return _fault(f" at character {place}: {error} is no JSON value, write null.")
    return _fault(f": {otherwise}.")


def _explained(error: json.JSONDecodeError) -> Fault:
    expected = next((text for start, text in _EXPECTED.items() if error.msg.startswith(start)), error.msg)
    found = error.doc[error.pos : error.pos + 1]
    shown = f"`{found}`" if found.isprintable() else f"U+{ord(found):04X}"
    if not found:
        shown = "the end of the record"
    return _fault(f" at character {error.pos + 1}: {expected}, found {shown}.")


def _fault(problem: str) -> Fault:
    return Fault(ErrorCode.SYNTAX_ERROR, f"Not well-formed JSON{problem}")
