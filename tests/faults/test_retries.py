"""Rejected records that are tried again: while what they were rejected from goes away, and over a kill."""

import asyncio
from typing import Any

import pytest
from grpc import aio

from ingot.v1 import field_pb2, import_pb2, stage_pb2, table_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage import chunks, import_moves
from ingot_server.storage.database import Database
from tests.api.test_life import awaiting, done, numbers, staged
from tests.calling import Caller, reason_of, records
from tests.conftest import running_app
from tests.faults.processes import server_process
from tests.faults.staging import commit, parts, stop_at

ROWS = 21_000
"""Five chunks: more than are read before the first is stored."""
NO_FURTHER_CHUNK = "LOCK TABLE chunk IN SHARE MODE"
"""Keeps what is received from being stored."""


async def declare(caller: Caller, type_: "field_pb2.FieldType.ValueType") -> None:
    """Says what `n` has to be."""
    table = table_pb2.Table(table="things", key_fields=["id"], fields=[field_pb2.Field(name="n", type=type_)])
    try:
        await caller.tables.CreateTable(ts.CreateTableRequest(table=table))
    except aio.AioRpcError:
        request = ts.UpdateTableRequest(table=table)
        request.update_mask.paths.append("fields")
        await caller.tables.UpdateTable(request)


async def rejected(caller: Caller, rows: int = ROWS, **spec: Any) -> str:
    """An import all of whose records were rejected, and would not be any more."""
    await declare(caller, field_pb2.FIELD_TYPE_INTEGER)
    import_id = await caller.create(**spec)
    await caller.upload(parts(import_id, [{"id": row, "n": "x"} for row in range(rows)]))
    ended = await caller.finish(import_id)
    assert ended.processing.rejected == rows
    await declare(caller, field_pb2.FIELD_TYPE_TEXT)
    return import_id


async def retry(caller: Caller, import_id: str, request_id: str = "") -> str:
    request = im.RetryImportRequest(import_id=import_id, request_id=request_id)
    return (await caller.imports.RetryImport(request)).import_job.import_id


@pytest.mark.parametrize("how", ["deleted", "expired"])
async def test_rejects_that_go_away_while_they_are_fetched_are_missed_aloud(
    caller: Caller, database_url: str, how: str
) -> None:
    original = await rejected(caller)
    async with stop_at(database_url, NO_FURTHER_CHUNK) as stop:
        import_id = await retry(caller, original)
        await stop.reached()
        # As DeleteImport and the chores of a server do it.
        await chunks.chunk_delete_of_import(stop.connection, int(original))
        if how == "deleted":
            await stop.connection.execute(import_moves.sql.import_delete, int(original))
    ended = await caller.ended(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert 0 < ended.counts.created == ended.counts.received < ROWS
    batch = await caller.batch(import_id)
    assert batch.status_message == (
        "The rejected records are no longer kept, because their import was deleted or is too old: send them again, in"
        " another import."
    )
    assert batch.upload.state in (stage_pb2.STAGE_STATE_FAILURE, stage_pb2.STAGE_STATE_WARNING)
    assert len(await caller.table()) == ended.counts.created


async def test_rejects_that_are_not_kept_are_gone(database_url: str, database: Database) -> None:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    async with (
        running_app(database_url, chunk_retention_hours=0) as app,
        Caller(f"127.0.0.1:{app.port}", key) as caller,
    ):
        import_id = await rejected(caller, 1)
        while await database.fetch("SELECT FROM chunk"):
            pass
        with pytest.raises(aio.AioRpcError) as refused:
            await retry(caller, import_id)
        assert reason_of(refused.value).reason == "REJECTS_GONE"
        assert len(await caller.errors(import_id)) == 1
        ended = await done(caller, [{"id": 1}])
        with pytest.raises(aio.AioRpcError) as refused:
            await retry(caller, ended.import_id)
        assert reason_of(refused.value).reason == "NOTHING_TO_RETRY"


async def test_a_retry_survives_the_server_that_fetches_it(database_url: str, database: Database) -> None:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    async with server_process(database_url=database_url, lease_seconds=1) as first:
        async with Caller(first.address, key) as caller:
            original = await rejected(caller)
            async with stop_at(database_url, NO_FURTHER_CHUNK) as stop:
                import_id = await retry(caller, original, "again")
                await stop.reached()
                first.kill()
                await first.ended()
    async with server_process(database_url=database_url, lease_seconds=1) as second:
        async with Caller(second.address, key) as caller:
            assert await retry(caller, original, "again") == import_id
            ended = await caller.ended(import_id)
            assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
            assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS)
            assert len(await caller.table()) == ROWS


async def test_a_retry_can_be_tried_again(caller: Caller) -> None:
    original = await rejected(caller, 3, labels={"of": "tonight"}, max_errors=5)
    await declare(caller, field_pb2.FIELD_TYPE_BOOLEAN)
    again = await caller.ended(await retry(caller, original))
    assert (again.state, again.retry_of) == (import_pb2.IMPORT_STATE_FAILED, original)
    assert (dict(again.labels), again.max_errors) == ({"of": "tonight"}, 5)
    await declare(caller, field_pb2.FIELD_TYPE_TEXT)
    last = await caller.ended(await retry(caller, again.import_id))
    assert (numbers(last), last.retry_of) == ({"received": 3, "created": 3}, again.import_id)
    # The original's are still there; its records are there now.
    assert numbers(await caller.ended(await retry(caller, original))) == {"received": 3, "unchanged": 3}
    with pytest.raises(aio.AioRpcError) as refused:
        await retry(caller, last.import_id)
    assert reason_of(refused.value).reason == "NOTHING_TO_RETRY"


async def test_a_rehearsal_is_tried_again_as_one(caller: Caller) -> None:
    original = await rejected(caller, 3, validate_only=True)
    again = await caller.ended(await retry(caller, original))
    assert (again.validate_only, numbers(again)) == (True, {"received": 3, "created": 3})
    assert await caller.table() == []


async def test_a_staged_import_is_tried_again_as_one_and_a_full_replacement_as_none(caller: Caller) -> None:
    """Whether it was committed, or cancelled: what it rejected was rejected."""
    await declare(caller, field_pb2.FIELD_TYPE_INTEGER)
    await done(caller, [{"id": 1}, {"id": 2}])
    rows = [{"id": 1, "n": "x"}, {"id": 3, "n": 3}]
    first = (await staged(caller, rows, reconcile=import_pb2.Reconcile(max_deleted_ratio=1))).import_id
    second = (await staged(caller, rows)).import_id
    await commit(caller, first)
    assert (await caller.ended(first)).removed == 1
    await caller.ended_by_cancel(second)
    await declare(caller, field_pb2.FIELD_TYPE_TEXT)
    for original in (first, second):
        import_id = await retry(caller, original)
        found = await awaiting(caller, import_id)
        assert (found.staged, found.HasField("reconcile")) == (True, False)
        assert numbers(found) == {"received": 1, "updated": 1}
        await caller.ended_by_cancel(import_id)
    import_id = await retry(caller, first)
    await awaiting(caller, import_id)
    await commit(caller, import_id)
    await caller.ended(import_id)
    assert await caller.table() == [{"id": 1, "n": "x"}, {"id": 3, "n": 3}]


async def test_two_who_retry_at_once_with_one_request_id_get_one_import(caller: Caller, database_url: str) -> None:
    original = await rejected(caller, 3)
    async with running_app(database_url) as other, Caller(f"127.0.0.1:{other.port}", caller.key) as beyond:
        made = await asyncio.gather(*(retry(who, original, "again") for who in (caller, beyond) * 4))
    assert len(set(made)) == 1
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.create(request_id="again")
    assert reason_of(refused.value).reason == "REQUEST_ID_REUSED"


async def test_a_retry_of_several_batches_ends_where_little_may_wait(database_url: str, database: Database) -> None:
    """A batch is fetched only when those that come before it are whole: its records would take their room."""
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    async with (
        running_app(database_url) as plenty,
        Caller(f"127.0.0.1:{plenty.port}", key) as caller,
    ):
        await declare(caller, field_pb2.FIELD_TYPE_INTEGER)
        original = await caller.create()
        for batch_id in ("a", "b"):
            rows = [{"id": f"{batch_id}{row}", "n": "x"} for row in range(12_000)]
            await caller.upload([records(rows, import_id=original, batch_id=batch_id, finish=True)])
        assert (await caller.finish(original)).processing.rejected == 24_000
        await declare(caller, field_pb2.FIELD_TYPE_TEXT)
    async with (
        running_app(database_url, queued_bytes_max=100_000, lease_seconds=1, fetchers=16) as scarce,
        Caller(f"127.0.0.1:{scarce.port}", key) as caller,
    ):
        ended = await caller.ended(await retry(caller, original))
    assert (ended.state, ended.counts.created) == (import_pb2.IMPORT_STATE_SUCCEEDED, 24_000)
