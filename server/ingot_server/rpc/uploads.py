"""Reads the messages of the two calls that carry uploads, UploadBatch and RunImport."""

from collections.abc import AsyncIterator
from typing import TypeVar

from ingot.v1.batch_service_pb2 import UploadBatchRequest
from ingot.v1.import_service_pb2 import RunImportRequest
from ingot_server.domain.batches import OffsetUnit
from ingot_server.domain.errors import InvalidRequest
from ingot_server.pipeline.receiving import Piece
from ingot_server.rpc import requests
from ingot_server.storage import batches
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.database import Database

Message = TypeVar("Message", UploadBatchRequest, RunImportRequest)


async def open_batch(
    database: Database, account_id: int, import_id: int, batch_id: str, first: UploadBatchRequest | RunImportRequest
) -> OpenBatch:
    """The batch that an upload goes on with, as its first message describes it. Raises InvalidRequest."""
    format = requests.data_format(first.format) if first.HasField("format") else None
    if first.expected_total < 0:
        raise InvalidRequest({"expected_total": f"expected 0 or more, got {first.expected_total}"})
    batch = await batches.batch_open(database, account_id, import_id, batch_id)
    if format is not None and batch.unit is OffsetUnit.RECORDS:
        raise InvalidRequest({"format": "expected none, because this batch carries records"})
    if format is not None and batch.format not in (None, format):
        raise InvalidRequest({"format": "expected the same as when the batch was begun, or none"})
    if not batch.finished:
        batch.format = batch.format or format
        if first.HasField("expected_total"):
            batch.expected_total = first.expected_total
    return batch


async def pieces_of(first: Message, others: AsyncIterator[Message]) -> AsyncIterator[Piece]:
    """The content of the messages. Raises InvalidRequest."""
    yield _piece(first)
    async for message in others:
        yield _piece(message)


def _piece(message: UploadBatchRequest | RunImportRequest) -> Piece:
    offset = message.offset if message.HasField("offset") else None
    finish_total = message.finish.total if message.HasField("finish") else None
    if offset is not None and offset < 0:
        raise InvalidRequest({"offset": f"expected 0 or more, got {offset}"})
    return Piece(requests.record_texts(message.records), message.data, offset, finish_total)
