"""Progress: pushed, correct, never going back, and the same from any server."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from itertools import pairwise
from typing import Any

import grpc
import pytest

from ingot.v1 import batch_pb2, import_pb2, stage_pb2
from ingot.v1 import batch_service_pb2 as bs
from ingot.v1 import import_service_pb2 as pb
from ingot_server.domain.imports import Import, ImportState
from ingot_server.pipeline import progress
from ingot_server.pipeline.progress import Feed
from ingot_server.storage import imports
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, records
from tests.conftest import running_app


def watch(caller: Caller, import_id: str) -> Any:
    return caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id))


async def test_a_watcher_gets_the_state_at_once_and_every_change_to_the_end(caller: Caller) -> None:
    import_id = await caller.create()
    states = watch(caller, import_id)
    first = await states.read()
    assert (first.import_job.state, first.heartbeat) == (import_pb2.IMPORT_STATE_RECEIVING, False)
    await caller.upload([records([{"id": 1}, {"id": ""}], import_id=import_id, batch_id="b", finish=True)])
    await caller.imports.FinishImport(pb.FinishImportRequest(import_id=import_id))
    rest = [update.import_job async for update in states]
    assert rest[-1].state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert rest[-1] == await caller.get(import_id)
    assert rest[-1].upload.error_groups[0].count == 1
    assert rest[-1].upload.state == stage_pb2.STAGE_STATE_WARNING
    assert rest[-1].processing.state == stage_pb2.STAGE_STATE_SUCCESS


async def test_a_watcher_that_comes_late_gets_the_final_state_and_the_end(caller: Caller) -> None:
    ended = await caller.run([{"id": 1}])
    assert [update.import_job async for update in watch(caller, ended.import_id)] == [ended]


async def test_counts_never_go_back_on_any_server(caller: Caller, database_url: str) -> None:
    async with running_app(database_url) as other, Caller(f"127.0.0.1:{other.port}", caller.key) as second:
        import_id = await caller.create()
        seen: list[stage_pb2.RecordCounts] = []

        async def hop_between_servers() -> None:
            turn = 0
            while True:
                states = watch((caller, second)[turn % 2], import_id)
                turn += 1
                async for update in states:
                    seen.append(update.import_job.counts)
                    if update.import_job.state == import_pb2.IMPORT_STATE_SUCCEEDED:
                        return
                    if len(seen) % 3 == 0:
                        states.cancel()
                        break

        watching = asyncio.create_task(hop_between_servers())
        for start in range(0, 30_000, 1000):
            rows = [{"id": row} for row in range(start, start + 1000)]
            await caller.upload([records(rows, import_id=import_id, batch_id="b", offset=start)])
        await caller.upload([Upload(import_id=import_id, batch_id="b", finish=batch_pb2.Finish(total=30_000))])
        await caller.imports.FinishImport(pb.FinishImportRequest(import_id=import_id))
        await watching
    for earlier, later in pairwise(seen):
        assert later.received >= earlier.received
        assert later.created >= earlier.created
    assert seen[-1] == stage_pb2.RecordCounts(received=30_000, created=30_000)


async def test_nothing_new_is_a_heartbeat(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.05)
    import_id = await caller.create()
    states = watch(caller, import_id)
    first, second, third = [await states.read() for _ in range(3)]
    assert (first.heartbeat, second.heartbeat, third.heartbeat) == (False, True, True)
    assert first.import_job == second.import_job == third.import_job
    states.cancel()


async def test_percent_is_known_as_soon_as_the_total_is(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    assert not (await caller.get(import_id)).upload.HasField("percent")
    batch = await caller.upload([records([{"id": 2}], import_id=import_id, batch_id="b", offset=1, expected_total=4)])
    assert batch.upload.percent == 50
    assert (await caller.get(import_id)).upload.percent == 50
    await caller.upload([records([{"id": 3}], import_id=import_id, batch_id="b", offset=2, finish=3)])
    ended = await caller.finish(import_id)
    assert (ended.upload.percent, ended.processing.percent) == (100, 100)


async def test_a_batch_can_be_watched_to_its_end(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    states: Any = caller.batches.WatchBatch(bs.WatchBatchRequest(import_id=import_id, batch_id="b"))
    first = await states.read()
    assert first.batch.status == batch_pb2.BATCH_STATUS_UPLOADING
    await caller.upload([records([{"id": 2}], import_id=import_id, batch_id="b", offset=1, finish=2)])
    last = [update.batch async for update in states][-1]
    assert last.status == batch_pb2.BATCH_STATUS_PROCESSED
    assert last == await caller.batch(import_id)


async def test_a_watcher_of_a_deleted_import_is_let_go(caller: Caller) -> None:
    import_id = await caller.create()
    states = watch(caller, import_id)
    await states.read()
    await caller.imports.CancelImport(pb.CancelImportRequest(import_id=import_id))
    await caller.imports.DeleteImport(pb.DeleteImportRequest(import_id=import_id))
    async for _ in states:
        pass


async def test_a_thousand_watchers_ask_the_database_no_more_than_one(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = await caller.create()
    watching = [watch(caller, import_id) for _ in range(50)]
    for states in watching:
        await states.read()
    asked = []
    original = imports.import_get_many

    async def counted(database: Database, numbers: list[int]) -> object:
        asked.append(numbers)
        return await original(database, numbers)

    monkeypatch.setattr(imports, "import_get_many", counted)
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    for states in watching:
        while (await states.read()).import_job.counts.received == 0:
            pass
    assert all(numbers == [int(import_id)] for numbers in asked)
    assert len(asked) < 20
    for states in watching:
        states.cancel()


async def test_watchers_are_sent_to_another_server_when_this_one_stops(caller: Caller, database_url: str) -> None:
    async with running_app(database_url) as other, Caller(f"127.0.0.1:{other.port}", caller.key) as second:
        states = watch(second, await caller.create())
        await states.read()
        stopping = asyncio.create_task(other.stop())
        with pytest.raises(grpc.aio.AioRpcError) as sent_away:
            async for _ in states:
                pass
        assert sent_away.value.code() == grpc.StatusCode.UNAVAILABLE
        await stopping


async def test_where_many_watch_progress_waits_and_the_end_does_not(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_PER_WATCHER", 3600)
    import_id = await caller.create()
    states = watch(caller, import_id)
    await states.read()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b", finish=True)])
    await caller.imports.FinishImport(pb.FinishImportRequest(import_id=import_id))
    rest = [update.import_job async for update in states]
    assert import_pb2.IMPORT_STATE_RECEIVING not in {update.state for update in rest}
    assert rest[-1] == await caller.get(import_id)
    assert rest[-1].state == import_pb2.IMPORT_STATE_SUCCEEDED


def feed_of(database: Database) -> Feed[Import]:
    return Feed(
        lambda numbers: imports.import_get_many(database, numbers),
        lambda found: imports.with_groups(database, found),
    )


async def test_all_are_told_of_a_move_that_a_newcomer_sees_first(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_PER_WATCHER", 3600)
    feed, import_id = feed_of(database), await caller.create()
    async with aclosing(feed.watch(int(import_id))) as first, aclosing(feed.watch(int(import_id))) as newcomer:
        await anext(first)
        await caller.imports.CancelImport(pb.CancelImportRequest(import_id=import_id))
        for watching in (newcomer, first):
            shown, _ = await anext(watching)
            assert shown.state.state is ImportState.CANCELLED


async def test_where_much_is_watched_each_has_its_turn(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOKED_AT_MAX", 2)
    feed, numbers = feed_of(database), [int(await caller.create()) for _ in range(5)]
    async with AsyncExitStack() as stack:
        watching = [await stack.enter_async_context(aclosing(feed.watch(number))) for number in numbers]
        for states in watching:
            await anext(states)
        for number in numbers:
            await caller.imports.CancelImport(pb.CancelImportRequest(import_id=str(number)))
        for _ in range(3):
            await feed.poll()
        for states in watching:
            shown, _ = await anext(states)
            assert shown.state.state is ImportState.CANCELLED
