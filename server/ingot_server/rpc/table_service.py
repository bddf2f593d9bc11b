"""TableService: describes the account's tables."""

from collections.abc import Sequence

from ingot.v1 import table_pb2, table_service_pb2_grpc
from ingot.v1 import table_service_pb2 as pb
from ingot_server.domain.blocked import BlockedType
from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.tables import Table
from ingot_server.pipeline.kinds import KINDS
from ingot_server.rpc import definitions, paging, requests, wire
from ingot_server.rpc.guard import Context, audit_deletion, caller_account
from ingot_server.storage import blocked_values, field_indexes, tables
from ingot_server.storage.database import Database

BLOCKED_VALUES_MAX = 1_000


class TableService(table_service_pb2_grpc.TableServiceServicer):
    """Serves the RPCs of the same name; see table_service.proto."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateTable(self, request: pb.CreateTableRequest, context: Context) -> pb.CreateTableResponse:
        wanted = definitions.new_table(request.table)
        created = await tables.table_create(self._database, caller_account(), wanted)
        return pb.CreateTableResponse(table=(await self._messages([created]))[0])

    async def GetTable(self, request: pb.GetTableRequest, context: Context) -> pb.GetTableResponse:
        name = requests.table_name(request.table)
        found = await tables.table_get(self._database, caller_account(), name)
        return pb.GetTableResponse(table=(await self._messages([found]))[0])

    async def ListTables(self, request: pb.ListTablesRequest, context: Context) -> pb.ListTablesResponse:
        after = paging.page_position(request.page_token, str) if request.page_token else ""
        size = paging.page_size(request.page_size, 100)
        found = await tables.table_list(self._database, caller_account(), after, size + 1)
        page, more = wire.fitting(await self._messages(found), size)
        return pb.ListTablesResponse(tables=page, next_page_token=paging.page_token(page[-1].table) if more else "")

    async def UpdateTable(self, request: pb.UpdateTableRequest, context: Context) -> pb.UpdateTableResponse:
        name = requests.table_name(request.table.table, "table.table")
        changed = await tables.table_update(
            self._database,
            caller_account(),
            name,
            lambda table: definitions.changed_table(table, request.table, request.update_mask.paths),
        )
        return pb.UpdateTableResponse(table=(await self._messages([changed]))[0])

    async def DeleteTable(self, request: pb.DeleteTableRequest, context: Context) -> pb.DeleteTableResponse:
        await tables.table_delete(self._database, caller_account(), requests.table_name(request.table))
        audit_deletion("table", table=request.table)
        return pb.DeleteTableResponse()

    async def ListKinds(self, request: pb.ListKindsRequest, context: Context) -> pb.ListKindsResponse:
        return pb.ListKindsResponse(kinds=map(definitions.kind_message, KINDS.values()))

    async def BlockValues(self, request: pb.BlockValuesRequest, context: Context) -> pb.BlockValuesResponse:
        added = await blocked_values.blocked_value_add(self._database, caller_account(), _values(request.values))
        return pb.BlockValuesResponse(blocked=added)

    async def UnblockValues(self, request: pb.UnblockValuesRequest, context: Context) -> pb.UnblockValuesResponse:
        removed = await blocked_values.blocked_value_remove(self._database, caller_account(), _values(request.values))
        if removed:
            audit_deletion("blocked values", count=removed)
        return pb.UnblockValuesResponse(unblocked=removed)

    async def ListBlockedValues(
        self, request: pb.ListBlockedValuesRequest, context: Context
    ) -> pb.ListBlockedValuesResponse:
        type_ = definitions.blocked_type(request.type)
        after = paging.text_pair(request.page_token)
        size = paging.page_size(request.page_size, 100)
        found = await blocked_values.blocked_value_list(self._database, caller_account(), type_, after, size)
        return pb.ListBlockedValuesResponse(
            values=map(definitions.blocked_message, found),
            next_page_token=paging.page_token([found[-1].type, found[-1].value]) if len(found) == size else "",
        )

    async def _messages(self, found: Sequence[Table]) -> list[table_pb2.Table]:
        ready = await field_indexes.field_index_list_ready(self._database, [table.table_id for table in found])
        return [definitions.table_message(table, ready[table.table_id]) for table in found]


def _values(messages: Sequence[table_pb2.BlockedValue]) -> list[tuple[BlockedType, str]]:
    if not 0 < len(messages) <= BLOCKED_VALUES_MAX:
        raise InvalidRequest({"values": f"expected 1 to {BLOCKED_VALUES_MAX:,}, got {len(messages)}"})
    return definitions.blocked(messages)
