"""A sandbox key: everything answers as with another key, and nothing is stored or taken away."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from google.protobuf import descriptor_pool
from grpc import StatusCode, aio

from ingot.v1 import batch_pb2, batch_service_pb2, import_pb2, record_pb2, table_pb2, table_service_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as pb
from ingot_server.access import create_key
from ingot_server.app import App
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.api.test_life import DELETE, MERGE, awaiting, done, numbers, staged
from tests.calling import Caller, Upload, reason_of, records

KEPT = ("record", "record_identifier", "record_table", "blocked_value", "field_index", "account", "api_key")
"""What an account has, but for its imports."""
PEOPLE = [{"email": "a@example.org", "x": 1}, {"email": "b@example.org"}]
Call = Callable[[Caller, str], Awaitable[Any]]


@pytest.fixture
async def sandboxed(server: App, database: Database, caller: Caller) -> AsyncIterator[Caller]:
    """The caller's account with a sandbox key that has all scopes."""
    key = await create_key(database, "acme", list(SCOPES), "test", None, sandbox=True)
    async with Caller(f"127.0.0.1:{server.port}", key.text) as sandboxed:
        yield sandboxed


async def everything(database: Database) -> dict[str, list[asyncpg.Record]]:
    """All that is kept, but for the branches of imports, which nobody sees."""
    branches = "SELECT table_id FROM record_table WHERE name IS NULL"
    found = {}
    for table in KEPT:
        columns = await database.fetch(
            "SELECT 1 FROM information_schema.columns WHERE table_name = $1 AND column_name = 'table_id'", table
        )
        condition = f"WHERE table_id NOT IN ({branches})" if columns else ""
        found[table] = await database.fetch(f"SELECT t.* FROM {table} AS t {condition} ORDER BY t")
    return found


def person(**fields: Any) -> record_pb2.Record:
    return record_pb2.Record(json=json.dumps(fields).encode())


async def _run(caller: Caller, _: str) -> import_pb2.Import:
    message = im.RunImportRequest(spec=import_pb2.ImportSpec(table="made"), records=[person(id=1, keys=["id"])])
    message.finish.total = 1
    answer = await caller.imports.RunImport(iter([message]))
    return await caller.ended(answer.import_job.import_id)


async def _listed(answers: Any) -> list[Any]:
    return [answer async for answer in answers]


CALLS: dict[str, Call] = {
    "ImportService/CreateImport": lambda caller, _: caller.create("made"),
    "ImportService/RunImport": _run,
    "ImportService/GetImport": lambda caller, one: caller.get(one),
    "ImportService/ListImports": lambda caller, _: caller.imports.ListImports(im.ListImportsRequest()),
    "ImportService/WatchImport": lambda caller, one: caller.ended(one),
    "ImportService/ListImportErrors": lambda caller, one: caller.errors(one),
    "ImportService/ExportImportErrors": lambda caller, one: _listed(
        caller.imports.ExportImportErrors(im.ExportImportErrorsRequest(import_id=one))
    ),
    "ImportService/ExportImportRejects": lambda caller, one: _listed(
        caller.imports.ExportImportRejects(im.ExportImportRejectsRequest(import_id=one))
    ),
    "ImportService/RetryImport": lambda caller, one: caller.imports.RetryImport(im.RetryImportRequest(import_id=one)),
    "BatchService/GetBatch": lambda caller, one: caller.batch(one),
    "BatchService/ListBatches": lambda caller, one: caller.batches.ListBatches(
        batch_service_pb2.ListBatchesRequest(import_id=one)
    ),
    "BatchService/WatchBatch": lambda caller, one: _listed(
        caller.batches.WatchBatch(batch_service_pb2.WatchBatchRequest(import_id=one, batch_id="b"))
    ),
    "RecordService/WriteRecords": lambda caller, _: caller.records.WriteRecords(
        pb.WriteRecordsRequest(
            table="people", records=[person(email="a@example.org", x=2), person(email="n@example.org")]
        )
    ),
    "RecordService/DeleteRecords": lambda caller, _: caller.records.DeleteRecords(
        pb.DeleteRecordsRequest(table="people", keys=["email:a@example.org"])
    ),
    "RecordService/GetRecord": lambda caller, _: caller.records.GetRecord(
        pb.GetRecordRequest(table="people", key="email:a@example.org")
    ),
    "RecordService/ListRecords": lambda caller, _: caller.records.ListRecords(pb.ListRecordsRequest(table="people")),
    "RecordService/ExportRecords": lambda caller, _: caller.table("people"),
    "TableService/GetTable": lambda caller, _: caller.tables.GetTable(
        table_service_pb2.GetTableRequest(table="people")
    ),
    "TableService/ListTables": lambda caller, _: caller.tables.ListTables(table_service_pb2.ListTablesRequest()),
    "TableService/ListKinds": lambda caller, _: caller.tables.ListKinds(table_service_pb2.ListKindsRequest()),
    "TableService/ListBlockedValues": lambda caller, _: caller.tables.ListBlockedValues(
        table_service_pb2.ListBlockedValuesRequest()
    ),
}
"""What a sandbox key may call, with the id of an import that stores, and has ended."""
BLOCKED = [table_pb2.BlockedValue(type=table_pb2.BLOCKED_VALUE_TYPE_EMAIL, value="a@example.org")]
REFUSED: dict[str, Call] = {
    "ImportService/FinishImport": lambda caller, one: caller.imports.FinishImport(
        im.FinishImportRequest(import_id=one)
    ),
    "ImportService/CommitImport": lambda caller, one: caller.imports.CommitImport(
        im.CommitImportRequest(import_id=one)
    ),
    "ImportService/CancelImport": lambda caller, one: caller.imports.CancelImport(
        im.CancelImportRequest(import_id=one)
    ),
    "ImportService/DeleteImport": lambda caller, one: caller.imports.DeleteImport(
        im.DeleteImportRequest(import_id=one)
    ),
    "BatchService/UploadBatch": lambda caller, one: caller.upload(
        [records([{"id": 1}], import_id=one, batch_id="new", finish=True)]
    ),
    "BatchService/ReferenceBatch": lambda caller, one: caller.batches.ReferenceBatch(
        batch_service_pb2.ReferenceBatchRequest(import_id=one, batch_id="new", uri="https://example.org/a.csv")
    ),
    "TableService/CreateTable": lambda caller, _: caller.tables.CreateTable(
        table_service_pb2.CreateTableRequest(table=table_pb2.Table(table="made"))
    ),
    "TableService/UpdateTable": lambda caller, _: caller.tables.UpdateTable(
        table_service_pb2.UpdateTableRequest(table=table_pb2.Table(table="people"))
    ),
    "TableService/DeleteTable": lambda caller, _: caller.tables.DeleteTable(
        table_service_pb2.DeleteTableRequest(table="people")
    ),
    "TableService/BlockValues": lambda caller, _: caller.tables.BlockValues(
        table_service_pb2.BlockValuesRequest(values=BLOCKED)
    ),
    "TableService/UnblockValues": lambda caller, _: caller.tables.UnblockValues(
        table_service_pb2.UnblockValuesRequest(values=BLOCKED)
    ),
}
"""What it may not, of an import that stores in whatever state, or at all."""


def test_every_method_is_either_allowed_or_refused() -> None:
    pool = descriptor_pool.Default()
    methods = {
        f"{name}/{method}"
        for name in ("ImportService", "BatchService", "RecordService", "TableService")
        for method in pool.FindServiceByName(f"ingot.v1.{name}").methods_by_name
    }
    assert methods == CALLS.keys() | REFUSED.keys()
    assert not CALLS.keys() & REFUSED.keys()


async def people(caller: Caller) -> import_pb2.Import:
    """An import that has stored contacts, and rejected one."""
    rows = [*PEOPLE, {"email": "none"}]
    return await done(caller, rows, table="people", key_fields=(), kind="CONTACTS")


async def test_what_is_allowed_answers_and_stores_nothing(
    caller: Caller, sandboxed: Caller, database: Database
) -> None:
    ended = await people(caller)
    before = await everything(database)
    for method, call in CALLS.items():
        answer = await call(sandboxed, ended.import_id)
        assert answer is not None, method
    async for update in sandboxed.imports.WatchImport(im.WatchImportRequest(import_id=await _last(sandboxed))):
        last = update.import_job
        assert last.validate_only
    assert await everything(database) == before


async def _last(caller: Caller) -> str:
    """The newest import, which is a retry."""
    page = await caller.imports.ListImports(im.ListImportsRequest(page_size=1))
    assert page.imports[0].retry_of
    return page.imports[0].import_id


async def test_what_is_refused_says_so_and_changes_nothing(
    caller: Caller, sandboxed: Caller, database: Database
) -> None:
    ended = await people(caller)
    receiving = await caller.create("people", (), kind="CONTACTS")
    ready = (await staged(caller, PEOPLE, table="people", key_fields=(), kind="CONTACTS")).import_id
    before = await everything(database)
    for import_id in (ended.import_id, receiving, ready):
        found = await caller.get(import_id)
        for method, call in REFUSED.items():
            with pytest.raises(aio.AioRpcError) as refused:
                await call(sandboxed, import_id)
            assert refused.value.code() == StatusCode.PERMISSION_DENIED, method
            assert reason_of(refused.value).reason == "SANDBOX_KEY", method
        assert await caller.get(import_id) == found
    assert await everything(database) == before
    assert (await awaiting(caller, ready)).import_id == ready


async def test_the_whole_life_of_an_import_can_be_played_through(
    caller: Caller, sandboxed: Caller, database: Database
) -> None:
    """It may be finished, cancelled and deleted; staged or not, and a full replacement too."""
    await people(caller)
    before = await everything(database)
    spec: dict[str, Any] = {"table": "people", "key_fields": (), "kind": "CONTACTS"}
    rows = [{"email": "a@example.org", "x": 2}, {"email": "n@example.org"}]
    found = await done(sandboxed, rows, **spec)
    assert (found.validate_only, numbers(found)) == (True, {"received": 2, "created": 1, "updated": 1})
    found = await done(sandboxed, rows, staged=True, **spec)
    assert (found.validate_only, found.staged) == (True, False)
    found = await done(sandboxed, rows, reconcile=import_pb2.Reconcile(max_deleted_ratio=1), **spec)
    assert found.removed == 1
    found = await done(sandboxed, rows, mode=DELETE, **spec)
    assert numbers(found) == {"received": 2, "deleted": 1, "unchanged": 1}
    await sandboxed.imports.DeleteImport(im.DeleteImportRequest(import_id=found.import_id))
    found = await done(sandboxed, [{"id": 1}], table="made")
    assert numbers(found) == {"received": 1, "created": 1}
    await sandboxed.ended_by_cancel(await sandboxed.create("made_too"))
    assert await everything(database) == before


@pytest.mark.parametrize("mode", [0, MERGE, DELETE])
async def test_direct_writes_answer_as_if_they_were_done(
    caller: Caller, sandboxed: Caller, database: Database, mode: Any
) -> None:
    await people(caller)
    before = await everything(database)
    rows = [person(email="a@example.org", x=2), person(email="b@example.org"), person(email="n@example.org")]
    request = pb.WriteRecordsRequest(table="people", records=rows, mode=mode)
    told = await sandboxed.records.WriteRecords(request)
    assert told == await sandboxed.records.WriteRecords(request)
    made = pb.WriteRecordsRequest(table="made", key_fields=["id"], records=[person(id=1)])
    assert (await sandboxed.records.WriteRecords(made)).counts.created == 1
    deletion = pb.DeleteRecordsRequest(table="people", keys=["email:a@example.org", "email=b@example.org", "nobody"])
    deleted = (await sandboxed.records.DeleteRecords(deletion)).deleted
    assert await everything(database) == before
    assert told.validate_only
    told.validate_only = False
    assert told == await caller.records.WriteRecords(request)
    await people(caller)
    assert deleted == (await caller.records.DeleteRecords(deletion)).deleted == 2


async def test_a_request_id_of_an_import_that_stores_gives_no_power_over_it(caller: Caller, sandboxed: Caller) -> None:
    await caller.create("people", (), kind="CONTACTS", request_id="nightly")
    with pytest.raises(aio.AioRpcError) as refused:
        await sandboxed.create("people", (), kind="CONTACTS", request_id="nightly")
    assert reason_of(refused.value).reason == "REQUEST_ID_REUSED"
    message = im.RunImportRequest(spec=import_pb2.ImportSpec(table="people", kind="CONTACTS"), request_id="nightly")
    message.records.add(json=b'{"email": "n@example.org"}')
    with pytest.raises(aio.AioRpcError) as refused:
        await sandboxed.imports.RunImport(iter([message]))
    assert reason_of(refused.value).reason == "REQUEST_ID_REUSED"


async def test_a_rehearsal_of_somebody_with_another_key_may_be_gone_on_with(caller: Caller, sandboxed: Caller) -> None:
    import_id = await caller.create(validate_only=True)
    await sandboxed.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    await sandboxed.upload([Upload(import_id=import_id, batch_id="b", offset=1, finish=batch_pb2.Finish(total=1))])
    assert (await sandboxed.finish(import_id)).counts.created == 1
