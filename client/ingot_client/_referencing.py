"""Whole imports of files that the server fetches by itself."""

from contextlib import suppress
from dataclasses import replace
from typing import Unpack

from ingot.v1.batch_pb2 import DataFormat
from ingot_client import _user_code
from ingot_client._continuing import teller
from ingot_client._errors import BatchNotFound, ImportStateRefused, IngotError, ScopeMissing, SourceDiffers, Transient
from ingot_client._formats import reference_format
from ingot_client._importing import BATCH_ID, WholeImports
from ingot_client._options import FileImportOptions, apart, import_spec
from ingot_client._uploading import OnProgress
from ingot_client._views import Import


class ReferenceImports(WholeImports):
    """The part of the client that lets the server fetch what is to be imported."""

    async def import_reference(
        self,
        table: str,
        uri: str,
        *,
        request_id: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        **options: Unpack[FileImportOptions],
    ) -> Import:
        """Has the server fetch a file and import it; returns the import when it has ended, or awaits its commit.

        `uri` is `https://`, `http://`, `s3://bucket/key` or `file:///path`, as far as the server's settings allow it.
        What is not said about the file is told by the end of its name: .csv, .tsv, .ndjson, .jsonl, .json, .xlsx,
        .parquet, and .gz or .zst behind it. The `type` is `ndjson`, `csv`, `json`, `excel` or `parquet`.

        The server goes on by itself, and after a fault at the same byte, whether or not anybody waits. If it cannot
        fetch the file, `status_message` of the batch says why. See `import_records` for the options and the rest.
        """
        how, what = apart(options)
        form = reference_format(**how)
        run = self._import_reference(
            await self._create_import(import_spec(table, **what), request_id),
            uri,
            form,
            request_id,
            on_progress,
            wait=wait,
        )
        return await _user_code.unwrapped(run)

    async def _import_reference(
        self,
        job: Import,
        uri: str,
        form: DataFormat,
        request_id: str | None,
        on_progress: OnProgress | None,
        *,
        wait: bool,
    ) -> Import:
        tell = teller(on_progress)
        await tell(job, "")
        if already_ended := job.state != "RECEIVING":
            await self._check_uri(job, uri, request_id)
        else:
            job = await self._fetch(job, uri, form, ours=not request_id)
            await tell(job, "")
        if wait:
            job = await self._followed(job, tell)
        return replace(job, already_ended=already_ended)

    async def _fetch(self, job: Import, uri: str, form: DataFormat, *, ours: bool) -> Import:
        try:
            await self._refer(job.import_id, BATCH_ID, uri, form)
            return await self.finish(job.import_id)
        except ImportStateRefused:
            # Somebody has cancelled it, or it failed: the import itself says so.
            return await self.get_import(job.import_id)
        except Transient:
            raise
        except IngotError:
            # A file that may not be read, say: nobody would ever go on with this import.
            if ours:
                with suppress(IngotError):
                    await self.cancel(job.import_id)
            raise

    async def _check_uri(self, job: Import, uri: str, request_id: str | None) -> None:
        """Refuses another file for an import that takes none any more, and would seem to have taken it."""
        try:
            batch = await self.get_batch(job.import_id, BATCH_ID)
        except (BatchNotFound, ScopeMissing):
            return
        # Queries may be secrets, and are not told.
        if batch.uri != uri.partition("?")[0]:
            raise SourceDiffers(
                f"the request id {request_id!r} was used for another file, in import {job.import_id}: "
                f"{batch.uri or 'an upload'}. Choose another"
            )
