"""Rejected records as a file, mended and imported again."""

import csv
import io
import json
from datetime import timedelta
from itertools import count
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingot.v1 import batch_pb2, import_pb2, record_service_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as pb
from ingot_server.access import create_key
from ingot_server.storage import chunks
from ingot_server.storage.database import Database
from tests.calling import Caller, reason_of, records
from tests.conftest import running_app

CSV = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV)
NDJSON = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
FORMATS = {pb.ERROR_EXPORT_FORMAT_CSV: CSV, pb.ERROR_EXPORT_FORMAT_NDJSON: NDJSON}
FIRST = ["ingot:errors", "ingot:import", "ingot:batch", "ingot:index", "ingot:line", "ingot:raw"]
_numbers = count(1)


async def rejects(caller: Caller, import_id: str, format: Any = pb.ERROR_EXPORT_FORMAT_CSV) -> str:
    """The file of rejected records."""
    request = pb.ExportImportRejectsRequest(import_id=import_id, format=format)
    return "".join([piece.lines async for piece in caller.imports.ExportImportRejects(request)])


def cells(file: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file, newline="")))


async def test_a_file_with_mistakes_is_mended_in_a_spreadsheet_and_imported(caller: Caller) -> None:
    data = (
        b"email,first_name,birthday\r\n"
        b"ada@example.org,Ada,\r\n"
        b"bo.example.org,=Bo,2001-02-03\r\n"
        b"cy@example.org,Cy\r\n"
        b"di@example.org,Di,2001-02-30\r\n"
    )

    async def imported(file: bytes) -> import_pb2.Import:
        import_id = await caller.create("people", (), kind="CONTACTS")
        await caller.upload_file(import_id, file, CSV)
        return await caller.finish(import_id)

    first = await imported(data)
    assert first.counts == stage_pb2.RecordCounts(received=4, created=1, rejected=3)

    header, bo, cy, di = cells(await rejects(caller, first.import_id))
    assert header == [*FIRST, "email", "first_name", "birthday"]
    assert bo[0].startswith("email: Invalid value: ")
    assert bo[1:] == [first.import_id, "b", "1", "3", "", "bo.example.org", "'=Bo", "'2001-02-03"]
    assert cy[0].startswith("The row has 2 cells")
    assert cy[1:] == [first.import_id, "b", "2", "4", "cy@example.org,Cy", "", "", ""]
    assert "expected a date" in di[0]

    unmended = io.StringIO(newline="")
    csv.writer(unmended, delimiter=";").writerows([header, bo, cy, di])
    ended = await imported(unmended.getvalue().encode())
    assert ended.counts == stage_pb2.RecordCounts(received=3, rejected=3)
    # What was wrong before is still wrong, and what nobody has touched can be mended yet.
    assert [row[6:] for row in cells(await rejects(caller, ended.import_id))] == [
        header[6:],
        bo[6:],
        ["", "", ""],
        di[6:],
    ]

    bo[6], cy[6:8], di[8] = "bo@example.org", ["cy@example.org", "Cy"], ""
    mended = io.StringIO(newline="")
    csv.writer(mended, delimiter=";").writerows([header, bo, cy, di])
    ended = await imported(mended.getvalue().encode("utf-8-sig"))
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert ended.counts == stage_pb2.RecordCounts(received=3, created=3)
    found = {contact["email"]: contact for contact in await caller.table("people")}
    assert found["bo@example.org"]["first_name"] == "=Bo"
    assert found["bo@example.org"]["birth_date"] == "2001-02-03"
    assert len(found) == 4


NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
    st.sampled_from(["a:json", "ingot:errors", "ingot:more", "ingot:more:json", "ingot:raw", "'", "=a", " a"]),
).filter(lambda name: name not in ("id", "k"))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ["", "'", "=1", "007", "1.50", "true", "null", "{}", '"', "a\r\nb", "ingot:errors", "x" * 9_000]
)
VALUES = st.recursive(
    TEXTS | st.integers(-(10**20), 10**20) | st.floats(-1e9, 1e9, allow_subnormal=False) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)
ROWS = st.lists(
    st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from(["good", "no key", "bad key"])),
    min_size=1,
    max_size=8,
)


@given(rows=ROWS, format=st.sampled_from(list(FORMATS)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_was_rejected_in_either_stage_comes_back_as_it_was(
    caller: Caller, rows: list[tuple[dict[str, Any], str]], format: Any
) -> None:
    number = next(_numbers)
    sent, expected = [], []
    for k, (record, fate) in enumerate(rows):
        keys: dict[str, dict[str, Any]] = {"good": {"id": str(k)}, "no key": {}, "bad key": {"id": [k]}}
        sent.append({**record, **keys[fate], "k": f"{k:02}"})
        # The first stage keeps no more than the beginning of a record.
        kept_whole = fate == "bad key" or len(json.dumps(sent[-1], ensure_ascii=False).encode()) <= 8_192
        if fate != "good" and kept_whole:
            expected.append(sent[-1])
    ended = await caller.run(sent, f"first_{number}")
    rejected = sum(fate != "good" for _, fate in rows)
    assert ended.counts.rejected == rejected

    file = await rejects(caller, ended.import_id, format)
    second = f"second_{number}"
    import_id = await caller.create(second, ("k",))
    await caller.upload_file(import_id, file.encode(), FORMATS[format], piece=1_000)
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(
        received=rejected, created=len(expected), rejected=rejected - len(expected)
    )
    exported = caller.records.ExportRecords(record_service_pb2.ExportRecordsRequest(table=second))
    lines = "".join([piece.lines async for piece in exported]).split("\n")
    assert [json.loads(line) for line in lines if line] == expected


async def test_all_faults_of_a_file_come_in_the_order_of_its_lines(caller: Caller) -> None:
    data = b'{"id":[1]}\n\n{"id":1}\n{"id":2\n{"v":"x"}\n{"id":{}}\n{"id":"\xff"}\n'
    ended = await caller.run_file(data, NDJSON)
    file = await rejects(caller, ended.import_id, pb.ERROR_EXPORT_FORMAT_NDJSON)
    lines = [json.loads(line) for line in file.splitlines()]
    assert [(line.pop("ingot:batch"), line.pop("ingot:index"), line.pop("ingot:line")) for line in lines] == [
        ("b", index, index + 1) for index in (0, 1, 3, 4, 5, 6)
    ]
    assert {line.pop("ingot:import") for line in lines} == {int(ended.import_id)}
    assert [line.pop("ingot:errors").split(": ")[0] for line in lines] == [
        "id",
        "The line is empty",
        "Not well-formed JSON at character 8",
        "id",
        "id",
        "The byte 0xff at character 8 is not valid UTF-8.",
    ]
    assert lines == [
        {"id": [1]},
        {},
        {"ingot:raw": '{"id":2'},
        {"v": "x"},
        {"id": {}},
        {"ingot:raw": '{"id":"\\xff"}'},
    ]


async def test_the_rejects_of_several_batches_and_many_chunks_are_all_there(caller: Caller) -> None:
    import_id = await caller.create()
    for batch in "ab":
        # Each record of 2 KB, so that there are several chunks and pages of both stages.
        rows = [{"id": [number], "v": "x" * 2_000} if number % 2 else {"v": "x" * 2_000} for number in range(1_200)]
        await caller.upload(
            records(rows[start : start + 100], import_id=import_id, batch_id=batch, offset=start)
            for start in range(0, 1_200, 100)
        )
        await caller.upload([records([], import_id=import_id, batch_id=batch, finish=1_200)])
    await caller.finish(import_id)
    expected = [[batch, str(index)] for batch in "ab" for index in range(1_200)]
    assert [row[2:4] for row in cells(await rejects(caller, import_id))[1:]] == expected
    file = await rejects(caller, import_id, pb.ERROR_EXPORT_FORMAT_NDJSON)
    found = [json.loads(line) for line in file.splitlines()]
    assert [[line["ingot:batch"], str(line["ingot:index"])] for line in found] == expected
    assert all(line["v"] == "x" * 2_000 for line in found)


async def test_records_with_warnings_are_not_among_the_rejects(caller: Caller) -> None:
    import_id = await caller.create("people", (), kind="CONTACTS")
    rows = [{"id": 1, "phone": "+4670999999"}, {"id": 2, "email": "x"}]
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    ended = await caller.finish(import_id)
    assert len(await caller.errors(import_id)) > ended.counts.rejected == 1
    assert [row[3] for row in cells(await rejects(caller, import_id))[1:]] == ["1"]


async def test_a_file_without_rejects_has_a_header_only(caller: Caller) -> None:
    ended = await caller.run([{"id": 1}])
    assert cells(await rejects(caller, ended.import_id)) == [FIRST]
    assert await rejects(caller, ended.import_id, pb.ERROR_EXPORT_FORMAT_NDJSON) == ""
    assert await rejects(caller, ended.import_id, pb.ERROR_EXPORT_FORMAT_UNSPECIFIED) == ""
    empty = await caller.run_file(b"", CSV)
    assert cells(await rejects(caller, empty.import_id)) == [FIRST]


async def test_rejects_are_there_while_the_import_is_under_way(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"v": "x"}], import_id=import_id, batch_id="b")])
    assert cells(await rejects(caller, import_id))[0] == [*FIRST, "v", "ingot:more:json"]


async def test_a_file_says_what_the_list_of_errors_had_no_room_for(caller: Caller, database_url: str) -> None:
    async with running_app(database_url, errors_limit=2) as app, Caller(f"127.0.0.1:{app.port}", caller.key) as few:
        import_id = await few.create()
        await few.upload([records([{"v": n} for n in range(5)], import_id=import_id, batch_id="a", finish=True)])
        await few.upload([records([{"id": [n]} for n in range(2)], import_id=import_id, batch_id="b", finish=True)])
        await few.finish(import_id)
        rows = cells(await rejects(few, import_id))[1:]
    assert [row[2:4] for row in rows] == [["a", "0"], ["a", "1"], ["b", "0"], ["b", "1"], ["", ""]]
    assert [row[7] for row in rows] == ["", "", "[0]", "[1]", ""]
    assert rows[2][0] == "The list of errors had no room for what is wrong with this record."
    assert rows[4][0] == "3 records that could not be read are not in this file: the list of errors had no room."


@pytest.mark.parametrize("format", list(FORMATS))
async def test_rejects_that_are_no_longer_kept_are_refused(caller: Caller, database: Database, format: Any) -> None:
    processing = await caller.run([{"id": [1]}, {"v": 1}], "a")
    upload = await caller.run([{"id": 1}, {"v": 1}], "b")
    while await chunks.chunk_delete_expired(database, timedelta(0)):
        pass
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rejects(caller, processing.import_id, format)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value).reason == "REJECTS_GONE"
    assert reason_of(refused.value).metadata == {"import_id": processing.import_id}
    assert "id: The key field is missing" in await rejects(caller, upload.import_id, format)


async def test_rejects_of_other_accounts_and_in_unknown_formats_are_refused(caller: Caller, database: Database) -> None:
    ended = await caller.run([{"v": 1}])
    key = await create_key(database, "other", ["imports:read"], "test", None)
    async with Caller(caller.address, key.text) as other:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rejects(other, ended.import_id)
    assert reason_of(refused.value).reason == "IMPORT_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rejects(caller, ended.import_id, 9)
    assert reason_of(refused.value).reason == "INVALID_REQUEST"
