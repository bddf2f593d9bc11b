"""BatchService: takes data in."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from ingot.v1 import batch_pb2, batch_service_pb2_grpc
from ingot.v1 import batch_service_pb2 as pb
from ingot_server.domain.batches import Batch
from ingot_server.domain.errors import InvalidRequest
from ingot_server.pipeline.progress import Progress
from ingot_server.pipeline.receiving import Receiver
from ingot_server.pipeline.referencing import Fetching
from ingot_server.rpc import formats, paging, requests, wire
from ingot_server.rpc.changing import expect_changeable
from ingot_server.rpc.guard import Context, caller_account
from ingot_server.rpc.uploads import beginning, open_batch, pieces_of
from ingot_server.storage import batches, imports
from ingot_server.storage.database import Database


class BatchService(batch_service_pb2_grpc.BatchServiceServicer):
    """Serves the RPCs of the same name; see batch_service.proto."""

    def __init__(self, database: Database, receiver: Receiver, progress: Progress, fetching: Fetching) -> None:
        self._database = database
        self._receiver = receiver
        self._progress = progress
        self._fetching = fetching

    async def UploadBatch(
        self, request_iterator: AsyncIterator[pb.UploadBatchRequest], context: Context
    ) -> pb.UploadBatchResponse:
        first = await anext(request_iterator, None)
        if first is None:
            raise InvalidRequest({"import_id": "expected in the first message, but the stream had none"})
        import_id, batch_id = requests.import_id(first.import_id), requests.batch_id(first.batch_id)
        await expect_changeable(self._database, import_id)
        batch = await open_batch(self._database, caller_account(), import_id, batch_id, first, beginning(first))
        await self._receiver.receive(batch, pieces_of(first, request_iterator))
        return pb.UploadBatchResponse(batch=await self._batch(import_id, batch_id))

    async def ReferenceBatch(self, request: pb.ReferenceBatchRequest, context: Context) -> pb.ReferenceBatchResponse:
        violations = requests.Violations()
        import_id = violations.collect(lambda: requests.import_id(request.import_id))
        batch_id = violations.collect(lambda: requests.batch_id(request.batch_id))
        violations.collect(lambda: self._fetching.expect_readable(request.uri))
        format = violations.collect(lambda: formats.reference_format(request.format, request.uri))
        violations.raise_if_any()
        assert import_id is not None  # noqa: S101 else there are violations
        assert batch_id is not None  # noqa: S101 as above
        assert format is not None  # noqa: S101 as above
        await expect_changeable(self._database, import_id)
        await self._fetching.reference(caller_account(), import_id, batch_id, request.uri, format)
        return pb.ReferenceBatchResponse(batch=await self._batch(import_id, batch_id))

    async def GetBatch(self, request: pb.GetBatchRequest, context: Context) -> pb.GetBatchResponse:
        import_id, batch_id = requests.import_id(request.import_id), requests.batch_id(request.batch_id)
        return pb.GetBatchResponse(batch=await self._batch(import_id, batch_id))

    async def ListBatches(self, request: pb.ListBatchesRequest, context: Context) -> pb.ListBatchesResponse:
        import_id = requests.import_id(request.import_id)
        after = paging.page_position(request.page_token, int) if request.page_token else 0
        size = paging.page_size(request.page_size, 50)
        await imports.import_expect(self._database, caller_account(), import_id)
        found = await batches.batch_list(self._database, caller_account(), import_id, after, size + 1)
        page, more = wire.fitting((wire.batch_message(batch) for _, batch in found), size)
        return pb.ListBatchesResponse(
            batches=page, next_page_token=paging.page_token(found[len(page) - 1][0]) if more else ""
        )

    async def WatchBatch(self, request: pb.WatchBatchRequest, context: Context) -> AsyncIterator[pb.WatchBatchResponse]:
        import_id, batch_id = requests.import_id(request.import_id), requests.batch_id(request.batch_id)
        number = await batches.batch_seq(self._database, caller_account(), import_id, batch_id)
        async with aclosing(self._progress.batches.watch(number)) as states:
            async for shown, heartbeat in states:
                if heartbeat:
                    yield pb.WatchBatchResponse(batch=wire.batch_message(shown.state), heartbeat=True)
                else:
                    yield shown.told(_watched)

    async def _batch(self, import_id: int, batch_id: str) -> batch_pb2.Batch:
        found = await batches.batch_get(self._database, caller_account(), import_id, batch_id)
        return wire.batch_message(await batches.with_groups(self._database, found))


def _watched(found: Batch) -> pb.WatchBatchResponse:
    return pb.WatchBatchResponse(batch=wire.batch_message(found))
