"""Records that are all there, and all differ, are taken out and copied anew, and it makes no difference."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ingot.v1 import import_pb2, import_service_pb2, record_service_pb2, stage_pb2, write_mode_pb2
from ingot_server.domain.fields import FieldType
from ingot_server.storage import commits
from ingot_server.storage import records as stored
from ingot_server.storage.arrays import text_array
from ingot_server.storage.database import Database
from ingot_server.storage.filtering import index_create
from ingot_server.storage.keyed_records import KeyedRecords
from ingot_server.storage.looking_up import looking_up_many
from ingot_server.storage.records import record_exchange
from tests.api.test_unchanged import CHUNK, imported, write
from tests.calling import Caller, records
from tests.faults.staging import awaiting, commit, parts

MANY = 500


@pytest.fixture
def exchanged(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each exchange that was tried came about."""
    found: list[bool] = []

    async def watched(connection: Any, table_id: int, writer: int, records: KeyedRecords) -> Any:
        counts = await record_exchange(connection, table_id, writer, records)
        found.append(counts is not None)
        return counts

    monkeypatch.setattr(stored, "record_exchange", watched)
    return found


def rows_of(value: Any, number: int = MANY) -> list[dict[str, Any]]:
    return [{"id": f"{key:05}", "value": value, "text": 'a\tb\\n"c"'} for key in range(number)]


async def times(caller: Caller, key: str) -> tuple[int, int]:
    request = record_service_pb2.GetRecordRequest(table="things", key=key)
    record = (await caller.records.GetRecord(request)).record
    return record.create_time.ToNanoseconds(), record.update_time.ToNanoseconds()


async def test_all_are_updated_and_were_created_when_they_were(caller: Caller, exchanged: list[bool]) -> None:
    await imported(caller, *rows_of(1, 100))
    await imported(caller, *rows_of(1))
    before = [await times(caller, key) for key in ("00000", "00499")]
    assert before[0][0] < before[1][0]
    assert await imported(caller, *reversed(rows_of(2))) == stage_pb2.RecordCounts(received=MANY, updated=MANY)
    after = [await times(caller, key) for key in ("00000", "00499")]
    assert [created for created, _ in after] == [created for created, _ in before]
    assert all(updated > earlier for (_, updated), (_, earlier) in zip(after, before, strict=True))
    assert await caller.table() == rows_of(2)
    assert exchanged[-1]
    # It is known what they are now.
    assert await imported(caller, *rows_of(2)) == stage_pb2.RecordCounts(received=MANY, unchanged=MANY)


async def test_what_the_import_has_written_itself_is_superseded(caller: Caller, exchanged: list[bool]) -> None:
    await imported(caller, *rows_of(1))
    import_id = await caller.create()
    for value in (2, 3):
        await caller.upload([records(rows_of(value), import_id=import_id, batch_id=f"{value}", finish=True)])
    counts = (await caller.finish(import_id)).counts
    assert counts == stage_pb2.RecordCounts(received=2 * MANY, updated=MANY, superseded=MANY)
    assert await caller.table() == rows_of(3)
    assert exchanged == [True, True]


@pytest.mark.parametrize("same", [b'{"value": 1.0, "id": "00007"}', b'{"id":"00007","value":10e-1}'])
async def test_the_same_in_other_words_is_unchanged_among_others_that_differ(
    caller: Caller, exchanged: list[bool], same: bytes
) -> None:
    old = [b'{"id":"%05d","value":1}' % key for key in range(MANY)]
    new = [b'{"id":"%05d","value":2}' % key for key in range(MANY)]
    await imported(caller, *old)
    before = await times(caller, "00007")
    new[7] = same
    assert await imported(caller, *new) == stage_pb2.RecordCounts(received=MANY, updated=MANY - 1, unchanged=1)
    assert await times(caller, "00007") == before
    assert exchanged == [False]


async def test_where_a_few_are_unchanged_chunks_are_not_exchanged_in_vain(
    caller: Caller, exchanged: list[bool]
) -> None:
    number = 12 * CHUNK
    await imported(caller, *rows_of(1, number))
    exchanged.clear()
    rows = [
        old if position % 20 == 0 else new
        for position, (old, new) in enumerate(zip(rows_of(1, number), rows_of(2, number), strict=True))
    ]
    import_id = await caller.create()
    await caller.upload(parts(import_id, rows))
    counts = (await caller.finish(import_id)).counts
    assert counts == stage_pb2.RecordCounts(received=number, updated=number - number // 20, unchanged=number // 20)
    assert exchanged
    assert all(exchanged)


async def test_one_that_is_new_among_them_is_created(caller: Caller, exchanged: list[bool]) -> None:
    await imported(caller, *rows_of(1, MANY - 1))
    assert await imported(caller, *rows_of(2)) == stage_pb2.RecordCounts(received=MANY, updated=MANY - 1, created=1)
    assert await caller.table() == rows_of(2)
    assert exchanged == [False]


@pytest.mark.parametrize("how", [{"staged": True}, {"reconcile": import_pb2.Reconcile(max_deleted_ratio=1)}], ids=str)
async def test_a_commit_exchanges_them_too(caller: Caller, exchanged: list[bool], how: dict[str, Any]) -> None:
    await imported(caller, *rows_of(1))
    import_id = await caller.create(**how)
    await caller.upload([records(rows_of(2), import_id=import_id, batch_id="b", finish=True)])
    await caller.imports.FinishImport(import_service_pb2.FinishImportRequest(import_id=import_id))
    if "staged" in how:
        await awaiting(caller, import_id)
        await commit(caller, import_id)
    ended = await caller.ended(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=MANY, updated=MANY)
    assert await caller.table() == rows_of(2)
    assert exchanged
    assert all(exchanged)


async def test_times_of_creation_stay_whatever_the_style_of_dates(database: Database) -> None:
    times = "SELECT array_agg(create_time ORDER BY key) FROM record WHERE table_id = 1"
    async with database.rehearsal() as connection:
        await connection.execute("SET LOCAL datestyle = 'SQL, DMY'; SET LOCAL timezone = 'Asia/Kolkata'")
        await stored.record_apply(connection, 1, 1, KeyedRecords(["a", "b"], [b"1", b"1"]))
        await connection.execute("UPDATE record SET create_time = '2001-02-03 04:05:06.789012+00' WHERE key = 'b'")
        before = await connection.fetchval(times)
        assert before[0] != before[1]
        assert await record_exchange(connection, 1, 2, KeyedRecords(["a", "b"], [b"2", b"2"])) is not None
        assert await connection.fetchval(times) == before
        await connection.execute("UPDATE record SET create_time = '2001-02-03 04:05:06.789012+00'")
        assert await record_exchange(connection, 1, 3, KeyedRecords(["a", "b"], [b"3", b"3"])) is not None
        assert await connection.fetchval(times) == [before[1]] * 2


# ------------------------------------------------------------------------------------------------- while others wait


@asynccontextmanager
async def exchanging(database: Database, *rows: bytes) -> AsyncIterator[None]:
    """Within the block the records a and b are exchanged for rows; at its end, once somebody waits for that."""
    table = await database.fetchrow("SELECT table_id FROM record_table WHERE name = 'things'")
    assert table is not None
    async with database.transaction() as connection:
        counts = await record_exchange(connection, table["table_id"], 1_000_000, KeyedRecords(["a", "b"], rows))
        assert counts is not None
        yield
        waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while await database.fetchrow(waiting) is None:
            pass


NEW = (b'{"id":"a","value":2,"size":null}', b'{"id":"b","value":2,"size":null}')


class Paused:
    """A connection that stops once, after its first statement that changes nothing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, query: str, *arguments: Any) -> Any:
        tag = await self._connection.execute(query, *arguments)
        if tag == "DELETE 0":
            self.reached.set()
            await self.goes_on.wait()
        return tag


async def test_a_full_replacement_that_waits_twice_removes_what_came_last(caller: Caller, database: Database) -> None:
    await imported(caller, {"id": "a"}, {"id": "b"})
    async with database.transaction() as connection:
        paused: Any = Paused(connection)
        table_id = await connection.fetchval("SELECT table_id FROM record_table WHERE name = 'things'")
        await commits.commit_stage_names(connection)
        async with exchanging(database, *NEW):
            removing = asyncio.ensure_future(commits.commit_delete_unnamed(paused, table_id, expected=2))
        await paused.reached.wait()
        async with exchanging(database, b'{"id":"a","value":3}', b'{"id":"b","value":3}'):
            paused.goes_on.set()
        assert await removing == 2
    assert await caller.table() == []


async def test_rows_are_found_in_the_order_of_their_keys_although_a_field_has_an_index(
    caller: Caller, database: Database
) -> None:
    """Who locks them in another order than others waits for these in a circle."""
    await imported(caller, *rows_of(1, 300))
    table = await database.fetchrow("SELECT table_id FROM record_table WHERE name = 'things'")
    assert table is not None
    async with database.connection() as connection:
        await connection.execute(index_create(table["table_id"], "value", FieldType.INTEGER))
        await connection.execute("ANALYZE record")
    keys = text_array([row["id"] for row in rows_of(1, 300)])
    asked: dict[str, tuple[Any, ...]] = {
        stored.sql.record_take_out: (keys, 1),
        stored.sql.record_hashes: (keys,),
        stored.sql.record_digests: (keys, b""),
    }
    async with database.rehearsal() as connection, looking_up_many(connection, in_order=True):
        for query, arguments in asked.items():
            rows = await connection.fetch(f"EXPLAIN (COSTS off) {query}", table["table_id"], *arguments)
            plan = "\n".join(row[0] for row in rows)
            assert "Index Scan using record_pkey" in plan, plan
            assert "Filter: (key" not in plan, plan


async def test_a_deletion_that_waited_deletes_what_came_instead(caller: Caller, database: Database) -> None:
    await imported(caller, {"id": "a"}, {"id": "b"}, {"id": "c"})
    request = record_service_pb2.DeleteRecordsRequest(table="things", keys=["a", "b", "none"])
    async with exchanging(database, *NEW):
        deleting = asyncio.ensure_future(caller.records.DeleteRecords(request))
    assert (await deleting).deleted == 2
    assert await caller.table() == [{"id": "c"}]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (write_mode_pb2.WRITE_MODE_MERGE, {"id": "a", "value": 2, "size": "L"}),
        (write_mode_pb2.WRITE_MODE_FILL_EMPTY, {"id": "a", "value": 2, "size": "L"}),
        (write_mode_pb2.WRITE_MODE_SKIP_EXISTING, {"id": "a", "value": 2, "size": None}),
        (write_mode_pb2.WRITE_MODE_REPLACE, {"id": "a", "size": "L"}),
        (write_mode_pb2.WRITE_MODE_DELETE, None),
    ],
)
async def test_a_writer_that_waited_goes_by_what_came_instead(
    caller: Caller, database: Database, mode: "write_mode_pb2.WriteMode.ValueType", expected: dict[str, Any] | None
) -> None:
    await imported(caller, {"id": "a"}, {"id": "b"})
    async with exchanging(database, *NEW):
        writing = asyncio.ensure_future(write(caller, {"id": "a", "size": "L"}, mode=mode))
    await writing
    assert [row for row in await caller.table() if row["id"] == "a"] == ([expected] if expected else [])


async def test_a_full_replacement_that_waited_removes_what_came_instead(caller: Caller, database: Database) -> None:
    await imported(caller, {"id": "a"}, {"id": "b"}, {"id": "c"})
    async with exchanging(database, *NEW):
        replacing = asyncio.ensure_future(
            imported(caller, {"id": "c"}, reconcile=import_pb2.Reconcile(max_deleted_ratio=1))
        )
    assert await replacing == stage_pb2.RecordCounts(received=1, unchanged=1)
    assert await caller.table() == [{"id": "c"}]
