"""Records: the rows of the account's tables."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import eq, ne
from typing import TYPE_CHECKING

import asyncpg

from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.domain.filters import Condition, Order, Own
from ingot_server.domain.progress import Counts
from ingot_server.storage.arrays import text_array
from ingot_server.storage.copying import copy_rows
from ingot_server.storage.database import Database, ended_if_silent, rows_touched
from ingot_server.storage.identifiers import identifier_copy, identifier_lines
from ingot_server.storage.keyed_records import COPIED, STAGED, KeyedRecords, bigints
from ingot_server.storage.looking_up import LOOK_UPS_MANY, looking_up_many
from ingot_server.storage.record_pages import After, Scope, page_query, page_rows
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

PAGE_SECONDS_MAX = 10
"""For a page of records that a filter finds, or in another order than by key."""

HELD_BYTES_MAX = 16 << 20
"""How much of what a table holds is folded at once. In Python it takes several times as much."""
HELD_KEYS_MIN = 10
"""So many records are held in any case."""

FEW_RECORDS = 200
"""Up to so many records a statement with all of them costs less than a place for them in the database."""

_EXCHANGES_FROM = (17,)
"""PostgreSQL before that may look at all records of a new table, and at all keys for each, until it is analysed."""

sql = Queries("records.sql")


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


async def record_apply(connection: "Connection", table_id: int, writer: int, records: KeyedRecords) -> Counts:
    """Writes records in their order, and says what became of them. Within the caller's transaction."""
    if not records:
        return Counts()
    first, repeated = records.split_repeated()
    if len(first) <= FEW_RECORDS:
        columns = (first.keys, first.decoded(), first.digests())
        row = await connection.fetchrow(sql.record_apply_few, table_id, writer, *columns)
    else:
        rows = await asyncio.to_thread(first.staged)
        await connection.execute(sql.record_stage)
        await copy_rows(connection, "incoming", STAGED, rows)
        row = await connection.fetchrow(sql.record_apply, table_id, writer)
    assert row is not None  # noqa: S101 an aggregate always has one row
    created, updated, superseded = row
    if repeated:
        row = await connection.fetchrow(sql.record_apply_repeated, table_id, writer, repeated.keys, repeated.decoded())
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


class _NotAllDiffer(Exception):
    """A record is not there yet, or just as it would be."""


async def record_exchange(connection: "Connection", table_id: int, writer: int, records: KeyedRecords) -> Counts | None:
    """Writes records with distinct keys of which all are there, and differ, in less time than `record_apply`.

    None if that is not so of one of them; then nothing was written. Within the caller's transaction.

    The rows are taken out and copied anew, because COPY writes many at once, and ON CONFLICT each by itself. Only where
    all are there: who takes some out first, and then adds others, may wait for somebody who waits for the first.
    """
    if connection.get_server_version() < _EXCHANGES_FROM:
        return None
    records = await asyncio.to_thread(records.in_order)
    keys, keys_expected = records.key_array(), ",".join(records.keys)
    try:
        async with connection.transaction():
            with ended_if_silent(connection):
                async with looking_up_many(connection, in_order=True):
                    row = await connection.fetchrow(sql.record_take_out, table_id, keys, writer)
                    assert row is not None  # noqa: S101 an aggregate always has one row
                    number, own, keys_taken, create_times, hashes = row
                    if number < len(records) or keys_taken != keys_expected:
                        raise _NotAllDiffer
                    rows = await asyncio.to_thread(records.copied, table_id, writer, create_times)
                    await copy_rows(connection, "record", [*COPIED, "create_time"], rows)
                    # Two texts may be of the same data. This is cheaper than to take the data of both for comparison.
                    hashes_now = await connection.fetchval(sql.record_hashes, table_id, keys)
                    if any(map(eq, bigints(hashes), bigints(hashes_now))):
                        raise _NotAllDiffer
    except _NotAllDiffer:
        return None
    return Counts(received=number, updated=number - own, superseded=own)


async def record_differing(connection: "Connection", table_id: int, records: KeyedRecords) -> KeyedRecords:
    """Those of records with distinct keys that are new, or for which the table does not hold just this text.

    Takes a third of the time in which `record_apply` finds them unchanged, and locks nothing: the others were in the
    table at some moment of the caller's transaction.
    """
    records, keys, digests = await asyncio.to_thread(_to_compare, records)
    row = await connection.fetchrow(sql.record_digests, table_id, keys, digests)
    if row is None:
        return KeyedRecords([], [])
    held = dict(zip(row["keys"], bigints(row["digests"]), strict=True))
    return records.selected(map(ne, map(held.get, records.keys), bigints(digests)))


def _to_compare(records: KeyedRecords) -> tuple[KeyedRecords, str, bytes]:
    """Records in the order of their keys, with these and their digests."""
    records = records.in_order()
    return records, records.key_array(), records.sent_digests()


@dataclass(frozen=True, slots=True)
class NewRecords:
    """Records as COPY takes them, with their identifiers."""

    number: int
    rows: bytes
    identifier_lines: bytes


def new_records(
    table_id: int,
    writer: int,
    records: KeyedRecords,
    identifiers: Sequence[str] = (),
    owners: Sequence[str] = (),
) -> NewRecords:
    """Records that are to be created, and identifiers, each beside the key of its record. Pure; takes milliseconds."""
    rows = records.copied(table_id, writer)
    return NewRecords(len(records), rows, identifier_lines(table_id, identifiers, owners))


async def record_create(connection: "Connection", new: NewRecords) -> Counts | None:
    """Writes records whose keys are all new, in half the time of `record_apply`, and their identifiers.

    None if a key or an identifier is not new, or comes twice; then nothing was written. Within the caller's
    transaction.
    """
    try:
        async with connection.transaction():
            with ended_if_silent(connection):
                await copy_rows(connection, "record", COPIED, new.rows)
                await identifier_copy(connection, new.identifier_lines)
    except asyncpg.UniqueViolationError:
        return None
    return Counts(received=new.number, created=new.number)


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A record that nobody else changes until our transaction ends."""

    data: str
    """JSON text."""
    own: bool
    """Whether the writer who asks has written it."""
    filled: frozenset[str]
    """The fields that this writer has filled."""


@dataclass(frozen=True, slots=True)
class PutRecord:
    """A record to be written, whatever the table holds."""

    key: str
    data: str
    """JSON text."""
    filled: Sequence[str] | None = None
    """The fields that the writer has filled, if it fills what is empty."""


class TooMuchHeld(Exception):
    """The records are too large to be held together: ask for fewer."""

    def __init__(self, parts: int) -> None:
        """In so many `parts` they should do."""
        super().__init__(parts)
        self.parts = parts


async def record_hold(
    connection: "Connection", table_id: int, writer: int, keys: Collection[str]
) -> dict[str, HeldRecord]:
    """The records with these keys, by key, held until the caller's transaction ends.

    Raises TooMuchHeld, but never for the keys that a single record may name.
    """
    bytes_max = HELD_BYTES_MAX if len(keys) > HELD_KEYS_MIN else 2**62
    held: dict[str, HeldRecord] = {}
    missing: Collection[str] = keys
    while missing:
        rows = await connection.fetch(sql.record_hold, table_id, writer, text_array(missing), bytes_max)
        if rows and rows[0]["data"] is None:
            raise TooMuchHeld(2 * int(rows[0]["bytes"]) // HELD_BYTES_MAX + 1)
        for key, data, own, filled, _ in rows:
            held[key] = HeldRecord(data, own, frozenset(filled or ()) if own else frozenset())
        # Those that somebody has exchanged while we waited for them are there again.
        missing = await record_keys_existing(connection, [table_id], [key for key in missing if key not in held])
    return held


async def record_put(
    connection: "Connection", table_id: int, writer: int, records: Sequence[PutRecord], expected_new: int
) -> None:
    """Writes records with distinct keys, of which the caller holds all that exist: so many are new.

    Raises DatabaseUnavailable if somebody else has made one meanwhile: to be tried again, in another transaction.
    """
    if not records:
        return
    await connection.execute(sql.record_stage)
    rows = [(record.key, record.data, record.filled) for record in records]
    await connection.copy_records_to_table("incoming", records=rows, columns=["key", "data", "filled"])
    if await connection.fetchval(sql.record_put, table_id, writer) != expected_new:
        raise DatabaseUnavailable("A record was made by somebody else at the same time: try again.")


async def record_unstage(connection: "Connection") -> None:
    """Makes room for further records in a transaction that has written some."""
    await connection.execute(sql.record_stage)
    await connection.execute(sql.record_unstage)


async def record_keys_numbered(connection: "Connection", table_id: int, keys: Collection[str]) -> set[str]:
    """The keys of all records that are one of these with `~` and a number."""
    if not keys:
        return set()
    return {row["key"] for row in await connection.fetch(sql.record_keys_numbered, table_id, text_array(keys))}


async def record_list_fields(
    connection: "Connection", table_id: int, keys: Sequence[str], fields: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The texts of some fields of the records with these keys, by key; fields without a value are left out."""
    if not keys:
        return {}
    rows = await connection.fetch(sql.record_list_fields, table_id, keys, fields)
    return {
        key: {name: text for name, text in zip(fields, texts, strict=True) if text is not None} for key, texts in rows
    }


async def record_keys_existing(connection: "Connection", table_ids: Sequence[int], keys: Collection[str]) -> set[str]:
    """Those of `keys` that have a record in one of the tables."""
    if not table_ids or not keys:
        return set()
    if len(keys) >= LOOK_UPS_MANY:
        async with looking_up_many(connection):
            return set(await connection.fetchval(sql.record_keys_existing_many, table_ids, text_array(keys)) or ())
    return {row["key"] for row in await connection.fetch(sql.record_keys_existing, table_ids, list(keys))}


async def record_next_write_call(connection: "Connection") -> int:
    """A number that no other WriteRecords call has."""
    return int(await connection.fetchval(sql.record_next_write_call))


async def record_get(database: Database, table_id: int, key: str) -> StoredRecord | None:
    """One record; None if there is none with this key."""
    row = await database.fetchrow(sql.record_get, table_id, key)
    return _record(row) if row else None


async def record_page(
    database: Database,
    scope: Scope,
    condition: Condition | None,
    order: Order,
    after: After | None,
    limit: int,
    bytes_max: int,
    *,
    seconds_max: float = PAGE_SECONDS_MAX,
) -> tuple[list[tuple[After, StoredRecord]], bool]:
    """The records that meet a condition and follow `after` in the order, and whether there are more.

    At most `limit`, and no more than fit into `bytes_max` bytes of JSON text; but one in any case. Each comes with what
    the next page needs to go on after it. Raises ValueError if `after` is none of this order, and FilterTooSlow if a
    filter or an order takes more than `seconds_max`.
    """
    query, arguments = page_query(scope, condition, order, after, limit, bytes_max)
    unbounded = condition is None and order.field is Own.KEY
    rows = await page_rows(database, query, arguments, None if unbounded else seconds_max)
    found = [(After(row["key"], row["order_value"]), StoredRecord(*tuple(row)[:-2])) for row in rows]
    return found, bool(rows and rows[-1]["followed"])


async def record_delete(connection: "Connection", table_id: int, keys: Sequence[str]) -> int:
    """Deletes the records with these keys; how many there were. Within the caller's transaction."""
    deleted = 0
    there: Collection[str] = keys
    while there:
        deleted += rows_touched(await connection.execute(sql.record_delete, table_id, list(there)))
        # As in record_hold.
        there = await record_keys_existing(connection, [table_id], keys) if deleted < len(keys) else ()
    return deleted


def _record(row: asyncpg.Record) -> StoredRecord:
    return StoredRecord(*row)
