"""Calls a server in tests with the generated stubs, as another service would."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_health.v1 import health_pb2_grpc

from ingot.v1 import (
    batch_pb2,
    batch_service_pb2,
    batch_service_pb2_grpc,
    import_pb2,
    import_service_pb2,
    import_service_pb2_grpc,
    record_error_pb2,
    record_pb2,
    record_service_pb2,
    record_service_pb2_grpc,
    table_service_pb2_grpc,
)

FINAL_STATES = (
    import_pb2.IMPORT_STATE_SUCCEEDED,
    import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED,
    import_pb2.IMPORT_STATE_FAILED,
    import_pb2.IMPORT_STATE_CANCELLED,
)
Upload = batch_service_pb2.UploadBatchRequest


class Caller:
    """One account's view of a server."""

    def __init__(self, address: str, key: str | None, credentials: grpc.ChannelCredentials | None = None) -> None:
        """`credentials` are for a server with TLS."""
        self.address = address
        self.key = key
        interceptors = [kind(key) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary)] if key else []
        # grpc shares connections between channels to the same address, also with a server that is gone.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = (
            aio.secure_channel(address, credentials, interceptors=interceptors, options=options)
            if credentials
            else aio.insecure_channel(address, interceptors=interceptors, options=options)
        )
        self.imports = import_service_pb2_grpc.ImportServiceStub(self.channel)
        self.batches = batch_service_pb2_grpc.BatchServiceStub(self.channel)
        self.records = record_service_pb2_grpc.RecordServiceStub(self.channel)
        self.tables = table_service_pb2_grpc.TableServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.channel.close()

    async def create(self, table: str = "things", key_fields: Sequence[str] = ("id",), **spec: Any) -> str:
        """Creates an import; its id."""
        request_id = spec.pop("request_id", "")
        message = import_pb2.ImportSpec(table=table, key_fields=key_fields, **spec)
        answer = await self.imports.CreateImport(
            import_service_pb2.CreateImportRequest(spec=message, request_id=request_id)
        )
        return answer.import_job.import_id

    async def upload(self, messages: Iterable[Upload]) -> batch_pb2.Batch:
        """Sends messages as one upload."""
        return (await self.batches.UploadBatch(iter(messages))).batch

    async def upload_file(
        self, import_id: str, data: bytes, format: batch_pb2.DataFormat, *, piece: int = 1 << 18, batch_id: str = "b"
    ) -> batch_pb2.Batch:
        """Uploads a file cut into pieces."""
        first = Upload(import_id=import_id, batch_id=batch_id, format=format)
        cut = [Upload(data=data[start : start + piece], offset=start) for start in range(0, len(data), piece)]
        return await self.upload([first, *cut, Upload(finish=batch_pb2.Finish(total=len(data)))])

    async def finish(self, import_id: str) -> import_pb2.Import:
        """Finishes an import and waits for its end."""
        await self.imports.FinishImport(import_service_pb2.FinishImportRequest(import_id=import_id))
        return await self.ended(import_id)

    async def ended(self, import_id: str) -> import_pb2.Import:
        """Watches an import to its final state."""
        last = import_pb2.Import()
        async for update in self.imports.WatchImport(import_service_pb2.WatchImportRequest(import_id=import_id)):
            last = update.import_job
        assert last.state in FINAL_STATES
        return last

    async def ended_by_cancel(self, import_id: str) -> import_pb2.Import:
        """Cancels an import and waits for its end."""
        await self.imports.CancelImport(import_service_pb2.CancelImportRequest(import_id=import_id))
        return await self.ended(import_id)

    async def run(
        self, rows: Iterable[Any], table: str = "things", key_fields: Sequence[str] = ("id",)
    ) -> import_pb2.Import:
        """Imports rows and waits for the end."""
        import_id = await self.create(table, key_fields)
        await self.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
        return await self.finish(import_id)

    async def run_file(
        self, data: bytes, format: batch_pb2.DataFormat, table: str = "things", **options: Any
    ) -> import_pb2.Import:
        """Imports a file and waits for the end."""
        import_id = await self.create(table)
        await self.upload_file(import_id, data, format, **options)
        return await self.finish(import_id)

    async def get(self, import_id: str) -> import_pb2.Import:
        """The import as it stands."""
        answer = await self.imports.GetImport(import_service_pb2.GetImportRequest(import_id=import_id))
        return answer.import_job

    async def batch(self, import_id: str, batch_id: str = "b") -> batch_pb2.Batch:
        """The batch as it stands."""
        request = batch_service_pb2.GetBatchRequest(import_id=import_id, batch_id=batch_id)
        return (await self.batches.GetBatch(request)).batch

    async def errors(self, import_id: str, **filters: Any) -> list[record_error_pb2.RecordError]:
        """All errors of an import."""
        found: list[record_error_pb2.RecordError] = []
        token = ""
        while True:
            page = await self.imports.ListImportErrors(
                import_service_pb2.ListImportErrorsRequest(
                    import_id=import_id, page_size=1000, page_token=token, **filters
                )
            )
            found += page.errors
            token = page.next_page_token
            if not token:
                return found

    async def table(self, name: str = "things") -> list[Any]:
        """All records of a table, by key."""
        request = record_service_pb2.ExportRecordsRequest(table=name)
        text = "".join([piece.lines async for piece in self.records.ExportRecords(request)])
        return [json.loads(line) for line in text.splitlines()]


def records(rows: Iterable[Any], *, finish: bool | int = False, **fields: Any) -> Upload:
    """A message with records; texts are sent as they are. `finish` True names their number as the total."""
    sent = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    message = Upload(records=[record_pb2.Record(json=text) for text in sent], **fields)
    if finish is not False:
        message.finish.total = len(sent) if finish is True else finish
    return message


def reason_of(error: aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo that came with an error."""
    info = error_details_pb2.ErrorInfo()
    for detail in details_of(error):
        if detail.Unpack(info):
            return info
    raise AssertionError(f"no ErrorInfo in {error}")


def details_of(error: aio.AioRpcError) -> Sequence[Any]:
    """The details that came with an error."""
    trailing = dict(error.trailing_metadata() or ())
    details: Sequence[Any] = status_pb2.Status.FromString(trailing["grpc-status-details-bin"]).details
    return details


class _WithKey:
    """Sends the key with every call. grpc.aio takes one class per kind of call."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def _call(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), ("authorization", f"Bearer {self._key}"))
        return await continuation(details._replace(metadata=metadata), request)


class _UnaryUnary(_WithKey, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _UnaryStream(_WithKey, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _StreamUnary(_WithKey, aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


def health_stub(channel: aio.Channel) -> Any:
    """The health service's stub, which is untyped."""
    return health_pb2_grpc.HealthStub(channel)
