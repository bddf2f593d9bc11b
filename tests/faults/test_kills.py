"""Nothing lost, nothing twice: servers that die, hang, or are asked to stop in the middle of the work."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc import aio
from grpc_health.v1 import health_pb2

from ingot.v1 import batch_pb2, import_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as pb
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage import leases
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, health_stub, reason_of, records
from tests.conftest import running_app
from tests.faults.processes import ServerProcess, server_process, worker_process
from tests.faults.staging import stop_at

ROWS = 40_000
PER_MESSAGE = 500


@pytest.fixture
async def key(database: Database) -> str:
    return (await create_key(database, "acme", list(SCOPES), "test", None)).text


def messages(import_id: str, start: int, rows: int = ROWS) -> list[Upload]:
    """The rest of the upload from an offset on, finish included."""
    first = Upload(import_id=import_id, batch_id="b", offset=start)
    parts = [
        records([{"id": row, "v": "x" * 50} for row in range(at, min(at + PER_MESSAGE, rows))], offset=at)
        for at in range(start, rows, PER_MESSAGE)
    ]
    return [first, *parts, Upload(finish=batch_pb2.Finish(total=rows))]


async def slowly(import_id: str, stop: asyncio.Event, silent_after: int | None = None) -> AsyncIterator[Upload]:
    """The upload without its finish, until somebody says stop; after so many messages nothing comes until then."""
    for number, message in enumerate(messages(import_id, 0)[:-1]):
        if number == silent_after:
            await stop.wait()
        if stop.is_set():
            return
        yield message
        if number % 10 == 9:
            await asyncio.sleep(0.01)


async def committed(caller: Caller, import_id: str, at_least: int) -> None:
    """Returns when so much is committed."""
    while True:
        try:
            if (await caller.batch(import_id)).committed_offset >= at_least:
                return
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
        await asyncio.sleep(0.005)


async def expect_exactly_once(caller: Caller, import_id: str) -> None:
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS), MessageToDict(ended)
    assert sorted(row["id"] for row in await caller.table()) == list(range(ROWS))


async def test_a_server_killed_during_an_upload_loses_nothing_and_counts_nothing_twice(
    database_url: str, key: str
) -> None:
    stop = asyncio.Event()
    # A short lease, for its successor has to wait until it runs out.
    async with (
        server_process(database_url=database_url, lease_seconds=1) as server,
        Caller(server.address, key) as caller,
    ):
        import_id = await caller.create()
        call = caller.batches.UploadBatch(slowly(import_id, stop))
        await committed(caller, import_id, 5_000)
        server.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        stop.set()
    async with server_process(database_url=database_url) as server, Caller(server.address, key) as caller:
        offset = (await caller.batch(import_id)).committed_offset
        assert 5_000 <= offset < ROWS
        await caller.upload(messages(import_id, offset))
        await expect_exactly_once(caller, import_id)


@pytest.mark.parametrize("lease_seconds", [1])
async def test_a_server_killed_during_processing_is_taken_over(database_url: str, key: str, lease_seconds: int) -> None:
    async with server_process(database_url=database_url, lease_seconds=lease_seconds) as server:
        async with Caller(server.address, key) as caller:
            import_id = await caller.create()
            await caller.upload(messages(import_id, 0))
            await caller.imports.FinishImport(pb.FinishImportRequest(import_id=import_id))
            async for update in caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id)):
                if update.import_job.counts.created > 0:
                    break
            server.kill()
            await server.ended()
    async with server_process(database_url=database_url, lease_seconds=lease_seconds) as server:
        async with Caller(server.address, key) as caller:
            await expect_exactly_once(caller, import_id)


BEFORE: list[dict[str, Any]] = [{"id": "stop", "v": "old"}]
FIRST: list[dict[str, Any]] = [{"id": 1, "v": "new"}, {"id": "stop", "v": "new"}]
REST: list[dict[str, Any]] = [{"id": 2, "v": "new"}, {"id": 3, "v": "new"}]
"""As many: what is done twice instead of them is no more than what was received."""


async def freeze_within_a_chunk(database_url: str, server: ServerProcess, key: str) -> str:
    """An import whose only chunk the server has written to the table, and not yet committed, when it was frozen."""
    async with Caller(server.address, key) as caller:
        await caller.run(BEFORE)
        import_id = await caller.create()
        async with stop_at(database_url) as stop:
            await caller.upload([records(FIRST, import_id=import_id, batch_id="b")])
            await stop.reached()
            server.freeze()
    return import_id


async def expect_the_rest_once(caller: Caller, import_id: str) -> None:
    await caller.upload([records(REST, import_id=import_id, batch_id="b", offset=2, finish=4)])
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=4, created=3, updated=1)
    assert await caller.table() == sorted([*FIRST, *REST], key=lambda row: str(row["id"]))


async def test_a_frozen_worker_is_taken_over_and_writes_nothing_when_it_wakes(database_url: str, key: str) -> None:
    """PostgreSQL has ended its transaction by then, so it tries again."""
    async with server_process(database_url=database_url, lease_seconds=1, workers=1) as first:
        import_id = await freeze_within_a_chunk(database_url, first, key)
        async with running_app(database_url, workers=0) as idle, Caller(f"127.0.0.1:{idle.port}", key) as caller:
            async with worker_process(database_url=database_url, lease_seconds=1):
                while (await caller.batch(import_id)).counts.created == 0:
                    pass
            await caller.upload([records(REST, import_id=import_id, batch_id="b", offset=2)])
        first.thaw()
        async with Caller(first.address, key) as awake:
            # Its only worker does this after all that it had in hand.
            await awake.run([{"id": "after"}], "others")
            await expect_the_rest_once(awake, import_id)


async def test_a_worker_that_wakes_within_its_transaction_after_its_lease_takes_all_back(
    database_url: str, database: Database, key: str, tmp_path: Path
) -> None:
    """PostgreSQL has not ended its transaction: somebody has lifted the limit."""
    await database.fetch(
        """
        CREATE FUNCTION lift() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('idle_in_transaction_session_timeout', '0', true); RETURN new; END $$
        """
    )
    await database.fetch("CREATE TRIGGER lift BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION lift()")
    with (tmp_path / "log").open("w+b") as log:
        async with server_process(database_url=database_url, lease_seconds=1, workers=1, log=log) as server:
            import_id = await freeze_within_a_chunk(database_url, server, key)
            while (lease := await leases.lease_claim(database, timedelta(minutes=5))) is None:
                pass
            server.thaw()
            async with Caller(server.address, key) as awake:
                while b"lease lost" not in (tmp_path / "log").read_bytes():
                    assert (await awake.batch(import_id)).counts == stage_pb2.RecordCounts(received=2, pending=2)
                assert await awake.table() == BEFORE
                await leases.lease_release(database, lease)
                await expect_the_rest_once(awake, import_id)


async def test_a_worker_that_is_frozen_within_a_copy_is_in_nobody_s_way_for_long(
    database_url: str, database: Database, key: str
) -> None:
    """PostgreSQL waits for the data of a COPY without any limit, and others wait for the records in it."""
    frozen = await asyncpg.connect(database_url, server_settings={"application_name": "ingot"})
    goes_on = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield b'1\t{"id":1}\t1\t1\n'
        # More than is kept on the way, so that the row above is written.
        yield b"".join(b'k%d\t{"v":"%b"}\t1\t1\n' % (row, b"x" * 1_000) for row in range(1_000))
        await goes_on.wait()

    async with (
        server_process(database_url=database_url, lease_seconds=1) as server,
        Caller(server.address, key) as caller,
    ):
        await caller.run([{"id": 0}])
        assert [row["table_id"] for row in await database.fetch("SELECT table_id FROM record")] == [1]
        copying = asyncio.create_task(
            frozen.copy_to_table("record", source=lines(), columns=["key", "data", "table_id", "writer"], format="text")
        )
        ended = await caller.run([{"id": 1, "v": "new"}])
        assert ended.counts.created == 1
        goes_on.set()
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError)):
            await copying
    await frozen.close()


async def test_a_server_that_is_asked_to_stop_says_where_to_go_on(database_url: str, key: str) -> None:
    stop = asyncio.Event()
    async with server_process(database_url=database_url) as server, Caller(server.address, key) as caller:
        import_id = await caller.create()
        # Of a call that ends while a message is being written grpc.aio tells no more than that it could not be.
        call = caller.batches.UploadBatch(slowly(import_id, stop, silent_after=10))
        await committed(caller, import_id, 1_000)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as sent_away:
            await call
        stop.set()
        assert sent_away.value.code() == grpc.StatusCode.UNAVAILABLE
        info = reason_of(sent_away.value)
        assert info.reason == "SHUTTING_DOWN"
        assert await server.ended() == 0
    async with server_process(database_url=database_url) as server, Caller(server.address, key) as caller:
        offset = (await caller.batch(import_id)).committed_offset
        assert offset == int(info.metadata["committed_offset"])
        await caller.upload(messages(import_id, offset))
        await expect_exactly_once(caller, import_id)


async def test_health_says_not_serving_while_the_server_drains(database_url: str, key: str) -> None:
    async with server_process(database_url=database_url) as server:
        async with aio.insecure_channel(server.address) as channel:
            answers = health_stub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
            assert (await answers.read()).status == health_pb2.HealthCheckResponse.SERVING
            server.process.send_signal(signal.SIGTERM)
            assert (await answers.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            answers.cancel()
        assert await server.ended() == 0


@pytest.mark.parametrize("server_name", ["killed", "stopped"])
async def test_embedded_postgresql_keeps_everything_when_the_server_ends(open_folder: Path, server_name: str) -> None:
    data_dir = open_folder / f"embedded-{server_name}"
    async with server_process(data_dir=data_dir) as server:
        key = (data_dir / "api-key").read_text().strip()
        assert (data_dir / "api-key").stat().st_mode & 0o777 == 0o600
        assert (data_dir / "address").read_text().strip() == server.address
        async with Caller(server.address, key) as caller:
            ended = await caller.run([{"id": row} for row in range(1000)])
        if server_name == "killed":
            server.kill()
        else:
            server.process.send_signal(signal.SIGTERM)
        await server.ended()
    async with server_process(data_dir=data_dir) as server:
        assert (data_dir / "api-key").read_text().strip() == key
        async with Caller(server.address, key) as caller:
            assert await caller.get(ended.import_id) == ended
            assert len(await caller.table()) == 1000


async def test_a_second_server_on_the_same_folder_explains_itself(open_folder: Path) -> None:
    data_dir = open_folder / "shared"
    async with server_process(data_dir=data_dir) as first:
        with pytest.raises(AssertionError, match=str(first.process.pid)):
            async with server_process(data_dir=data_dir):
                pass


async def opened(caller: Caller, import_id: str) -> bool:
    """Whether there was room for one more stream."""
    try:
        await caller.upload([Upload(import_id=import_id, batch_id="b")])
    except aio.AioRpcError as error:
        assert reason_of(error).reason == "TOO_MANY_STREAMS"
        return False
    return True


async def test_uploads_of_a_client_that_is_killed_stay_open(database_url: str, key: str) -> None:
    async with (
        server_process(database_url=database_url, open_streams_max=1) as server,
        Caller(server.address, key) as caller,
    ):
        import_id = await caller.create()
        program = (
            "import sys, grpc, json\n"
            "from ingot.v1 import batch_service_pb2_grpc as s, batch_service_pb2 as b, record_pb2 as r\n"
            "def stream():\n"
            "    yield b.UploadBatchRequest(import_id=sys.argv[3], batch_id='b')\n"
            "    n = 0\n"
            "    while True:\n"
            "        m = b.UploadBatchRequest(offset=n)\n"
            "        for _ in range(100): m.records.add(json=json.dumps({'id': n}).encode()); n += 1\n"
            "        yield m\n"
            "channel = grpc.insecure_channel(sys.argv[1])\n"
            "s.BatchServiceStub(channel).UploadBatch(stream(), metadata=[('x-api-key', sys.argv[2])])\n"
        )
        client = await asyncio.create_subprocess_exec(sys.executable, "-c", program, server.address, key, import_id)
        await committed(caller, import_id, 1_000)
        client.kill()
        await client.wait()
        async with asyncio.timeout(60):
            # The only stream that there may be is free again.
            while not await opened(caller, import_id):
                pass
        batch = await caller.batch(import_id)
        assert not batch.finished
        await caller.imports.CancelImport(pb.CancelImportRequest(import_id=import_id))
        ended = await caller.ended(import_id)
        counts = ended.counts
        assert counts.received == counts.created + counts.superseded + counts.pending
        assert len(await caller.table()) == counts.created


async def test_who_asks_twice_does_not_wait(database_url: str, key: str) -> None:
    stop = asyncio.Event()
    async with (
        server_process(database_url=database_url, lease_seconds=1, shutdown_grace_seconds=600) as server,
        Caller(server.address, key) as caller,
        aio.insecure_channel(server.address) as channel,
    ):
        import_id = await caller.create()
        call = caller.batches.UploadBatch(slowly(import_id, stop))
        await committed(caller, import_id, 5_000)
        answers = health_stub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        await answers.read()
        server.process.send_signal(signal.SIGTERM)
        # Only one that drains says so; this call keeps it from ending by itself.
        while (await answers.read()).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            pass
        server.process.send_signal(signal.SIGINT)
        assert await server.ended() == 130
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        stop.set()
    async with server_process(database_url=database_url) as server, Caller(server.address, key) as caller:
        await caller.upload(messages(import_id, (await caller.batch(import_id)).committed_offset))
        await expect_exactly_once(caller, import_id)


async def test_a_server_whose_output_nobody_reads_any_more_works_and_stops_in_order(
    database_url: str, key: str
) -> None:
    async with server_process(database_url=database_url, log_level="DEBUG") as server:
        for pipe in (server.process.stdout, server.process.stderr):
            assert pipe is not None
            pipe._transport.close()  # type: ignore[attr-defined]
        async with Caller(server.address, key) as caller:
            import_id = await caller.create()
            await caller.upload(messages(import_id, 0))
            await expect_exactly_once(caller, import_id)
        server.process.terminate()
        assert await server.process.wait() == 0


@pytest.mark.parametrize("hours_ahead", [-1, 1])
@pytest.mark.parametrize("extended", [False, True])
async def test_the_clocks_of_servers_may_differ_by_hours(
    database_url: str, database: Database, key: str, hours_ahead: int, extended: bool
) -> None:
    """One is an hour behind and one ahead, and what the first has begun the second ends, in the time of a lease."""

    async def lease_until() -> datetime:
        [row] = await database.fetch("SELECT lease_until FROM batch ORDER BY batch_seq DESC LIMIT 1")
        until: datetime = row[0]
        return until

    async with (
        server_process(database_url=database_url, lease_seconds=1, clock_hours_ahead=hours_ahead) as first,
        Caller(first.address, key) as caller,
    ):
        await caller.run(BEFORE)
        import_id = await caller.create()
        async with stop_at(database_url) as stop:
            await caller.upload([records(FIRST, import_id=import_id, batch_id="b")])
            await stop.reached()
            claimed = await lease_until()
            while extended and await lease_until() == claimed:
                pass
            first.kill()
            await first.ended()
    async with (
        server_process(database_url=database_url, lease_seconds=1, clock_hours_ahead=-hours_ahead) as second,
        Caller(second.address, key) as caller,
    ):
        # A lease that was written by the clock of a server that is ahead would last for an hour.
        async with asyncio.timeout(30):
            await expect_the_rest_once(caller, import_id)
        ended = await caller.get(import_id)
        begin, end = ended.create_time.ToDatetime(UTC), ended.finish_time.ToDatetime(UTC)
        assert begin < end < begin + timedelta(minutes=30)
