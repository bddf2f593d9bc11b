"""What comes of reading a value: the value, the value with a doubt, or a refusal."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

Reader = Callable[[object], object]
"""Gives a JSON value as what its field is, or a Doubtful; raises Unreadable and nothing else."""

PADDED_CHARACTERS_MAX = 4_096
"""A longer text is refused as it is: to look for the end of two million blanks takes a while."""

_SHOWN_CHARACTERS_MAX = 100
_SHOWN_INTEGER_END = 10**_SHOWN_CHARACTERS_MAX


class Unreadable(ValueError):
    """The value cannot be read as one of its type."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A value that is accepted, but looks wrong."""

    value: object
    message: str


def unreadable(expected: str, value: object) -> Unreadable:
    """The error for `value`, which is not what was `expected`."""
    return Unreadable(f"expected {expected}, got {shown(value)}")


def shown(value: object) -> str:
    """A JSON value as it stands in a message, in little time however large it is."""
    if isinstance(value, str):
        if len(value) <= _SHOWN_CHARACTERS_MAX:
            return _cut(repr(value))
        return _cut(repr(value[:_SHOWN_CHARACTERS_MAX])[:-1] + "...")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python does not write integers of more than 4,300 digits.
        return str(value) if abs(value) < _SHOWN_INTEGER_END else f"an integer of over {_SHOWN_CHARACTERS_MAX} digits"
    if isinstance(value, Decimal):
        return _cut(str(value))
    return "an array" if isinstance(value, list) else "an object"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "..."
