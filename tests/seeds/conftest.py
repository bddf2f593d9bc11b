"""What the tests of the documents share: imports and writes of records of a kind, and a look at what became of them."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, record_pb2, stage_pb2, table_pb2, write_mode_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as rs
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.conftest import running_app

REPLACE = write_mode_pb2.WRITE_MODE_REPLACE
MERGE = write_mode_pb2.WRITE_MODE_MERGE
FILL_EMPTY = write_mode_pb2.WRITE_MODE_FILL_EMPTY
SKIP_EXISTING = write_mode_pb2.WRITE_MODE_SKIP_EXISTING
DELETE = write_mode_pb2.WRITE_MODE_DELETE
WRITING = (REPLACE, MERGE, FILL_EMPTY, SKIP_EXISTING)
"""The modes that write records."""

ADA = {"id": "1", "email": "ada@example.org", "phone": "+46701234567", "name": "Ada"}
"""A contact whom all three identifiers name."""


@pytest.fixture
async def unprocessed(database_url: str, database: Database) -> AsyncIterator[Caller]:
    """Somebody whose server receives but does not process: what he imports stays where it is."""
    async with running_app(database_url, workers=0) as app:
        key = await create_key(database, "acme", list(SCOPES), "test", None)
        async with Caller(f"127.0.0.1:{app.port}", key.text) as caller:
            yield caller


@pytest.fixture
async def fetching(database_url: str, database: Database) -> AsyncIterator[Caller]:
    """Somebody whose server fetches files also from this machine."""
    async with running_app(database_url, reference_private_networks=True) as app:
        key = await create_key(database, "acme", list(SCOPES), "test", None)
        async with Caller(f"127.0.0.1:{app.port}", key.text) as caller:
            yield caller


async def imported(
    caller: Caller, rows: Iterable[Any], table: str, *, key_fields: Sequence[str] = (), **spec: Any
) -> import_pb2.Import:
    """Imports rows, in one batch `b`, and waits for the end."""
    import_id = await caller.create(table, key_fields, **spec)
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    return await caller.finish(import_id)


async def staged(
    caller: Caller, rows: Iterable[Any], table: str, *, key_fields: Sequence[str] = (), **spec: Any
) -> import_pb2.Import:
    """Imports rows up to the moment when they await their commit."""
    import_id = await caller.create(table, key_fields, staged=True, **spec)
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
        if update.import_job.state == import_pb2.IMPORT_STATE_AWAITING_COMMIT:
            return update.import_job
    raise AssertionError("it ended without awaiting a commit")


async def file_imported(
    caller: Caller,
    data: bytes,
    table: str,
    format: batch_pb2.DataFormat,
    *,
    key_fields: Sequence[str] = (),
    **spec: Any,
) -> import_pb2.Import:
    """Imports a file, in one batch `b`, and waits for the end."""
    import_id = await caller.create(table, key_fields, **spec)
    await caller.upload_file(import_id, data, format)
    return await caller.finish(import_id)


async def retried(caller: Caller, import_id: str, request_id: str = "") -> import_pb2.Import:
    """Tries what an import has rejected once more, and waits for the end."""
    request = im.RetryImportRequest(import_id=import_id, request_id=request_id)
    return await caller.ended((await caller.imports.RetryImport(request)).import_job.import_id)


async def rejects(caller: Caller, import_id: str) -> str:
    """The rejected records of an import as a CSV file."""
    request = im.ExportImportRejectsRequest(import_id=import_id, format=im.ERROR_EXPORT_FORMAT_CSV)
    return "".join([piece.lines async for piece in caller.imports.ExportImportRejects(request)])


async def written(caller: Caller, rows: Iterable[Any], table: str, **fields: Any) -> rs.WriteRecordsResponse:
    """Writes rows directly."""
    texts = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    sent = [record_pb2.Record(json=text) for text in texts]
    return await caller.records.WriteRecords(rs.WriteRecordsRequest(table=table, records=sent, **fields))


async def stored(caller: Caller, table: str, key: str) -> rs.GetRecordResponse:
    """The record with this key, or identifier, as it is stored."""
    return await caller.records.GetRecord(rs.GetRecordRequest(table=table, key=key))


async def record(caller: Caller, table: str, key: str) -> dict[str, Any]:
    """The fields of the record with this key, or identifier."""
    found: dict[str, Any] = json.loads((await stored(caller, table, key)).record.json)
    return found


async def keys(caller: Caller, table: str, **options: Any) -> list[str]:
    """The keys of the records of a table, all or those that a filter finds."""
    page = await caller.records.ListRecords(rs.ListRecordsRequest(table=table, page_size=1000, **options))
    return [one.key for one in page.records]


async def declared(caller: Caller, table: str, **settings: Any) -> table_pb2.Table:
    """Creates a table with rules."""
    message = table_pb2.Table(table=table, **settings)
    return (await caller.tables.CreateTable(ts.CreateTableRequest(table=message))).table


async def blocked(caller: Caller, type: table_pb2.BlockedValueType.ValueType, *values: str) -> None:
    """Blocks values for the caller's account."""
    message = [table_pb2.BlockedValue(type=type, value=value) for value in values]
    await caller.tables.BlockValues(ts.BlockValuesRequest(values=message))


async def faults(caller: Caller, import_id: str, **filters: Any) -> list[tuple[int, int, str]]:
    """Index, code and field of every error of an import, by index."""
    return told(await caller.errors(import_id, **filters))


def told(errors: Iterable[record_error_pb2.RecordError]) -> list[tuple[int, int, str]]:
    """Index, code and field of errors."""
    return [(error.index, int(error.code), error.field) for error in errors]


def succeeded(counts: stage_pb2.RecordCounts) -> int:
    """What the older systems call success: records that were done with and not faulty, whatever that changed."""
    done = counts.created + counts.updated + counts.unchanged + counts.superseded
    return done + counts.skipped + counts.deleted


async def listed(caller: Caller, **filters: Any) -> list[str]:
    """The ids of the account's imports, newest first."""
    return [one.import_id for one in (await caller.imports.ListImports(im.ListImportsRequest(**filters))).imports]
