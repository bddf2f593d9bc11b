"""Messages of millions of things are refused before each of them is looked at, and others are served meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from ingot.v1 import batch_pb2, import_pb2, table_pb2
from ingot.v1 import batch_service_pb2 as bs
from ingot.v1 import import_service_pb2 as pb
from ingot.v1 import record_service_pb2 as rs
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.app import MESSAGE_BYTES_MAX
from ingot_server.domain.api_keys import SCOPES
from ingot_server.rpc.guard import REQUEST_BYTES_MAX
from ingot_server.storage.database import Database
from tests.calling import Caller
from tests.faults.processes import server_process

MESSAGE = MESSAGE_BYTES_MAX - 4_096
REQUEST = REQUEST_BYTES_MAX - 4_096
STREAMS = ("BatchService/UploadBatch", "ImportService/RunImport")


def empty(message: type[Message], name: str, size_bytes: int, **fields: Any) -> bytes:
    """A message with as many empty elements in a field as fit."""
    element = bytes([message.DESCRIPTOR.fields_by_name[name].number << 3 | 2, 0])
    return message(**fields).SerializeToString() + element * (size_bytes // 2)


def create_table() -> bytes:
    table = table_pb2.Table.FromString(empty(table_pb2.Table, "fields", REQUEST, table="t"))
    return ts.CreateTableRequest(table=table).SerializeToString()


def create_import() -> bytes:
    spec = import_pb2.ImportSpec.FromString(empty(import_pb2.ImportSpec, "key_fields", REQUEST, table="t"))
    return pb.CreateImportRequest(spec=spec).SerializeToString()


def upload_columns() -> bytes:
    csv = batch_pb2.CsvOptions.FromString(empty(batch_pb2.CsvOptions, "columns", MESSAGE))
    form = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV, csv=csv)
    return bs.UploadBatchRequest(import_id="1", batch_id="b", format=form).SerializeToString()


def list_labels() -> bytes:
    return pb.ListImportsRequest(labels={f"{label}": "" for label in range(150_000)}).SerializeToString()


def list_states() -> bytes:
    return pb.ListImportsRequest(states=[import_pb2.IMPORT_STATE_FAILED] * REQUEST).SerializeToString()


def upload_records() -> bytes:
    return empty(bs.UploadBatchRequest, "records", MESSAGE, import_id="1", batch_id="b")


def run_records() -> bytes:
    return empty(pb.RunImportRequest, "records", MESSAGE, spec=import_pb2.ImportSpec(table="t"))


def write_records() -> bytes:
    return empty(rs.WriteRecordsRequest, "records", MESSAGE, table="t")


def delete_records() -> bytes:
    return empty(rs.DeleteRecordsRequest, "keys", REQUEST, table="t")


def delete_more_records() -> bytes:
    return empty(rs.DeleteRecordsRequest, "keys", MESSAGE, table="t")


@pytest.mark.parametrize(
    ("method", "make", "told"),
    [
        ("BatchService/UploadBatch", upload_records, "records: expected at most"),
        ("BatchService/UploadBatch", upload_columns, "format.csv.columns: expected names of at most"),
        ("ImportService/RunImport", run_records, "records: expected at most"),
        ("ImportService/CreateImport", create_import, "spec.key_fields: expected at most"),
        ("ImportService/ListImports", list_states, "states: expected at most"),
        ("ImportService/ListImports", list_labels, "labels: expected at most"),
        ("RecordService/WriteRecords", write_records, "records: expected 1 to"),
        ("RecordService/DeleteRecords", delete_records, "keys: expected 1 to"),
        ("RecordService/DeleteRecords", delete_more_records, "request: expected at most"),
        ("TableService/CreateTable", create_table, "table.fields: expected at most"),
    ],
)
async def test_a_message_of_millions_of_things_is_refused_and_keeps_nobody_waiting(
    database_url: str, database: Database, method: str, make: Callable[[], bytes], told: str
) -> None:
    crowd_key, other_key = [(await create_key(database, account, list(SCOPES), "", None)).text for account in "ab"]
    async with (
        server_process(database_url=database_url) as server,
        Caller(server.address, crowd_key) as crowd,
        Caller(server.address, other_key) as other,
    ):
        assert await crowd.create() == "1"
        path, sent, metadata = f"/ingot.v1.{method}", make(), [("x-api-key", crowd_key)]
        channel: Any = crowd.channel
        if method in STREAMS:
            call = channel.stream_unary(path)(iter([sent]), metadata=metadata)
        else:
            call = channel.unary_unary(path)(sent, metadata=metadata)
        answered = asyncio.ensure_future(call.code())
        while not answered.done():
            # It took up to a minute while each of them was looked at.
            await other.tables.ListKinds(ts.ListKindsRequest(), timeout=10)
        assert answered.result() is StatusCode.INVALID_ARGUMENT
        assert told in await call.details()
