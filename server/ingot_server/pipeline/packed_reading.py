"""Reads a compressed file.

    bytes ──► appender     kept as they came, and committed at once
      │
      ▼
    unpacker ──► PlainReader ──► records ──► appender

The state of an unpacker cannot be stored. So what came is kept in the database until the batch is finished, and
whoever goes on with it unpacks it again from the beginning, passing over the plain bytes whose records are committed.
That costs time, once for each stream, and little memory: the file comes from the database part by part.

After a fault of the file as a whole the rest is neither kept nor looked at; its bytes are counted. Of a file that the
server fetches no more is fetched then.
"""

import asyncio
from collections import deque
from typing import Any

from ingot_server.domain.errors import UploadConflict
from ingot_server.domain.formats import DataFormat
from ingot_server.domain.records import Decoded, Fault
from ingot_server.pipeline.appending import Appender
from ingot_server.pipeline.decoding import Unpacker, decoder
from ingot_server.pipeline.reading import DECODE_BYTES, PlainReader, Take
from ingot_server.storage import compressed_parts
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.database import Database


class FileDamaged(Exception):
    """A file that the server fetches cannot be unpacked any further. What came before is read."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class PackedReader:
    """Reads a file that is compressed; takes over from whoever read it before."""

    keeps_all = True
    waiting_bytes = 0

    def __init__(
        self, database: Database, batch: OpenBatch, format: DataFormat, appender: Appender, take: Take
    ) -> None:
        state = batch.decoder_state or {}
        self._database = database
        self._batch_seq = batch.batch_seq
        self._is_fetched = batch.source is not None
        self._appender = appender
        self._take = take
        self._plain_bytes: int = state.get("plain_bytes", 0)
        self._lost: bool = state.get("lost", False)
        self._repeated_bytes = self._plain_bytes
        self._stored_offset = batch.committed_offset
        self._restored_offset = 0
        self._arrived: deque[bytes] = deque()
        self._fresh_bytes = 0
        self._unpacker = Unpacker(format.compression, trusted_bytes=self._plain_bytes)
        self._plain = PlainReader(decoder(format, state.get("decoder")), self._take_decoded)

    async def add(self, content: bytes) -> None:
        self._appender.add_packed(content, keep=not self._lost)
        if self._lost:
            return
        self._arrived.append(content)
        self._fresh_bytes += len(content)
        if self._fresh_bytes >= DECODE_BYTES:
            await self._unpack()

    async def catch_up(self) -> None:
        if self._fresh_bytes:
            await self._unpack()

    async def finish(self) -> None:
        if not self._lost:
            await self._unpack()
        if self._lost:
            return
        self._unpacker.end()
        if self._unpacker.fault is not None:
            await self._lose(self._unpacker.fault)
        else:
            await self._plain.finish()

    async def _unpack(self) -> None:
        self._fresh_bytes = 0
        unpacker = self._unpacker
        while unpacker.fault is None and (not unpacker.needs_input or await self._feed()):
            plain = unpacker.read(DECODE_BYTES)
            repeated = min(self._repeated_bytes, len(plain))
            self._repeated_bytes -= repeated
            await self._plain.add(plain[repeated:])
            await asyncio.sleep(0)
        if unpacker.fault is not None:
            await self._lose(unpacker.fault)
        else:
            await self._plain.catch_up()

    async def _feed(self) -> bool:
        """Gives the unpacker the next part, of what is stored and then of what has arrived; False if there is none."""
        if self._restored_offset < self._stored_offset:
            stored = await compressed_parts.compressed_part_get(self._database, self._batch_seq, self._restored_offset)
            if stored is None:
                # Another stream has finished the batch meanwhile, or the import is gone.
                raise UploadConflict
            self._restored_offset += len(stored)
            self._unpacker.feed(stored)
        elif self._arrived:
            self._unpacker.feed(self._arrived.popleft())
        else:
            return False
        return True

    async def _lose(self, fault: Fault) -> None:
        await self._plain.catch_up()
        if self._is_fetched:
            raise FileDamaged(fault.message)
        self._lost = True
        self._arrived.clear()
        await self._plain.lose(fault)

    async def _take_decoded(self, decoded: Decoded, content: bytes | memoryview, decoder_state: dict[str, Any]) -> None:
        self._plain_bytes += len(content)
        state = {"plain_bytes": self._plain_bytes, "lost": self._lost, "decoder": decoder_state}
        await self._take(decoded, b"", state)
