"""Accounts take turns: what one has queued does not delay another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ingot.v1 import field_pb2, import_pb2, record_pb2, table_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as rs
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.pipeline import turn, worker
from ingot_server.pipeline.rotation import ACCOUNTS_MAX, Rotation
from ingot_server.storage.database import Database, account_served
from tests.calling import Caller, records
from tests.conftest import CONNECTIONS, running_app
from tests.faults.staging import commit, stage, stop_at

MUCH = 20
INDEX_WAITS = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database()
      AND wait_event_type = 'Lock'
      AND query LIKE '%CREATE INDEX%'
"""
SERVED = """
    SELECT account.name
    FROM chunk
    JOIN batch USING (batch_seq)
    JOIN import USING (import_id)
    JOIN account USING (account_id)
    WHERE done_time IS NOT NULL
    ORDER BY done_time
"""


@asynccontextmanager
async def two_accounts(
    database_url: str, database: Database, **settings: object
) -> AsyncIterator[tuple[Caller, Caller]]:
    """Callers of one server: of an account that has much to do, and of one that has little."""
    keys = [(await create_key(database, name, list(SCOPES), "test", None)).text for name in ("large", "small")]
    async with running_app(database_url, **settings) as app:
        async with Caller(f"127.0.0.1:{app.port}", keys[0]) as large, Caller(f"127.0.0.1:{app.port}", keys[1]) as small:
            yield large, small


async def served(database: Database, chunks: int) -> list[str]:
    """The accounts whose chunks were processed, in this order, as soon as there are so many."""
    rows: list[asyncpg.Record] = []
    while len(rows) < chunks:
        await asyncio.sleep(0.02)
        rows = await database.fetch(SERVED)
    return [row["name"] for row in rows]


async def index_waits(database: Database) -> None:
    """Returns when an index is being made and waits for a transaction."""
    rows: list[asyncpg.Record] = []
    while not rows:
        await asyncio.sleep(0.02)
        rows = await database.fetch(INDEX_WAITS)


async def test_an_account_with_much_queued_has_one_turn_before_another_has_its_first(
    database_url: str, database: Database
) -> None:
    async with two_accounts(database_url, database, workers=0) as (large, small):
        for number in range(2):
            import_id = await large.create(f"t{number}")
            for batch in range(MUCH // 2):
                row = {"id": batch}
                await large.upload([records([row], import_id=import_id, batch_id=f"b{batch}", finish=True)])
        waiting = await small.create()
        await small.upload([records([{"id": 1}], import_id=waiting, batch_id="b", finish=True)])
        async with running_app(database_url, workers=1):
            await small.finish(waiting)
            order = await served(database, MUCH + 1)
    assert order.index("small") == 1


async def test_a_long_batch_is_interrupted_for_the_batch_of_another_account(
    database_url: str, database: Database
) -> None:
    chunks = turn.TURN_CHUNKS + 4
    async with two_accounts(database_url, database, workers=0) as (large, small):
        import_id = await large.create()
        # Each upload commits a chunk of its own.
        for number in range(chunks):
            await large.upload([records([{"id": number}], import_id=import_id, batch_id="b", offset=number)])
        waiting = await small.create()
        await small.upload([records([{"id": 1}], import_id=waiting, batch_id="b", finish=True)])
        async with running_app(database_url, workers=1):
            order = await served(database, chunks + 1)
    assert order.index("small") == turn.TURN_CHUNKS


async def test_slow_chunks_end_a_turn_early(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every chunk takes longer than a turn of no time at all, and there is some progress nevertheless."""
    monkeypatch.setattr(turn, "TURN_SECONDS", 0)
    async with two_accounts(database_url, database, workers=0) as (large, small):
        import_id = await large.create()
        for number in range(4):
            await large.upload([records([{"id": number}], import_id=import_id, batch_id="b", offset=number)])
        waiting = await small.create()
        await small.upload([records([{"id": 1}], import_id=waiting, batch_id="b", finish=True)])
        async with running_app(database_url, workers=1):
            order = await served(database, 5)
    assert order.index("small") == 1


async def test_a_small_commit_does_not_wait_for_large_ones(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do more of these than others leave room for: the large ones of the account are stopped until the end."""
    large_records = 12
    monkeypatch.setattr(worker, "COMMITS", (None, None, large_records - 1))
    async with two_accounts(database_url, database) as (large, small):
        rows = [{"id": "stop", "n": 1}, *({"id": row, "n": 1} for row in range(1, large_records))]
        tables = [f"t{number}" for number in range(3)]
        for table in tables:
            await large.run([{"id": "stop", "n": 0}], table)
        imports = [await stage(large, rows, table) for table in tables]
        little = await stage(small, [{"id": 1}])
        async with stop_at(database_url) as stop:
            for import_id in imports:
                await commit(large, import_id)
            await stop.reached(2)
            await commit(small, little)
            assert (await small.ended(little)).state == import_pb2.IMPORT_STATE_SUCCEEDED
            found = await large.imports.ListImports(im.ListImportsRequest(states=[import_pb2.IMPORT_STATE_PROCESSING]))
            assert len(found.imports) == 3
        for import_id in imports:
            assert (await large.ended(import_id)).state == import_pb2.IMPORT_STATE_SUCCEEDED


async def test_a_small_commit_waits_neither_for_large_ones_nor_for_an_index(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "COMMITS", (None, None, 11))
    long = await asyncpg.connect(database_url)
    async with two_accounts(database_url, database) as (large, small):
        rows = [{"id": "stop", "n": 1}, *({"id": row, "n": 1} for row in range(1, 12))]
        for table in ("t0", "t1"):
            await large.run([{"id": "stop", "n": 0}], table)
        imports = [await stage(large, rows, table) for table in ("t0", "t1")]
        little = await stage(small, [{"id": 1}])
        async with long.transaction(isolation="repeatable_read"):
            await long.execute("SELECT count(*) FROM record")
            field = field_pb2.Field(name="n", type=field_pb2.FIELD_TYPE_INTEGER, indexed=True)
            indexed = table_pb2.Table(table="indexed", key_fields=["id"], fields=[field])
            await large.tables.CreateTable(ts.CreateTableRequest(table=indexed))
            await index_waits(database)
            async with stop_at(database_url) as stop:
                for import_id in imports:
                    await commit(large, import_id)
                await stop.reached(2)
                await commit(small, little)
                async with asyncio.timeout(30):
                    assert (await small.ended(little)).state == import_pb2.IMPORT_STATE_SUCCEEDED
        for import_id in imports:
            assert (await large.ended(import_id)).state == import_pb2.IMPORT_STATE_SUCCEEDED
    await long.close()


async def test_the_calls_of_one_account_leave_connections_to_others(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call holds a connection as a slow query does, until the other account has been served."""
    held, served_other = asyncio.Semaphore(0), asyncio.Event()

    async def slow(database: Database, *_arguments: object) -> tuple[list[object], bool]:
        async with database.connection():
            held.release()
            await served_other.wait()
        return [], False

    monkeypatch.setattr("ingot_server.storage.records.record_page", slow)
    async with two_accounts(database_url, database, workers=0) as (large, small):
        for caller in (large, small):
            await caller.records.WriteRecords(
                rs.WriteRecordsRequest(table="t", key_fields=["id"], records=[record_pb2.Record(json=b'{"id": 1}')])
            )
        calls = [asyncio.ensure_future(large.records.ListRecords(rs.ListRecordsRequest(table="t"))) for _ in range(50)]
        for _ in range(CONNECTIONS // 2):
            await held.acquire()
        got = await small.records.GetRecord(rs.GetRecordRequest(table="t", key="1"), timeout=30)
        assert got.record.key == "1"
        assert held.locked()
        served_other.set()
        await asyncio.gather(*calls)


@pytest.mark.parametrize(("account_id", "seconds"), [(None, 60), (3, 2)])
async def test_the_calls_of_all_accounts_leave_connections_to_the_servers_own_work(
    database_url: str, account_id: int | None, seconds: float
) -> None:
    # Opened beforehand: on a busy machine that takes longer than whoever waits is to wait here.
    pool = await asyncpg.create_pool(database_url, min_size=8, max_size=8)
    few = Database(pool, pool, acquire_timeout_seconds=seconds, statement_timeout_seconds=60)
    held, going = asyncio.Semaphore(0), asyncio.Event()

    async def call(of_account: int) -> None:
        account_served.set(of_account)
        async with few.connection():
            held.release()
            await going.wait()

    calls = [asyncio.create_task(call(number % 2 + 1)) for number in range(8)]
    for _ in range(6):
        await held.acquire()
    account_served.set(account_id)
    if account_id is None:
        assert await few.fetchrow("SELECT 1") is not None
    else:
        with pytest.raises(DatabaseUnavailable, match="Too many calls are under way"):
            await few.fetchrow("SELECT 1")
    account_served.set(None)
    going.set()
    refused = await asyncio.gather(*calls, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, DatabaseUnavailable) for outcome in refused)
    await few.close()


def test_whoever_was_served_longest_ago_comes_first_and_the_order_has_a_bound() -> None:
    rotation = Rotation()
    for account in (1, 2, 3, 1):
        rotation.note(account)
    assert rotation.accounts == [2, 3, 1]
    for account in range(ACCOUNTS_MAX + 10):
        rotation.note(account)
    assert rotation.accounts == list(range(10, ACCOUNTS_MAX + 10))
