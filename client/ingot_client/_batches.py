"""Calls about batches: the uploads within an import."""

import os
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import IO, Any, Unpack

from ingot.v1.batch_pb2 import DataFormat
from ingot.v1.batch_service_pb2 import GetBatchRequest, ListBatchesRequest, ReferenceBatchRequest
from ingot_client import _user_code
from ingot_client._connection import Connection
from ingot_client._files import file_format, opened
from ingot_client._formats import FileOptions, reference_format
from ingot_client._paging import Pages
from ingot_client._sources import Source, record_source
from ingot_client._translating import filled
from ingot_client._uploading import OnProgress, Upload
from ingot_client._views import Batch


class BatchCalls:
    """The part of the client that is about batches."""

    _connection: Connection
    _retry_timeout: float

    async def upload_records(
        self,
        import_id: str,
        batch_id: str,
        records: Iterable[Any] | AsyncIterable[Any],
        *,
        on_progress: OnProgress | None = None,
    ) -> Batch:
        """Uploads the records as a batch and finishes it. See `import_records` for what records may be.

        The same call again goes on where it stopped: the records must be the same from the beginning.
        """
        source = record_source(records)
        return await _user_code.unwrapped(self._upload(import_id, batch_id, source, None, on_progress))

    async def upload_file(
        self,
        import_id: str,
        batch_id: str,
        file: str | os.PathLike[str] | IO[bytes],
        *,
        on_progress: OnProgress | None = None,
        **how: Unpack[FileOptions],
    ) -> Batch:
        """Uploads a file as a batch and finishes it. See `import_file` for how it is read.

        The same call again goes on where it stopped.
        """
        form = file_format(file, **how)
        source = await _user_code.unwrapped(opened(file, form, how.get("sheet")))
        return await _user_code.unwrapped(self._upload(import_id, batch_id, source, form, on_progress))

    async def reference_batch(
        self,
        import_id: str,
        batch_id: str,
        uri: str,
        **how: Unpack[FileOptions],
    ) -> Batch:
        """Makes a batch that the server fetches by itself, and returns at once. See `import_reference` for the file.

        The import may be finished meanwhile. The same call again changes nothing.
        """
        form = reference_format(**how)
        return await self._refer(import_id, batch_id, uri, form)

    async def get_batch(self, import_id: str, batch_id: str) -> Batch:
        """The batch as it stands."""
        request = filled(GetBatchRequest, import_id=import_id, batch_id=batch_id)
        return Batch.read((await self._connection.call(self._connection.batches.GetBatch, request)).batch)

    def list_batches(self, import_id: str, *, page_size: int = 0) -> Pages[Batch]:
        """The batches of an import in the order of their creation. Their stages carry no error groups."""

        async def fetch(token: str) -> tuple[Sequence[Batch], str]:
            request = filled(ListBatchesRequest, import_id=import_id, page_size=page_size, page_token=token)
            page = await self._connection.call(self._connection.batches.ListBatches, request)
            return [Batch.read(message) for message in page.batches], page.next_page_token

        return Pages(fetch)

    async def _refer(self, import_id: str, batch_id: str, uri: str, form: DataFormat) -> Batch:
        request = filled(ReferenceBatchRequest, import_id=import_id, batch_id=batch_id, uri=uri, format=form)
        return Batch.read((await self._connection.call(self._connection.batches.ReferenceBatch, request)).batch)

    async def _upload(
        self,
        import_id: str,
        batch_id: str,
        source: Source,
        form: DataFormat | None,
        on_progress: OnProgress | None,
        *,
        begun: bool = True,
    ) -> Batch:
        """Uploads and closes the source; errors of the user's code come as UserCodeFailed.

        `begun`: whether the batch may be there already.
        """
        upload = Upload(
            self._connection,
            import_id,
            batch_id,
            source,
            data_format=form,
            retry_timeout=self._retry_timeout,
            on_progress=on_progress,
            begun=begun,
        )
        try:
            return await upload.run()
        finally:
            await source.close()
