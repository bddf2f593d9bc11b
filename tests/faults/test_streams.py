"""Streams that break, stall or carry nonsense: nothing that was not declared finished is taken for finished."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from ingot.v1 import batch_pb2, import_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as pb
from ingot.v1 import record_service_pb2 as rs
from ingot_server import app
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.rpc import guard
from ingot_server.rpc.record_service import RecordService
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, reason_of, records
from tests.conftest import running_app
from tests.faults.links import tcp_link, to_address
from tests.faults.processes import server_process
from tests.faults.staging import stop_at
from tests.faults.test_kills import committed

MIB = 1 << 20


def parts(rows: int, per_message: int = 100, start: int = 0) -> list[Upload]:
    """An upload without its begin and its finish."""
    return [
        records([{"id": row} for row in range(at, min(at + per_message, rows))], offset=at)
        for at in range(start, rows, per_message)
    ]


async def expect_the_rest_gets_through(caller: Caller, import_id: str, rows: int) -> None:
    """The batch is open and holds no more than was sent; whoever goes on ends with every record once."""
    batch = await caller.batch(import_id)
    assert not batch.finished
    assert batch.committed_offset <= rows
    assert (await caller.get(import_id)).state == import_pb2.IMPORT_STATE_RECEIVING
    first = Upload(import_id=import_id, batch_id="b", offset=batch.committed_offset)
    rest = parts(rows, start=batch.committed_offset)
    await caller.upload([first, *rest, Upload(finish=batch_pb2.Finish(total=rows))])
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=rows, created=rows)


async def test_a_deadline_within_an_upload_finishes_nothing(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([Upload(import_id=import_id, batch_id="b")])

    async def endless() -> AsyncIterator[Upload]:
        yield Upload(import_id=import_id, batch_id="b")
        for message in parts(2_000):
            yield message
        await asyncio.Event().wait()

    for milliseconds in range(5, 200, 10):
        with pytest.raises(aio.AioRpcError) as late:
            await caller.batches.UploadBatch(endless(), timeout=milliseconds / 1000)
        assert late.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED)
    await expect_the_rest_gets_through(caller, import_id, 2_000)


async def test_a_message_that_is_too_large_ends_the_stream_and_not_the_batch(caller: Caller) -> None:
    import_id = await caller.create()
    begun = Upload(import_id=import_id, batch_id="b")
    too_large = Upload(data=bytes(app.MESSAGE_BYTES_MAX + 1), offset=300)
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.upload([begun, *parts(300), too_large])
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    await expect_the_rest_gets_through(caller, import_id, 300)


@pytest.mark.parametrize("nonsense", [b"\xff\xff\xff", b"\x0a\xff", b"\x0a\x02\xc3\x28"], ids=["tag", "length", "utf8"])
async def test_a_garbled_message_is_refused_and_what_came_before_it_kept(caller: Caller, nonsense: bytes) -> None:
    import_id = await caller.create()
    sent = [Upload(import_id=import_id, batch_id="b"), *parts(300)]
    call: Any = caller.channel.stream_unary("/ingot.v1.BatchService/UploadBatch")
    with pytest.raises(aio.AioRpcError) as refused:
        await call(iter([*(message.SerializeToString() for message in sent), nonsense]))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "expected a message of the type" in (refused.value.details() or "")
    await expect_the_rest_gets_through(caller, import_id, 300)


async def test_after_many_calls_that_were_given_up_what_is_large_is_kept_apart(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_apart = asyncio.Event()
    monkeypatch.setattr(guard, "GIVEN_UP_MANY", 3)
    monkeypatch.setattr(guard, "keep_large_apart", kept_apart.set)
    import_id = await caller.create()
    for given_up in range(3):
        assert not kept_apart.is_set(), given_up
        watch = caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id))
        assert await watch.read() is not aio.EOF
        watch.cancel()
    await asyncio.wait_for(kept_apart.wait(), 60)


async def test_a_client_whose_machine_vanishes_is_let_go(
    caller: Caller, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = {"grpc.keepalive_time_ms": 200, "grpc.http2.ping_timeout_ms": 200}
    options = [(name, impatient.get(name, value)) for name, value in app._GRPC_OPTIONS]
    monkeypatch.setattr(app, "_GRPC_OPTIONS", options)
    gone = asyncio.Event()
    async with running_app(database_url) as server, tcp_link(to_address(f"127.0.0.1:{server.port}")) as (link, address):
        ended = server._receiver.receive

        async def receive(*arguments: Any) -> None:
            try:
                await ended(*arguments)
            finally:
                gone.set()

        monkeypatch.setattr(server._receiver, "receive", receive)
        async with Caller(address, caller.key) as beyond:
            import_id = await beyond.create()
            call: Any = beyond.batches.UploadBatch()
            for message in [Upload(import_id=import_id, batch_id="b"), *parts(300)]:
                await call.write(message)
            await committed(caller, import_id, 1)
            link.stall()
            # The client says nothing, and neither does anybody say that it is gone.
            await gone.wait()
            call.cancel()
    await expect_the_rest_gets_through(caller, import_id, 300)


PING, GO_AWAY = 6, 7


async def test_clients_may_ask_often_whether_the_server_is_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 10 seconds if they like, here every 60 ms; where gRPC's own limit holds the third time is too many."""
    limits = {"grpc.http2.min_ping_interval_without_data_ms": 50}
    assert limits.keys() <= dict(app._GRPC_OPTIONS).keys()
    options = [(name, limits.get(name, value)) for name, value in app._GRPC_OPTIONS]
    monkeypatch.setattr(app, "_GRPC_OPTIONS", options)
    async with running_app(database_url) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        for _ in range(8):
            await asyncio.sleep(0.06)  # Time is what this is about.
            writer.write(bytes([0, 0, 8, PING, 0, 0, 0, 0, 0]) + bytes(8))
            kind = None
            while kind != PING:
                head = await reader.readexactly(9)
                kind = head[3]
                assert kind != GO_AWAY
                await reader.readexactly(int.from_bytes(head[:3]))
        writer.close()


async def test_clients_that_go_away_within_an_answer_are_no_fault_of_the_server(
    caller: Caller, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await caller.run([{"id": row, "text": "x" * 10_000} for row in range(300)])
    # What clients of other tests have left behind is told when it is collected, or a step of the loop later.
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)
    caplog.clear()
    async with running_app(database_url) as server, tcp_link(to_address(f"127.0.0.1:{server.port}")) as (link, address):
        for _ in range(3):
            async with Caller(address, caller.key) as beyond:
                export = rs.ExportRecordsRequest(table="things")
                calls: list[Any] = [beyond.records.ExportRecords(export) for _ in range(40)]
                for call in calls:
                    await call.read()
                link.reset()
                for call in calls:
                    # One may have all that it asked for.
                    with suppress(aio.AioRpcError):
                        while await call.read() is not aio.EOF:
                            pass
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == []


async def test_an_answer_that_cannot_be_sent_is_no_fault_of_the_server(
    caller: Caller, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Here it is too large for gRPC, which ends the call before its handler hears of it, as when a client goes away."""

    async def too_large(*_: object) -> AsyncIterator[rs.ExportRecordsResponse]:
        yield rs.ExportRecordsResponse(lines="x" * 2_000)

    monkeypatch.setattr(RecordService, "ExportRecords", too_large)
    monkeypatch.setattr(app, "_GRPC_OPTIONS", [*app._GRPC_OPTIONS, ("grpc.max_send_message_length", 1_000)])
    async with running_app(database_url) as server, Caller(f"127.0.0.1:{server.port}", caller.key) as other:
        caplog.clear()
        with pytest.raises(aio.AioRpcError) as failed:
            await other.records.ExportRecords(rs.ExportRecordsRequest(table="things")).read()
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == []


async def test_a_watcher_that_reads_late_misses_nothing_but_states_between(caller: Caller) -> None:
    import_id = await caller.create()
    answers: Any = caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id))
    await answers.read()
    rows = 3_000
    for at in range(0, rows, 10):
        part = records([{"id": row} for row in range(at, at + 10)], import_id=import_id, batch_id="b", offset=at)
        await caller.upload([part])
    await caller.upload([Upload(import_id=import_id, batch_id="b", offset=rows, finish=batch_pb2.Finish(total=rows))])
    ended = await caller.finish(import_id)
    received = [answer.import_job.counts.received async for answer in answers if not answer.heartbeat]
    assert received == sorted(received)
    assert received[-1] == ended.counts.received == rows


async def test_a_client_that_is_faster_than_the_database_is_held_back(database: Database, database_url: str) -> None:
    await database.fetch(
        """
        CREATE FUNCTION crawl() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.2); RETURN new; END $$
        """
    )
    await database.fetch("CREATE TRIGGER crawl BEFORE INSERT ON chunk FOR EACH ROW EXECUTE FUNCTION crawl()")
    key = await create_key(database, "acme", list(SCOPES), "test", None)
    async with server_process(database_url=database_url) as server, Caller(server.address, key.text) as caller:
        import_id = await caller.create()
        rows = [{"id": row, "text": "x" * 1_000} for row in range(1_000)]
        message = records(rows, import_id=import_id, batch_id="b")
        await caller.upload([message])
        before = resident_bytes(server.process.pid)
        sent, taken = 200, 0

        def messages() -> Iterator[Upload]:
            nonlocal taken
            for number in range(sent):
                taken = number
                message.offset = number * 1_000
                yield message

        call = caller.batches.UploadBatch(messages())
        while taken < sent // 4:
            await asyncio.sleep(0.01)
            assert taken * 1_000 < (await caller.batch(import_id)).committed_offset + 30_000
            assert resident_bytes(server.process.pid) - before < 100 * MIB
        call.cancel()


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError


async def test_calls_that_are_cancelled_anywhere_leave_no_transaction_open(
    caller: Caller, server: app.App, database: Database, database_url: str
) -> None:
    import_id = await caller.create()
    written = parts(300)[0].records

    async def write() -> None:
        await caller.records.WriteRecords(rs.WriteRecordsRequest(table="others", key_fields=["id"], records=written))

    for number in range(100):
        first = Upload(import_id=import_id, batch_id=f"b{number}")
        messages = [first, *parts(300), Upload(finish=batch_pb2.Finish(total=300))]
        tasks = [asyncio.create_task(caller.upload(messages)), asyncio.create_task(write())]
        # Each round a little later.
        await asyncio.sleep(number / 2_000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    idle = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 s'"""
    await database.fetch("SELECT pg_sleep(1.2)")
    assert [tuple(row) for row in await database.fetch(idle)] == [(0,)]
    await caller.run([{"id": 0}], "others")
    for _ in range(5):
        async with stop_at(database_url, "LOCK TABLE record") as stop:
            writing = [asyncio.create_task(write()) for _ in range(3)]
            await stop.reached(3)
            for task in writing:
                task.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
            await stop.left()
    pool = server._database.pool
    async with asyncio.timeout(20):
        # One that was not given back is never idle again; what works aside has some now and then.
        while pool.get_idle_size() < pool.get_size():
            await database.fetch("SELECT pg_sleep(0.01)")
    ended = await caller.run([{"id": 1}], "after")
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED


async def test_of_two_who_finish_while_a_third_appends_all_are_told_the_same(caller: Caller, database_url: str) -> None:
    async with running_app(database_url) as other, Caller(f"127.0.0.1:{other.port}", caller.key) as second:
        for number in range(20):
            import_id = await caller.create(f"t{number}")
            await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="a", finish=True)])
            request = pb.FinishImportRequest(import_id=import_id)
            appended, *finished = await asyncio.gather(
                second.upload([records([{"id": 2}], import_id=import_id, batch_id="b", finish=True)]),
                caller.imports.FinishImport(request),
                second.imports.FinishImport(request),
                return_exceptions=True,
            )
            for answer in finished:
                if isinstance(answer, BaseException):
                    # The upload of the third was under way.
                    assert isinstance(answer, aio.AioRpcError)
                    assert reason_of(answer).reason == "BATCH_UNFINISHED"
            ended = await caller.finish(import_id)
            taken = not isinstance(appended, BaseException)
            if not taken:
                assert isinstance(appended, aio.AioRpcError)
                assert reason_of(appended).reason in ("IMPORT_STATE", "BATCH_FINISHED")
            assert ended.counts == stage_pb2.RecordCounts(received=1 + taken, created=1 + taken)
            assert len(await caller.table(f"t{number}")) == 1 + taken


async def test_who_is_cut_off_by_the_end_of_the_server_has_the_database_until_all_is_done(
    caller: Caller, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, done = asyncio.Event(), asyncio.Event()

    async def hang(database: Database, *arguments: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await database.fetch("SELECT pg_sleep(0.05)")
            done.set()

    monkeypatch.setattr("ingot_server.rpc.import_service.imports.import_list", hang)
    async with (
        running_app(database_url, shutdown_grace_seconds=0) as other,
        Caller(f"127.0.0.1:{other.port}", caller.key) as beyond,
    ):
        call = beyond.imports.ListImports(pb.ListImportsRequest())
        await begun.wait()
        await other.stop()
        assert done.is_set()
        with pytest.raises(aio.AioRpcError):
            await call
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == []
