"""Calls about imports."""

import codecs
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Literal, Unpack
from uuid import uuid4

from ingot.v1 import import_service_pb2 as pb
from ingot.v1.import_pb2 import ImportSpec, ImportState
from ingot.v1.record_error_pb2 import ErrorSeverity, ErrorStage, RecordErrorCode
from ingot_client import _user_code
from ingot_client._connection import Connection
from ingot_client._errors import ImportNotFound
from ingot_client._exporting import Target, export
from ingot_client._options import ImportOptions, import_spec
from ingot_client._outcomes import RecordError
from ingot_client._paging import Pages
from ingot_client._patience import Patience
from ingot_client._translating import filled, names, number, stamp
from ingot_client._views import Import
from ingot_client._watching import OnTrouble, follow

EXPORT_FORMATS = {
    "ndjson": pb.ErrorExportFormat.ERROR_EXPORT_FORMAT_NDJSON,
    "csv": pb.ErrorExportFormat.ERROR_EXPORT_FORMAT_CSV,
}


class ImportCalls:
    """The part of the client that is about imports."""

    _connection: Connection
    _retry_timeout: float

    async def create_import(
        self, table: str, *, request_id: str | None = None, **options: Unpack[ImportOptions]
    ) -> Import:
        """Creates an import into a table, which is made if it does not exist.

        The options say what the records are, how they are read, and what becomes of them; `ImportOptions` explains
        each: `key_fields`, `kind`, `country`, `time_zone`, `locale`, `mode`, `validate_only`, `staged`, `reconcile`,
        `max_errors`, `max_error_ratio`, `labels`.

        The same `request_id` gives the same import. Without one each call makes another import.
        """
        return await self._create_import(import_spec(table, **options), request_id)

    async def _create_import(self, spec: ImportSpec, request_id: str | None) -> Import:
        # With an id made up here a lost answer can be asked for again without making a second import.
        request = filled(pb.CreateImportRequest, spec=spec, request_id=request_id or str(uuid4()))
        return Import.read((await self._connection.call(self._connection.imports.CreateImport, request)).import_job)

    async def get_import(self, import_id: str) -> Import:
        """The import as it stands."""
        request = filled(pb.GetImportRequest, import_id=import_id)
        return Import.read((await self._connection.call(self._connection.imports.GetImport, request)).import_job)

    def list_imports(
        self,
        *,
        table: str = "",
        states: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 0,
    ) -> Pages[Import]:
        """The imports for which all of this holds, newest first; `states` are words such as SUCCEEDED, in any case.

        Their stages carry no error groups: see `get_import`.
        """
        numbers = [number(ImportState, state, "IMPORT_STATE_") for state in names(states)]

        async def fetch(token: str) -> tuple[Sequence[Import], str]:
            request = filled(
                pb.ListImportsRequest,
                table=table,
                states=numbers,
                labels=labels,
                created_from=stamp(created_from),
                created_before=stamp(created_before),
                page_size=page_size,
                page_token=token,
            )
            page = await self._connection.call(self._connection.imports.ListImports, request)
            return [Import.read(message) for message in page.imports], page.next_page_token

        return Pages(fetch)

    async def watch(self, import_id: str, *, on_trouble: OnTrouble | None = None) -> AsyncGenerator[Import, None]:
        """The import as it changes, from now until it has ended, or awaits its commit.

        Survives lost connections: the counts never go back. States that come too fast for the reader are skipped.
        `on_trouble` is called with the reason while the server is lost and tried again, and with an empty text when
        it is back.
        """

        async def tell(trouble: str) -> None:
            if on_trouble is not None:
                await _user_code.run(lambda: on_trouble(trouble))

        try:
            async with aclosing(follow(self._connection, import_id, self._retry_timeout, tell)) as states:
                async for job in states:
                    yield job
        except _user_code.UserCodeFailed as failure:
            error = failure.error
        else:
            return
        raise error

    async def finish(self, import_id: str) -> Import:
        """Declares that no more batches will come. An import that is finished already is returned as it is."""
        request = filled(pb.FinishImportRequest, import_id=import_id)
        method = self._connection.imports.FinishImport
        return Import.read((await self._connection.call(method, request, Patience(self._retry_timeout))).import_job)

    async def cancel(self, import_id: str) -> Import:
        """Cancels an import that has not ended. What was written stays written; of a staged import that is nothing."""
        request = filled(pb.CancelImportRequest, import_id=import_id)
        return Import.read((await self._connection.call(self._connection.imports.CancelImport, request)).import_job)

    async def delete(self, import_id: str) -> None:
        """Deletes an import that has ended, with its batches and errors. The records that it wrote stay."""
        request = filled(pb.DeleteImportRequest, import_id=import_id)
        await self._connection.delete(self._connection.imports.DeleteImport, request, ImportNotFound)

    def list_errors(
        self,
        import_id: str,
        *,
        batch_id: str = "",
        stage: str = "",
        code: str | int = "",
        field: str = "",
        severity: str = "",
        page_size: int = 0,
    ) -> Pages[RecordError]:
        """The stored errors of an import for which all of this holds, by batch and index.

        `stage` is UPLOAD or PROCESSING, `code` a name or a number. `severity` is ERROR, or WARNING for values that were
        imported with doubt.
        """
        stage_number = number(ErrorStage, stage, "ERROR_STAGE_")
        code_number = number(RecordErrorCode, str(code), "RECORD_ERROR_CODE_")
        severity_number = number(ErrorSeverity, severity, "ERROR_SEVERITY_")

        async def fetch(token: str) -> tuple[Sequence[RecordError], str]:
            request = filled(
                pb.ListImportErrorsRequest,
                import_id=import_id,
                batch_id=batch_id,
                stage=stage_number,
                code=code_number,
                field=field,
                severity=severity_number,
                page_size=page_size,
                page_token=token,
            )
            page = await self._connection.call(self._connection.imports.ListImportErrors, request)
            return [RecordError.read(message) for message in page.errors], page.next_page_token

        return Pages(fetch)

    async def export_errors(
        self,
        import_id: str,
        target: Target,
        *,
        format: Literal["ndjson", "csv"] = "ndjson",
    ) -> int:
        """Writes all stored errors of an import to a path or a binary file; returns the number of bytes.

        A path gets the file only when it is complete.
        """
        request = filled(pb.ExportImportErrorsRequest, import_id=import_id, format=_export_format(format))
        stream = self._connection.stream(self._connection.imports.ExportImportErrors, request)
        return await export(stream, target)

    async def export_rejects(
        self,
        import_id: str,
        target: Target,
        *,
        format: Literal["ndjson", "csv"] = "ndjson",
    ) -> int:
        """Writes the rejected records of an import, each with what is wrong with it; returns the number of bytes.

        The file is to be mended, with a spreadsheet if it is CSV, and imported again: see `retry`. What was added to
        the records, the fields that begin with `ingot:`, may stay. A path gets the file only when it is complete.
        """
        request = filled(pb.ExportImportRejectsRequest, import_id=import_id, format=_export_format(format))
        stream = self._connection.stream(self._connection.imports.ExportImportRejects, request)
        # By this mark Excel knows that the file is UTF-8, and Ingot takes it away again.
        return await export(stream, target, mark=codecs.BOM_UTF8 if format.lower() == "csv" else b"")


def _export_format(word: str) -> pb.ErrorExportFormat.ValueType:
    if not isinstance(word, str) or (found := EXPORT_FORMATS.get(word.lower())) is None:
        raise ValueError(f"{word!r} is neither {' nor '.join(EXPORT_FORMATS)}")
    return found
