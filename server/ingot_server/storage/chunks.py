"""Chunks: the durable log of what was received, and the ledger of what was done with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ingot_server.storage import compressed_parts
from ingot_server.storage.database import Database, rows_touched
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("chunks.sql")


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A piece of an upload, ready to be made durable."""

    start_offset: int
    end_offset: int
    content_crc32: int
    """Of the piece as it was sent."""
    record_count: int
    runs: list[int]
    payload: bytes
    keys: bytes | None


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A piece of an upload, to be processed."""

    chunk_index: int
    record_count: int
    runs: list[int]
    payload: bytes
    keys: bytes | None


@dataclass(frozen=True, slots=True)
class SentContent:
    """Where a piece of an upload lies, and the CRC-32 of what was sent."""

    start_offset: int
    end_offset: int
    crc32: int


async def chunk_next(database: Database, batch_seq: int, from_index: int) -> StoredChunk | None:
    """The first chunk from `from_index` on that is not done; None if there is none."""
    row = await database.fetchrow(sql.chunk_next, batch_seq, from_index)
    return StoredChunk(**row) if row else None


async def chunk_any(database: Database, batch_seq: int, from_index: int) -> StoredChunk | None:
    """The first chunk from `from_index` on, done or not; None if there is none."""
    row = await database.fetchrow(sql.chunk_any, batch_seq, from_index)
    return StoredChunk(**row) if row else None


async def chunk_settle(connection: "Connection", batch_seq: int, chunk_index: int, rejected: Sequence[int]) -> bool:
    """Marks the chunk as done, and which of its records, by position, are rejected; False if it was done before."""
    return rows_touched(await connection.execute(sql.chunk_settle, batch_seq, chunk_index, rejected)) == 1


async def chunk_set_rejected(
    connection: "Connection", batch_seq: int, chunk_index: int, rejected: Sequence[int]
) -> None:
    """Says anew which of a chunk's records, by position, are rejected."""
    await connection.execute(sql.chunk_set_rejected, batch_seq, chunk_index, rejected)


@dataclass(frozen=True, slots=True)
class RejectedCount:
    """How many records of a batch were rejected in processing."""

    batch_seq: int
    batch_id: str
    records: int


async def chunk_count_rejected(connection: "Connection", import_id: int) -> list[RejectedCount]:
    """The batches of an import of which records were rejected in processing, as far as these are still kept."""
    return [RejectedCount(**row) for row in await connection.fetch(sql.chunk_count_rejected, import_id)]


@dataclass(frozen=True, slots=True)
class RejectedChunk:
    """A piece of an upload of which some records were rejected in processing."""

    batch_seq: int
    chunk_index: int
    runs: list[int]
    payload: bytes
    rejected: list[int]
    """The positions of these records."""


async def chunk_next_rejected(
    database: Database, import_id: int, after: tuple[int, int] = (0, -1)
) -> RejectedChunk | None:
    """The chunk with rejected records that follows one, given by batch and index; None if there is none."""
    row = await database.fetchrow(sql.chunk_next_rejected, import_id, *after)
    return RejectedChunk(**row) if row else None


async def chunk_contents(database: Database, batch_seq: int, from_offset: int) -> list[SentContent]:
    """What was sent at and after `from_offset`, piece by piece, as far as it is still kept."""
    rows = await database.fetch(sql.chunk_contents, batch_seq, from_offset)
    return [SentContent(*row) for row in rows]


async def chunk_delete_of_import(connection: "Connection", import_id: int) -> None:
    """Deletes the chunks of an import, and what was kept of unfinished ones."""
    await compressed_parts.compressed_part_delete_of_import(connection, import_id)
    await connection.execute(sql.chunk_delete_of_import, import_id)


async def chunk_delete_expired(database: Database, retention: timedelta) -> bool:
    """Deletes the chunks of one import that ended longer than `retention` ago; False if there is none."""
    async with database.transaction() as connection:
        import_id = await connection.fetchval(sql.chunk_import_expired, retention)
        if import_id is None:
            return False
        await chunk_delete_of_import(connection, import_id)
        await connection.execute(sql.chunk_note_deleted, import_id)
        return True
