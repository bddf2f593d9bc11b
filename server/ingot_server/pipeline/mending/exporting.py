"""Makes the file of rejected records, page by page."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from ingot_server.domain.errors import RejectsGone
from ingot_server.pipeline.exporting import ErrorFileFormat, pieces
from ingot_server.pipeline.mending.collecting import rejected_records
from ingot_server.pipeline.mending.columns import Columns
from ingot_server.pipeline.mending.members import member_line
from ingot_server.pipeline.mending.rejected import Rejected
from ingot_server.storage import imports, rejects
from ingot_server.storage.database import Database

PAGE_RECORDS = 500
PAGE_BYTES_MAX = 1_048_576


async def export_rejects(
    database: Database, account_id: int, import_id: int, format: ErrorFileFormat
) -> AsyncGenerator[str, None]:
    """The rejected records of an import as pieces of a file, each of whole lines.

    Raises ImportNotFound, and RejectsGone if what processing rejected is no longer kept.
    """
    final = await _expect_kept(database, account_id, import_id)
    line = member_line
    if format is ErrorFileFormat.CSV:
        columns = Columns(changing=not final)
        async with aclosing(_pages(database, import_id)) as pages:
            async for page in pages:
                await asyncio.to_thread(columns.see, page)
        yield columns.header
        line = columns.row
    async with aclosing(_pages(database, import_id)) as pages:
        async for page in pages:
            for piece in await asyncio.to_thread(lambda page: list(pieces(map(line, page))), page):
                yield piece
    # If they were deleted meanwhile the file is not whole, and must not end as if it were.
    await _expect_kept(database, account_id, import_id)


async def _expect_kept(database: Database, account_id: int, import_id: int) -> bool:
    """Whether the import is in a final state, so that nothing is added any more."""
    stock = await rejects.reject_stock(database, account_id, import_id)
    if stock is None:
        raise imports.import_not_found(import_id)
    if stock.gone:
        raise RejectsGone(import_id=import_id)
    return stock.final


async def _pages(database: Database, import_id: int) -> AsyncGenerator[list[Rejected], None]:
    page: list[Rejected] = []
    size = 0
    async with aclosing(rejected_records(database, import_id)) as found:
        async for record in found:
            page.append(replace(record, import_id=import_id))
            size += len(record.text) + len(record.raw) + len(record.errors)
            if size >= PAGE_BYTES_MAX or len(page) == PAGE_RECORDS:
                yield page
                page, size = [], 0
    if page:
        yield page
