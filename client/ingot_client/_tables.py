"""Calls about tables."""

from collections.abc import Sequence

from ingot.v1.table_service_pb2 import GetTableRequest, ListTablesRequest
from ingot_client._connection import Connection
from ingot_client._paging import Pages
from ingot_client._views import Table


class TableCalls:
    """The part of the client that is about tables."""

    _connection: Connection

    async def get_table(self, table: str) -> Table:
        """The table with this name."""
        request = GetTableRequest(table=table)
        return Table.read((await self._connection.call(self._connection.tables.GetTable, request)).table)

    def list_tables(self, *, page_size: int = 0) -> Pages[Table]:
        """The account's tables by name."""

        async def fetch(token: str) -> tuple[Sequence[Table], str]:
            request = ListTablesRequest(page_size=page_size, page_token=token)
            page = await self._connection.call(self._connection.tables.ListTables, request)
            return [Table.read(message) for message in page.tables], page.next_page_token

        return Pages(fetch)
