"""Writing and reading records directly."""

import json

import grpc
import pytest
from google.protobuf import json_format

from ingot.v1 import record_error_pb2, record_pb2, stage_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from tests.calling import Caller, reason_of


def written(*rows: object, table: str = "things", key_fields: tuple[str, ...] = ("id",)) -> pb.WriteRecordsRequest:
    texts = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return pb.WriteRecordsRequest(
        table=table, key_fields=key_fields, records=[record_pb2.Record(json=text) for text in texts]
    )


async def test_written_records_are_there_when_the_call_answers(caller: Caller) -> None:
    answer = await caller.records.WriteRecords(written({"id": 1, "v": "a"}, {"id": 2}))
    assert answer.counts == stage_pb2.RecordCounts(received=2, created=2)
    found = await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="1"))
    assert json.loads(found.record.json) == {"id": 1, "v": "a"}
    assert (found.record.key, found.record.import_id) == ("1", "")


async def test_writing_again_changes_nothing(caller: Caller) -> None:
    await caller.records.WriteRecords(written({"id": 1}))
    answer = await caller.records.WriteRecords(written({"id": 1}))
    assert answer.counts == stage_pb2.RecordCounts(received=1, unchanged=1)


async def test_the_last_record_of_a_call_wins(caller: Caller) -> None:
    answer = await caller.records.WriteRecords(written({"id": 1, "v": 1}, {"id": 1, "v": 2}, {"id": 1, "v": 2}))
    assert answer.counts == stage_pb2.RecordCounts(received=3, created=1, superseded=1, unchanged=1)
    assert await caller.table() == [{"id": 1, "v": 2}]


async def test_faulty_records_are_returned_and_the_others_written(caller: Caller) -> None:
    answer = await caller.records.WriteRecords(written({"v": 0}, {"id": 1}, b'{"id": 2', {"id": [3]}))
    assert answer.counts == stage_pb2.RecordCounts(received=4, created=1, rejected=3)
    assert [(error.index, error.code, error.field) for error in answer.errors] == [
        (0, record_error_pb2.RECORD_ERROR_CODE_MISSING_KEY, "id"),
        (2, record_error_pb2.RECORD_ERROR_CODE_SYNTAX_ERROR, ""),
        (3, record_error_pb2.RECORD_ERROR_CODE_INVALID_VALUE, "id"),
    ]


@pytest.mark.parametrize("number", [0, 1001])
async def test_one_to_a_thousand_records_fit_in_a_call(caller: Caller, number: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.records.WriteRecords(written(*({"id": row} for row in range(number))))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_records_name_their_own_keys(caller: Caller) -> None:
    rows = [
        {"keys": ["id"], "id": 1, "status": "pending"},
        {"keys": ["id"], "id": 2},
        {"keys": ["id"], "id": 1, "status": "complete"},
    ]
    answer = await caller.records.WriteRecords(written(*rows, key_fields=()))
    assert answer.counts == stage_pb2.RecordCounts(received=3, created=2, superseded=1)
    assert await caller.table() == [{"id": 1, "status": "complete"}, {"id": 2}]
    table = await caller.tables.GetTable(ts.GetTableRequest(table="things"))
    assert list(table.table.key_fields) == ["id"]
    other = await caller.records.WriteRecords(written({"keys": ["sku"], "sku": 1, "id": 9}, key_fields=()))
    assert [(error.code, error.field) for error in other.errors] == [
        (record_error_pb2.RECORD_ERROR_CODE_INVALID_VALUE, "keys")
    ]
    without = await caller.records.WriteRecords(written({"id": 3}, key_fields=()))
    assert without.counts.created == 1


async def test_several_key_fields_make_a_key_that_cannot_be_confused(caller: Caller) -> None:
    rows = [{"a": "x", "b": "yz"}, {"a": "xy", "b": "z"}]
    await caller.records.WriteRecords(written(*rows, key_fields=("a", "b")))
    assert len(await caller.table()) == 2
    found = await caller.records.GetRecord(pb.GetRecordRequest(table="things", key='["x","yz"]'))
    assert json.loads(found.record.json) == rows[0]


async def test_records_are_listed_by_key_in_pages(caller: Caller) -> None:
    keys = ["Zebra", "apple", "ä", "10", "9"]
    await caller.records.WriteRecords(written(*({"id": key} for key in keys)))
    seen: list[str] = []
    token = ""
    while True:
        page = await caller.records.ListRecords(pb.ListRecordsRequest(table="things", page_size=2, page_token=token))
        seen += [record.key for record in page.records]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(keys, key=str.encode)


async def test_records_can_be_read_as_structures(caller: Caller) -> None:
    await caller.records.WriteRecords(written({"id": 1, "nested": {"list": [1, None, "å"]}}))
    request = pb.GetRecordRequest(table="things", key="1", view=record_pb2.RECORD_VIEW_STRUCT)
    found = (await caller.records.GetRecord(request)).record
    assert found.json == ""
    assert json_format.MessageToDict(found.struct) == {"id": 1, "nested": {"list": [1, None, "å"]}}


async def test_structures_become_json_with_whole_numbers_as_such(caller: Caller) -> None:
    request = pb.WriteRecordsRequest(table="things", key_fields=["id"])
    request.records.add().struct.update({"id": 7, "price": 1.5, "ok": True, "none": None, "list": [1, "x"]})
    await caller.records.WriteRecords(request)
    found = await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="7"))
    assert json.loads(found.record.json) == {"id": 7, "price": 1.5, "ok": True, "none": None, "list": [1, "x"]}


async def test_not_a_number_in_a_structure_is_a_record_error(caller: Caller) -> None:
    request = pb.WriteRecordsRequest(table="things", key_fields=["id"])
    request.records.add().struct.update({"id": 7, "price": float("nan")})
    answer = await caller.records.WriteRecords(request)
    assert [error.code for error in answer.errors] == [record_error_pb2.RECORD_ERROR_CODE_SYNTAX_ERROR]


async def test_numbers_keep_every_digit(caller: Caller) -> None:
    text = b'{"id": 12345678901234567890123456789, "v": 0.1000000000000000055511151231257827}'
    await caller.records.WriteRecords(written(text))
    found = await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="12345678901234567890123456789"))
    assert json.loads(found.record.json, parse_float=str, parse_int=str) == json.loads(
        text, parse_float=str, parse_int=str
    )


async def test_deleting_counts_what_was_there(caller: Caller) -> None:
    await caller.records.WriteRecords(written({"id": 1}, {"id": 2}))
    request = pb.DeleteRecordsRequest(table="things", keys=["1", "1", "3"])
    assert (await caller.records.DeleteRecords(request)).deleted == 1
    assert (await caller.records.DeleteRecords(request)).deleted == 0
    assert await caller.table() == [{"id": 2}]


async def test_what_is_not_there_is_not_found(caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="1"))
    assert reason_of(refused.value).reason == "TABLE_NOT_FOUND"
    await caller.records.WriteRecords(written({"id": 1}))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="2"))
    assert reason_of(refused.value).reason == "RECORD_NOT_FOUND"


async def test_tables_are_listed_by_name(caller: Caller) -> None:
    for name in ("b", "a", "c"):
        await caller.records.WriteRecords(written({"id": 1}, table=name))
    page = await caller.tables.ListTables(ts.ListTablesRequest(page_size=2))
    rest = await caller.tables.ListTables(ts.ListTablesRequest(page_size=2, page_token=page.next_page_token))
    assert [table.table for table in (*page.tables, *rest.tables)] == ["a", "b", "c"]
