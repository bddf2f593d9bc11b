"""Makes files of errors and of records, page by page.

Each piece of a file fits into a message: it has at most PIECE_BYTES_MAX bytes, or one line that alone is longer.
"""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from enum import StrEnum

import msgspec

from ingot_server.domain.filters import Condition, Order, Own
from ingot_server.domain.progress import RecordError
from ingot_server.pipeline.mending.cells import FORMULA_STARTS
from ingot_server.storage import errors
from ingot_server.storage.database import Database
from ingot_server.storage.record_lines import Lines, record_lines, record_lines_small
from ingot_server.storage.record_pages import After, Scope

PAGE_ERRORS = 200
PAGE_RECORDS = 2_000
PAGE_SECONDS_MAX = 60
PIECE_BYTES_MAX = 1_048_576
# For pages in another order than by key: without an index, each of them sorts all that follows.
SORTED_PAGE_RECORDS = 20_000
SORTED_PAGE_BYTES_MAX = 8_388_608
MEASURED_PAGES = 8
"""After a large record so many pages are measured, because others may be near: a page that is refused costs as well."""

_COLUMNS = (
    "batch_id",
    "index",
    "line",
    "key",
    "stage",
    "severity",
    "code",
    "reason",
    "field",
    "message",
    "raw",
    "raw_truncated",
)


class ErrorFileFormat(StrEnum):
    """The format of an error file."""

    NDJSON = "NDJSON"
    CSV = "CSV"


async def export_errors(
    database: Database, account_id: int, import_id: int, format: ErrorFileFormat
) -> AsyncGenerator[str, None]:
    """The stored errors of an import as pieces of a file, each of whole lines."""
    if format is ErrorFileFormat.CSV:
        yield _csv_line(_COLUMNS)
    line = _csv_line if format is ErrorFileFormat.CSV else _json_line
    everything, position = errors.ErrorFilter(), errors.FIRST_POSITION
    while page := await errors.error_list(database, account_id, import_id, everything, position, PAGE_ERRORS):
        for piece in pieces(line(_cells(error)) for _, error in page):
            yield piece
        position = page[-1][0]


async def export_records(
    database: Database, scope: Scope, condition: Condition | None, order: Order
) -> AsyncGenerator[str, None]:
    """The records of a table that meet a condition, as pieces of an NDJSON file, each of whole lines, in order.

    Raises FilterTooSlow.
    """
    async with aclosing(_read_ahead(_record_pages(database, scope, condition, order))) as pages:
        async for page in pages:
            for piece in _cut(page):
                yield piece


async def _record_pages(
    database: Database, scope: Scope, condition: Condition | None, order: Order
) -> AsyncGenerator[str, None]:
    """Pages of lines; by key those of small records, as long as all are small."""
    # What is measured are the records without the ends of their lines.
    limit, bytes_max = PAGE_RECORDS, PIECE_BYTES_MAX - PAGE_RECORDS
    if order.field is not Own.KEY:
        limit, bytes_max = SORTED_PAGE_RECORDS, SORTED_PAGE_BYTES_MAX
    after: After | None = None
    to_be_measured = 0
    while True:
        lines: Lines | None = None
        if order.field is Own.KEY and not to_be_measured:
            lines = await record_lines_small(
                database, scope, condition, after, limit, descending=order.descending, seconds_max=PAGE_SECONDS_MAX
            )
            to_be_measured = 0 if lines else MEASURED_PAGES
        if lines is None:
            lines = await record_lines(
                database, scope, condition, order, after, limit, bytes_max, seconds_max=PAGE_SECONDS_MAX
            )
            to_be_measured -= 1
        yield lines.text
        after = lines.last
        if after is None:
            return


async def _read_ahead(pages: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The same pages; one is made while the one before is in use, and then waits for that."""
    following = asyncio.ensure_future(anext(pages, None))
    try:
        while (page := await following) is not None:
            following = asyncio.ensure_future(anext(pages, None))
            # Lets it ask the database now, and not when this page has been made a message.
            await asyncio.sleep(0)
            yield page
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await pages.aclose()


def _cut(lines: str) -> Iterator[str]:
    """Lines in pieces that fit into messages."""
    data = lines.encode()
    begin = 0
    while begin < len(data):
        end = begin + PIECE_BYTES_MAX
        if end < len(data):
            end = data.rfind(b"\n", begin, end) + 1 or data.index(b"\n", end) + 1
        yield data[begin:end].decode()
        begin = end


def _cells(error: RecordError) -> tuple[object, ...]:
    return (
        error.batch_id,
        error.index,
        error.line,
        error.key,
        error.stage.name,
        error.code.severity.name,
        int(error.code),
        error.code.name,
        error.field,
        error.message,
        error.raw,
        error.raw_truncated,
    )


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a file in pieces that fit into messages."""
    piece: list[str] = []
    size = 0
    for line in lines:
        line_bytes = len(line.encode())
        if piece and size + line_bytes > PIECE_BYTES_MAX:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += line_bytes
    if piece:
        yield "".join(piece)


def _json_line(cells: tuple[object, ...]) -> str:
    return msgspec.json.encode(dict(zip(_COLUMNS, cells, strict=True))).decode() + "\n"


def _csv_line(cells: tuple[object, ...]) -> str:
    file = io.StringIO()
    # Before Python 3.13 the writer quotes only those line breaks that occur in `lineterminator`: with a mere \n, a cell
    # with a \r would go on as a row of its own, and begin with a formula after all.
    csv.writer(file, lineterminator="\r\n").writerow(map(_neutral, cells))
    return file.getvalue()


def _neutral(cell: object) -> object:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
