"""RecordService: writes and reads records directly."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from ingot.v1 import record_pb2, record_service_pb2_grpc
from ingot.v1 import record_service_pb2 as pb
from ingot_server.domain.errors import InvalidRequest, RecordNotFound
from ingot_server.domain.modes import WriteMode
from ingot_server.domain.tables import Table
from ingot_server.pipeline.exporting import export_records
from ingot_server.pipeline.finding import delete_records, find_record
from ingot_server.pipeline.threads import computed
from ingot_server.pipeline.writing import WriteOrder, rehearse_records, write_records
from ingot_server.rpc import paging, requests, structures, wire
from ingot_server.rpc.guard import Context, audit_deletion, caller_account, caller_is_sandboxed, expect_scope
from ingot_server.rpc.selecting import Selection, next_token, page_after, selection, staged_scope, staged_table
from ingot_server.storage import imports, records, tables
from ingot_server.storage.database import Database
from ingot_server.storage.record_pages import After
from ingot_server.storage.records import StoredRecord


class RecordService(record_service_pb2_grpc.RecordServiceServicer):
    """Serves the RPCs of the same name; see record_service.proto."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def WriteRecords(self, request: pb.WriteRecordsRequest, context: Context) -> pb.WriteRecordsResponse:
        use = requests.table_use(request.table, request.kind, request.key_fields)
        reading = requests.reading_options(request.reading, "reading")
        _expect_some(len(request.records), "records")
        mode = requests.write_mode(request.mode, "mode")
        if mode is WriteMode.DELETE:
            expect_scope("records:delete")
        order = WriteOrder(use, reading, mode, await structures.record_texts(request.records))
        validate_only = request.validate_only or caller_is_sandboxed()
        write = rehearse_records if validate_only else write_records
        written = await write(self._database, caller_account(), order)
        if written.counts.deleted and not validate_only:
            audit_deletion("records", table=request.table, count=written.counts.deleted)
        return pb.WriteRecordsResponse(
            counts=wire.counts_message(written.counts),
            validate_only=validate_only,
            errors=wire.fitting_errors(
                error for stage, reject in written.findings for error in wire.reject_messages(stage, reject)
            ),
        )

    async def GetRecord(self, request: pb.GetRecordRequest, context: Context) -> pb.GetRecordResponse:
        key = requests.record_key(request.key)
        _expect_view(request.view)
        found = await find_record(self._database, await self._table(request.table), key)
        if found is None:
            raise RecordNotFound(
                f"Table {request.table} has no record with the key {key!r}.", table=request.table, key=key
            )
        made = await computed(_is_quick(request.view), wire.record_message, found, request.view)
        return pb.GetRecordResponse(record=made)

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        size = paging.page_size(request.page_size, 100)
        _expect_view(request.view)
        selected = await self._selected(request)
        after = page_after(request.page_token, selected)
        found, more = await self._page(selected, after, size)
        made = (wire.record_message(record, request.view) for _, record in found)
        page, cut = await computed(_is_quick(request.view), wire.fitting, made, size)
        return pb.ListRecordsResponse(
            records=page, next_page_token=next_token(found[len(page) - 1][0], selected) if cut or more else ""
        )

    async def ExportRecords(
        self, request: pb.ExportRecordsRequest, context: Context
    ) -> AsyncIterator[pb.ExportRecordsResponse]:
        chosen = await self._selected(request)
        async with aclosing(export_records(self._database, chosen.scope, chosen.condition, chosen.order)) as pieces:
            async for lines in pieces:
                yield pb.ExportRecordsResponse(lines=lines)

    async def _page(
        self, selected: Selection, after: After | None, size: int
    ) -> tuple[list[tuple[After, StoredRecord]], bool]:
        try:
            return await records.record_page(
                self._database,
                selected.scope,
                selected.condition,
                selected.order,
                after,
                size,
                wire.PAGE_BYTES_MAX,
            )
        except ValueError:
            raise paging.token_refused() from None

    async def DeleteRecords(self, request: pb.DeleteRecordsRequest, context: Context) -> pb.DeleteRecordsResponse:
        _expect_some(len(request.keys), "keys")
        keys = [requests.record_key(key, "keys") for key in request.keys]
        table = await self._table(request.table)
        deleted = await delete_records(self._database, table, keys, rehearsed=caller_is_sandboxed())
        if deleted and not caller_is_sandboxed():
            audit_deletion("records", table=request.table, count=deleted)
        return pb.DeleteRecordsResponse(deleted=deleted, validate_only=caller_is_sandboxed())

    async def _selected(self, request: pb.ListRecordsRequest | pb.ExportRecordsRequest) -> Selection:
        """The records that are asked for, of a table or of a staged import. Raises InvalidRequest and others."""
        if request.staged_part not in pb.StagedPart.values():
            raise InvalidRequest({"staged_part": f"expected a part of a staged import, got {request.staged_part}"})
        if not request.staged_import_id:
            if request.staged_part != pb.STAGED_PART_UNSPECIFIED:
                raise InvalidRequest({"staged_part": "expected only with staged_import_id"})
            return selection(await self._table(request.table), request.filter, request.order_by)
        expect_scope("imports:read")
        import_id = requests.import_id(request.staged_import_id, "staged_import_id")
        found = await imports.import_get(self._database, caller_account(), import_id)
        if found.spec.table != request.table:
            raise InvalidRequest({"table": f"expected {found.spec.table}, the table of import {import_id}"})
        scope = staged_scope(found, deleted=request.staged_part == pb.STAGED_PART_DELETED)
        return selection(staged_table(found), request.filter, request.order_by, scope)

    async def _table(self, name: str) -> Table:
        return await tables.table_get(self._database, caller_account(), requests.table_name(name))


def _expect_view(view: record_pb2.RecordView.ValueType) -> None:
    if view not in record_pb2.RecordView.values():
        raise InvalidRequest({"view": f"expected a view of records, got {view}"})


def _is_quick(view: record_pb2.RecordView.ValueType) -> bool:
    """Whether records are made ready for this view within the time that the event loop has."""
    return view != record_pb2.RECORD_VIEW_STRUCT


def _expect_some(number: int, path: str) -> None:
    if not 0 < number <= requests.WRITE_RECORDS_MAX:
        raise InvalidRequest({path: f"expected 1 to {requests.WRITE_RECORDS_MAX}, got {number}"})
