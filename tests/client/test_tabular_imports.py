"""Excel and Parquet files are imported like any others, from the client and the command line."""

import asyncio
import io
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest

from ingot_client import AsyncClient, Client, Progress, SourceDiffers
from ingot_tabular import TabularFault, read_records
from tests.calling import Caller
from tests.client.fake import Call, FakeServer
from tests.client.test_command_line import Command, Ran

COUNT = 2_500
ENDINGS = ("xlsx", "parquet")


def written(folder: Path, ending: str, count: int = COUNT, text: str = "x" * 90) -> Path:
    """A file of records with an id, a name, an amount and a day."""
    path = folder / f"people.{ending}"
    ids = range(count)
    if ending == "parquet":
        days = pa.array([date(2026, 3, 4)] * count)
        amounts = pa.array([Decimal(number) / 100 for number in ids], pa.decimal128(12, 2))
        table = pa.table({"id": ids, "name": [f"{text}{number}" for number in ids], "amount": amounts, "day": days})
        pyarrow.parquet.write_table(table, path, row_group_size=1_000)
        return path
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("people")
    sheet.append(["id", "name", "amount", "day"])
    for number in ids:
        sheet.append([number, f"{text}{number}", number / 100, date(2026, 3, 4)])
    book.create_sheet("empty")
    book.save(path)
    return path


FAULTS = {
    "nothing": [],
    "dropped after two": [Call(drop_after=2)],
    "dropped, and some were not committed": [Call(drop_after=3, keep=1)],
    "the reply is lost": [Call(lose_reply=True)],
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_records_of_a_file_arrive_exactly_once(
    fake: FakeServer, ingot: AsyncClient, tmp_path: Path, ending: str, fault: str
) -> None:
    fake.script.extend(replace(call, offsets=[]) for call in FAULTS[fault])
    path = written(tmp_path, ending)
    moments: list[Progress] = []

    done = await ingot.import_file("t", path, key_fields=["id"], on_progress=moments.append)

    assert done.state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == list(read_records(path))
    assert all(call.offsets[0] == call.committed_before for call in fake.calls if call.offsets)
    assert (moments[-1].unit, moments[-1].committed) == ("RECORDS", COUNT)
    assert moments[-1].total == (COUNT if ending == "parquet" else None)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_interrupted_import_of_a_file_goes_on(caller: Caller, tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, ending, 6_000)
    async with AsyncClient(caller.address, caller.key) as ingot:
        begun = asyncio.Event()

        def see(moment: Progress) -> None:
            if moment.committed:
                begun.set()

        running = asyncio.create_task(ingot.import_file("t", path, key_fields=["id"], on_progress=see))
        running.add_done_callback(lambda _: begun.set())
        await begun.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        [job] = [job async for job in ingot.list_imports()]
        assert (await ingot.get_batch(job.import_id, "main")).unit == "RECORDS"

        done = await ingot.import_file("t", path, resume=job.import_id)

        assert (done.state, done.counts.received, done.counts.created) == ("SUCCEEDED", 6_000, 6_000)
        last = (await ingot.get_record("t", "5999")).value
        assert last == {"id": 5_999, "name": f"{'x' * 90}5999", "amount": 59.99, "day": "2026-03-04"}


async def test_request_id_of_an_ended_import_takes_no_other_parquet_file(caller: Caller, tmp_path: Path) -> None:
    async with AsyncClient(caller.address, caller.key) as ingot:
        await ingot.import_file("t", written(tmp_path, "parquet", 3), key_fields=["id"], request_id="x")
        with pytest.raises(SourceDiffers, match="it holds 3 records, and here are 4"):
            await ingot.import_file("t", written(tmp_path, "parquet", 4), key_fields=["id"], request_id="x")


async def test_synchronous_client_imports_and_uploads_them(caller: Caller, tmp_path: Path) -> None:
    def work() -> list[Any]:
        with Client(caller.address, caller.key) as ingot:
            done = ingot.import_file("t", written(tmp_path, "xlsx", 3), sheet="people", key_fields=["id"])
            job = ingot.create_import("t")
            batch = ingot.upload_file(job.import_id, "a", str(written(tmp_path, "parquet", 5)))
            ingot.cancel(job.import_id)
            return [done.counts.created, batch.counts.received]

    assert await asyncio.to_thread(work) == [3, 5]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"delimiter": ";"}, "are for text"),
        ({"columns": ["a"]}, "are for text"),
        ({"encoding": "utf-8"}, "are for text"),
        ({"sheet": "nobody"}, "has no sheet 'nobody': it has 'people', 'empty'"),
        ({"sheet": "empty"}, "is empty"),
        ({"type": "csv", "sheet": "people"}, "sheet is for Excel"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_there_is_an_import(
    fake: FakeServer, ingot: AsyncClient, tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        await ingot.import_file("t", written(tmp_path, "xlsx", 1), **options)
    assert not fake.imports


async def test_sheets_are_for_workbooks_and_workbooks_have_paths(ingot: AsyncClient, tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(ValueError, match="sheet is for Excel"):
            await ingot.import_file("t", name, sheet="a")
    with written(tmp_path, "xlsx", 1).open("rb") as file, pytest.raises(TypeError, match="given by its path"):
        await ingot.import_file("t", file)
    with pytest.raises(ValueError, match="choose ndjson, csv or json"):
        await ingot.import_file("t", io.BytesIO())


async def test_import_of_a_file_that_fails_half_way_is_cancelled(caller: Caller, tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pyarrow.parquet.write_table(pa.table({"id": range(5_000), "a": pa.array([b"x"] * 4_999 + [b"\xff"])}), path)
    async with AsyncClient(caller.address, caller.key) as ingot:
        with pytest.raises(TabularFault, match="the column 'a'"):
            await ingot.import_file("t", path, key_fields=["id"])
        [job] = [job async for job in ingot.list_imports()]
        assert job.state in {"CANCELLING", "CANCELLED"}


async def ran(caller: Caller, *args: str) -> Ran:
    return await Command(int(caller.address.rpartition(":")[2]))(*args, "--api-key", caller.key or "")


@pytest.mark.parametrize("ending", ENDINGS)
async def test_command_imports_them(caller: Caller, tmp_path: Path, ending: str) -> None:
    path = str(written(tmp_path, ending, 3))
    done = await ran(caller, "import", path, "--table", "t", "--key", "id", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["counts"]["created"] == "3"
    refused = await ran(caller, "import", path, "--table", "t", "--key", "ID")
    assert refused.code == 1
    assert f"people.{ending} has 4 columns, 'id', 'name', 'amount', 'day', and no 'ID'" in refused.err


async def test_command_names_what_is_wrong_with_a_workbook(caller: Caller, tmp_path: Path) -> None:
    path = written(tmp_path, "xlsx", 1)
    refused = await ran(caller, "import", str(path), "--table", "t", "--key", "id", "--sheet", "x")
    assert (refused.code, refused.err) == (1, "error: people.xlsx has no sheet 'x': it has 'people', 'empty'\n")
    assert (await ran(caller, "import", str(path), "--table", "t", "--sheet", "people", "--quote", "'")).code == 2
    path.write_bytes(b"id,name\n")
    refused = await ran(caller, "import", str(path), "--table", "t", "--key", "id")
    assert refused.code == 1
    assert "people.xlsx cannot be read as an Excel workbook" in refused.err
