"""Makes files of errors and of records, page by page."""

import csv
import io
from collections.abc import AsyncGenerator, Sequence
from enum import StrEnum

import msgspec

from ingot_server.domain.progress import RecordError
from ingot_server.storage import errors, records
from ingot_server.storage.database import Database

PAGE_ERRORS = 500
PAGE_RECORDS = 2_000

_COLUMNS = (
    "batch_id",
    "index",
    "line",
    "key",
    "stage",
    "code",
    "reason",
    "field",
    "message",
    "raw",
    "raw_truncated",
)
# What spreadsheets take for the beginning of a formula (OWASP, CSV injection), with the full-width forms.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class ErrorFileFormat(StrEnum):
    """The format of an error file."""

    NDJSON = "NDJSON"
    CSV = "CSV"


async def export_errors(
    database: Database, account_id: int, import_id: int, format: ErrorFileFormat
) -> AsyncGenerator[str, None]:
    """The stored errors of an import as pieces of a file, each of whole lines."""
    if format is ErrorFileFormat.CSV:
        yield ",".join(_COLUMNS) + "\n"
    position = errors.FIRST_POSITION
    while True:
        page, position = await errors.error_list(
            database, account_id, import_id, errors.ErrorFilter(), position, PAGE_ERRORS
        )
        if not page:
            return
        yield _csv(page) if format is ErrorFileFormat.CSV else _ndjson(page)


async def export_records(database: Database, table_id: int) -> AsyncGenerator[str, None]:
    """The records of a table as pieces of an NDJSON file, each of whole lines, by key."""
    after: str | None = None
    while page := await records.record_list(database, table_id, after, PAGE_RECORDS):
        yield "".join([found.data + "\n" for found in page])
        after = page[-1].key


def _cells(error: RecordError) -> tuple[object, ...]:
    return (
        error.batch_id,
        error.index,
        error.line,
        error.key,
        error.stage.name,
        int(error.code),
        error.code.name,
        error.field,
        error.message,
        error.raw,
        error.raw_truncated,
    )


def _ndjson(page: Sequence[RecordError]) -> str:
    return "".join(
        msgspec.json.encode(dict(zip(_COLUMNS, _cells(error), strict=True))).decode() + "\n" for error in page
    )


def _csv(page: Sequence[RecordError]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(map(_neutral, map(_cells, page)))
    return file.getvalue()


def _neutral(cells: tuple[object, ...]) -> list[object]:
    return [f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell for cell in cells]
