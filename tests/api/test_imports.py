"""The life of an import, without its data."""

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ingot.v1 import import_pb2 as ip
from ingot.v1 import import_service_pb2 as pb
from ingot.v1 import stage_pb2, table_service_pb2
from ingot_server.storage.database import Database
from tests.calling import Caller, reason_of, records


async def test_a_new_import_is_receiving_and_empty(caller: Caller) -> None:
    created = await caller.get(await caller.create("contacts", ["id"], labels={"source": "crm"}))
    assert (created.table, created.state) == ("contacts", ip.IMPORT_STATE_RECEIVING)
    assert (list(created.key_fields), dict(created.labels)) == (["id"], {"source": "crm"})
    assert created.counts == stage_pb2.RecordCounts()
    assert created.upload.state == created.processing.state == stage_pb2.STAGE_STATE_PENDING
    assert created.create_time.seconds > 0
    assert not created.HasField("finish_time")


async def test_the_same_request_id_gives_the_original_back(caller: Caller) -> None:
    first = await caller.create(request_id="nightly-7")
    assert await caller.create(request_id="nightly-7") == first
    assert await caller.create(request_id="nightly-8") != first


async def test_a_request_id_cannot_be_used_for_a_different_import(caller: Caller) -> None:
    original = await caller.create("a", request_id="x")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.create("b", request_id="x")
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(refused.value).reason == "REQUEST_ID_REUSED"
    assert reason_of(refused.value).metadata["import_id"] == original


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"table": ""}, "spec.table"),
        ({"table": "no-dashes"}, "spec.table"),
        ({"table": "x" * 64}, "spec.table"),
        ({"key_fields": ["id", "id"]}, "spec.key_fields"),
        ({"key_fields": [""]}, "spec.key_fields"),
        ({"key_fields": list("abcdefghi")}, "spec.key_fields"),
        ({"labels": {"": "x"}}, "spec.labels"),
        ({"labels": {"x": "y" * 64}}, "spec.labels"),
        ({"request_id": "x" * 129}, "request_id"),
    ],
)
async def test_a_wrong_spec_is_refused_and_the_field_named(caller: Caller, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.create(**spec)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field in (refused.value.details() or "")
    assert not (await caller.tables.ListTables(table_service_pb2.ListTablesRequest())).tables


async def test_a_table_keeps_its_key_fields(caller: Caller) -> None:
    await caller.create("orders", ["country", "number"])
    await caller.create("orders", [])
    await caller.create("orders", ["country", "number"])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.create("orders", ["number"])
    assert reason_of(refused.value).reason == "KEY_FIELDS_DIFFER"
    assert reason_of(refused.value).metadata["key_fields"] == "country,number"


async def test_imports_are_listed_newest_first_in_pages(caller: Caller) -> None:
    made = [await caller.create(f"t{number % 2}", labels={"n": str(number)}) for number in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await caller.imports.ListImports(pb.ListImportsRequest(page_size=2, page_token=token))
        seen += [found.import_id for found in page.imports]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]


async def test_imports_are_filtered_by_table_state_time_and_label(caller: Caller) -> None:
    first = await caller.create("a", labels={"run": "1", "env": "test"})
    second = await caller.create("b", labels={"run": "2", "env": "test"})
    await caller.imports.CancelImport(pb.CancelImportRequest(import_id=second))

    async def found(**filters: Any) -> list[str]:
        answer = await caller.imports.ListImports(pb.ListImportsRequest(**filters))
        return [one.import_id for one in answer.imports]

    assert await found(table="a") == [first]
    assert await found(states=[ip.IMPORT_STATE_CANCELLED]) == [second]
    assert await found(states=[ip.IMPORT_STATE_CANCELLED, ip.IMPORT_STATE_RECEIVING]) == [second, first]
    assert await found(labels={"run": "1"}) == [first]
    assert await found(labels={"env": "test"}) == [second, first]
    now = Timestamp()
    now.GetCurrentTime()
    later = Timestamp(seconds=now.seconds + 60)
    earlier = Timestamp(seconds=now.seconds - 60)
    assert await found(created_from=earlier, created_before=later) == [second, first]
    assert await found(created_from=later) == []
    assert await found(created_before=earlier) == []


@pytest.mark.parametrize("token", ["x", "!!", "bnVsbA==", "LTE="])
async def test_a_page_token_that_is_none_is_refused(caller: Caller, token: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.imports.ListImports(pb.ListImportsRequest(page_token=token))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("import_id", ["", "0", "x", "-1", "9" * 19, "1 OR 1=1"])
async def test_an_import_id_that_is_none_is_refused(caller: Caller, import_id: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.get(import_id)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_import_that_does_not_exist_is_not_found(caller: Caller) -> None:
    for call in (
        caller.get("999"),
        caller.ended("999"),
        caller.finish("999"),
        caller.errors("999"),
        caller.imports.CancelImport(pb.CancelImportRequest(import_id="999")),
        caller.imports.DeleteImport(pb.DeleteImportRequest(import_id="999")),
        caller.upload([records([{"id": 1}], import_id="999", batch_id="b")]),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        assert reason_of(refused.value).reason == "IMPORT_NOT_FOUND"


async def test_an_import_into_which_nothing_was_uploaded_fails(caller: Caller) -> None:
    ended = await caller.finish(await caller.create())
    assert ended.state == ip.IMPORT_STATE_FAILED
    assert ended.state_message == "Nothing was uploaded."


async def test_an_import_cannot_be_finished_before_its_batches(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.finish(import_id)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    info = reason_of(refused.value)
    assert info.reason == "BATCH_UNFINISHED"
    assert (info.metadata["batch_id"], info.metadata["committed_offset"]) == ("b", "1")


async def test_finishing_twice_changes_nothing(caller: Caller) -> None:
    ended = await caller.run([{"id": 1}])
    assert await caller.finish(ended.import_id) == ended


async def test_a_finished_import_takes_no_new_batch(caller: Caller) -> None:
    ended = await caller.run([{"id": 1}])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([records([{"id": 2}], import_id=ended.import_id, batch_id="other")])
    assert reason_of(refused.value).reason == "IMPORT_STATE"
    assert reason_of(refused.value).metadata["state"] == "SUCCEEDED"


async def test_a_cancelled_import_keeps_what_was_written_and_takes_nothing_more(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}, {"id": 2}], import_id=import_id, batch_id="b")])
    async for update in caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id)):
        if update.import_job.counts.created == 2:
            break
    await caller.imports.CancelImport(pb.CancelImportRequest(import_id=import_id))
    ended = await caller.ended(import_id)
    assert ended.state == ip.IMPORT_STATE_CANCELLED
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=2)
    assert len(await caller.table()) == 2
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([records([{"id": 3}], import_id=import_id, batch_id="b", offset=2)])
    assert reason_of(refused.value).reason == "IMPORT_STATE"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.finish(import_id)
    assert reason_of(refused.value).reason == "IMPORT_STATE"
    again = await caller.imports.CancelImport(pb.CancelImportRequest(import_id=import_id))
    assert again.import_job == ended


async def test_an_import_that_ended_cannot_be_cancelled(caller: Caller) -> None:
    ended = await caller.run([{"id": 1}])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.imports.CancelImport(pb.CancelImportRequest(import_id=ended.import_id))
    assert reason_of(refused.value).reason == "IMPORT_STATE"


async def test_only_a_final_import_can_be_deleted_and_its_records_stay(caller: Caller, database: Database) -> None:
    running = await caller.create()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.imports.DeleteImport(pb.DeleteImportRequest(import_id=running))
    assert reason_of(refused.value).reason == "IMPORT_STATE"
    ended = await caller.run([{"id": 1}, {"id": ""}])
    assert len(await database.fetch("SELECT FROM record_error")) == 1
    await caller.imports.DeleteImport(pb.DeleteImportRequest(import_id=ended.import_id))
    with pytest.raises(grpc.aio.AioRpcError):
        await caller.get(ended.import_id)
    assert await caller.table() == [{"id": 1}]
    assert await database.fetch("SELECT FROM record_error") == []
