"""A small server in memory, only for what a real one cannot be made to do: fail at a chosen moment of an upload.

It keeps to the API: it drops what it has, refuses gaps, and finishes only with the right total. It remembers what
was sent to it.
"""
# ruff: noqa: N802 - gRPC names the methods

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode, aio
from grpc_status import rpc_status

from ingot.v1 import (
    batch_pb2,
    batch_service_pb2,
    batch_service_pb2_grpc,
    import_pb2,
    import_service_pb2,
    import_service_pb2_grpc,
)


@dataclass
class Call:
    """What one UploadBatch call is to do, and what it got. Without a fault it does all it should."""

    drop_after: int | None = None
    """Break the call after so many messages."""
    code: StatusCode = StatusCode.UNAVAILABLE
    reason: str = "SHUTTING_DOWN"
    keep: int | None = None
    """Commit only so many messages of this call; the others are lost when it breaks."""
    lose_reply: bool = False
    """Finish the batch, and break the call instead of answering."""
    answer_after: int | None = None
    """Answer with OK after so many messages, without reading the rest."""
    committed_before: int = 0
    offsets: list[int] = field(default_factory=list)


@dataclass
class FakeBatch:
    """One batch: its content, and how much of it is committed."""

    content: list[bytes] | bytes
    unit: int
    finished: bool = False


class FakeServer(batch_service_pb2_grpc.BatchServiceServicer, import_service_pb2_grpc.ImportServiceServicer):
    """Both services. `script` says what the next calls of UploadBatch do, `calls` what they got."""

    def __init__(self) -> None:
        self.script: deque[Call] = deque()
        self.calls: list[Call] = []
        self.imports: dict[str, import_pb2.Import] = {}
        self.batches: dict[tuple[str, str], FakeBatch] = {}
        self.create_failures = 0
        self.delete_failures = 0
        """How many imports are deleted without an answer."""
        self.watch_failures = 0
        self.run_script: deque[str] = deque()
        """Where the next calls of RunImport break: `before` all, when the import is `created`, or `after` all."""
        self.runs = 0
        """How many calls of RunImport came."""
        self.watched = asyncio.Event()
        """Set when somebody watches an import."""
        self.readable = True
        """Whether GetBatch and WatchBatch are allowed."""
        self.asked: list[str] = []
        """Who was asked how a batch stands: `get` or `watch`."""
        self.processing = asyncio.Event()
        """No import ends while this is not set."""
        self.processing.set()
        self.committing = asyncio.Event()
        """Nothing is committed while this is not set; what was sent waits."""
        self.committing.set()
        self.messages_received = 0
        self.received = asyncio.Condition()
        self.metadata: list[dict[str, Any]] = []
        self.port = 0
        self._server: aio.Server | None = None
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        self._server = aio.server(options=[("grpc.max_receive_message_length", 8 << 20), ("grpc.so_reuseport", 0)])
        batch_service_pb2_grpc.add_BatchServiceServicer_to_server(self, self._server)
        import_service_pb2_grpc.add_ImportServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        assert self._server is not None
        await self._server.stop(None)

    # Imports

    async def CreateImport(self, request: Any, context: Any) -> Any:
        self.metadata.append(dict(context.invocation_metadata()))
        found = next((job for job in self.imports.values() if job.request_id == request.request_id), None)
        if found is None:
            found = import_pb2.Import(
                import_id=str(len(self.imports) + 1),
                table=request.spec.table,
                key_fields=request.spec.key_fields,
                kind=request.spec.kind,
                reading=request.spec.reading,
                request_id=request.request_id,
                state=import_pb2.IMPORT_STATE_RECEIVING,
            )
            self.imports[found.import_id] = found
        if self.create_failures:
            self.create_failures -= 1
            await refuse(context, StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        return import_service_pb2.CreateImportResponse(import_job=found)

    async def RunImport(self, requests: Any, context: Any) -> Any:
        self.runs += 1
        breaks = self.run_script.popleft() if self.run_script else ""
        request = await anext(aiter(requests))
        if breaks == "before":
            await refuse(context, StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        job = (await self.CreateImport(request, context)).import_job
        if breaks == "created":
            await refuse(context, StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        await self.committing.wait()
        batch = FakeBatch([], 1) if request.records else FakeBatch(b"", 2)
        self.batches[job.import_id, "main"] = batch
        await self._append(batch, request, context)
        job = (
            await self.FinishImport(import_service_pb2.FinishImportRequest(import_id=job.import_id), context)
        ).import_job
        if breaks == "after":
            await refuse(context, StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        return import_service_pb2.RunImportResponse(import_job=job)

    async def GetImport(self, request: Any, context: Any) -> Any:
        if request.import_id not in self.imports:
            await refuse(context, StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND")
        return import_service_pb2.GetImportResponse(import_job=self.imports[request.import_id])

    async def FinishImport(self, request: Any, context: Any) -> Any:
        job = self.imports[request.import_id]
        job.state = import_pb2.IMPORT_STATE_PROCESSING
        return import_service_pb2.FinishImportResponse(import_job=job)

    async def CommitImport(self, request: Any, context: Any) -> Any:
        job = self.imports[request.import_id]
        job.state = import_pb2.IMPORT_STATE_PROCESSING
        return import_service_pb2.CommitImportResponse(import_job=job)

    async def CancelImport(self, request: Any, context: Any) -> Any:
        job = self.imports[request.import_id]
        job.state = import_pb2.IMPORT_STATE_CANCELLED
        return import_service_pb2.CancelImportResponse(import_job=job)

    async def DeleteImport(self, request: Any, context: Any) -> Any:
        if self.imports.pop(request.import_id, None) is None:
            await refuse(context, StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND")
        if self.delete_failures:
            self.delete_failures -= 1
            await refuse(context, StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        return import_service_pb2.DeleteImportResponse()

    async def WatchImport(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = self.imports[request.import_id]
        self.watched.set()
        yield import_service_pb2.WatchImportResponse(import_job=job)
        if self.watch_failures:
            self.watch_failures -= 1
            await refuse(context, StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        yield import_service_pb2.WatchImportResponse(import_job=job, heartbeat=True)
        if job.state == import_pb2.IMPORT_STATE_PROCESSING:
            await self.processing.wait()
            job.state = import_pb2.IMPORT_STATE_SUCCEEDED
            yield import_service_pb2.WatchImportResponse(import_job=job)

    # Batches

    async def ReferenceBatch(self, request: Any, context: Any) -> Any:
        batch = batch_pb2.Batch(import_id=request.import_id, batch_id=request.batch_id, uri=request.uri)
        return batch_service_pb2.ReferenceBatchResponse(batch=batch)

    async def UploadBatch(self, requests: Any, context: Any) -> Any:
        call = self.script.popleft() if self.script else Call()
        self.calls.append(call)
        batch: FakeBatch | None = None
        key = ("", "")
        count = 0
        async for request in requests:
            if batch is None:
                key = (request.import_id, request.batch_id)
                empty: Any = b"" if request.HasField("format") else []
                batch = self.batches.setdefault(key, FakeBatch(empty, 2 if empty == b"" else 1))
                call.committed_before = len(batch.content)
            call.offsets.append(request.offset)
            count += 1
            async with self.received:
                self.messages_received += 1
                self.received.notify_all()
            await self.committing.wait()
            if call.keep is None or count <= call.keep:
                await self._append(batch, request, context)
            if call.drop_after == count:
                facts = {"committed_offset": str(len(batch.content)), "expected_offset": str(len(batch.content))}
                await refuse(context, call.code, call.reason, facts)
            if call.answer_after == count:
                break
        if batch is None:
            await refuse(context, StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
            raise AssertionError
        if call.lose_reply:
            await refuse(context, StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        return batch_service_pb2.UploadBatchResponse(batch=message_of(key, batch))

    async def GetBatch(self, request: Any, context: Any) -> Any:
        self.asked.append("get")
        return batch_service_pb2.GetBatchResponse(
            batch=message_of(await self._key(request, context), self._of(request))
        )

    async def WatchBatch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.append("watch")
        key = await self._key(request, context)
        batch = self._of(request)
        while not batch.finished:
            yield batch_service_pb2.WatchBatchResponse(batch=message_of(key, batch))
            async with self._changed:
                await self._changed.wait()
        yield batch_service_pb2.WatchBatchResponse(batch=message_of(key, batch))

    async def _key(self, request: Any, context: Any) -> tuple[str, str]:
        if not self.readable:
            await refuse(context, StatusCode.PERMISSION_DENIED, "SCOPE_MISSING", {"scope": "imports:read"})
        if (request.import_id, request.batch_id) not in self.batches:
            await refuse(context, StatusCode.NOT_FOUND, "BATCH_NOT_FOUND")
        return request.import_id, request.batch_id

    def _of(self, request: Any) -> FakeBatch:
        return self.batches[request.import_id, request.batch_id]

    async def _append(self, batch: FakeBatch, request: Any, context: Any) -> None:
        content: Any = [record.json for record in request.records] if batch.unit == 1 else request.data
        committed = len(batch.content)
        if request.offset > committed:
            await refuse(context, StatusCode.OUT_OF_RANGE, "OFFSET_GAP", {"expected_offset": str(committed)})
        if content and batch.finished:
            await refuse(context, StatusCode.FAILED_PRECONDITION, "BATCH_FINISHED")
        batch.content = batch.content + content[committed - request.offset :]
        if request.HasField("finish"):
            if request.finish.total != len(batch.content):
                await refuse(context, StatusCode.FAILED_PRECONDITION, "TOTAL_MISMATCH")
            batch.finished = True
        async with self._changed:
            self._changed.notify_all()


def message_of(key: tuple[str, str], batch: FakeBatch) -> batch_pb2.Batch:
    return batch_pb2.Batch(
        import_id=key[0],
        batch_id=key[1],
        committed_offset=len(batch.content),
        unit=batch.unit,  # type: ignore[arg-type]
        total=len(batch.content) if batch.finished else None,
        finished=batch.finished,
    )


async def refuse(context: Any, code: StatusCode, reason: str, facts: dict[str, str] | None = None) -> None:
    """Ends the call with an error as Ingot sends it; without a reason, as gRPC itself or a proxy would."""
    if not reason:
        await context.abort(code, "Received RST_STREAM with error code 2")
    info = error_details_pb2.ErrorInfo(reason=reason, domain="ingot.v1", metadata=facts or {})
    detail = AnyMessage()
    detail.Pack(info)
    status = status_pb2.Status(code=code.value[0], message=reason.lower(), details=[detail])
    await context.abort_with_status(rpc_status.to_status(status))


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A fake that is running."""
    server = FakeServer()  # type: ignore[abstract]
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
