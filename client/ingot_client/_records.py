"""Calls about records: written and read directly, without an import."""

from collections.abc import Iterable, Sequence
from typing import Any

from ingot.v1 import record_service_pb2 as pb
from ingot.v1.record_pb2 import Record
from ingot_client._connection import Connection
from ingot_client._encoding import encode_record
from ingot_client._exporting import Target, export
from ingot_client._options import write_mode
from ingot_client._outcomes import Deleted, StoredRecord, Written
from ingot_client._paging import Pages
from ingot_client._translating import filled, names, number, spelled
from ingot_client._views import Reading


class RecordCalls:
    """The part of the client that is about records."""

    _connection: Connection

    async def write_records(
        self,
        table: str,
        records: Iterable[Any],
        *,
        key_fields: Sequence[str] = (),
        kind: str = "",
        country: str = "",
        time_zone: str = "",
        locale: str = "",
        mode: str = "",
        validate_only: bool = False,
    ) -> Written:
        """Writes 1 to 1,000 records at once, and waits until they are written. See `ImportOptions` for the options.

        Faulty records are returned with their errors; the others are written, some maybe with a warning.
        """
        encoded = [Record(json=encode_record(record, index)) for index, record in enumerate(records)]
        request = filled(
            pb.WriteRecordsRequest,
            table=table,
            key_fields=names(key_fields),
            records=encoded,
            kind=spelled(kind),
            reading=Reading(country, time_zone, locale).write(),
            mode=write_mode(mode),
            validate_only=validate_only,
        )
        return Written.read(await self._connection.call(self._connection.records.WriteRecords, request))

    async def get_record(self, table: str, key: str) -> StoredRecord:
        """The record with this key. For several key fields the key is a JSON array, as in `["DE","4711"]`.

        Where the kind has identifiers, any of them with its value is a key too, as in `email:ada@example.org`.
        """
        request = filled(pb.GetRecordRequest, table=table, key=key)
        return StoredRecord.read((await self._connection.call(self._connection.records.GetRecord, request)).record)

    def list_records(
        self,
        table: str,
        *,
        filter: str = "",
        order_by: str = "",
        staged_import: str = "",
        part: str = "",
        page_size: int = 0,
    ) -> Pages[StoredRecord]:
        """The records of a table: all, or those that a filter finds, as in `country = SE AND points >= 10`.

        They come by the field that `order_by` names, as in `points` or `points desc`; else by key, in the order of its
        bytes.

        With the id of a `staged_import` that awaits its commit, they are what it would do: with the `part` WRITTEN, the
        default, the records that it would create or change, as they would be; with DELETED those that it would delete.
        """
        staged_part = number(pb.StagedPart, part, "STAGED_PART_")

        async def fetch(token: str) -> tuple[Sequence[StoredRecord], str]:
            request = filled(
                pb.ListRecordsRequest,
                table=table,
                filter=filter,
                order_by=order_by,
                staged_import_id=staged_import,
                staged_part=staged_part,
                page_size=page_size,
                page_token=token,
            )
            page = await self._connection.call(self._connection.records.ListRecords, request)
            return [StoredRecord.read(message) for message in page.records], page.next_page_token

        return Pages(fetch)

    async def export_records(
        self,
        table: str,
        target: Target,
        *,
        filter: str = "",
        order_by: str = "",
        staged_import: str = "",
        part: str = "",
    ) -> int:
        """Writes records of a table as NDJSON to a path or a binary file; returns the number of bytes.

        All records, or those that a filter finds, or what a staged import would do: see `list_records`.
        A path gets the file only when it is complete. Records that change meanwhile appear in their old or new form.
        """
        request = filled(
            pb.ExportRecordsRequest,
            table=table,
            filter=filter,
            order_by=order_by,
            staged_import_id=staged_import,
            staged_part=number(pb.StagedPart, part, "STAGED_PART_"),
        )
        stream = self._connection.stream(self._connection.records.ExportRecords, request)
        return await export(stream, target)

    async def delete_records(self, table: str, keys: Iterable[str]) -> Deleted:
        """Deletes the records with these keys, 1 to 1,000, and says how many there were. See `get_record` for keys."""
        request = filled(pb.DeleteRecordsRequest, table=table, keys=names(keys))
        return Deleted.read(await self._connection.call(self._connection.records.DeleteRecords, request))
