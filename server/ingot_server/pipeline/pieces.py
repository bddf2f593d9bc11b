"""Pieces: the messages of an upload, and the parts in which they are looked at."""

from collections.abc import Iterator
from dataclasses import dataclass

CHECK_RECORDS = 2_000
CHECK_BYTES = 256 * 1024
"""How much is checked at a time, so that the event loop is never held for long."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One message of an upload."""

    records: list[bytes]
    data: bytes
    offset: int | None
    """Where the content begins; None: where the previous message ended."""
    finish_total: int | None
    """Set by the last message: how much the whole batch holds."""


def parts_of(records: list[bytes]) -> Iterator[list[bytes]]:
    """`records` in parts of at most CHECK_RECORDS and about CHECK_BYTES."""
    start = size = 0
    for position, record in enumerate(records):
        size += len(record)
        if size >= CHECK_BYTES or position - start + 1 == CHECK_RECORDS:
            yield records[start : position + 1]
            start, size = position + 1, 0
    if start < len(records):
        yield records[start:]
