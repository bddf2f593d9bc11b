"""Nothing lost, nothing twice: connections to the database that break, and a database that dies."""

import asyncio
import logging
import os
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from ingot.v1 import batch_pb2, import_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as pb
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.storage import records as stored
from ingot_server.storage.database import Database
from ingot_server.storage.keyed_records import KeyedRecords
from ingot_server.storage.records import PutRecord
from tests.calling import Caller, Upload, health_stub, reason_of, records
from tests.conftest import running_app
from tests.faults.postgres_proxy import postgres_proxy
from tests.faults.processes import server_process

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

T = TypeVar("T")


def upload_of(import_id: str, rows: int) -> list[Upload]:
    parts = [
        records([{"id": row} for row in range(at, at + 500)], import_id=import_id, batch_id="b", offset=at)
        for at in range(0, rows, 500)
    ]
    return [*parts, Upload(finish=batch_pb2.Finish(total=rows))]


async def created(database: Database, import_id: str, rows: int) -> None:
    """Returns when so many records of an import are in the table."""
    while True:
        row = await database.fetchrow("SELECT sum(created) FROM batch WHERE import_id = $1", int(import_id))
        if row is not None and row[0] == rows:
            return
        await asyncio.sleep(0.02)


async def test_a_lost_answer_to_commit_is_resolved_from_the_ledger(
    database_url: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    key = await create_key(database, "acme", list(SCOPES), "test", None)
    with tempfile.TemporaryDirectory() as folder:
        # The only server, with one worker: the chunks are written behind the proxy, and tried again before all else.
        async with (
            postgres_proxy(Path(folder), database_url) as (proxy, proxied_url),
            running_app(proxied_url, workers=1) as app,
            Caller(f"127.0.0.1:{app.port}", key.text) as beyond,
        ):
            for number in range(3):
                import_id = await beyond.create(f"t{number}")
                proxy.swallow_commits = 1_000
                batch = await trying(beyond.upload, upload_of(import_id, 7_000))
                assert batch.finished
                await created(database, import_id, 7_000)
                proxy.swallow_commits = 0
                await trying(beyond.run, [{"id": 1}], f"others{number}")
                # That of FinishImport, or of whoever commits before it.
                proxy.swallow_commits = 1
                ended = await trying(beyond.finish, import_id)
                assert ended.counts == stage_pb2.RecordCounts(received=7_000, created=7_000)
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []


async def test_terminated_backends_cost_nothing_but_time(caller: Caller, database_url: str) -> None:
    killed = 0

    async def kill_backends() -> None:
        nonlocal killed
        admin = await asyncpg.connect(database_url)
        try:
            while True:
                killed += await admin.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'"
                )
                await asyncio.sleep(0.2)
        finally:
            await admin.close()

    killer = asyncio.create_task(kill_backends())
    number = 0
    while killed < 5:
        number += 1
        import_id = await trying(caller.create, f"t{number}")
        batch = await trying(caller.upload, upload_of(import_id, 10_000))
        assert batch.finished
        ended = await trying(caller.finish, import_id)
        assert ended.counts == stage_pb2.RecordCounts(received=10_000, created=10_000)
    killer.cancel()
    await asyncio.gather(killer, return_exceptions=True)


async def trying(call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Calls again while the database is unavailable, as a client does."""
    while True:
        try:
            return await call(*arguments)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED), error


async def test_an_unreachable_database_is_said_at_once_and_work_goes_on_when_it_is_back(open_folder: Path) -> None:
    data_dir = open_folder / "killed-postgres"
    async with server_process(data_dir=data_dir, lease_seconds=1) as server:
        key = (data_dir / "api-key").read_text().strip()
        async with Caller(server.address, key) as caller, aio.insecure_channel(server.address) as channel:
            import_id = await caller.create()
            await caller.upload(upload_of(import_id, 5_000))
            postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                while True:
                    await caller.get(import_id)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            assert reason_of(refused.value).reason == "DATABASE_UNAVAILABLE"
            ended = await trying(caller.finish, import_id)
            assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
            assert ended.counts == stage_pb2.RecordCounts(received=5_000, created=5_000)
            serving = health_pb2.HealthCheckResponse.SERVING
            while (await health_stub(channel).Check(health_pb2.HealthCheckRequest())).status != serving:
                pass


async def test_a_fault_of_the_server_shows_an_id_and_nothing_else(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*arguments: object) -> None:
        raise ValueError("postgresql://user:secret@host/db")

    monkeypatch.setattr("ingot_server.rpc.import_service.imports.import_list", broken)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.imports.ListImports(pb.ListImportsRequest())
    assert refused.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in str(refused.value)
    error_id = reason_of(refused.value).metadata["error_id"]
    assert error_id in (refused.value.details() or "")
    assert any(getattr(entry, "error_id", "") == error_id for entry in caplog.records)


async def test_writers_of_the_same_keys_do_not_deadlock(caller: Caller) -> None:
    """Eight imports of the same keys in different orders end as if they had come one after the other."""
    rows = list(range(2_000))
    orders = [random.Random(seed).sample(rows, len(rows)) for seed in range(8)]
    ended = await asyncio.gather(
        *(caller.run([{"id": row, "by": number} for row in order]) for number, order in enumerate(orders))
    )
    assert sum(one.counts.created for one in ended) == len(rows)
    assert sum(one.counts.updated for one in ended) == 7 * len(rows)
    assert len(await caller.table()) == len(rows)


Write = Callable[["Connection", int, list[str]], Awaitable[object]]


async def apply(connection: "Connection", table_id: int, keys: list[str]) -> None:
    await stored.record_apply(connection, table_id, 1, KeyedRecords(keys, [b"{}"] * len(keys)))


async def create(connection: "Connection", table_id: int, keys: list[str]) -> None:
    await stored.record_create(connection, stored.new_records(table_id, 1, KeyedRecords(keys, [b"{}"] * len(keys))))


async def put(connection: "Connection", table_id: int, keys: list[str]) -> None:
    # Whoever comes second finds them made by somebody else.
    with suppress(DatabaseUnavailable):
        await stored.record_put(connection, table_id, 1, [PutRecord(key, "{}") for key in keys], len(keys))


@pytest.mark.parametrize(("write", "number"), [(apply, 100), (apply, 1_000), (create, 1_000), (put, 1_000)])
async def test_records_are_written_in_the_order_of_their_keys(database_url: str, write: Write, number: int) -> None:
    """Who all wait for one of their records, and are then let go, wait for nobody in a circle."""
    keys = [f"{key:04}" for key in range(number)]
    middle = keys.pop(number // 2)
    patient = {"deadlock_timeout": "100ms", "lock_timeout": "60s"}
    somebody, *writers = [await asyncpg.connect(database_url, server_settings=patient) for _ in range(5)]

    async def write_shuffled(seed: int) -> None:
        shuffled = random.Random(seed).sample(keys, len(keys))
        # Soon after the beginning: who has come to it has written some, and the others have most of theirs before them.
        shuffled.insert(10, middle)
        async with writers[seed].transaction():
            await write(writers[seed], 1, shuffled)

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    holding = somebody.transaction()
    await holding.start()
    await apply(somebody, 1, [middle])
    tasks = [asyncio.create_task(write_shuffled(seed)) for seed in range(len(writers))]
    while await somebody.fetchval(waiting) < len(writers):
        pass
    await holding.rollback()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [None] * len(writers)
    for connection in (somebody, *writers):
        await connection.close()


async def test_an_import_that_fails_again_and_again_is_given_up(
    caller: Caller, database_url: str, database: Database
) -> None:
    await database.fetch(
        """
        CREATE FUNCTION devil() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF new.data ? 'devil' THEN RAISE EXCEPTION 'of a sort that nobody foresaw'; END IF; RETURN new; END $$
        """
    )
    await database.fetch("CREATE TRIGGER devil BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION devil()")
    async with running_app(database_url, lease_seconds=1) as app, Caller(f"127.0.0.1:{app.port}", caller.key) as beyond:
        import_id = await beyond.create()
        await beyond.upload([records([{"id": 1}], import_id=import_id, batch_id="good", finish=True)])
        while not (await beyond.batch(import_id, "good")).counts.created:
            pass
        await beyond.upload([records([{"id": 2, "devil": 1}], import_id=import_id, batch_id="b", finish=True)])
        await beyond.upload([records([{"id": 3}], import_id=import_id, batch_id="open")])
        ended = await beyond.ended(import_id)
        assert ended.state == import_pb2.IMPORT_STATE_FAILED
        assert "The service gave up" in ended.state_message
        assert (ended.counts.created, ended.counts.received) == (ended.counts.received - ended.counts.pending, 3)
        assert (await beyond.batch(import_id, "open")).status == batch_pb2.BATCH_STATUS_FAILED
        with pytest.raises(aio.AioRpcError) as refused:
            await beyond.upload([records([{"id": 4}], import_id=import_id, batch_id="open", offset=1)])
        assert reason_of(refused.value).metadata["state"] == "FAILED"
    assert {"id": 2, "devil": 1} not in await caller.table()
