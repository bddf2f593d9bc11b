"""Cuts records and files into pieces that make well-sized messages."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ingot.v1.batch_service_pb2 import UploadBatchRequest
from ingot.v1.import_service_pb2 import RunImportRequest
from ingot_client._encoding import encode_record

# A message of the API is at most 8 MiB, and 256 KiB to 1 MiB is best.
PIECE_BYTES: Final = 512 * 1024
PIECE_RECORDS: Final = 1_000
# A slow source is not held back until a piece is full.
PIECE_SECONDS: Final = 0.5
# The server refuses records above 2 MiB, as rejected records and not as errors of the call. One that would not even
# fit into a message gets the same fate if it is cut to a size that does: half an object is never taken for a whole.
RECORD_BYTES: Final = 4 * 1024 * 1024
# What a record costs in memory beyond its text; in a message it is less.
OVERHEAD_BYTES: Final = 48


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records, or some bytes of a file; offsets count the one or the other."""

    offset: int
    content: list[bytes] | bytes

    @property
    def end(self) -> int:
        """The offset behind the piece."""
        return self.offset + len(self.content)

    @property
    def size_bytes(self) -> int:
        """About how large the piece is in memory."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return sum(map(len, self.content)) + OVERHEAD_BYTES * len(self.content)

    def since(self, offset: int) -> "Piece":
        """What of the piece lies at or after the offset."""
        return self if offset <= self.offset else Piece(offset, self.content[offset - self.offset :])

    def put_into(self, request: UploadBatchRequest | RunImportRequest) -> None:
        """Makes a message carry the piece."""
        request.offset = self.offset
        if isinstance(self.content, bytes):
            request.data = self.content
            return
        add = request.records.add
        for text in self.content:
            # Seven times as fast as a list of Records, which are copied when they go into a message.
            add().json = text


class RecordCutter:
    """Gathers records until they make a piece: 1,000 of them or 512 KiB, and a single record if it is larger."""

    def __init__(self) -> None:
        self._offset = 0
        self._texts: list[bytes] = []
        self._size_bytes = 0
        self._since = 0.0

    def add(self, record: Any) -> Piece | None:
        """Takes one more record; returns a piece if one became full."""
        text = encode_record(record, self._offset + len(self._texts))[:RECORD_BYTES]
        full: Piece | None = None
        if self._texts and (
            self._size_bytes + len(text) + OVERHEAD_BYTES > PIECE_BYTES
            or len(self._texts) == PIECE_RECORDS
            or time.monotonic() - self._since > PIECE_SECONDS
        ):
            full = self.rest()
        if not self._texts:
            self._since = time.monotonic()
        self._texts.append(text)
        self._size_bytes += len(text) + OVERHEAD_BYTES
        return full

    def rest(self) -> Piece | None:
        """What has been gathered and not been returned; None if that is nothing."""
        if not self._texts:
            return None
        piece = Piece(self._offset, self._texts)
        self._offset, self._texts, self._size_bytes = piece.end, [], 0
        return piece


def cut_records(records: Iterable[Any]) -> Iterator[Piece]:
    """The records in pieces."""
    cutter = RecordCutter()
    for record in records:
        if (piece := cutter.add(record)) is not None:
            yield piece
    if (piece := cutter.rest()) is not None:
        yield piece


async def cut_async_records(records: AsyncIterable[Any]) -> AsyncIterator[Piece]:
    """The same for an asynchronous source."""
    cutter = RecordCutter()
    async for record in records:
        if (piece := cutter.add(record)) is not None:
            yield piece
    if (piece := cutter.rest()) is not None:
        yield piece
