"""A rejected record, as it goes into the file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

Fields: TypeAlias = dict[str, msgspec.Raw]
"""A record's fields, each with the JSON text of its value."""
_read: Callable[[bytes], Fields] = msgspec.json.Decoder(Fields).decode


def read_fields(text: bytes) -> Fields | None:
    """The fields of a JSON object; None if the text is none."""
    try:
        return _read(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected record."""

    batch_id: str
    index: int
    line: int
    """0 where there is no file."""
    errors: str
    """What is wrong with it, for people, in one line."""
    text: bytes
    """The record as it was sent, on one line; empty if it could not be read."""
    fields: Fields | None
    """The same, read; None if it could not be."""
    raw: str = ""
    """What was kept of a record that could not be read."""
    import_id: int = 0
    """The import that has rejected it; 0 where nothing is said of it."""
