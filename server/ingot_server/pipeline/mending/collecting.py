"""Collects rejected records: those of processing whole, from the chunk log; the others as far as they were kept."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from ingot_server.pipeline.mending.rejected import Rejected, read_fields
from ingot_server.pipeline.packing import Origins, unpack_texts
from ingot_server.storage import chunks, rejects
from ingot_server.storage.database import Database

ERRORS_CHARACTERS_MAX = 8_192
"""A cell of a spreadsheet holds four times as many."""
_PAGE_ERRORS = 500
_UNTOLD = "The list of errors had no room for what is wrong with this record."
_CUT = "Only the beginning of the record was kept: mend it where it came from."
_LINE_BREAKS = str.maketrans("\r\n", "  ")


@dataclass(slots=True)
class _Told:
    """What the list of errors says about a record."""

    batch_seq: int
    batch_id: str
    index: int
    line: int
    processed: bool
    """Whether it was found in processing: then the record is in the chunk log, unless these are warnings."""
    raw: str
    raw_truncated: bool
    faults: list[str] = field(default_factory=list)

    @property
    def place(self) -> tuple[int, int]:
        return self.batch_seq, self.index


@dataclass(frozen=True, slots=True)
class _Processed:
    """A record that processing rejected."""

    batch_seq: int
    index: int
    line: int
    text: bytes


async def rejected_records(database: Database, import_id: int) -> AsyncGenerator[Rejected, None]:
    """All rejected records of an import, by batch and index, and a last one that says how many were not kept."""
    # Asked first: what is rejected meanwhile is no reason to say that something is missing.
    missing = await rejects.reject_count_read(database, import_id)
    async with (
        aclosing(_listed(database, import_id)) as all_told,
        aclosing(_from_log(database, import_id)) as log,
    ):
        told = await anext(all_told, None)
        processed = await anext(log, None)
        batch_seq, batch_id = 0, ""
        while told or processed:
            if processed and (told is None or (processed.batch_seq, processed.index) <= told.place):
                if processed.batch_seq != batch_seq:
                    batch_seq = processed.batch_seq
                    batch_id = await rejects.reject_batch_id(database, batch_seq)
                faults = []
                if told and told.place == (batch_seq, processed.index):
                    faults = told.faults
                    told = await anext(all_told, None)
                yield _processed(processed, batch_id, faults)
                processed = await anext(log, None)
            elif told:
                if not told.processed:
                    missing -= 1
                    yield _unread(told)
                told = await anext(all_told, None)
    if missing > 0:
        yield _missing(missing)


def _processed(found: _Processed, batch_id: str, faults: list[str]) -> Rejected:
    errors = _joined(faults or [_UNTOLD])
    return Rejected(batch_id, found.index, found.line, errors, found.text, read_fields(found.text))


def _unread(told: _Told) -> Rejected:
    text = told.raw.encode()
    fields = None if told.raw_truncated else read_fields(text)
    errors = _joined([*told.faults, _CUT] if told.raw_truncated else told.faults)
    if fields is None:
        return Rejected(told.batch_id, told.index, told.line, errors, b"", None, told.raw)
    # Line breaks in strings are escaped: these stand between tokens.
    text = text.replace(b"\n", b" ").replace(b"\r", b" ").strip()
    return Rejected(told.batch_id, told.index, told.line, errors, text, fields)


def _missing(count: int) -> Rejected:
    records = "1 record that could not be read is" if count == 1 else f"{count:,} records that could not be read are"
    return Rejected("", 0, 0, f"{records} not in this file: the list of errors had no room.", b"", None)


def _joined(faults: list[str]) -> str:
    errors = "; ".join(faults).translate(_LINE_BREAKS)
    return errors if len(errors) <= ERRORS_CHARACTERS_MAX else errors[: ERRORS_CHARACTERS_MAX - 2] + " …"


async def _from_log(database: Database, import_id: int) -> AsyncGenerator[_Processed, None]:
    after = (0, -1)
    while chunk := await chunks.chunk_next_rejected(database, import_id, after):
        texts, origins = await asyncio.to_thread(unpack_texts, chunk.payload), Origins(chunk.runs)
        for position in sorted(chunk.rejected):
            yield _Processed(chunk.batch_seq, *origins[position], texts[position])
        after = (chunk.batch_seq, chunk.chunk_index)


async def _listed(database: Database, import_id: int) -> AsyncGenerator[_Told, None]:
    """What the list of errors says, record by record; records that were imported with warnings are among them."""
    told: _Told | None = None
    after = (0, -1, -1)
    while page := await rejects.reject_error_list(database, import_id, after, _PAGE_ERRORS):
        for row in page:
            if told is None or told.place != (row.batch_seq, row.index):
                if told:
                    yield told
                told = _Told(
                    row.batch_seq, row.batch_id, row.index, row.line, row.processed, row.raw, row.raw_truncated
                )
            told.faults.append(f"{row.field}: {row.message}" if row.field else row.message)
        after = (page[-1].batch_seq, page[-1].index, page[-1].ordinal)
    if told:
        yield told
