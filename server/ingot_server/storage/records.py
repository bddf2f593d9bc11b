"""Records: the rows of the account's tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import asyncpg

from ingot_server.domain.progress import Counts
from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("records.sql")

KeyedRecord = tuple[str, str]
"""A record's key and its JSON text."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the table holds it."""

    key: str
    data: str
    """JSON text."""
    create_time: datetime
    update_time: datetime
    writer: int
    """The import that last changed it, or minus the number of a WriteRecords call."""


async def record_apply(connection: "Connection", table_id: int, writer: int, records: Sequence[KeyedRecord]) -> Counts:
    """Writes records in their order, and says what became of them. Within the caller's transaction."""
    if not records:
        return Counts()
    first, repeated = _split_repeated(records)
    await connection.execute(sql.record_stage)
    await connection.copy_records_to_table("incoming", records=first, columns=["key", "data"])
    row = await connection.fetchrow(sql.record_apply, table_id, writer)
    assert row is not None  # noqa: S101 an aggregate always has one row
    created, updated, superseded = row
    if repeated:
        keys, data = zip(*repeated, strict=True)
        row = await connection.fetchrow(sql.record_apply_repeated, table_id, writer, keys, data)
        assert row is not None  # noqa: S101 an aggregate always has one row
        updated += row["updated"]
        superseded += row["superseded"]
    return Counts(
        received=len(records),
        created=created,
        updated=updated,
        unchanged=len(records) - created - updated - superseded,
        superseded=superseded,
    )


def _split_repeated(records: Sequence[KeyedRecord]) -> tuple[Sequence[KeyedRecord], list[KeyedRecord]]:
    """The first record of each key, and all others, both in order."""
    if len({key for key, _ in records}) == len(records):
        return records, []
    seen: set[str] = set()
    first: list[KeyedRecord] = []
    repeated: list[KeyedRecord] = []
    for record in records:
        if record[0] in seen:
            repeated.append(record)
        else:
            seen.add(record[0])
            first.append(record)
    return first, repeated


async def record_next_write_call(connection: "Connection") -> int:
    """A number that no other WriteRecords call has."""
    return int(await connection.fetchval(sql.record_next_write_call))


async def record_get(database: Database, table_id: int, key: str) -> StoredRecord | None:
    """One record; None if there is none with this key."""
    row = await database.fetchrow(sql.record_get, table_id, key)
    return _record(row) if row else None


async def record_list(
    database: Database, table_id: int, after: str | None, limit: int, bytes_max: int
) -> tuple[list[StoredRecord], bool]:
    """The records whose keys follow `after`, by key, and whether there are more.

    At most `limit`, and no more than fit into `bytes_max` bytes of JSON text; but one in any case.
    """
    rows = await database.fetch(sql.record_list, table_id, after, limit, bytes_max)
    return [StoredRecord(*tuple(row)[:-1]) for row in rows], bool(rows and rows[-1]["followed"])


async def record_delete(database: Database, table_id: int, keys: Sequence[str]) -> int:
    """Deletes the records with these keys; how many there were."""
    return await database.execute(sql.record_delete, table_id, keys)


def _record(row: asyncpg.Record) -> StoredRecord:
    return StoredRecord(*row)
