"""Several processes instead of one: nothing lost, nothing twice, and nobody left behind."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from ingot.v1 import batch_pb2, import_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as pb
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from ingot_server.supervisor import PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN, STEADY_SECONDS, next_pause
from tests.api.test_references import refer
from tests.calling import Caller, Upload, reason_of, records
from tests.faults.processes import ServerProcess, server_process, worker_process

ROWS = 10_000
"""In each batch."""
PER_MESSAGE = 250


@pytest.fixture
async def key(database: Database) -> str:
    return (await create_key(database, "acme", list(SCOPES), "test", None)).text


@asynccontextmanager
async def callers_of_all(server: ServerProcess, key: str) -> AsyncIterator[list[Caller]]:
    """Callers with a connection each, as many as it takes until every one of the two processes has one."""
    async with AsyncExitStack() as stack:
        callers: list[Caller] = []
        # Not compared with its children: for a moment one that is being started is none of them.
        while len(server.connected()) < 2:
            callers.append(await stack.enter_async_context(Caller(server.address, key)))
            await callers[-1].imports.ListImports(pb.ListImportsRequest())
        yield callers


def messages(import_id: str, batch: int, start: int = 0) -> list[Upload]:
    """The rest of a batch from an offset on. Each batch has rows of its own."""
    first = batch * ROWS
    parts = [
        records([{"id": first + row} for row in range(at, min(at + PER_MESSAGE, ROWS))], offset=at)
        for at in range(start, ROWS, PER_MESSAGE)
    ]
    begin = Upload(import_id=import_id, batch_id=f"b{batch}", offset=start)
    return [begin, *parts, Upload(finish=batch_pb2.Finish(total=ROWS))]


async def slowly(import_id: str, batch: int, go_on: asyncio.Event) -> AsyncIterator[Upload]:
    """A batch, of which the last part is held back."""
    all_of_it = messages(import_id, batch)
    for message in all_of_it[: len(all_of_it) // 2]:
        yield message
    await go_on.wait()
    for message in all_of_it[len(all_of_it) // 2 :]:
        yield message


async def until(state: Callable[[], bool]) -> None:
    """Returns when it is so."""
    while not state():  # noqa: ASYNC110 the kernel has no event for it
        await asyncio.sleep(0.01)


async def begun(caller: Caller, import_id: str, batches: int) -> None:
    """Returns when something of each batch is committed."""
    for batch in range(batches):
        while True:
            try:
                if (await caller.batch(import_id, f"b{batch}")).committed_offset:
                    break
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND
            await asyncio.sleep(0.005)


async def expect_each_once(caller: Caller, import_id: str, batches: int) -> None:
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED, ended
    assert ended.counts == stage_pb2.RecordCounts(received=batches * ROWS, created=batches * ROWS)
    assert sorted(row["id"] for row in await caller.table()) == list(range(batches * ROWS))


async def test_one_import_is_uploaded_to_several_processes_and_each_can_tell_of_it(database_url: str, key: str) -> None:
    async with (
        server_process("--processes", "2", database_url=database_url) as server,
        callers_of_all(server, key) as callers,
    ):
        import_id = await callers[0].create()
        uploads = (caller.upload(messages(import_id, batch)) for batch, caller in enumerate(callers))
        assert all(batch.finished for batch in await asyncio.gather(*uploads))
        watched = asyncio.gather(*(caller.ended(import_id) for caller in callers))
        await expect_each_once(callers[0], import_id, len(callers))
        assert {ended.SerializeToString(deterministic=True) for ended in await watched} == {
            (await callers[0].get(import_id)).SerializeToString(deterministic=True)
        }


async def test_a_process_that_is_killed_under_load_loses_nothing_and_comes_back(open_folder: Path) -> None:
    data_dir = open_folder / "one-is-killed"
    async with server_process(data_dir=data_dir, processes=2, lease_seconds=1) as server:
        key = (data_dir / "api-key").read_text().strip()
        before = server.children()
        async with callers_of_all(server, key) as callers:
            import_id = await callers[0].create()
            go_on = asyncio.Event()
            calls = [
                caller.batches.UploadBatch(slowly(import_id, batch, go_on)) for batch, caller in enumerate(callers)
            ]
            await begun(callers[0], import_id, len(callers))
            killed = min(before)
            server.signal(killed, signal.SIGKILL)
            await until(lambda: len(server.children() - {killed}) == 2)
            go_on.set()
            ends = await asyncio.gather(*calls, return_exceptions=True)
            cut = [batch for batch, end in enumerate(ends) if isinstance(end, grpc.aio.AioRpcError)]
            assert 0 < len(cut) < len(callers)
            for batch in cut:
                offset = (await callers[batch].batch(import_id, f"b{batch}")).committed_offset
                await callers[batch].upload(messages(import_id, batch, offset))
            await expect_each_once(callers[0], import_id, len(callers))
        async with callers_of_all(server, key):
            assert server.connected() == server.children()


@asynccontextmanager
async def unstartable(database_url: str) -> AsyncIterator[None]:
    """No server can be started meanwhile; those that run go on."""
    admin = await asyncpg.connect(database_url)
    await admin.execute("INSERT INTO schema_migration (number, name, digest) VALUES (9999, '9999_of_tomorrow', '')")
    yield
    await admin.execute("DELETE FROM schema_migration WHERE number = 9999")
    await admin.close()


async def deaths(server: ServerProcess, number: int) -> list[dict[str, Any]]:
    """What is logged of the next processes that end."""
    assert server.process.stderr is not None
    told: list[dict[str, Any]] = []
    while len(told) < number:
        line = await server.process.stderr.readline()
        assert line, "the server has ended"
        # What a process has against its start is told to people, and is not JSON.
        entry = json.loads(line) if line.startswith(b"{") else {}
        if "a server process ended" in entry.get("message", ""):
            told.append(entry)
    return told


async def test_processes_that_die_at_once_are_started_again_more_and_more_rarely_until_one_lives(
    database_url: str, key: str
) -> None:
    async with (
        server_process(database_url=database_url, processes=2, log_format="json") as server,
        Caller(server.address, key) as caller,
    ):
        await caller.run([{"id": 1}])
        other = min(server.children() - server.connected())
        async with unstartable(database_url):
            server.signal(other, signal.SIGKILL)
            told = await deaths(server, 4)
            # The one that has the connection goes on.
            await caller.run([{"id": 2}])
        assert [entry["pause_seconds"] for entry in told] == [0.1, 0.2, 0.4, 0.8]
        assert [entry["exit_code"] for entry in told] == [-signal.SIGKILL, 1, 1, 1]
        times = [datetime.fromisoformat(entry["time"]) for entry in told]
        for (earlier, later), entry in zip(pairwise(times), told[:-1], strict=True):
            assert (later - earlier).total_seconds() >= entry["pause_seconds"]
        await until(lambda: len(server.children()) == 2)
        async with callers_of_all(server, key) as callers:
            assert sorted([row["id"] for row in await callers[-1].table()]) == [1, 2]
        server.process.send_signal(signal.SIGTERM)
        assert await server.ended() == 0


def test_the_pause_before_another_start_has_a_limit_and_begins_anew_behind_a_long_life() -> None:
    pauses = [0.0]
    for _ in range(20):
        pauses.append(next_pause(pauses[-1], lived_seconds=STEADY_SECONDS / 2))
    assert pauses[1:4] == [PAUSE_SECONDS_MIN, 2 * PAUSE_SECONDS_MIN, 4 * PAUSE_SECONDS_MIN]
    assert set(pauses[12:]) == {PAUSE_SECONDS_MAX}
    assert next_pause(PAUSE_SECONDS_MAX, lived_seconds=STEADY_SECONDS) == PAUSE_SECONDS_MIN


async def test_all_processes_drain_when_the_server_is_asked_to_stop(database_url: str, key: str) -> None:
    async with (
        server_process(database_url=database_url, processes=2) as server,
        callers_of_all(server, key) as callers,
    ):
        import_id = await callers[0].create()
        go_on = asyncio.Event()
        calls = [caller.batches.UploadBatch(slowly(import_id, batch, go_on)) for batch, caller in enumerate(callers)]
        await begun(callers[0], import_id, len(callers))
        server.process.send_signal(signal.SIGTERM)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        go_on.set()
        assert {reason_of(end).reason for end in ends if isinstance(end, grpc.aio.AioRpcError)} == {"SHUTTING_DOWN"}
        assert await server.ended() == 0
    async with server_process(database_url=database_url) as server, Caller(server.address, key) as caller:
        for batch, end in enumerate(ends):
            assert isinstance(end, grpc.aio.AioRpcError)
            offset = int(reason_of(end).metadata["committed_offset"])
            await caller.upload(messages(import_id, batch, offset))
        await expect_each_once(caller, import_id, len(ends))


async def test_who_is_asked_twice_leaves_at_once_with_all_processes(database_url: str) -> None:
    async with server_process(database_url=database_url, processes=2) as server:
        server.signal(min(server.children()), signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.stdout is not None
        while b"Stopping" not in await server.process.stdout.readline():
            pass
        server.process.send_signal(signal.SIGTERM)
        assert await server.ended() == 130


@pytest.mark.parametrize("embedded", [True, False])
async def test_no_process_outlives_a_server_that_is_killed(
    database_url: str, key: str, open_folder: Path, embedded: bool
) -> None:
    data_dir = open_folder / "parent-is-killed"
    settings = {"data_dir": data_dir} if embedded else {"database_url": database_url}
    async with server_process(processes=2, **settings) as server:
        local_key = (data_dir / "api-key").read_text().strip() if embedded else key
        async with Caller(server.address, local_key) as caller:
            import_id = await caller.create()
            call = caller.batches.UploadBatch(slowly(import_id, 0, asyncio.Event()))
            await begun(caller, import_id, 1)
            server.kill()
            await server.ended()
            with pytest.raises(grpc.aio.AioRpcError) as sent_away:
                await call
            assert sent_away.value.code() == grpc.StatusCode.UNAVAILABLE
    async with server_process(processes=2, **settings) as server, Caller(server.address, local_key) as caller:
        offset = (await caller.batch(import_id, "b0")).committed_offset
        await caller.upload(messages(import_id, 0, offset))
        await expect_each_once(caller, import_id, 1)


@pytest.mark.parametrize(("first", "second"), [(2, 2), (2, 1), (1, 2)])
async def test_a_second_server_on_the_same_port_is_refused(database_url: str, first: int, second: int) -> None:
    async with server_process(database_url=database_url, processes=first) as server:
        with pytest.raises(AssertionError, match=f"cannot listen on {server.address}: is another server running there"):
            async with server_process(database_url=database_url, processes=second, address=server.address):
                pass


async def test_what_is_wrong_for_all_processes_is_said_once(database_url: str) -> None:
    nowhere: dict[str, Any] = {"tls_certificate": "/nowhere/certificate", "tls_key": "/nowhere/key"}
    with pytest.raises(AssertionError) as failed:
        async with server_process(database_url=database_url, processes=3, **nowhere):
            pass
    assert str(failed.value).count("/nowhere/key cannot be read") == 1


@pytest.mark.parametrize("processes", [1, 2])
async def test_an_api_and_its_workers_may_be_processes_apart(
    database_url: str, key: str, tmp_path: Path, processes: int
) -> None:
    (tmp_path / "referenced.ndjson").write_text("".join(f'{{"id": {row}}}\n' for row in range(ROWS, 2 * ROWS)))
    async with (
        server_process(
            "--no-workers", "--processes", str(processes), database_url=database_url, reference_folders=tmp_path
        ) as server,
        Caller(server.address, key) as caller,
    ):
        import_id = await caller.create(staged=True)
        await caller.upload(messages(import_id, 0))
        await refer(caller, import_id, f"file://{tmp_path}/referenced.ndjson")
        finished = await caller.imports.FinishImport(pb.FinishImportRequest(import_id=import_id))
        assert finished.import_job.counts == stage_pb2.RecordCounts(received=ROWS, pending=ROWS)
        states = caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id))
        async with worker_process(
            "--processes", str(processes), database_url=database_url, reference_folders=tmp_path
        ) as workers:
            async for update in states:
                if update.import_job.state == import_pb2.IMPORT_STATE_AWAITING_COMMIT:
                    await caller.imports.CommitImport(pb.CommitImportRequest(import_id=import_id))
                    break
            await expect_committed(caller, import_id, 2 * ROWS)
            workers.process.send_signal(signal.SIGTERM)
            assert await workers.ended() == 0


async def expect_committed(caller: Caller, import_id: str, rows: int) -> None:
    ended = await caller.ended(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=rows, created=rows)
    assert sorted(row["id"] for row in await caller.table()) == list(range(rows))
