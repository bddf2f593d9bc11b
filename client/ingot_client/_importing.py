"""Whole imports in one call: create, upload, finish, and wait for the end.

The upload is the batch `main`. An import that was interrupted goes on by the same call with `resume`, or with the
`request_id` that it was made with.
"""

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import IO, Any, Final, Unpack
from uuid import uuid4

from ingot.v1.batch_pb2 import DataFormat
from ingot.v1.import_pb2 import IMPORT_STATE_RECEIVING, ImportSpec
from ingot.v1.import_pb2 import Import as ImportMessage
from ingot.v1.import_service_pb2 import RunImportRequest
from ingot_client import _user_code
from ingot_client._batches import BatchCalls
from ingot_client._errors import (
    BatchNotFound,
    ImportStateRefused,
    IngotError,
    InvalidRequest,
    ScopeMissing,
    SourceDiffers,
)
from ingot_client._files import file_format, opened
from ingot_client._imports import ImportCalls
from ingot_client._likeness import difference
from ingot_client._options import FileImportOptions, ImportOptions, apart, import_spec
from ingot_client._pieces import PIECE_BYTES, PIECE_RECORDS, Piece
from ingot_client._rejects import check_rejects
from ingot_client._sources import Source, record_source
from ingot_client._status import errors_translated
from ingot_client._uploading import OnProgress
from ingot_client._views import Import, Progress
from ingot_client._watching import follow

BATCH_ID: Final = "main"
AT_ONCE_SECONDS: Final = 10.0
"""So long one call may take that does all of an import. Then it goes on in several, which tell more on the way."""

Tell = Callable[[Import, str], Awaitable[None]]


class WholeImports(ImportCalls, BatchCalls):
    """The part of the client that most users need."""

    async def import_records(
        self,
        table: str,
        records: Iterable[Any] | AsyncIterable[Any],
        *,
        request_id: str | None = None,
        resume: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        **options: Unpack[ImportOptions],
    ) -> Import:
        """Imports records into a table, and returns the import when it has ended, or awaits its commit.

        `records` is any iterable or asynchronous iterable of mappings, dataclasses, or bytes that are JSON already. It
        is read once, as fast as the server commits: at most 64 MiB of it are held in memory. The asynchronous client
        reads a plain iterable on the event loop, the synchronous one in the calling thread.

        The options say what the records are, what becomes of them, and whether to rehearse it: see `create_import`.

        Faulty records do not stop an import: see `counts`, `error_groups` and `list_errors`. Lost connections and
        restarted servers do not either. If it stops nevertheless, UploadInterrupted says so, and the call with
        `resume=import_id` goes on; the records must then be the same from the beginning, and those that were sent
        already are not compared. `request_id` does so too: the same call with the same id is the same import, whether
        it was interrupted or has ended. If it has ended nothing is sent, and `already_ended` of what is returned says
        so; SourceDiffers if it surely was other data.

        If the source raises, nothing is finished: the import is cancelled (unless it has a `request_id`, or was
        resumed) and the exception raised again.

        With `wait=False` it returns when all is durable and the server is still writing to the table.
        """
        spec = import_spec(table, **options)
        run = self._import(spec, record_source(records), None, request_id, resume, on_progress, wait=wait)
        return await _user_code.unwrapped(run)

    async def import_file(
        self,
        table: str,
        file: str | os.PathLike[str] | IO[bytes],
        *,
        request_id: str | None = None,
        resume: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        **options: Unpack[FileImportOptions],
    ) -> Import:
        """Imports a file into a table, and returns the import as `import_records` does; see there for the rest.

        `file` is a path or a file open in binary mode, which is read from where it stands. Its `type` is `ndjson`,
        `csv` or `json` (one array of objects); if not given, the suffix tells: .ndjson, .jsonl, .csv, .tsv, .json.
        For CSV the first row is the header, unless `columns` names the columns. A file that is called .gz or .zst
        behind that is sent as it is, and so is one whose `compression` is given: GZIP, ZSTD or NONE.

        Excel workbooks (.xlsx, .xlsm) and Parquet files (.parquet) are given by their path, and sent as the records in
        them; `sheet` names the workbook's sheet, by default the first. They need the extra `tabular`, or raise
        TabularUnavailable, and TabularFault if they cannot be read; both are in `ingot_tabular`.
        """
        how, what = apart(options)
        form = file_format(file, **how)
        spec = import_spec(table, **what)
        source = await _user_code.unwrapped(opened(file, form, how.get("sheet")))
        run = self._import(spec, source, form, request_id, resume, on_progress, wait=wait)
        return await _user_code.unwrapped(run)

    async def _import(
        self,
        spec: ImportSpec,
        source: Source,
        form: DataFormat | None,
        request_id: str | None,
        resume: str | None,
        on_progress: OnProgress | None,
        *,
        wait: bool,
        mends: str = "",
    ) -> Import:
        """Imports and closes the source; errors of the user's code come as UserCodeFailed.

        `mends` is the import that rejected the records, if the source holds them mended.
        """

        async def tell(job: Import, trouble: str = "", committed: int | None = None) -> None:
            if on_progress is not None:
                committed = source.end if committed is None else committed
                moment = Progress(
                    job.import_id, job.state, source.unit, committed, source.total, job.counts, trouble, job
                )
                await _user_code.run(lambda: on_progress(moment))

        try:
            await check_rejects(source, form, rejected_by=mends, replaces=spec.HasField("reconcile"))
            ours = not resume and not request_id
            piece = await _whole(source) if ours else None
            if resume:
                job = await self._import_begun(resume, spec.table)
            elif piece is not None:
                job = await self._import_at_once(spec, piece, form, lambda job: tell(job, committed=0))
                if job.state == "RECEIVING":
                    await source.rewind(0)
            else:
                job = await self._create_import(spec, request_id)
            already_ended = not ours and job.state != "RECEIVING"
            if already_ended:
                await self._check_likeness(job, source, request_id if not resume else None)
            # An interrupt may come at any time from now on; whoever gets it has to know the id.
            await tell(job)
            if job.state == "RECEIVING":
                begun = piece is not None or not ours
                job = await self._fill(job, source, form, on_progress, ours=ours, begun=begun)
        finally:
            await source.close()
        if wait:
            job = await self._followed(job, tell)
        return replace(job, already_ended=already_ended)

    async def _import_at_once(
        self, spec: ImportSpec, piece: Piece, form: DataFormat | None, tell: Callable[[Import], Awaitable[None]]
    ) -> Import:
        """The import after one call that did all of it, or, if that failed, as it was created.

        What was wrong shows again when it is filled. The id is told as soon as there is one.
        """
        request = RunImportRequest(spec=spec, request_id=str(uuid4()), format=form, expected_total=piece.end)
        piece.put_into(request)
        request.finish.total = piece.end
        connection = self._connection
        with suppress(IngotError), errors_translated(connection.address):
            call = connection.imports.RunImport(iter([request]), metadata=connection.metadata, timeout=AT_ONCE_SECONDS)
            if import_id := dict(await call.initial_metadata()).get("ingot-import-id"):
                begun = ImportMessage(import_id=str(import_id), table=spec.table, state=IMPORT_STATE_RECEIVING)
                await tell(Import.read(begun))
            answer = await call
            connection.answered = True
            return Import.read(answer.import_job)
        return await self._create_import(spec, request.request_id)

    async def _followed(self, job: Import, tell: Tell) -> Import:
        """The import when nothing more happens to it by itself."""
        if job.final or job.awaits_commit:
            await tell(job, "")
            return job
        newest = job

        async def trouble(text: str) -> None:
            await tell(newest, text)

        async with aclosing(follow(self._connection, job.import_id, self._retry_timeout, trouble)) as states:
            async for state in states:
                newest = state
                await tell(newest, "")
        return newest

    async def _fill(
        self,
        job: Import,
        source: Source,
        form: DataFormat | None,
        on_progress: OnProgress | None,
        *,
        ours: bool,
        begun: bool,
    ) -> Import:
        try:
            await self._upload(job.import_id, BATCH_ID, source, form, on_progress, begun=begun)
            return await self.finish(job.import_id)
        except ImportStateRefused:
            # Somebody has cancelled it, or it failed: the import itself says so.
            return await self.get_import(job.import_id)
        except _user_code.UserCodeFailed:
            if ours:
                with suppress(IngotError):
                    await self.cancel(job.import_id)
            raise
        except InvalidRequest:
            # An encoding that the server does not know, say: nobody would ever go on with this import.
            if ours:
                with suppress(IngotError):
                    if not await self._committed(job):
                        await self.cancel(job.import_id)
            raise

    async def _committed(self, job: Import) -> int:
        try:
            return (await self.get_batch(job.import_id, BATCH_ID)).committed_offset
        except BatchNotFound:
            return 0

    async def _check_likeness(self, job: Import, source: Source, request_id: str | None) -> None:
        """Refuses other data for an import that takes none any more, and would seem to have taken it."""
        try:
            batch = await self.get_batch(job.import_id, BATCH_ID)
        except (BatchNotFound, ScopeMissing):
            return
        if (why := difference(batch, source)) is None:
            return
        if request_id:
            raise SourceDiffers(
                f"the request id {request_id!r} was used for other data, in import {job.import_id}: {why}. "
                "Choose another"
            )
        raise SourceDiffers(
            f"import {job.import_id} was used for other data: {why}. Choose another, or begin a new one"
        )

    async def _import_begun(self, import_id: str, table: str) -> Import:
        job = await self.get_import(import_id)
        if job.table != table:
            raise SourceDiffers(f"import {import_id} goes to the table {job.table}, not to {table}")
        return job


async def _whole(source: Source) -> Piece | None:
    """The only piece of a source; None if it has others, or this cannot be known without waiting for it."""
    most = PIECE_RECORDS if source.unit == "RECORDS" else PIECE_BYTES
    if source.total is None or not 0 < source.total <= most:
        return None
    piece = await source.next()
    if piece is not None and piece.end == source.total:
        return piece
    await source.rewind(0)
    return None
