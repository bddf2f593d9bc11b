"""Full replacements and staged commits as others see them, of contacts, and of tables that are large."""

import asyncio
import json
from typing import Any

import pytest

from ingot.v1 import import_pb2, table_pb2, write_mode_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.conftest import running_app
from tests.faults.staging import commit, expect_identifiers, parts, stage

ANY_SHARE = import_pb2.Reconcile(max_deleted_ratio=1)


async def replace(caller: Caller, rows: list[Any], table: str = "things", **spec: Any) -> import_pb2.Import:
    """A full replacement that has ended."""
    import_id = await caller.create(table, reconcile=ANY_SHARE, **spec)
    await caller.upload(parts(import_id, rows))
    return await caller.finish(import_id)


async def people(caller: Caller, rows: list[Any], **spec: Any) -> import_pb2.Import:
    """An import of contacts that has ended."""
    import_id = await caller.create("people", (), kind="CONTACTS", **spec)
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    return await caller.finish(import_id)


async def emails(caller: Caller) -> set[str]:
    return {row["email"] for row in await caller.table("people")}


async def test_no_page_shows_a_part_of_a_commit(caller: Caller) -> None:
    """Pages of a thousand records, read as fast as they come, of a table that is replaced again and again."""
    rounds, keys = 4, 1_000
    stop = asyncio.Event()
    seen: set[str] = set()
    await caller.run([{"id": key, "round": 0} for key in range(keys)])

    async def read() -> None:
        while not stop.is_set():
            page = await caller.records.ListRecords(pb.ListRecordsRequest(table="things", page_size=1_000))
            texts = [json.loads(record.json) for record in page.records]
            (number,) = {text["round"] for text in texts}
            assert {text["id"] for text in texts} == {key + number % 2 for key in range(keys)}
            seen.add(number)

    async def export() -> None:
        while not stop.is_set():
            rows = await caller.table()
            assert len({row["id"] for row in rows}) == len(rows)

    readers = [asyncio.create_task(one) for one in (read(), export())]
    for number in range(1, rounds):
        # Not in the order of the keys, so that a commit writes all over the table in each of its chunks.
        rows = [{"id": (key * 7) % keys + number % 2, "round": number} for key in range(keys)]
        import_id = await stage(caller, rows, reconcile=ANY_SHARE)
        await commit(caller, import_id)
        assert (await caller.ended(import_id)).removed == 1
    stop.set()
    await asyncio.gather(*readers)
    assert len(seen) > 1


async def test_a_full_replacement_takes_contacts_away_with_their_identifiers(
    caller: Caller, database: Database
) -> None:
    gone = {"email": "gone@example.org", "phone": "+46701740605"}
    await people(caller, [gone, {"email": "stays@example.org"}])
    found = await people(caller, [{"phone": None, "email": "stays@example.org"}], reconcile=ANY_SHARE)
    assert (found.removed, found.counts.updated) == (1, 1)
    assert await emails(caller) == {"stays@example.org"}
    await expect_identifiers(database)
    # It may come again, and its phone number may be somebody else's.
    found = await people(caller, [{"email": "gone@example.org"}, {"email": "new@example.org", "phone": "+46701740605"}])
    assert found.counts.created == 2
    await expect_identifiers(database)


@pytest.mark.parametrize(
    ("rejected", "protected"),
    [
        ({"email": "a@example.org", "phone": "+46701740606"}, {"a@example.org", "b@example.org"}),
        ({"email": "a@example.org", "birth_date": "no day"}, {"a@example.org"}),
    ],
    ids=["conflict", "unreadable"],
)
async def test_a_rejected_contact_protects_whom_it_names(
    caller: Caller, rejected: dict[str, Any], protected: set[str]
) -> None:
    await people(
        caller,
        [
            {"email": "a@example.org", "phone": "+46701740605"},
            {"email": "b@example.org", "phone": "+46701740606"},
            {"email": "c@example.org"},
        ],
    )
    found = await people(caller, [{"email": "new@example.org"}, rejected], reconcile=ANY_SHARE)
    assert found.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert (found.counts.created, found.counts.rejected) == (1, 1)
    assert await emails(caller) == protected | {"new@example.org"}
    assert found.removed == 3 - len(protected)


async def test_a_contact_whose_identifiers_cannot_be_read_may_be_anybody(caller: Caller) -> None:
    await people(caller, [{"email": "a@example.org"}, {"email": "b@example.org"}])
    found = await people(caller, [{"email": "a@example.org"}, {"email": "no address"}], reconcile=ANY_SHARE)
    assert (found.removed, found.counts.rejected) == (0, 1)
    assert "Nothing is deleted" in found.state_message
    assert await emails(caller) == {"a@example.org", "b@example.org"}


async def test_staged_contacts_are_committed_by_what_is_there_then(caller: Caller, database: Database) -> None:
    """The trial made a record of an address that has since become another's second one."""
    table = table_pb2.Table(table="people", kind="CONTACTS")
    await caller.tables.CreateTable(ts.CreateTableRequest(table=table))
    import_id = await stage(caller, [{"email": "a@example.org", "x": 1}], "people", key_fields=())
    await people(caller, [{"email": "a@example.org", "id": "7"}])
    await commit(caller, import_id)
    ended = await caller.ended(import_id)
    assert (ended.counts.created, ended.counts.updated) == (0, 1)
    (row,) = await caller.table("people")
    assert (row["id"], row["x"]) == ("7", 1)
    await expect_identifiers(database)


@pytest.mark.parametrize("mode", [write_mode_pb2.WRITE_MODE_REPLACE, write_mode_pb2.WRITE_MODE_MERGE])
async def test_the_cost_of_a_full_replacement_grows_with_its_size_only(
    caller: Caller, database_url: str, mode: "write_mode_pb2.WriteMode.ValueType"
) -> None:
    """Half of 50,000 records are replaced and half deleted, on a server that may not look for long.

    A plan that looks into one table for each row of another, without an index, takes minutes for so many.
    """
    keys = 50_000
    await caller.run([{"id": key} for key in range(keys)])
    async with running_app(database_url, workers=1):
        found = await replace(caller, [{"id": key, "n": 1} for key in range(0, keys, 2)], mode=mode)
    assert (found.removed, found.counts.updated) == (keys // 2, keys // 2)
    assert len(await caller.table()) == keys // 2


async def test_the_statements_of_a_full_replacement_read_each_table_once(database: Database) -> None:
    """Also where PostgreSQL knows nothing yet of what it was just given."""
    from ingot_server.storage import branches, commits
    from ingot_server.storage.database import plan_for_all_rows

    async with database.rehearsal() as connection:
        await connection.execute(
            """
            INSERT INTO record (table_id, writer, create_time, update_time, rewritten, key, data)
            SELECT 1, 1, now(), now(), false, n::text, '{}' FROM generate_series(1, 50000) AS n
            """
        )
        await connection.execute(
            "INSERT INTO branch_key (table_id, key, existed, named)"
            " SELECT 2, n::text, true, true FROM generate_series(1, 25000) AS n"
        )
        await commits.commit_stage_names(connection)
        await commits.commit_add_names(connection, [str(n) for n in range(25_000)])
        await plan_for_all_rows(connection)
        for query, arguments in (
            (branches.sql.branch_count_unnamed, "2, 1"),
            (commits.sql.commit_count_unnamed, "1"),
            (commits.sql.commit_delete_unnamed, "1"),
            (commits.sql.commit_delete_identifiers, "1"),
        ):
            types = ", ".join(["bigint"] * len(arguments.split(",")))
            await connection.execute(f"PREPARE tried ({types}) AS {query}")
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE tried ({arguments})"))
            assert "Nested Loop" not in plan, plan
            assert "SubPlan" not in plan.replace("hashed SubPlan", ""), plan
            await connection.execute("DEALLOCATE tried")
