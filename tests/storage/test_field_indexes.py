"""The making of the indexes of declared fields."""

import asyncio

import asyncpg
import pytest

from ingot_server.domain.fields import Field, FieldType
from ingot_server.domain.tables import Rules
from ingot_server.storage.database import Database
from ingot_server.storage.field_indexes import field_index_build_next, field_index_list_ready, field_index_want

RULES = Rules(fields=(Field("city", FieldType.TEXT, indexed=True),))


@pytest.fixture
async def table_id(database: Database) -> int:
    row = await database.fetchrow(
        """
        WITH made AS (INSERT INTO account (name) VALUES ('acme') RETURNING account_id)
        INSERT INTO record_table (account_id, name, rules, declared)
        SELECT account_id, 't', '{}', true FROM made RETURNING table_id
        """
    )
    assert row is not None
    async with database.transaction() as connection:
        await field_index_want(connection, 1, row["table_id"], RULES)
    return int(row["table_id"])


async def names(database: Database) -> list[tuple[str, bool]]:
    rows = await database.fetch(
        """
        SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = 'record'::regclass AND NOT indisprimary
        """
    )
    return [(row["relname"], row["indisvalid"]) for row in rows]


async def test_an_index_is_made_once_and_dropped_when_nobody_wants_it(database: Database, table_id: int) -> None:
    assert await field_index_build_next(database)
    assert not await field_index_build_next(database)
    assert await field_index_list_ready(database, [table_id]) == {table_id: {"city"}}
    assert [valid for _, valid in await names(database)] == [True]
    async with database.transaction() as connection:
        await field_index_want(connection, 1, table_id, Rules())
    assert await field_index_build_next(database)
    assert not await field_index_build_next(database)
    assert await names(database) == []


async def test_only_one_process_makes_indexes(database: Database, database_url: str, table_id: int) -> None:
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_advisory_lock(7468, 2)")
    assert not await field_index_build_next(database)
    await other.close()
    while not await field_index_build_next(database):
        pass
    assert await field_index_list_ready(database, [table_id]) == {table_id: {"city"}}


async def test_an_index_whose_making_was_cut_off_is_made_anew(
    database: Database, database_url: str, table_id: int
) -> None:
    # CREATE INDEX CONCURRENTLY waits for transactions that have written to the table.
    writer = await asyncpg.connect(database_url)
    await writer.execute("BEGIN; DELETE FROM record")
    making = asyncio.create_task(field_index_build_next(database))
    while not await names(database):
        pass
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    assert [valid for _, valid in await names(database)] == [False]
    await writer.execute("ROLLBACK")
    await writer.close()
    while not await field_index_build_next(database):
        pass
    assert [valid for _, valid in await names(database)] == [True]
    assert await field_index_list_ready(database, [table_id]) == {table_id: {"city"}}
    limits = {row["statement_timeout"] for _ in range(8) if (row := await database.fetchrow("SHOW statement_timeout"))}
    assert limits == {"1min"}
