"""Appends what was received to a batch: collects a chunk, and commits it with its errors and the new offset."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ingot_server.domain.errors import BatchFinished, IngotError, UploadConflict
from ingot_server.domain.formats import Compression
from ingot_server.domain.records import Decoded, ErrorStage, Reject
from ingot_server.pipeline.allowances import Allowance
from ingot_server.pipeline.packing import Packed, pack
from ingot_server.pipeline.replaying import Content, content_crc32
from ingot_server.pipeline.threads import LITTLE_BYTES, computed
from ingot_server.storage import batches, chunks, compressed_parts, errors, imports
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.chunks import NewChunk
from ingot_server.storage.database import Database

RECEIVED_FIRST = timedelta(seconds=2)
"""For so long a batch that comes at full speed is received only: its sender waits for that, and nobody for its first
records alone."""


@dataclass(slots=True)
class _Pending:
    """What is received and not yet committed."""

    pieces: list[Decoded] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)
    """The parts of a compressed file that are to be kept."""
    accepted: int = 0
    received: int = 0
    rejects: list[Reject] = field(default_factory=list)
    bytes: int = 0
    text_bytes: int = 0
    """Those of the records alone."""
    crc32: int = 0
    length: int = 0
    """In the batch's unit."""
    rest: timedelta = timedelta()
    """For how long the batch is not to be processed, if this is its first chunk."""


class Appender:
    """The end of one batch, for one stream."""

    def __init__(
        self,
        database: Database,
        batch: OpenBatch,
        allowance: Allowance,
        errors_limit: int,
        on_commit: Callable[[], None],
    ) -> None:
        self._database = database
        self._batch = batch
        self._allowance = allowance
        self._errors_limit = errors_limit
        self._on_commit = on_commit
        self._packed = batch.format is not None and batch.format.compression is not Compression.NONE
        self._pending = _Pending()
        # One chunk is packed while the one before it is committed: each takes about as long.
        self._packing = asyncio.Lock()
        self._committing = asyncio.Lock()
        self._broken: IngotError | None = None
        self._decoder_state = batch.decoder_state
        self.end_offset = batch.committed_offset
        """The offset after all that was added, committed or not."""
        self.next_index = batch.received
        """The index of the next record."""

    @property
    def pending_bytes(self) -> int:
        """The size of the records, and of the parts of a compressed file, that are not yet committed."""
        return self._pending.bytes

    @property
    def pending_records(self) -> int:
        """How many records are not yet committed."""
        return self._pending.received

    def add(self, decoded: Decoded, content: Content | memoryview, decoder_state: dict[str, Any] | None = None) -> None:
        """Adds checked records and the part of the upload they came in."""
        pending = self._pending
        pending.pieces.append(decoded)
        pending.accepted += len(decoded.texts)
        pending.received += decoded.received
        pending.rejects += decoded.rejects
        text_bytes = sum(map(len, decoded.texts))
        # All texts as one take less room than each by itself.
        decoded.block, decoded.texts = decoded.joined(), []
        pending.bytes += text_bytes
        pending.text_bytes += text_bytes
        pending.crc32 = content_crc32(content, pending.crc32)
        pending.length += len(content)
        self.end_offset += len(content)
        self.next_index += decoded.received
        self._decoder_state = decoder_state

    def add_packed(self, content: bytes, *, keep: bool) -> None:
        """Adds a part of a compressed file, before it is known what it holds. It is stored if `keep`."""
        pending = self._pending
        if keep:
            pending.packed.append(content)
            pending.bytes += len(content)
        pending.crc32 = content_crc32(content, pending.crc32)
        pending.length += len(content)
        self.end_offset += len(content)

    async def commit(self, *, finish: bool = False, more_follows: bool = False) -> None:
        """Makes durable what was added; with `finish`, ends the batch in the same transaction.

        `more_follows` says that there is more to receive already.

        Raises UploadConflict if another stream appended meanwhile, BatchFinished or ImportStateRefused if the batch
        takes nothing more, ImportTooLarge or QueueFull if the account may not send so much.
        """
        pending, self._pending = self._pending, _Pending()
        decoder_state = self._decoder_state
        if more_follows:
            pending.rest = RECEIVED_FIRST
        try:
            async with self._packing:
                # Packing takes milliseconds and frees the interpreter for most of them.
                packed = await computed(pending.bytes <= LITTLE_BYTES, pack, pending.pieces)
                pending.pieces.clear()
                await self._committing.acquire()
            try:
                if self._broken:
                    raise self._broken
                if not (pending.length or pending.received or finish):
                    return
                await self._commit_packed(packed, pending, decoder_state, finish=finish)
            finally:
                self._committing.release()
        except BaseException as error:
            # What comes after a piece that was lost must not be appended in its place.
            lost = UploadConflict("An earlier part of this upload was lost: go on from the committed offset.")
            self._broken = error if isinstance(error, IngotError) else lost
            raise
        self._on_commit()

    async def _commit_packed(
        self, packed: Packed, pending: _Pending, decoder_state: dict[str, Any] | None, *, finish: bool
    ) -> None:
        batch = self._batch
        await self._allowance.expect_room(self._database, batch, pending.received, pending.text_bytes)
        start, end = batch.committed_offset, batch.committed_offset + pending.length
        chunk = NewChunk(start, end, pending.crc32, pending.accepted, packed.runs, packed.payload, packed.keys)
        await self._database.retrying(lambda: self._commit_once(chunk, pending, decoder_state, finish=finish))
        batch.committed_offset = end
        batch.received += pending.received
        batch.finished = finish

    async def _commit_once(
        self, chunk: NewChunk, pending: _Pending, decoder_state: dict[str, Any] | None, *, finish: bool
    ) -> None:
        batch, rejects = self._batch, pending.rejects
        # One statement is a transaction of its own, and saves two round trips.
        is_one_statement = not rejects and not self._packed
        async with self._database.connection() if is_one_statement else self._database.transaction() as connection:
            listed = None
            if not self._packed or await compressed_parts.compressed_part_lock_batch(
                connection, batch.batch_seq, batch.received
            ):
                listed = await batches.batch_append(
                    connection,
                    batch,
                    chunk.end_offset,
                    decoder_state,
                    chunk=chunk if pending.length or pending.accepted else None,
                    accepted=pending.accepted,
                    rejected=pending.received - pending.accepted,
                    error_count=sum(len(reject.faults) for reject in rejects),
                    errors_limit=self._errors_limit,
                    received_bytes=pending.text_bytes,
                    finish=finish,
                    rest=pending.rest,
                )
            if listed is not None:
                if pending.packed and not finish:
                    await compressed_parts.compressed_part_insert(
                        connection, batch.batch_seq, chunk.start_offset, b"".join(pending.packed)
                    )
                # A file that the server has fetched is read as part of its processing; an empty one was not fetched.
                is_read_late = batch.source is not None and batch.source.uri and pending.received
                stage = ErrorStage.READING if is_read_late else ErrorStage.UPLOAD
                await errors.error_add(connection, batch.import_id, batch.batch_seq, stage, rejects, listed)
                if finish and self._packed:
                    await compressed_parts.compressed_part_delete(connection, batch.batch_seq)
                return
        await self._explain_refusal(chunk, batch.received + pending.received, finish=finish)

    async def _explain_refusal(self, chunk: NewChunk, received: int, *, finish: bool) -> None:
        """Why the batch is not as we knew it. Returns if it is because our own commit had taken effect."""
        batch = self._batch
        found = await batches.batch_find(self._database, batch.account_id, batch.import_id, batch.batch_id)
        if found is None:
            raise imports.import_not_found(batch.import_id)
        if (found.committed_offset, found.received, found.finished) == (chunk.end_offset, received, finish):
            sent = await chunks.chunk_contents(self._database, batch.batch_seq, chunk.start_offset)
            ours = chunks.SentContent(chunk.start_offset, chunk.end_offset, chunk.content_crc32)
            if sent == [ours] or chunk.start_offset == chunk.end_offset:
                return
        raise self._refusal(found)

    def _refusal(self, found: OpenBatch) -> IngotError:
        self._batch.committed_offset = found.committed_offset
        if found.closed:
            return imports.import_closed(found.import_id, found.state_message, given_up=found.given_up)
        if found.finished:
            return BatchFinished()
        return UploadConflict()
