"""What the server uploads to itself: a file that is read as it comes, a workbook or a Parquet file, which is copied
first, or the records that another import has rejected.

Each goes on where the batch stands. What a source gives again, because it cannot begin there, is compared and dropped
like what any sender repeats.
"""

import asyncio
import errno
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote

from ingot_server.domain.batches import Source
from ingot_server.domain.errors import ContentDiffers
from ingot_server.domain.formats import Compression, DataFormat, FileType
from ingot_server.pipeline.fetching import Fetched, Fetcher
from ingot_server.pipeline.local_copies import local_copy
from ingot_server.pipeline.packing import unpack_texts
from ingot_server.pipeline.pieces import CHECK_BYTES, CHECK_RECORDS, Piece
from ingot_server.storage import chunks, references
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.database import Database
from ingot_server.storage.references import FetchLease
from ingot_tabular import read_records, record_count

_SUFFIXES = {FileType.EXCEL: ".xlsx", FileType.PARQUET: ".parquet"}
_CODINGS = {"gzip": Compression.GZIP, "x-gzip": Compression.GZIP, "zstd": Compression.ZSTD}
# How the bytes went over the line when they were stored: some services repeat it.
_NO_CODINGS = ("", "identity", "aws-chunked")
_SHOWABLE = re.compile(r"[a-z0-9-]{1,20}")


class Unfetchable(Exception):
    """The batch cannot be fetched."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unfit(Unfetchable):
    """The file is there, but is none that can be read here."""


class RecordsGone(Unfetchable):
    """The rejected records of another import are no longer there; `message` says all."""

    def __init__(self) -> None:
        super().__init__(
            "The rejected records are no longer kept, because their import was deleted or is too old: send them again,"
            " in another import."
        )


class Sources:
    """The sources of one process."""

    def __init__(self, database: Database, fetcher: Fetcher, copy_bytes_max: int) -> None:
        self._database = database
        self._fetcher = fetcher
        self._copy_bytes_max = copy_bytes_max

    @asynccontextmanager
    async def open(self, lease: FetchLease, batch: OpenBatch, source: Source) -> AsyncIterator[AsyncIterator[Piece]]:
        """The pieces of a batch, from where it stands on. The batch learns what the source says of its whole.

        Raises Unfetchable, ContentDiffers, and what `fetching` and `ingot_tabular` raise; so do the pieces.
        """
        if source.retry_of:
            async with aclosing(self._rejected(source, batch.committed_offset)) as pieces:
                yield pieces
            return
        format = batch.format or DataFormat()
        offset = 0 if format.type.tabular else batch.committed_offset
        async with self._fetcher.open(source.whole_uri, offset=offset, version=source.version) as file:
            if file.version != source.version:
                await references.reference_set_version(self._database, lease, file.version)
            batch.format = _packed_as(format, file.content_encoding)
            if batch.committed_offset and batch.format != format:
                raise ContentDiffers
            if not format.type.tabular:
                batch.expected_total = file.size
                async with aclosing(_bytes_of(file)) as pieces:
                    yield pieces
                return
            with local_copy(PurePosixPath(unquote(source.uri)).name, _SUFFIXES[format.type]) as copy:
                await self._fill(copy, file)
                async with aclosing(_records_of(Path(copy.name), batch, trusted=bool(source.version))) as pieces:
                    yield pieces

    async def _fill(self, copy: BinaryIO, file: Fetched) -> None:
        self._expect_room(file.size or 0)
        try:
            copied_bytes = 0
            async for data in file:
                copied_bytes += len(data)
                self._expect_room(copied_bytes)
                await asyncio.to_thread(copy.write, data)
            await asyncio.to_thread(copy.flush)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unfetchable(
                    "the server has not enough room on its disk for a copy of the file: its operator must make some"
                ) from error
            raise

    def _expect_room(self, size: int) -> None:
        if size > self._copy_bytes_max:
            raise Unfit(
                f"it has more than {self._copy_bytes_max:,} bytes, the most for a file that has to be copied"
                " before it is read: split it, or save it as CSV or NDJSON"
            )

    async def _rejected(self, source: Source, committed: int) -> AsyncGenerator[Piece, None]:
        """The records of a batch that another import has rejected in processing."""
        position, after = 0, (source.retry_batch_seq, -1)
        while True:
            chunk = await chunks.chunk_next_rejected(self._database, source.retry_of, after)
            if chunk is None or chunk.batch_seq != source.retry_batch_seq:
                break
            after = (chunk.batch_seq, chunk.chunk_index)
            if position + len(chunk.rejected) > committed:
                texts = await asyncio.to_thread(unpack_texts, chunk.payload)
                yield Piece([texts[place] for place in chunk.rejected], b"", position, None)
            position += len(chunk.rejected)
        if position != source.records:
            raise RecordsGone
        yield Piece([], b"", position, position)


async def _bytes_of(file: Fetched) -> AsyncGenerator[Piece, None]:
    position = file.offset
    async for data in file:
        yield Piece([], data, position, None)
        position += len(data)
    yield Piece([], b"", position, position)


async def _records_of(path: Path, batch: OpenBatch, *, trusted: bool) -> AsyncGenerator[Piece, None]:
    """The records of a file; `trusted`: those that the batch has are known to be the same, and are passed over."""
    position = batch.committed_offset if trusted else 0
    sheet = batch.format.sheet if batch.format else ""
    batch.expected_total = await asyncio.to_thread(record_count, path, sheet=sheet)
    records = await asyncio.to_thread(read_records, path, sheet=sheet, first=position)
    while some := await asyncio.to_thread(_some_of, records):
        yield Piece(some, b"", position, None)
        position += len(some)
    yield Piece([], b"", position, position)


def _some_of(records: Iterator[bytes]) -> list[bytes]:
    some: list[bytes] = []
    size = 0
    while len(some) < CHECK_RECORDS and size < CHECK_BYTES and (record := next(records, None)) is not None:
        some.append(record)
        size += len(record)
    return some


def _packed_as(format: DataFormat, content_encoding: str) -> DataFormat:
    """The format of a file whose source says that it is packed. If its name says the same, it is packed once."""
    codings = [coding.strip() for coding in content_encoding.split(",") if coding.strip() not in _NO_CODINGS]
    if not codings:
        return format
    compression = _CODINGS.get(codings[0]) if len(codings) == 1 else None
    if compression is None or format.type.tabular or format.compression not in (Compression.NONE, compression):
        shown = ", ".join(coding if _SHOWABLE.fullmatch(coding) else "?" for coding in codings)
        raise Unfit(
            f"the source sends it packed (Content-Encoding: {shown}), which is not one of the ways that are known"
        )
    return replace(format, compression=compression)
