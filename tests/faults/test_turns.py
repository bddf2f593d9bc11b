"""Chunks of one batch that are written at the same time: each once, and as if one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from asyncpg.transaction import Transaction

from ingot.v1 import stage_pb2
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.pipeline import appending, turn
from ingot_server.storage import tables
from ingot_server.storage.database import Database
from tests.api.test_kinds import run, write
from tests.calling import Caller, records

CHUNK = 5_000


async def uploaded(caller: Caller, keys: list[int], value: str) -> str:
    """An import whose records come in chunks of 5,000, all with one value."""
    import_id = await caller.create()
    parts = [
        records([{"id": key, "value": value} for key in keys[at : at + CHUNK]], import_id=import_id, batch_id="b")
        for at in range(0, len(keys), CHUNK)
    ]
    parts[-1].finish.total = len(keys)
    await caller.upload(parts)
    return import_id


async def chunks_done(database: Database, import_id: str, wanted: list[int]) -> None:
    """Returns when exactly these chunks are done."""
    query = """SELECT coalesce(array_agg(chunk_index ORDER BY chunk_index) FILTER (WHERE done_time IS NOT NULL), '{}')
        FROM chunk JOIN batch USING (batch_seq) WHERE import_id = $1"""
    while True:
        row = await database.fetchrow(query, int(import_id))
        assert row is not None
        if row[0] == wanted:
            return
        await asyncio.sleep(0.02)


async def test_known_contacts_are_written_while_those_before_them_wait(
    caller: Caller, database: Database, database_url: str
) -> None:
    contacts = [{"id": n, "email": f"c{n}@example.org", "phone": f"+4670{n:07}"} for n in range(3 * CHUNK)]
    await run(caller, "people", *contacts, kind="CONTACTS")
    somebody = await asyncpg.connect(database_url)
    holding = somebody.transaction()
    await holding.start()
    await somebody.execute("SELECT FROM record WHERE key = 'id=0' FOR UPDATE")
    import_id = await caller.create("people", ())
    parts = [
        records([row | {"name": "Ada"} for row in contacts[at : at + CHUNK]], import_id=import_id, batch_id="b")
        for at in range(0, len(contacts), CHUNK)
    ]
    parts[-1].finish.total = len(contacts)
    await caller.upload(parts)
    await chunks_done(database, import_id, [1, 2])
    await holding.rollback()
    await somebody.close()
    done = await caller.finish(import_id)
    assert done.counts == stage_pb2.RecordCounts(received=len(contacts), updated=len(contacts))


async def test_two_imports_of_the_same_known_contacts_end_as_one_after_the_other(caller: Caller) -> None:
    contacts = [{"id": n, "email": f"c{n}@example.org"} for n in range(2 * CHUNK)]
    await run(caller, "people", *contacts, kind="CONTACTS")
    ended = await asyncio.gather(
        *(run(caller, "people", *(row | {"name": name} for row in contacts)) for name in ("Ada", "Grace"))
    )
    for done, errors in ended:
        assert (done.counts.updated, list(errors)) == (len(contacts), [])
    names = [row["name"] for row in await caller.table("people")]
    assert len(names) == len(contacts)
    assert set(names) <= {"Ada", "Grace"}


async def test_a_chunk_that_is_done_before_the_one_before_it_is_counted_once(
    caller: Caller, database: Database, database_url: str
) -> None:
    await caller.run([{"id": 0, "value": "old"}])
    somebody = await asyncpg.connect(database_url)
    holding = somebody.transaction()
    await holding.start()
    await somebody.execute("SELECT FROM record WHERE key = '0' FOR UPDATE")
    import_id = await uploaded(caller, list(range(2 * CHUNK)), "new")
    await chunks_done(database, import_id, [1])
    # The batch is given back and taken again meanwhile; the chunk that is done is not taken for the one that is not.
    await holding.rollback()
    await somebody.close()
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=2 * CHUNK, created=2 * CHUNK - 1, updated=1)
    assert len(await caller.table()) == 2 * CHUNK


async def test_chunks_with_a_key_in_common_are_written_in_their_order(
    caller: Caller, database: Database, database_url: str
) -> None:
    await caller.run([{"id": 0, "value": "old"}])
    somebody = await asyncpg.connect(database_url)
    holding = somebody.transaction()
    await holding.start()
    await somebody.execute("SELECT FROM record WHERE key = '0' FOR UPDATE")
    keys = [*range(CHUNK), *range(CHUNK - 1, 2 * CHUNK - 1)]
    import_id = await uploaded(caller, keys, "new")
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while True:
        if await somebody.fetchrow(waiting) is not None:
            break
        await asyncio.sleep(0.02)
    await chunks_done(database, import_id, [])
    await holding.rollback()
    await somebody.close()
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=2 * CHUNK, created=2 * CHUNK - 2, updated=1, unchanged=1)


@asynccontextmanager
async def given(database_url: str, email: str, key: str) -> AsyncIterator[Transaction]:
    """Somebody gives an e-mail address to a contact in a transaction that ends when the block says so."""
    somebody = await asyncpg.connect(database_url)
    giving = somebody.transaction()
    await giving.start()
    query = "INSERT INTO record_identifier (table_id, identifier, key) SELECT table_id, $1, $2 FROM record_table"
    await somebody.execute(query, f"email:{email}", f"email={key}")
    yield giving
    await somebody.close()


async def contacts_uploaded(caller: Caller, rows: list[dict[str, Any]]) -> str:
    """An import of contacts that come in chunks of 5,000."""
    import_id = await caller.create("people", [], kind="CONTACTS")
    parts = [records(rows[at : at + CHUNK]) for at in range(0, len(rows), CHUNK)]
    parts[-1].finish.total = len(rows)
    await caller.upload([records([], import_id=import_id, batch_id="b"), *parts])
    return import_id


@pytest.mark.parametrize("becomes_known", [False, True])
async def test_new_contacts_are_written_beside_others_of_which_somebody_may_know_one(
    caller: Caller, database: Database, database_url: str, becomes_known: bool
) -> None:
    """If somebody does, these come before all that mean the same, and after what was sent before."""
    await write(caller, "people", {"email": "known@example.org"}, kind="CONTACTS")
    rows = [{"email": f"c{number}@example.org", "name": "old"} for number in range(3 * CHUNK)]
    rows[-1] = {"email": "c0@example.org", "name": "new"}
    async with given(database_url, "c0@example.org", "known@example.org") as giving:
        import_id = await contacts_uploaded(caller, rows)
        await chunks_done(database, import_id, [1])
        await (giving.commit() if becomes_known else giving.rollback())
    ended = await caller.finish(import_id)
    created, updated = 3 * CHUNK - 1 - becomes_known, int(becomes_known)
    assert ended.counts == stage_pb2.RecordCounts(received=3 * CHUNK, created=created, updated=updated, superseded=1)
    assert [row["email"] for row in await caller.table("people") if row.get("name") == "new"] == ["c0@example.org"]


async def test_contacts_of_whom_one_is_known_wait_for_those_that_were_sent_before(
    caller: Caller, database: Database, database_url: str
) -> None:
    """The first chunk takes an e-mail address away from a contact, and the second gives it to a new one."""
    await write(caller, "people", {"email": "a@example.org"}, kind="CONTACTS")
    await write(caller, "people", {"id": 1, "email": "a@example.org"})
    rows: list[dict[str, Any]] = [{"email": f"c{number}@example.org"} for number in range(3 * CHUNK)]
    rows[1] = {"id": 1, "email": "b@example.org"}
    rows[CHUNK] = {"email": "a@example.org", "name": "new"}
    async with given(database_url, "c0@example.org", "c0@example.org") as giving:
        import_id = await contacts_uploaded(caller, rows)
        await chunks_done(database, import_id, [2])
        await giving.rollback()
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=3 * CHUNK, created=3 * CHUNK - 1, updated=1)
    names = {row["email"]: row.get("name", row.get("id")) for row in await caller.table("people")}
    assert (names["a@example.org"], names["b@example.org"]) == ("new", "1")


async def test_who_changes_contacts_that_are_there_waits_in_a_queue_with_those_who_bring_new_ones(
    caller: Caller, database: Database
) -> None:
    """They could pass by for ever."""
    await write(caller, "people", {"email": "known@example.org"}, kind="CONTACTS")
    table_id = await database.pool.fetchval("SELECT table_id FROM record_table")

    async def change() -> None:
        async with database.transaction() as connection:
            await tables.table_lock_identifiers(connection, table_id)

    async with database.transaction() as one, database.transaction() as other:
        await tables.table_share_identifiers(one, table_id)
        await tables.table_share_identifiers(other, table_id)
        changing = asyncio.create_task(change())
        while True:
            if await database.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                break
            await asyncio.sleep(0.02)
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction(lock_timeout_seconds=0.1) as third:
                await tables.table_share_identifiers(third, table_id)
        assert not changing.done()
    await changing


@pytest.mark.parametrize("at_once", [1, 2, 4])
async def test_the_outcome_does_not_depend_on_how_many_are_written_at_once(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(turn, "AT_ONCE", at_once)
    keys = [key % (CHUNK + 10) for key in range(4 * CHUNK)]
    ended = await caller.finish(await uploaded(caller, keys, "same"))
    assert ended.counts == stage_pb2.RecordCounts(received=4 * CHUNK, created=CHUNK + 10, unchanged=3 * CHUNK - 10)


async def test_a_batch_at_full_speed_is_received_first_and_processed_when_it_is_finished(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "RECEIVED_FIRST", timedelta(hours=1))
    import_id = await caller.create()
    rows = [{"id": key} for key in range(2 * CHUNK)]
    await caller.upload([records(rows[:CHUNK], import_id=import_id, batch_id="b")])
    # Somebody else's is not held up, and by then this one would be done.
    await caller.run([{"id": "other"}], table="other")
    await chunks_done(database, import_id, [])
    await caller.upload([records(rows[CHUNK:], import_id=import_id, batch_id="b", offset=CHUNK, finish=2 * CHUNK)])
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=2 * CHUNK, created=2 * CHUNK)


async def test_a_batch_at_full_speed_that_goes_on_for_long_is_processed_meanwhile(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "RECEIVED_FIRST", timedelta(milliseconds=1))
    import_id = await caller.create()
    await caller.upload([records([{"id": key} for key in range(CHUNK)], import_id=import_id, batch_id="b")])
    await chunks_done(database, import_id, [0])


async def test_a_batch_that_comes_slowly_is_processed_meanwhile(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "RECEIVED_FIRST", timedelta(hours=1))
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    await chunks_done(database, import_id, [0])


async def test_a_chunk_that_fails_again_and_again_is_found_by_whoever_goes_on(
    caller: Caller, database: Database, database_url: str
) -> None:
    await caller.run([{"id": 0, "value": "old"}])
    somebody = await asyncpg.connect(database_url)
    holding = somebody.transaction()
    await holding.start()
    await somebody.execute("SELECT FROM record WHERE key = '0' FOR UPDATE")
    import_id = await uploaded(caller, list(range(6 * CHUNK)), "new")
    while True:
        # Given back after five tries, and claimed again.
        row = await database.fetchrow("SELECT lease_generation FROM batch WHERE import_id = $1", int(import_id))
        if row is not None and row["lease_generation"] > 2:
            break
        await asyncio.sleep(0.05)
    # No chunk has got further ahead than the next worker looks back.
    await chunks_done(database, import_id, list(range(1, turn.AT_ONCE)))
    await holding.rollback()
    await somebody.close()
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=6 * CHUNK, created=6 * CHUNK - 1, updated=1)
