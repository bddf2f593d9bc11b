"""RecordService: writes and reads records directly."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from ingot.v1 import record_pb2, record_service_pb2_grpc
from ingot.v1 import record_service_pb2 as pb
from ingot_server.domain.errors import InvalidRequest, RecordNotFound
from ingot_server.pipeline.exporting import export_records
from ingot_server.pipeline.writing import write_records
from ingot_server.rpc import requests, wire
from ingot_server.rpc.guard import Context, caller_account
from ingot_server.storage import records, tables
from ingot_server.storage.database import Database


class RecordService(record_service_pb2_grpc.RecordServiceServicer):
    """Serves the RPCs of the same name; see record_service.proto."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def WriteRecords(self, request: pb.WriteRecordsRequest, context: Context) -> pb.WriteRecordsResponse:
        table = requests.table_name(request.table)
        key_fields = requests.key_fields(request.key_fields, "key_fields")
        _expect_some(len(request.records), "records")
        texts = requests.record_texts(request.records)
        written = await write_records(self._database, caller_account(), table, key_fields, texts)
        return pb.WriteRecordsResponse(
            counts=wire.counts_message(written.counts),
            errors=[error for stage, reject in written.rejects for error in wire.reject_messages(stage, reject)],
        )

    async def GetRecord(self, request: pb.GetRecordRequest, context: Context) -> pb.GetRecordResponse:
        key = requests.record_key(request.key)
        _expect_view(request.view)
        found = await records.record_get(self._database, await self._table_id(request.table), key)
        if found is None:
            raise RecordNotFound(
                f"Table {request.table} has no record with the key {key!r}.", table=request.table, key=key
            )
        return pb.GetRecordResponse(record=wire.record_message(found, request.view))

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        after = requests.page_position(request.page_token, str) if request.page_token else None
        size = requests.page_size(request.page_size, 100)
        _expect_view(request.view)
        table_id = await self._table_id(request.table)
        found, more = await records.record_list(self._database, table_id, after, size, wire.PAGE_BYTES_MAX)
        page, cut = wire.fitting((wire.record_message(record, request.view) for record in found), size)
        return pb.ListRecordsResponse(
            records=page, next_page_token=requests.page_token(page[-1].key) if cut or more else ""
        )

    async def ExportRecords(
        self, request: pb.ExportRecordsRequest, context: Context
    ) -> AsyncIterator[pb.ExportRecordsResponse]:
        async with aclosing(export_records(self._database, await self._table_id(request.table))) as pieces:
            async for lines in pieces:
                yield pb.ExportRecordsResponse(lines=lines)

    async def DeleteRecords(self, request: pb.DeleteRecordsRequest, context: Context) -> pb.DeleteRecordsResponse:
        _expect_some(len(request.keys), "keys")
        keys = [requests.record_key(key, "keys") for key in request.keys]
        deleted = await records.record_delete(self._database, await self._table_id(request.table), keys)
        return pb.DeleteRecordsResponse(deleted=deleted)

    async def _table_id(self, name: str) -> int:
        return (await tables.table_get(self._database, caller_account(), requests.table_name(name))).table_id


def _expect_view(view: record_pb2.RecordView.ValueType) -> None:
    if view not in record_pb2.RecordView.values():
        raise InvalidRequest({"view": f"expected a view of records, got {view}"})


def _expect_some(number: int, path: str) -> None:
    if not 0 < number <= requests.WRITE_RECORDS_MAX:
        raise InvalidRequest({path: f"expected 1 to {requests.WRITE_RECORDS_MAX}, got {number}"})
