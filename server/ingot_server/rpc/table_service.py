"""TableService: describes the account's tables."""

from ingot.v1 import table_service_pb2 as pb
from ingot.v1 import table_service_pb2_grpc
from ingot_server.rpc import requests, wire
from ingot_server.rpc.guard import Context, caller_account
from ingot_server.storage import tables
from ingot_server.storage.database import Database


class TableService(table_service_pb2_grpc.TableServiceServicer):
    """Serves the RPCs of the same name; see table_service.proto."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetTable(self, request: pb.GetTableRequest, context: Context) -> pb.GetTableResponse:
        name = requests.table_name(request.table)
        found = await tables.table_get(self._database, caller_account(), name)
        return pb.GetTableResponse(table=wire.table_message(found))

    async def ListTables(self, request: pb.ListTablesRequest, context: Context) -> pb.ListTablesResponse:
        after = requests.page_position(request.page_token, str) if request.page_token else ""
        size = requests.page_size(request.page_size, 100)
        found = await tables.table_list(self._database, caller_account(), after, size)
        return pb.ListTablesResponse(
            tables=map(wire.table_message, found),
            next_page_token=requests.page_token(found[-1].name) if len(found) == size else "",
        )
