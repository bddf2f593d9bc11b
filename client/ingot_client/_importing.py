"""Whole imports in one call: create, upload, finish, and wait for the end.

The upload is the batch `main`. An import that was interrupted goes on by the same call with `resume`, or with the
`request_id` that it was made with.
"""

import os
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import IO, Any, Final

from ingot.v1.batch_pb2 import DataFormat
from ingot.v1.import_pb2 import ImportSpec
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
from ingot_client._formats import data_format
from ingot_client._imports import ImportCalls, import_spec
from ingot_client._likeness import difference
from ingot_client._sources import Source, file_source, record_source
from ingot_client._uploading import OnProgress
from ingot_client._views import Import, Progress, Reading
from ingot_client._watching import follow

BATCH_ID: Final = "main"


class WholeImports(ImportCalls, BatchCalls):
    """The part of the client that most users need."""

    async def import_records(
        self,
        table: str,
        records: Iterable[Any] | AsyncIterable[Any],
        *,
        key_fields: Sequence[str] = (),
        kind: str = "",
        country: str = "",
        time_zone: str = "",
        locale: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        resume: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Import:
        """Imports records into a table, and returns the import when it has ended.

        `records` is any iterable or asynchronous iterable of mappings, dataclasses, or bytes that are JSON already. It
        is read once, as fast as the server commits: at most 64 MiB of it are held in memory. The asynchronous client
        reads a plain iterable on the event loop, the synchronous one in the calling thread.

        `kind`, `country`, `time_zone` and `locale` say what the records are and how they are read: see `create_import`.

        Faulty records do not stop an import: see `counts`, `error_groups` and `list_errors`. Lost connections and
        restarted servers do not either. If it stops nevertheless, UploadInterrupted says so, and the call with
        `resume=import_id` goes on; the records must then be the same from the beginning. `request_id` does so too: the
        same call with the same id is the same import, whether it was interrupted or has ended. If it has ended nothing
        is sent, and `already_ended` of what is returned says so; SourceDiffers if it surely was other data.

        If the source raises, nothing is finished: the import is cancelled (unless it has a `request_id`, or was
        resumed) and the exception raised again.

        With `wait=False` it returns when all is durable and the server is still writing to the table.
        """
        spec = import_spec(table, key_fields, kind, Reading(country, time_zone, locale), labels)
        run = self._import(spec, record_source(records), None, request_id, resume, on_progress, wait=wait)
        return await _user_code.unwrapped(run)

    async def import_file(
        self,
        table: str,
        file: str | os.PathLike[str] | IO[bytes],
        *,
        type: str | None = None,
        delimiter: str | None = None,
        quote: str | None = None,
        encoding: str | None = None,
        columns: Sequence[str] = (),
        key_fields: Sequence[str] = (),
        kind: str = "",
        country: str = "",
        time_zone: str = "",
        locale: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        resume: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Import:
        """Imports a file into a table, and returns the import when it has ended. See `import_records` for the rest.

        `file` is a path or a file open in binary mode, which is read from where it stands. Its `type` is `ndjson`,
        `csv` or `json` (one array of objects); if not given, the suffix tells: .ndjson, .jsonl, .csv, .tsv, .json.
        For CSV the first row is the header, unless `columns` names the columns.
        """
        form = data_format(
            getattr(file, "name", file), type=type, delimiter=delimiter, quote=quote, encoding=encoding, columns=columns
        )
        spec = import_spec(table, key_fields, kind, Reading(country, time_zone, locale), labels)
        run = self._import(spec, file_source(file), form, request_id, resume, on_progress, wait=wait)
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
    ) -> Import:
        """Imports and closes the source; errors of the user's code come as UserCodeFailed."""
        try:
            job = await (self._import_begun(resume, spec.table) if resume else self._create_import(spec, request_id))
            already_ended = job.state != "RECEIVING"
            if already_ended:
                await self._check_likeness(job, source, request_id if not resume else None)
            # An interrupt may come at any time from now on; whoever gets it has to know the id.
            await _tell(on_progress, job, source)
            if not already_ended:
                job = await self._fill(job, source, form, on_progress, ours=not resume and not request_id)
        finally:
            await source.close()
        if wait:

            async def tell(trouble: str) -> None:
                await _tell(on_progress, job, source, trouble)

            async with aclosing(follow(self._connection, job.import_id, self._retry_timeout, tell)) as states:
                async for job in states:
                    await _tell(on_progress, job, source)
        return replace(job, already_ended=already_ended)

    async def _fill(
        self, job: Import, source: Source, form: DataFormat | None, on_progress: OnProgress | None, *, ours: bool
    ) -> Import:
        try:
            await self._upload(job.import_id, BATCH_ID, source, form, on_progress)
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


async def _tell(on_progress: OnProgress | None, job: Import, source: Source, trouble: str = "") -> None:
    if on_progress is not None:
        moment = Progress(job.import_id, job.state, source.unit, source.end, source.total, job.counts, trouble)
        await _user_code.run(lambda: on_progress(moment))
