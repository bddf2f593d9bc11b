"""Counts the errors that were listed, to tell when the server has kept fewer than there were."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from ingot_client._cli.printing import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingot_client import ErrorGroup

BLOCK_BYTES: Final = 1024 * 1024


class CountedErrors:
    """A file of errors on its way: counts them, and passes it on to `target` if there is one."""

    def __init__(self, target: IO[bytes] | None = None, *, csv: bool) -> None:
        self._target = target
        self._csv = csv
        self._in_quotes = False
        self._lines = 0

    @property
    def count(self) -> int:
        """How many errors have passed."""
        return max(0, self._lines - self._csv)

    def write(self, data: bytes) -> int:
        if self._csv:
            # A line end within a quoted cell belongs to the cell. A quote in it is written twice and changes nothing.
            for part in data.split(b'"'):
                self._lines += 0 if self._in_quotes else part.count(b"\n")
                self._in_quotes = not self._in_quotes
            # There is one part more than there are quotes.
            self._in_quotes = not self._in_quotes
        else:
            self._lines += data.count(b"\n")
        return len(data) if self._target is None else self._target.write(data)


def count_in_file(path: Path, *, csv: bool) -> int | None:
    """How many errors the file holds; None if it is a pipe or a device, which cannot be read again."""
    if not path.is_file():
        return None
    counted = CountedErrors(csv=csv)
    with path.open("rb") as file:
        while data := file.read(BLOCK_BYTES):
            counted.write(data)
    return counted.count


def tell_missing(groups: Iterable[ErrorGroup], shown: int | None) -> None:
    """Says if there were more errors than were shown. `groups` are theirs, as they were before they were listed."""
    # Of more than 100 groups the server tells the largest: then this is the least that there were.
    known = sum(group.count for group in groups)
    if shown is not None and shown < known:
        say(f"showing {shown:,} of {known:,} errors: the server keeps no more (INGOT_ERRORS_LIMIT)")
