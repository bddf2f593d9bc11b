"""Calls about tables: their rules, the kinds there are, and what is blocked in all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from google.protobuf.field_mask_pb2 import FieldMask

from ingot.v1 import table_service_pb2 as pb
from ingot.v1.field_pb2 import UnknownFields
from ingot.v1.table_pb2 import BlockedValue as BlockedValueMessage
from ingot.v1.table_pb2 import Table as TableMessage
from ingot_client._connection import Connection
from ingot_client._definitions import BlockedValue, FieldLike, Kind, Table, blocked_type, written_fields
from ingot_client._errors import TableNotFound
from ingot_client._paging import Pages
from ingot_client._translating import filled, names, number, spelled, type_of
from ingot_client._views import Reading


class TableCalls:
    """The part of the client that is about tables."""

    _connection: Connection

    async def create_table(
        self,
        table: str,
        *,
        kind: str = "",
        key_fields: Sequence[str] = (),
        fields: Iterable[FieldLike] = (),
        unknown_fields: str = "",
        country: str = "",
        time_zone: str = "",
        locale: str = "",
    ) -> Table:
        """Creates a table with its rules. TableExists if there is one with this name.

        `kind` is one of `list_kinds`, as in CONTACTS; GENERIC if not given. `fields` are those it has beside those of
        its kind: a `Field` each, or a dict such as `{"name": "points", "type": "INTEGER"}`. Other fields are kept,
        unless `unknown_fields` is REJECT. See `Reading` for the rest. Words may be in any case.
        """
        message = filled(
            TableMessage,
            table=table,
            kind=spelled(kind),
            key_fields=names(key_fields),
            fields=written_fields(fields),
            unknown_fields=_unknown_fields(unknown_fields),
            reading=Reading(country, time_zone, locale).write(),
        )
        request = pb.CreateTableRequest(table=message)
        return Table.read((await self._connection.call(self._connection.tables.CreateTable, request)).table)

    async def get_table(self, table: str) -> Table:
        """The table with this name."""
        request = filled(pb.GetTableRequest, table=table)
        return Table.read((await self._connection.call(self._connection.tables.GetTable, request)).table)

    def list_tables(self, *, page_size: int = 0) -> Pages[Table]:
        """The account's tables by name."""

        async def fetch(token: str) -> tuple[Sequence[Table], str]:
            request = pb.ListTablesRequest(page_size=page_size, page_token=token)
            page = await self._connection.call(self._connection.tables.ListTables, request)
            return [Table.read(message) for message in page.tables], page.next_page_token

        return Pages(fetch)

    async def update_table(
        self,
        table: str,
        *,
        kind: str | None = None,
        key_fields: Sequence[str] | None = None,
        fields: Iterable[FieldLike] | None = None,
        unknown_fields: str | None = None,
        country: str | None = None,
        time_zone: str | None = None,
        locale: str | None = None,
    ) -> Table:
        """Changes the rules that are given, each as a whole, and no others. Imports that have begun keep the old ones.

        Kind and key fields can be changed only while the table has no record and no unfinished import, else TableInUse.
        If not all of `country`, `time_zone` and `locale` are given, the table is read first for the others.
        """
        message = filled(TableMessage, table=table)
        mask = FieldMask()
        if kind is not None:
            message.kind = spelled(kind)
            mask.paths.append("kind")
        if key_fields is not None:
            message.key_fields.extend(names(key_fields))
            mask.paths.append("key_fields")
        if fields is not None:
            message.fields.extend(written_fields(fields))
            mask.paths.append("fields")
        if unknown_fields is not None:
            message.unknown_fields = _unknown_fields(unknown_fields)
            mask.paths.append("unknown_fields")
        reading = {"country": country, "time_zone": time_zone, "locale": locale}
        if given := {name: value for name, value in reading.items() if value is not None}:
            known = Reading() if given.keys() == reading.keys() else (await self.get_table(table)).reading
            message.reading.CopyFrom(replace(known, **given).write())
            mask.paths.append("reading")
        request = pb.UpdateTableRequest(table=message, update_mask=mask)
        return Table.read((await self._connection.call(self._connection.tables.UpdateTable, request)).table)

    async def delete_table(self, table: str) -> None:
        """Deletes a table with all its records. TableInUse while an import into it is unfinished."""
        request = filled(pb.DeleteTableRequest, table=table)
        await self._connection.delete(self._connection.tables.DeleteTable, request, TableNotFound)

    def list_kinds(self) -> Pages[Kind]:
        """The kinds of records that the server knows, by name."""

        async def fetch(_token: str) -> tuple[Sequence[Kind], str]:
            answer = await self._connection.call(self._connection.tables.ListKinds, pb.ListKindsRequest())
            return [Kind.read(message) for message in answer.kinds], ""

        return Pages(fetch)

    async def block_values(self, values: Iterable[BlockedValue]) -> int:
        """Rejects records with these values from now on, in all tables; returns how many were not blocked before.

        1 to 1,000 e-mail addresses, phone numbers (with their country code) and domains, which block all below them.
        """
        request = pb.BlockValuesRequest(values=_written_values(values))
        return (await self._connection.call(self._connection.tables.BlockValues, request)).blocked

    async def unblock_values(self, values: Iterable[BlockedValue]) -> int:
        """Takes 1 to 1,000 values off the list of blocked ones; returns how many of them were on it."""
        request = pb.UnblockValuesRequest(values=_written_values(values))
        return (await self._connection.call(self._connection.tables.UnblockValues, request)).unblocked

    def list_blocked_values(self, *, type: str = "", page_size: int = 0) -> Pages[BlockedValue]:
        """The account's blocked values by type and value; only EMAIL, PHONE or DOMAIN if that is given."""
        type_number = blocked_type(type)

        async def fetch(token: str) -> tuple[Sequence[BlockedValue], str]:
            request = pb.ListBlockedValuesRequest(type=type_number, page_size=page_size, page_token=token)
            page = await self._connection.call(self._connection.tables.ListBlockedValues, request)
            return [BlockedValue.read(message) for message in page.values], page.next_page_token

        return Pages(fetch)


def _written_values(values: Iterable[BlockedValue]) -> list[BlockedValueMessage]:
    example = 'BlockedValue("DOMAIN", "example.org")'
    if isinstance(values, BlockedValue | str) or not isinstance(values, Iterable):
        raise TypeError(f"values is {type_of(values)}: give a list, as in [{example}]")
    found = list(values)
    for index, value in enumerate(found):
        if not isinstance(value, BlockedValue):
            raise TypeError(f"values[{index}] is {type_of(value)}, not a BlockedValue: {example}")
    return [value.write() for value in found]


def _unknown_fields(word: str) -> UnknownFields.ValueType:
    found: UnknownFields.ValueType = number(UnknownFields, word, "UNKNOWN_FIELDS_")
    return found
