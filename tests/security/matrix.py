"""For each method: what somebody may ask of it about things of another account, and what must come of it.

A method that is not in here fails `test_every_method_is_in_the_matrix`: whoever adds one says here how it keeps to the
account of the caller.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from ingot.v1 import batch_pb2, import_pb2, record_pb2, table_pb2
from ingot.v1 import batch_service_pb2 as ba
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as re
from ingot.v1 import table_service_pb2 as ta
from tests.calling import Caller

MARK = "theirs"
"""Stands in every name and every value of the other account, so that it can be found in an answer."""
TABLE = f"{MARK}_table"
DOMAIN = f"{MARK}.example"
BATCH = f"{MARK}-batch"
OPEN = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
"""What needs no key; reflection only on loopback."""


@dataclass(frozen=True)
class Theirs:
    """What the other account has."""

    ended: str
    """An import with rejects."""
    staged: str
    """One that awaits its commit."""
    receiving: str


async def make_theirs(owner: Caller) -> Theirs:
    """Fills the other account."""
    ended = await owner.create(TABLE)
    row = record_pb2.Record(json=f'{{"id":"{MARK}-1","email":"{MARK}"}}'.encode())
    no_key = record_pb2.Record(json=f'{{"{MARK}":1}}'.encode())
    await owner.upload(
        [
            ba.UploadBatchRequest(
                import_id=ended, batch_id=BATCH, records=[row, no_key], finish=batch_pb2.Finish(total=2)
            )
        ]
    )
    await owner.finish(ended)
    staged = await owner.create(TABLE, staged=True)
    receiving = await owner.create(TABLE)
    for import_id in (staged, receiving):
        await owner.upload([ba.UploadBatchRequest(import_id=import_id, batch_id=BATCH, records=[row])])
    await owner.upload(
        [ba.UploadBatchRequest(import_id=staged, batch_id=BATCH, offset=1, finish=batch_pb2.Finish(total=1))]
    )
    await owner.imports.FinishImport(im.FinishImportRequest(import_id=staged))
    async for update in owner.imports.WatchImport(im.WatchImportRequest(import_id=staged)):
        if update.import_job.state == import_pb2.IMPORT_STATE_AWAITING_COMMIT:
            break
    await owner.tables.BlockValues(ta.BlockValuesRequest(values=[_domain()]))
    return Theirs(ended, staged, receiving)


@dataclass(frozen=True)
class Case:
    """What is asked, and for what reason it must not be found. None: it succeeds, in the caller's own account."""

    requests: Callable[[Theirs], Sequence[Message]]
    reason: str | None


def _domain() -> table_pb2.BlockedValue:
    return table_pb2.BlockedValue(type=table_pb2.BLOCKED_VALUE_TYPE_DOMAIN, value=DOMAIN)


def _spec(**options: object) -> import_pb2.ImportSpec:
    return import_pb2.ImportSpec(table=TABLE, key_fields=["id"], **options)  # type: ignore[arg-type]


def _row() -> list[record_pb2.Record]:
    return [record_pb2.Record(json=f'{{"id":"{MARK}-1","stolen":true}}'.encode())]


_ENDED, _STAGED, _RECEIVING = "ended", "staged", "receiving"


def _import(request: type[Message], which: str, **fields: object) -> Case:
    return Case(lambda theirs: [request(import_id=getattr(theirs, which), **fields)], "IMPORT_NOT_FOUND")


def _own(*requests: Message) -> Case:
    return Case(lambda _: requests, None)


def _table(request: Message) -> Case:
    return Case(lambda _: [request], "TABLE_NOT_FOUND")


MATRIX: dict[str, Case | list[Case]] = {
    "/ingot.v1.ImportService/CreateImport": _own(im.CreateImportRequest(spec=_spec())),
    "/ingot.v1.ImportService/RunImport": _own(
        im.RunImportRequest(spec=_spec(), records=_row(), finish=batch_pb2.Finish(total=1))
    ),
    "/ingot.v1.ImportService/GetImport": _import(im.GetImportRequest, _ENDED),
    "/ingot.v1.ImportService/ListImports": _own(im.ListImportsRequest()),
    "/ingot.v1.ImportService/WatchImport": _import(im.WatchImportRequest, _ENDED),
    "/ingot.v1.ImportService/FinishImport": _import(im.FinishImportRequest, _RECEIVING),
    "/ingot.v1.ImportService/CommitImport": _import(im.CommitImportRequest, _STAGED),
    "/ingot.v1.ImportService/CancelImport": _import(im.CancelImportRequest, _STAGED),
    "/ingot.v1.ImportService/RetryImport": _import(im.RetryImportRequest, _ENDED),
    "/ingot.v1.ImportService/DeleteImport": _import(im.DeleteImportRequest, _ENDED),
    "/ingot.v1.ImportService/ListImportErrors": _import(im.ListImportErrorsRequest, _ENDED),
    "/ingot.v1.ImportService/ExportImportErrors": _import(im.ExportImportErrorsRequest, _ENDED),
    "/ingot.v1.ImportService/ExportImportRejects": _import(im.ExportImportRejectsRequest, _ENDED),
    "/ingot.v1.BatchService/UploadBatch": [
        _import(ba.UploadBatchRequest, _RECEIVING, batch_id=BATCH, offset=1, records=_row()),
        _import(ba.UploadBatchRequest, _RECEIVING, batch_id="new", records=_row()),
    ],
    "/ingot.v1.BatchService/ReferenceBatch": _import(
        ba.ReferenceBatchRequest, _RECEIVING, batch_id="new", uri="https://example.org/a.csv"
    ),
    "/ingot.v1.BatchService/GetBatch": _import(ba.GetBatchRequest, _ENDED, batch_id=BATCH),
    "/ingot.v1.BatchService/ListBatches": _import(ba.ListBatchesRequest, _ENDED),
    "/ingot.v1.BatchService/WatchBatch": _import(ba.WatchBatchRequest, _RECEIVING, batch_id=BATCH),
    "/ingot.v1.RecordService/WriteRecords": _own(
        re.WriteRecordsRequest(table=TABLE, key_fields=["id"], records=_row())
    ),
    "/ingot.v1.RecordService/GetRecord": _table(re.GetRecordRequest(table=TABLE, key=f"{MARK}-1")),
    "/ingot.v1.RecordService/ListRecords": [
        _table(re.ListRecordsRequest(table=TABLE)),
        Case(lambda theirs: [re.ListRecordsRequest(table=TABLE, staged_import_id=theirs.staged)], "IMPORT_NOT_FOUND"),
    ],
    "/ingot.v1.RecordService/ExportRecords": [
        _table(re.ExportRecordsRequest(table=TABLE)),
        Case(lambda theirs: [re.ExportRecordsRequest(table=TABLE, staged_import_id=theirs.staged)], "IMPORT_NOT_FOUND"),
    ],
    "/ingot.v1.RecordService/DeleteRecords": _table(re.DeleteRecordsRequest(table=TABLE, keys=[f"{MARK}-1"])),
    "/ingot.v1.TableService/CreateTable": _own(
        ta.CreateTableRequest(table=table_pb2.Table(table=TABLE, key_fields=["id"]))
    ),
    "/ingot.v1.TableService/GetTable": _table(ta.GetTableRequest(table=TABLE)),
    "/ingot.v1.TableService/ListTables": _own(ta.ListTablesRequest()),
    "/ingot.v1.TableService/UpdateTable": _table(
        ta.UpdateTableRequest(table=table_pb2.Table(table=TABLE), update_mask=FieldMask(paths=["fields"]))
    ),
    "/ingot.v1.TableService/DeleteTable": _table(ta.DeleteTableRequest(table=TABLE)),
    "/ingot.v1.TableService/ListKinds": _own(ta.ListKindsRequest()),
    "/ingot.v1.TableService/BlockValues": _own(ta.BlockValuesRequest(values=[_domain()])),
    "/ingot.v1.TableService/UnblockValues": _own(ta.UnblockValuesRequest(values=[_domain()])),
    "/ingot.v1.TableService/ListBlockedValues": _own(ta.ListBlockedValuesRequest()),
}
ECHOES = (
    "/ingot.v1.ImportService/CreateImport",
    "/ingot.v1.ImportService/RunImport",
    "/ingot.v1.TableService/CreateTable",
)
"""Whose answers repeat the names in the request, and so hold the mark."""


def cases_of(path: str) -> list[Case]:
    """The cases of a method."""
    found = MATRIX[path]
    return found if isinstance(found, list) else [found]
