"""Connections to PostgreSQL that are refused, too few, read-only or silently dead: said at once, and borne."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from ingot.v1 import record_pb2, stage_pb2
from ingot.v1 import record_service_pb2 as rs
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.pipeline import committing
from ingot_server.storage.database import Database
from tests.calling import Caller, health_stub, reason_of, records
from tests.conftest import running_app
from tests.faults.links import Ends
from tests.faults.postgres_proxy import PostgresProxy, postgres_proxy

T = TypeVar("T")
ROWS = 7_000


@asynccontextmanager
async def behind_a_proxy(
    caller: Caller, database_url: str, **settings: Any
) -> AsyncIterator[tuple[PostgresProxy, Caller]]:
    """A server whose way to PostgreSQL can be changed."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            postgres_proxy(Path(folder), database_url) as (proxy, url),
            running_app(url, **settings) as app,
            Caller(f"127.0.0.1:{app.port}", caller.key) as beyond,
        ):
            yield proxy, beyond


async def trying(call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Calls again while the database is unavailable, as a client does."""
    while True:
        try:
            return await call(*arguments)
        except aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            assert reason_of(error).reason == "DATABASE_UNAVAILABLE"


async def begin(caller: Caller) -> str:
    """An import of which a part has arrived."""
    import_id = await caller.create()
    await caller.upload([records([{"id": row} for row in range(ROWS // 2)], import_id=import_id, batch_id="b")])
    return import_id


async def expect_the_rest_gets_through(caller: Caller, import_id: str, table: str = "things") -> None:
    """Sends what is missing as soon as it is taken; everything is counted once."""
    rest = records([{"id": row} for row in range(ROWS)], import_id=import_id, batch_id="b", finish=True)
    batch = await trying(caller.upload, [rest])
    assert batch.finished
    ended = await trying(caller.finish, import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS)
    assert len(await trying(caller.table, table)) == ROWS


async def refuse() -> Ends:
    raise ConnectionRefusedError


async def until_health_is(channel: aio.Channel, status: int) -> None:
    async for answer in health_stub(channel).Watch(health_pb2.HealthCheckRequest()):
        if answer.status == status:
            return


async def expect_unavailable(caller: Caller, import_id: str) -> None:
    """Returns when the server has noticed; it says so in so many words."""
    while True:
        try:
            await caller.get(import_id)
        except aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            assert reason_of(error).reason == "DATABASE_UNAVAILABLE"
            return


async def test_a_database_that_is_away_is_missed_aloud_and_found_again_without_a_restart(
    caller: Caller, database_url: str
) -> None:
    async with behind_a_proxy(caller, database_url) as (proxy, beyond), aio.insecure_channel(beyond.address) as channel:
        import_id = await begin(beyond)
        way = proxy.connect
        proxy.connect = refuse
        proxy.reset()
        await until_health_is(channel, health_pb2.HealthCheckResponse.NOT_SERVING)
        await expect_unavailable(beyond, import_id)
        proxy.connect = way
        await until_health_is(channel, health_pb2.HealthCheckResponse.SERVING)
        await expect_the_rest_gets_through(beyond, import_id)


@asynccontextmanager
async def read_only(database_url: str) -> AsyncIterator[None]:
    """Whoever connects meanwhile can only read, also later, for as long as the connection lives."""
    name = database_url.partition("?")[0].rpartition("/")[2]
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    yield
    await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await admin.close()


async def test_a_connection_that_can_only_read_is_not_used_again(database_url: str) -> None:
    async with read_only(database_url):
        found = await Database.connect(database_url, max_connections=1)
        with pytest.raises(DatabaseUnavailable):
            await found.execute("DELETE FROM account")
    # The pool may have replaced the connection at once, with another that can only read.
    await found.retrying(lambda: found.execute("DELETE FROM account"))
    await found.close()


async def test_a_database_that_is_read_only_for_a_while_is_written_to_when_it_no_longer_is(
    caller: Caller, database_url: str
) -> None:
    async with behind_a_proxy(caller, database_url) as (proxy, beyond):
        import_id = await begin(beyond)
        async with read_only(database_url):
            proxy.reset()
            refused = False
            while not refused:
                try:
                    await beyond.create("others")
                except aio.AioRpcError as error:
                    refused = True
                    assert error.code() == grpc.StatusCode.UNAVAILABLE
                    assert reason_of(error).reason == "DATABASE_UNAVAILABLE"
        await expect_the_rest_gets_through(beyond, import_id)


async def test_connections_that_fall_silent_are_given_up(
    caller: Caller, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingot_server.storage.database.SILENCE_SECONDS", 0.5)
    async with behind_a_proxy(caller, database_url, statement_timeout_seconds=2, lease_seconds=1) as (proxy, beyond):
        import_id = await begin(beyond)
        proxy.silence()
        await expect_the_rest_gets_through(beyond, import_id)


@pytest.mark.parametrize("part", ["kept", "rolled back"])
async def test_a_part_of_a_commit_whose_connection_falls_silent_is_given_up(database_url: str, part: str) -> None:
    """Its rollback would wait for an answer for ever."""
    with tempfile.TemporaryDirectory() as folder:
        async with postgres_proxy(Path(folder), database_url) as (proxy, url):
            found = await Database.connect(url, max_connections=2)
            with pytest.raises(DatabaseUnavailable):
                async with found.transaction(statement_timeout_seconds=3_600) as connection:

                    async def attempt() -> None:
                        proxy.silence()
                        await connection.execute("SELECT 1", timeout=0.2)

                    if part == "kept":
                        await committing._in_part_of(connection, attempt)
                    async with committing._trial_in(connection):
                        await attempt()
            proxy.reset()
            await found.close()


async def test_too_many_connections_are_a_reason_to_wait(caller: Caller, database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    await admin.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 1")
    try:
        # Without the options, which are for those who may set them.
        crowded_url = database_url.partition("&options=")[0].replace("://ingot@", "://crowded@", 1)
        crowd = await asyncpg.connect(crowded_url)
        with pytest.raises(DatabaseUnavailable) as refused:
            await Database.connect(crowded_url, max_connections=2)
        assert isinstance(refused.value.__cause__, asyncpg.TooManyConnectionsError)
        await admin.execute("ALTER ROLE crowded CONNECTION LIMIT 2")
        found = await Database.connect(crowded_url, max_connections=4)
        # The pool may have more than PostgreSQL allows: what is refused is unavailable for a moment, and no fault.
        asked = [found.fetch("SELECT pg_sleep(0.05)") for _ in range(4)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {list, DatabaseUnavailable}
        assert len(await found.fetch("SELECT 1")) == 1
        await found.close()
        await crowd.close()
    finally:
        await admin.execute("DROP ROLE crowded")
        await admin.close()


async def test_who_finds_no_connection_free_in_time_is_told(database_url: str) -> None:
    found = await Database.connect(database_url, max_connections=2, acquire_timeout_seconds=1)
    try:
        hold = [found.pool.acquire() for _ in range(2)]
        held = [await one for one in hold]
        waiting = await asyncio.gather(*(found.fetch("SELECT 1") for _ in range(100)), return_exceptions=True)
        assert {type(outcome) for outcome in waiting} == {DatabaseUnavailable}
        for connection in held:
            await found.pool.release(connection)
        # Nobody who gave up has taken a connection along.
        assert [len(rows) for rows in await asyncio.gather(*(found.fetch("SELECT 1") for _ in range(20)))] == [1] * 20
    finally:
        await found.close()


async def test_a_table_that_somebody_locks_is_waited_for_and_then_written(caller: Caller, database_url: str) -> None:
    import_id = await begin(caller)
    somebody = await asyncpg.connect(database_url)
    async with somebody.transaction():
        await somebody.execute("LOCK TABLE record IN ACCESS EXCLUSIVE MODE")
        rest = records([{"id": row} for row in range(ROWS)], import_id=import_id, batch_id="b", finish=True)
        # What is received does not depend on the table.
        assert (await caller.upload([rest])).finished
        write = rs.WriteRecordsRequest(table="things", records=[record_pb2.Record(json=b'{"id": -1}')])
        with pytest.raises(aio.AioRpcError) as refused:
            await caller.records.WriteRecords(write)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "Somebody else" in (refused.value.details() or "")
    await somebody.close()
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS)


async def test_a_statement_that_was_prepared_before_its_table_was_altered_is_tried_again(database_url: str) -> None:
    found = await Database.connect(database_url, max_connections=1)
    outdated = 0

    async def accounts() -> list[asyncpg.Record]:
        nonlocal outdated
        try:
            async with found.transaction() as connection:
                return await connection.fetch("SELECT * FROM account")
        except DatabaseUnavailable as error:
            outdated += isinstance(error.__cause__, asyncpg.InvalidCachedStatementError)
            raise

    assert await accounts() == []
    somebody = await asyncpg.connect(database_url)
    await somebody.execute("ALTER TABLE account ADD COLUMN passing int")
    await somebody.close()
    assert await found.retrying(accounts) == []
    assert outdated == 1
    await found.close()


async def test_a_table_that_is_altered_meanwhile_costs_nothing_but_another_try(
    caller: Caller, database_url: str
) -> None:
    altered = asyncio.Event()

    async def alter() -> None:
        somebody = await asyncpg.connect(database_url)
        try:
            while True:
                for table in ("record", "batch", "import", "chunk"):
                    await somebody.execute(f"ALTER TABLE {table} ADD COLUMN passing int")
                    await somebody.execute(f"ALTER TABLE {table} DROP COLUMN passing")
                altered.set()
        finally:
            await somebody.close()

    altering = asyncio.create_task(alter())
    try:
        for number in range(5):
            altered.clear()
            import_id = await trying(caller.create, f"t{number}")
            await expect_the_rest_gets_through(caller, import_id, f"t{number}")
            await altered.wait()
    finally:
        altering.cancel()
        await asyncio.gather(altering, return_exceptions=True)
