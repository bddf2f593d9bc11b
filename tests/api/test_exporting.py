"""What an export of records reads, and when: pages of small and of large records, one ahead of the caller."""

import asyncio
import json
from contextlib import aclosing
from random import Random
from typing import Any

import pytest

from ingot.v1 import record_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot_server.domain.filters import BY_KEY
from ingot_server.pipeline import exporting
from ingot_server.pipeline.exporting import export_records
from ingot_server.storage.database import Database
from ingot_server.storage.record_lines import SMALL_BYTES_MAX
from ingot_server.storage.record_pages import Scope
from tests.calling import Caller

PAGE = 7
SHOWN = "SELECT data::text FROM record WHERE data->>'id' <> 'none' ORDER BY key"
# Others look at other tables in the meantime.
OPEN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state <> 'idle' AND query LIKE '%data::text%' AND pid <> pg_backend_pid()"""


async def write(caller: Caller, *rows: object) -> None:
    if rows:
        texts = [record_pb2.Record(json=json.dumps(row, ensure_ascii=False).encode()) for row in rows]
        request = pb.WriteRecordsRequest(table="things", key_fields=["id"], records=texts)
        assert not (await caller.records.WriteRecords(request)).errors


async def exported(caller: Caller, filter: str = "", order_by: str = "") -> list[str]:
    """The lines of the file, which all pieces have whole."""
    request = pb.ExportRecordsRequest(table="things", filter=filter, order_by=order_by)
    pieces = [piece.lines async for piece in caller.records.ExportRecords(request)]
    assert all(piece.endswith("\n") for piece in pieces)
    return "".join(pieces).split("\n")[:-1]


async def open_queries(database: Database) -> int:
    """How many queries for records are running, or within a transaction."""
    row = await database.fetchrow(OPEN)
    assert row is not None
    return int(row[0])


async def until_open(database: Database, number: int) -> None:
    """Waits until so many are."""
    while await open_queries(database) != number:  # noqa: ASYNC110 PostgreSQL sets no event
        await asyncio.sleep(0.02)


def sized(random: Random, at: int, size: int, *, compressible: bool) -> dict[str, Any]:
    """A record of about that size, with what text formats escape and what some take for ends of lines."""
    odd = random.choice(["\\", "\\n", '"\t\n', "\u2028\x85\x0c", "\\.", "\\N", "é🧱", "\x01"])
    text = "x" * size if compressible else random.randbytes(size // 2).hex()
    return {"id": f"{at:03}", odd: odd, "v": text, "n": random.randrange(9)}


@pytest.mark.parametrize("number", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 150])
async def test_small_and_large_records_are_exported_as_they_are_stored(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(exporting, "PAGE_RECORDS", PAGE)
    monkeypatch.setattr(exporting, "MEASURED_PAGES", 2)
    monkeypatch.setattr(exporting, "PIECE_BYTES_MAX", 4_000)
    random = Random(number)
    await write(caller, {"id": "none"})
    # Large ones come in swarms, with stretches of small ones between them.
    sizes = [random.choice([10, 10, 5_000, SMALL_BYTES_MAX - 30]) if at % 50 < 9 else 10 for at in range(number)]
    await write(
        caller,
        *(sized(random, at, size, compressible=random.random() < 0.5) for at, size in enumerate(sizes)),
    )
    stored = [row["data"] for row in await database.fetch(SHOWN)]
    assert len(stored) == number
    assert await exported(caller, "id != none") == stored
    assert await exported(caller, "id != none", "_key desc") == stored[::-1]
    in_order = sorted(stored, key=lambda line: (json.loads(line)["n"], json.loads(line)["id"]))
    assert await exported(caller, "n != null", "n") == in_order
    await caller.records.DeleteRecords(pb.DeleteRecordsRequest(table="things", keys=["none"]))
    assert await exported(caller) == stored


@pytest.mark.parametrize("large", [False, True])
async def test_export_reads_one_page_ahead_and_keeps_nothing_open_meanwhile(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(exporting, "PAGE_RECORDS", PAGE)
    await write(caller, *({"id": f"{at:03}", "v": "x" * (5_000 if large else 1)} for at in range(10 * PAGE)))
    pages = Counted(monkeypatch)
    async with aclosing(export_records(database, await everything(database), None, BY_KEY)) as pieces:
        await anext(pieces)
        for page in (2, 3):
            await pages.reached(page)
            # Nobody takes the next piece: there is nothing that could go on, however long this takes.
            assert await open_queries(database) == 0
            assert pages.made == page
            await anext(pieces)


async def test_export_that_is_given_up_ends_what_it_reads_ahead(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE_RECORDS", PAGE)
    await write(caller, *({"id": f"{at:03}"} for at in range(10 * PAGE)))
    pages = Counted(monkeypatch)
    pieces = export_records(database, await everything(database), None, BY_KEY)
    await anext(pieces)
    await pages.reached(2)
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE record")
        # This one was made before, the next waits for the lock.
        await anext(pieces)
        await until_open(database, 1)
        await pieces.aclose()
        # PostgreSQL is asked to end it, and does so a little later.
        await until_open(database, 0)
    assert pages.made == 2


async def everything(database: Database) -> Scope:
    """The only table."""
    row = await database.fetchrow("SELECT table_id FROM record_table")
    assert row is not None
    return Scope(row["table_id"])


class Counted:
    """Counts the pages that an export makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self._changed = asyncio.Condition()
        for name in ("record_lines", "record_lines_small"):
            monkeypatch.setattr(exporting, name, self._counting(getattr(exporting, name)))

    async def reached(self, number: int) -> None:
        """Waits until so many are made."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.made >= number)

    def _counting(self, make: Any) -> Any:
        async def counted(*arguments: Any, **named: Any) -> Any:
            page = await make(*arguments, **named)
            if page is not None:
                async with self._changed:
                    self.made += 1
                    self._changed.notify_all()
            return page

        return counted
