"""Chunks: the durable log of what was received, and the ledger of what was done with it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

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


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A piece of an upload, to be processed."""

    chunk_index: int
    record_count: int
    runs: list[int]
    payload: bytes


@dataclass(frozen=True, slots=True)
class SentContent:
    """Where a piece of an upload lies, and the CRC-32 of what was sent."""

    start_offset: int
    end_offset: int
    crc32: int


async def chunk_insert(connection: "Connection", batch_seq: int, chunk_index: int, chunk: NewChunk) -> None:
    """Makes a chunk durable with the caller's transaction."""
    await connection.execute(
        sql.chunk_insert,
        batch_seq,
        chunk_index,
        chunk.start_offset,
        chunk.end_offset,
        chunk.content_crc32,
        chunk.record_count,
        chunk.runs,
        chunk.payload,
    )


async def chunk_next(database: Database, batch_seq: int, from_index: int) -> StoredChunk | None:
    """The first chunk from `from_index` on that is not done; None if there is none."""
    row = await database.fetchrow(sql.chunk_next, batch_seq, from_index)
    return StoredChunk(**row) if row else None


async def chunk_settle(connection: "Connection", batch_seq: int, chunk_index: int) -> bool:
    """Marks the chunk as done; False if it was done before."""
    return rows_touched(await connection.execute(sql.chunk_settle, batch_seq, chunk_index)) == 1


async def chunk_contents(database: Database, batch_seq: int, from_offset: int) -> list[SentContent]:
    """What was sent at and after `from_offset`, piece by piece, as far as it is still kept."""
    rows = await database.fetch(sql.chunk_contents, batch_seq, from_offset)
    return [SentContent(*row) for row in rows]


async def chunk_delete_of_import(connection: "Connection", import_id: int) -> None:
    """Deletes the chunks of an import."""
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
