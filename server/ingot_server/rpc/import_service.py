"""ImportService: creates imports, follows them, and tells what became of every record."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from ingot.v1 import import_pb2, import_service_pb2_grpc
from ingot.v1 import import_service_pb2 as pb
from ingot_server.domain.errors import BatchUnfinished, InvalidRequest, OffsetGap, TotalMismatch
from ingot_server.domain.imports import Import
from ingot_server.domain.modes import WriteMode
from ingot_server.pipeline.exporting import ErrorFileFormat, export_errors
from ingot_server.pipeline.mending.exporting import export_rejects
from ingot_server.pipeline.progress import Progress
from ingot_server.pipeline.receiving import Receiver
from ingot_server.pipeline.retrying import retry_import
from ingot_server.rpc import paging, requests, wire
from ingot_server.rpc.changing import expect_changeable
from ingot_server.rpc.guard import (
    Context,
    audit_deletion,
    audit_deletion_ordered,
    caller_account,
    caller_is_sandboxed,
    expect_scope,
)
from ingot_server.rpc.uploads import beginning, open_batch, pieces_of
from ingot_server.storage import errors, import_creation, import_moves, imports
from ingot_server.storage.database import Database

RUN_BATCH_ID = "main"
"""The id of the one batch that RunImport uploads."""
_NEWEST = 2**63 - 1


class ImportService(import_service_pb2_grpc.ImportServiceServicer):
    """Serves the RPCs of the same name; see import_service.proto."""

    def __init__(
        self,
        database: Database,
        receiver: Receiver,
        progress: Progress,
        limits: import_creation.ImportLimits,
        on_work: Callable[[], None],
        end_if_due: Callable[[int], Awaitable[None]],
    ) -> None:
        """`on_work` is told when there is something for the workers that they do not know of; `end_if_due` ends an
        import if it is time for that.
        """
        self._database = database
        self._receiver = receiver
        self._progress = progress
        self._limits = limits
        self._on_work = on_work
        self._end_if_due = end_if_due

    async def CreateImport(self, request: pb.CreateImportRequest, context: Context) -> pb.CreateImportResponse:
        import_id = await self._create(request.spec, request.request_id)
        return pb.CreateImportResponse(import_job=await self._import(import_id))

    async def RunImport(
        self, request_iterator: AsyncIterator[pb.RunImportRequest], context: Context
    ) -> pb.RunImportResponse:
        first = await anext(request_iterator, None)
        if first is None:
            raise InvalidRequest({"spec": "expected in the first message, but the stream had none"})
        begun = beginning(first)
        import_id = await self._create(first.spec, first.request_id)
        await context.send_initial_metadata((("ingot-import-id", str(import_id)),))
        batch = None
        try:
            batch = await open_batch(self._database, caller_account(), import_id, RUN_BATCH_ID, first, begun)
            await self._receiver.receive(batch, pieces_of(first, request_iterator))
        except (InvalidRequest, OffsetGap, TotalMismatch):
            # Whoever corrects the call makes another import, and would soon have as many as an account may have.
            if not (first.request_id or (batch is not None and batch.committed_offset)):
                await self._cancel(import_id)
            raise
        if not batch.finished:
            raise BatchUnfinished(import_id=import_id, batch_id=RUN_BATCH_ID, committed_offset=batch.committed_offset)
        return pb.RunImportResponse(import_job=await self._finished(import_id))

    async def GetImport(self, request: pb.GetImportRequest, context: Context) -> pb.GetImportResponse:
        return pb.GetImportResponse(import_job=await self._import(requests.import_id(request.import_id)))

    async def ListImports(self, request: pb.ListImportsRequest, context: Context) -> pb.ListImportsResponse:
        wanted = requests.import_filter(request)
        before = paging.page_position(request.page_token, int) if request.page_token else _NEWEST
        size = paging.page_size(request.page_size, 50)
        found = await imports.import_list(self._database, caller_account(), wanted, before, size)
        return pb.ListImportsResponse(
            imports=map(wire.import_message, found),
            next_page_token=paging.page_token(found[-1].import_id) if len(found) == size else "",
        )

    async def WatchImport(
        self, request: pb.WatchImportRequest, context: Context
    ) -> AsyncIterator[pb.WatchImportResponse]:
        import_id = requests.import_id(request.import_id)
        await imports.import_expect(self._database, caller_account(), import_id)
        async with aclosing(self._progress.imports.watch(import_id)) as states:
            async for shown, heartbeat in states:
                if heartbeat:
                    yield pb.WatchImportResponse(import_job=wire.import_message(shown.state), heartbeat=True)
                else:
                    yield shown.told(_watched)

    async def FinishImport(self, request: pb.FinishImportRequest, context: Context) -> pb.FinishImportResponse:
        return pb.FinishImportResponse(import_job=await self._finished(await self._changeable(request.import_id)))

    async def CommitImport(self, request: pb.CommitImportRequest, context: Context) -> pb.CommitImportResponse:
        import_id = requests.import_id(request.import_id)
        effect = await expect_changeable(self._database, import_id)
        await import_moves.import_commit(self._database, caller_account(), import_id)
        if effect.deletes:
            audit_deletion_ordered(import_id)
        self._on_work()
        return pb.CommitImportResponse(import_job=await self._import(import_id))

    async def CancelImport(self, request: pb.CancelImportRequest, context: Context) -> pb.CancelImportResponse:
        import_id = await self._changeable(request.import_id, goes_on=False)
        await self._cancel(import_id)
        return pb.CancelImportResponse(import_job=await self._import(import_id))

    async def DeleteImport(self, request: pb.DeleteImportRequest, context: Context) -> pb.DeleteImportResponse:
        import_id = await self._changeable(request.import_id, goes_on=False)
        await import_moves.import_delete(self._database, caller_account(), import_id)
        audit_deletion("import", import_id=import_id)
        return pb.DeleteImportResponse()

    async def RetryImport(self, request: pb.RetryImportRequest, context: Context) -> pb.RetryImportResponse:
        original = requests.import_id(request.import_id)
        request_id, sandboxed = requests.request_id(request.request_id), caller_is_sandboxed()
        deletes = not sandboxed and (await expect_changeable(self._database, original)).deletes
        import_id = await retry_import(
            self._database, caller_account(), original, request_id, self._limits, sandboxed=sandboxed
        )
        if deletes:
            audit_deletion_ordered(import_id)
        self._on_work()
        return pb.RetryImportResponse(import_job=await self._import(import_id))

    async def ListImportErrors(
        self, request: pb.ListImportErrorsRequest, context: Context
    ) -> pb.ListImportErrorsResponse:
        import_id = requests.import_id(request.import_id)
        wanted = requests.error_filter(request)
        after = paging.error_position(request.page_token)
        size = paging.page_size(request.page_size, 100)
        await imports.import_expect(self._database, caller_account(), import_id)
        found = await errors.error_list(self._database, caller_account(), import_id, wanted, after, size + 1)
        page, more = wire.fitting((wire.error_message(error) for _, error in found), size)
        return pb.ListImportErrorsResponse(
            errors=page, next_page_token=paging.page_token(found[len(page) - 1][0]) if more else ""
        )

    async def ExportImportErrors(
        self, request: pb.ExportImportErrorsRequest, context: Context
    ) -> AsyncIterator[pb.ExportImportErrorsResponse]:
        import_id, format = requests.import_id(request.import_id), _file_format(request.format)
        await imports.import_expect(self._database, caller_account(), import_id)
        async with aclosing(export_errors(self._database, caller_account(), import_id, format)) as pieces:
            async for lines in pieces:
                yield pb.ExportImportErrorsResponse(lines=lines)

    async def ExportImportRejects(
        self, request: pb.ExportImportRejectsRequest, context: Context
    ) -> AsyncIterator[pb.ExportImportRejectsResponse]:
        import_id, format = requests.import_id(request.import_id), _file_format(request.format)
        async with aclosing(export_rejects(self._database, caller_account(), import_id, format)) as pieces:
            async for lines in pieces:
                yield pb.ExportImportRejectsResponse(lines=lines)

    async def _create(self, message: import_pb2.ImportSpec, request_id: str) -> int:
        spec, use = requests.import_spec(message, request_id)
        deletes = not (spec.validate_only or caller_is_sandboxed()) and (
            spec.reconciles or spec.mode is WriteMode.DELETE
        )
        if deletes:
            expect_scope("records:delete")
        if caller_is_sandboxed():
            spec = replace(spec, validate_only=True, staged=False)
        import_id = await import_creation.import_create(
            self._database, caller_account(), spec, use, request_id, self._limits
        )
        if deletes:
            audit_deletion_ordered(import_id)
        return import_id

    async def _changeable(self, text: str, *, goes_on: bool = True) -> int:
        """The id of an import that the caller may change. Raises InvalidRequest and what `expect_changeable` does."""
        import_id = requests.import_id(text)
        await expect_changeable(self._database, import_id, goes_on=goes_on)
        return import_id

    async def _import(self, import_id: int) -> import_pb2.Import:
        return wire.import_message(await imports.import_get(self._database, caller_account(), import_id))

    async def _finished(self, import_id: int) -> import_pb2.Import:
        """The import, after it was told that no more will come."""
        await import_moves.import_finish(self._database, caller_account(), import_id)
        await self._end_if_due(import_id)
        return await self._import(import_id)

    async def _cancel(self, import_id: int) -> None:
        await import_moves.import_cancel(self._database, caller_account(), import_id)
        await self._end_if_due(import_id)


def _watched(found: Import) -> pb.WatchImportResponse:
    return pb.WatchImportResponse(import_job=wire.import_message(found))


def _file_format(format: "pb.ErrorExportFormat.ValueType") -> ErrorFileFormat:
    if format not in pb.ErrorExportFormat.values():
        raise InvalidRequest({"format": f"expected a format of an error file, got {format}"})
    return ErrorFileFormat.CSV if format == pb.ERROR_EXPORT_FORMAT_CSV else ErrorFileFormat.NDJSON
