"""Commits beside others who write the same records, and never pause."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from graphlib import TopologicalSorter
from typing import Any

import asyncpg
import pytest
from grpc import StatusCode, aio

from ingot.v1 import import_pb2, record_pb2, table_pb2, write_mode_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.conftest import running_app
from tests.faults.staging import begin, commit, expect_committed_once, expect_identifiers, parts, stage, stop_at

KEYS = 12_000
DOOMED = range(KEYS - 500, KEYS)
"""Keys that others delete meanwhile."""
REPLACE = write_mode_pb2.WRITE_MODE_REPLACE
MERGE = write_mode_pb2.WRITE_MODE_MERGE
FILL_EMPTY = write_mode_pb2.WRITE_MODE_FILL_EMPTY
SKIP_EXISTING = write_mode_pb2.WRITE_MODE_SKIP_EXISTING
DELETE = write_mode_pb2.WRITE_MODE_DELETE


async def test_a_commit_that_is_chosen_to_end_a_deadlock_loses_a_part_and_not_the_whole(
    caller: Caller, database_url: str, database: Database
) -> None:
    import_id = await begin(caller)
    async with stop_at(database_url) as stop:
        # Our side does not look for deadlocks, and gives up later than PostgreSQL has ended the commit's statement.
        await stop.connection.execute("SET LOCAL deadlock_timeout = '1h'; SET LOCAL lock_timeout = '2s'")
        await commit(caller, import_id)
        await stop.reached()
        with pytest.raises(asyncpg.LockNotAvailableError):
            await stop.connection.execute("SELECT FROM record WHERE key = '0' FOR UPDATE")
    await expect_committed_once(caller, import_id)
    (row,) = await database.fetch("SELECT commit_generation FROM import WHERE import_id = $1", int(import_id))
    assert row["commit_generation"] == 1


async def write(
    caller: Caller, mode: "write_mode_pb2.WriteMode.ValueType", rows: Sequence[Any], table: str = "things"
) -> None:
    """Writes records, again while the server says that this helps."""
    sent = [record_pb2.Record(json=json.dumps(row).encode()) for row in rows]
    await _insisting(caller.records.WriteRecords, pb.WriteRecordsRequest(table=table, mode=mode, records=sent))


async def _insisting(call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    while True:
        try:
            return await call(request)
        except aio.AioRpcError as error:
            assert error.code() == StatusCode.UNAVAILABLE, error


@pytest.mark.parametrize("mode", [REPLACE, MERGE])
async def test_a_commit_gets_through_beside_writers_that_never_pause(
    caller: Caller, database_url: str, mode: "write_mode_pb2.WriteMode.ValueType"
) -> None:
    """Everybody gets on, and what is there in the end is what some order would have left, one after the other."""
    chance = random.Random(3)
    everything = chance.sample(range(KEYS), KEYS)
    await caller.run([{"id": key, "by": "first"} for key in everything])
    written: dict[str, list[int]] = {"first": everything, "commit": everything}
    import_id = await stage(caller, [{"id": key, "by": "commit"} for key in everything], mode=mode)
    stop = asyncio.Event()

    async def stamp(number: int, how: "write_mode_pb2.WriteMode.ValueType") -> None:
        call = 0
        while not stop.is_set():
            call += 1
            name = f"{number}-{call}"
            written[name] = chance.sample(range(DOOMED.start), 300)
            await write(caller, how, [{"id": key, "by": name} for key in written[name]])

    async def upload() -> None:
        call = 0
        while not stop.is_set():
            call += 1
            name = f"import-{call}"
            written[name] = chance.sample(range(DOOMED.start), 2_000)
            other = await caller.create()
            await caller.upload(parts(other, [{"id": key, "by": name} for key in written[name]]))
            await caller.finish(other)

    async def disturb() -> None:
        while not stop.is_set():
            await write(caller, FILL_EMPTY, [{"id": chance.randrange(KEYS), "by": "nobody", "filler": 1}])
            await write(caller, SKIP_EXISTING, [{"id": chance.randrange(DOOMED.start), "by": "nobody"}])
            await write(caller, DELETE, [{"id": key} for key in chance.sample(DOOMED, 50)])
            doomed = pb.DeleteRecordsRequest(table="things", keys=map(str, chance.sample(DOOMED, 50)))
            await _insisting(caller.records.DeleteRecords, doomed)

    async with running_app(database_url):
        work = [stamp(1, REPLACE), stamp(2, MERGE), upload(), disturb()]
        writers = [asyncio.create_task(one) for one in work]
        await commit(caller, import_id)
        ended = await caller.ended(import_id)
        stop.set()
        await asyncio.gather(*writers)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert ended.counts.received == ended.counts.updated + ended.counts.created == KEYS
    expect_serial({row["id"]: row["by"] for row in await caller.table() if row["id"] < DOOMED.start}, written)


def expect_serial(found: dict[int, str], written: dict[str, list[int]]) -> None:
    """Whoever has written a key, and is not the last to have, came before who is; nobody came before himself.

    Parts of an import may come one by one, but here each of them is one chunk.
    """
    writers: defaultdict[int, set[str]] = defaultdict(set)
    for name, keys in written.items():
        for key in keys:
            writers[key].add(name)
    earlier: defaultdict[str, set[str]] = defaultdict(set)
    for key, last in found.items():
        assert last in writers[key]
        earlier[last] |= writers[key] - {last}
    list(TopologicalSorter(earlier).static_order())


async def test_a_commit_of_contacts_gets_through_beside_writers_that_never_pause(
    caller: Caller, database_url: str, database: Database
) -> None:
    """Each contact has its identifiers in the end, and nobody else's."""
    chance = random.Random(5)
    table = table_pb2.Table(table="people", kind="CONTACTS")
    await caller.tables.CreateTable(ts.CreateTableRequest(table=table))
    rows = [{"email": f"e{number}@example.org", "id": f"i{number}", "by": "commit"} for number in range(6_000)]
    import_id = await stage(caller, rows, "people", key_fields=(), mode=MERGE)
    stop = asyncio.Event()

    async def others(mode: "write_mode_pb2.WriteMode.ValueType") -> None:
        while not stop.is_set():
            numbers = chance.sample(range(6_000), 50)
            await write(caller, mode, [{"email": f"e{number}@example.org"} for number in numbers], "people")
            doomed = pb.DeleteRecordsRequest(table="people", keys=[f"id:i{number}" for number in numbers[:5]])
            await _insisting(caller.records.DeleteRecords, doomed)

    async with running_app(database_url):
        writers = [asyncio.create_task(others(mode)) for mode in (REPLACE, FILL_EMPTY, DELETE)]
        await commit(caller, import_id)
        ended = await caller.ended(import_id)
        stop.set()
        await asyncio.gather(*writers)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert ended.counts.created + ended.counts.updated == len(rows)
    await expect_identifiers(database)


@pytest.mark.parametrize("mode", [MERGE, FILL_EMPTY])
async def test_two_imports_that_make_the_same_record_at_the_same_time_lose_nothing(
    caller: Caller, database_url: str, mode: "write_mode_pb2.WriteMode.ValueType"
) -> None:
    names = [f"field{number}" for number in range(6)]
    async with running_app(database_url):

        async def run(name: str) -> import_pb2.Import:
            import_id = await caller.create(mode=mode)
            await caller.upload(
                [records([{"id": key, name: 1} for key in range(500)], import_id=import_id, batch_id="b", finish=True)]
            )
            return await caller.finish(import_id)

        ended = await asyncio.gather(*map(run, names))
    assert sum(one.counts.created for one in ended) == 500
    assert sum(one.counts.updated for one in ended) == 500 * (len(names) - 1)
    assert all(set(row) == {"id", *names} for row in await caller.table())


async def test_a_record_deleted_in_between_is_made_again_by_what_is_merged(caller: Caller, database_url: str) -> None:
    """Whether the deletion or the merging comes first, nothing of what was deleted is left beside what was merged."""
    for _ in range(5):
        await caller.run([{"id": key, "old": 1} for key in range(300)])
        import_id = await caller.create(mode=MERGE)
        rows = [{"id": key, "new": 1} for key in range(300)]
        deletion = pb.DeleteRecordsRequest(table="things", keys=[str(key) for key in range(300)])
        uploading = caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
        await asyncio.gather(uploading, caller.records.DeleteRecords(deletion))
        ended = await caller.finish(import_id)
        table = await caller.table()
        if ended.counts.created:
            assert ended.counts.created == 300
            assert table == sorted(({"id": key, "new": 1} for key in range(300)), key=lambda row: str(row["id"]))
        else:
            assert ended.counts.updated == 300
            assert table == []
        await caller.records.DeleteRecords(deletion)
