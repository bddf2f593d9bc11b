"""What comes after an import: the commit of a staged one, and another try of rejected records.

staged ──► AWAITING_COMMIT ──commit──► SUCCEEDED      rejects ──retry──────────────────────► a new import
                           └─cancel──► CANCELLED            └───export, mend, import_mended──► a new import
"""

import os
from typing import IO, Unpack
from uuid import uuid4

from ingot.v1.import_service_pb2 import CommitImportRequest, RetryImportRequest
from ingot_client import _user_code
from ingot_client._files import file_format, opened
from ingot_client._formats import FileOptions
from ingot_client._importing import Tell, WholeImports
from ingot_client._options import spec_again
from ingot_client._patience import Patience
from ingot_client._translating import filled
from ingot_client._uploading import OnProgress
from ingot_client._views import Import, Progress


class ContinuedImports(WholeImports):
    """The part of the client that goes on with imports."""

    async def commit(self, import_id: str, *, wait: bool = True, on_progress: OnProgress | None = None) -> Import:
        """Commits a staged import, and returns it when all its records are written, in one transaction.

        They are processed again, by what the table holds now, so the counts may end differently from what was looked
        at. An import that is being committed, or was, is no error. With `wait=False` it returns at once.
        """
        request = filled(CommitImportRequest, import_id=import_id)
        method = self._connection.imports.CommitImport
        job = Import.read((await self._connection.call(method, request, Patience(self._retry_timeout))).import_job)
        return await self._seen_through(job, on_progress, wait=wait)

    async def retry(
        self,
        import_id: str,
        *,
        request_id: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Import:
        """Imports once more, as they were sent, the records that an import has rejected while it processed them.

        That is for what was missing and is there now, such as contacts that orders name. It makes a new import, which
        is returned when it has ended, or awaits its commit; with `wait=False` at once. The same `request_id` gives the
        same import. Records that could not be read have to be mended first: see `export_rejects`, `import_mended`.
        """
        # With an id made up here a lost answer can be asked for again without making a second import.
        request = filled(RetryImportRequest, import_id=import_id, request_id=request_id or str(uuid4()))
        job = Import.read((await self._connection.call(self._connection.imports.RetryImport, request)).import_job)
        return await self._seen_through(job, on_progress, wait=wait)

    async def import_mended(
        self,
        import_id: str,
        file: str | os.PathLike[str] | IO[bytes],
        *,
        request_id: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        **how: Unpack[FileOptions],
    ) -> Import:
        """Imports a file of mended records, as from `export_rejects`, in the way of the import that rejected them.

        It makes a new import with the same table, options and labels, but never a full replacement, for that would
        delete all other records. A label more, `mended_from`, names the import, if there is room for it. SourceDiffers
        if the records were rejected by another import. See `import_file` for the file and for the rest.
        """
        form = file_format(file, **how)
        spec = spec_again(await self.get_import(import_id))
        source = await _user_code.unwrapped(opened(file, form, how.get("sheet")))
        run = self._import(spec, source, form, request_id, None, on_progress, wait=wait, mends=import_id)
        return await _user_code.unwrapped(run)

    async def _seen_through(self, job: Import, on_progress: OnProgress | None, *, wait: bool) -> Import:
        tell = teller(on_progress)
        await _user_code.unwrapped(tell(job, ""))
        return await _user_code.unwrapped(self._followed(job, tell)) if wait else job


def teller(on_progress: OnProgress | None) -> Tell:
    """Tells the callback of an import that is only followed."""

    async def tell(job: Import, trouble: str) -> None:
        if on_progress is not None:
            await _user_code.run(lambda: on_progress(Progress.of(job, trouble)))

    return tell
