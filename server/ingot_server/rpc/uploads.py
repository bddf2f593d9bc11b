"""Reads the messages of the two calls that carry uploads, UploadBatch and RunImport."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtobufMessage

from ingot.v1.batch_service_pb2 import UploadBatchRequest
from ingot.v1.import_service_pb2 import RunImportRequest
from ingot_server.domain.batches import OffsetUnit
from ingot_server.domain.errors import InvalidRequest, OffsetGap
from ingot_server.domain.formats import DataFormat
from ingot_server.pipeline.pieces import Piece
from ingot_server.rpc import formats, structures
from ingot_server.storage import batches
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.database import Database

TOTAL_MAX = 10**15
"""More than a petabyte or a trillion records is a mistake."""

_OF_THE_WHOLE = ("import_id", "batch_id", "spec", "request_id", "format", "expected_total")
"""What the first message says; others may repeat it, for those who make all messages from one."""

Message = TypeVar("Message", UploadBatchRequest, RunImportRequest)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the first message of an upload says of the whole."""

    format: DataFormat | None
    expected_total: int | None


def beginning(first: UploadBatchRequest | RunImportRequest) -> Beginning:
    """What the first message says of the whole. Raises InvalidRequest, before anything is made for it."""
    format = formats.data_format(first.format) if first.HasField("format") else None
    if not 0 <= first.expected_total <= TOTAL_MAX:
        raise InvalidRequest({"expected_total": f"expected 0 to {TOTAL_MAX}, got {first.expected_total}"})
    if first.records and first.data:
        raise InvalidRequest({"data": "expected either records or data in a message, not both"})
    if format is not None and first.records:
        raise InvalidRequest({"format": "expected only for data, not for records"})
    return Beginning(format, first.expected_total if first.HasField("expected_total") else None)


async def open_batch(
    database: Database,
    account_id: int,
    import_id: int,
    batch_id: str,
    first: UploadBatchRequest | RunImportRequest,
    begun: Beginning,
) -> OpenBatch:
    """The batch that an upload goes on with, as its first message describes it. Raises InvalidRequest, OffsetGap."""
    batch = await batches.batch_find(database, account_id, import_id, batch_id)
    if batch is None:
        # A batch cannot be deleted, and one that is left over keeps its import from being finished.
        if first.data and begun.format is None:
            raise InvalidRequest({"format": "expected in the first message, because the batch carries data"})
        if first.offset > 0:
            raise OffsetGap(
                f"offset: expected 0 for a new batch, got {first.offset}",
                import_id=import_id,
                batch_id=batch_id,
                expected_offset=0,
                committed_offset=0,
            )
        batch = await batches.batch_create(database, account_id, import_id, batch_id)
    if batch.source is not None:
        raise InvalidRequest({"batch_id": "expected another, because the server fetches this batch by itself"})
    if begun.format is not None and batch.unit is OffsetUnit.RECORDS:
        raise InvalidRequest({"format": "expected none, because this batch carries records"})
    if begun.format is not None and batch.format not in (None, begun.format):
        raise InvalidRequest({"format": "expected the same as when the batch was begun, or none"})
    if not batch.finished:
        batch.format = batch.format or begun.format
        if begun.expected_total is not None:
            batch.expected_total = begun.expected_total
    return batch


async def pieces_of(first: Message, others: AsyncIterator[Message]) -> AsyncIterator[Piece]:
    """The content of the messages. Raises InvalidRequest."""
    yield await _piece(first)
    fields = [field for field in first.DESCRIPTOR.fields if field.name in _OF_THE_WHOLE]
    async for message in others:
        for field in fields:
            if _is_given(message, field) and getattr(message, field.name) != getattr(first, field.name):
                raise InvalidRequest({field.name: "expected the same as in the first message, or none"})
        yield await _piece(message)


def _is_given(message: ProtobufMessage, field: FieldDescriptor) -> bool:
    # Not by ListFields, which makes a copy of all data, and an object for each record.
    return message.HasField(field.name) if field.has_presence else bool(getattr(message, field.name))


async def _piece(message: UploadBatchRequest | RunImportRequest) -> Piece:
    offset = message.offset if message.HasField("offset") else None
    finish_total = message.finish.total if message.HasField("finish") else None
    if offset is not None and offset < 0:
        raise InvalidRequest({"offset": f"expected 0 or more, got {offset}"})
    return Piece(await structures.record_texts(message.records), message.data, offset, finish_total)
