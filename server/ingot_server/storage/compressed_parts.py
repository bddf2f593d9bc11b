"""Compressed parts: the bytes of a compressed upload as they came, until it is finished."""

from typing import TYPE_CHECKING

from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("compressed_parts.sql")


async def compressed_part_insert(connection: "Connection", batch_seq: int, start_offset: int, content: bytes) -> None:
    """Makes a part durable with the caller's transaction."""
    await connection.execute(sql.compressed_part_insert, batch_seq, start_offset, content)


async def compressed_part_get(database: Database, batch_seq: int, start_offset: int) -> bytes | None:
    """The part that begins at `start_offset`; None if it is not there, or no longer."""
    row = await database.fetchrow(sql.compressed_part_get, batch_seq, start_offset)
    return row["content"] if row else None


async def compressed_part_lock_batch(connection: "Connection", batch_seq: int, received: int) -> bool:
    """Whether the batch has received this many records; it receives no others before the transaction ends."""
    return await connection.fetchrow(sql.compressed_part_lock_batch, batch_seq, received) is not None


async def compressed_part_delete(connection: "Connection", batch_seq: int) -> None:
    """Deletes the parts of a batch."""
    await connection.execute(sql.compressed_part_delete, batch_seq)


async def compressed_part_delete_of_import(connection: "Connection", import_id: int) -> None:
    """Deletes the parts of an import."""
    await connection.execute(sql.compressed_part_delete_of_import, import_id)
