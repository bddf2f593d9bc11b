"""What keeps answers small: messages that default gRPC clients take, and few groups of errors."""

import json
from collections.abc import Iterable
from math import pi

import grpc
import pytest
from google.protobuf import json_format

from ingot.v1 import batch_service_pb2, import_pb2, record_error_pb2, record_pb2
from ingot.v1 import import_service_pb2 as ims
from ingot.v1 import record_service_pb2 as pb
from ingot_server.storage import errors
from ingot_server.storage.database import Database
from tests.calling import Caller, reason_of, records
from tests.calling import Upload as UploadMessage

MIB = 1_048_576
E = record_error_pb2
STRUCT = record_pb2.RECORD_VIEW_STRUCT


async def write(caller: Caller, rows: Iterable[object]) -> None:
    """Writes each row in a call of its own, so that the calls are small."""
    for row in rows:
        text = row if isinstance(row, bytes) else json.dumps(row).encode()
        await caller.records.WriteRecords(
            pb.WriteRecordsRequest(table="things", key_fields=["id"], records=[record_pb2.Record(json=text)])
        )


async def pages(caller: Caller, **fields: object) -> list[pb.ListRecordsResponse]:
    found: list[pb.ListRecordsResponse] = []
    token = ""
    while not found or token:
        request = pb.ListRecordsRequest(table="things", page_token=token)
        request.MergeFrom(json_format.ParseDict(fields, pb.ListRecordsRequest()))
        found.append(await caller.records.ListRecords(request))
        token = found[-1].next_page_token
    return found


async def get(caller: Caller, key: str) -> record_pb2.StoredRecord:
    return (await caller.records.GetRecord(pb.GetRecordRequest(table="things", key=key, view=STRUCT))).record


async def large_records(caller: Caller) -> None:
    """100 records of 100 KB, between them a few small ones that compress well, and two of almost 2 MiB."""
    noise = "".join(chr(0x4E00 + int(pi * number * number) % 20_000) for number in range(33_000))
    await write(caller, ({"id": f"{row:03}", "v": noise[row:] + noise[:row]} for row in range(100)))
    await write(caller, ({"id": f"{row:03}-small", "v": "x" * 50_000} for row in range(0, 100, 10)))
    await write(caller, [{"id": "050-a", "v": "y" * 2_090_000}, {"id": "050-b", "v": "z" * 2_090_000}])


async def test_a_record_whose_numbers_are_written_out_fits_into_a_message(caller: Caller) -> None:
    """PostgreSQL writes 1e9 as 1000000000, and a blank behind each comma."""
    texts = [b'{"id":"%s","v":[%s1]}' % (name, b"1e9," * number) for name, number in ((b"a", 333_300), (b"b", 333_400))]
    answer = await caller.records.WriteRecords(
        pb.WriteRecordsRequest(
            table="things", key_fields=["id"], records=[record_pb2.Record(json=text) for text in texts]
        )
    )
    assert (answer.counts.created, answer.counts.rejected) == (1, 1)
    (error,) = answer.errors
    assert error.code == E.RECORD_ERROR_CODE_RECORD_TOO_LARGE
    assert "4,000,8" in error.message
    assert "4,000,000" in error.message
    assert len((await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="a"))).record.json) > 3_999_000
    assert [record.key for page in await pages(caller) for record in page.records] == ["a"]
    assert [record.key for page in await pages(caller, view="RECORD_VIEW_STRUCT") for record in page.records] == ["a"]
    exported = [piece.lines async for piece in caller.records.ExportRecords(pb.ExportRecordsRequest(table="things"))]
    assert "".join(exported).count("1000000000") == 333_300


@pytest.mark.parametrize(
    ("texts", "rejected"),
    [
        ([b"1e308"] * 12_800, 0),
        ([b"1e308"] * 13_000, 1),
        ([b"1e-308"] * 13_000, 1),
        ([b"-1.2345E-05"] * 170_000, 0),
        ([b'"1e308,1e308"'] * 100_000, 0),
        ([b"1"] * 1_000_000, 0),
    ],
)
async def test_only_records_that_are_too_large_written_out_are_refused(
    caller: Caller, texts: list[bytes], rejected: int
) -> None:
    import_id = await caller.create()
    text = b'{"id":1,"v":[%s]}' % b",".join(texts)
    await caller.upload([records([b'{"id":0}', text, b'{"id":2}'], import_id=import_id, batch_id="b", finish=True)])
    counts = (await caller.finish(import_id)).counts
    assert (counts.created, counts.rejected) == (3 - rejected, rejected)


async def test_pieces_of_an_export_fit_into_messages_and_lose_nothing(caller: Caller) -> None:
    await large_records(caller)
    request = pb.ExportRecordsRequest(table="things")
    sizes, keys = [], []
    async for piece in caller.records.ExportRecords(request):
        assert piece.lines.endswith("\n")
        lines = piece.lines.splitlines()
        sizes.append((piece.ByteSize(), len(lines)))
        keys += [json.loads(line)["id"] for line in lines]
    assert len(keys) == len(set(keys)) == 112
    assert keys == sorted(keys)
    assert all(size <= MIB + 100 or lines == 1 for size, lines in sizes)
    assert len(sizes) < 20


async def test_pages_of_records_fit_into_messages_and_lose_nothing(caller: Caller) -> None:
    await large_records(caller)
    found = await pages(caller, page_size=1000)
    keys = [record.key for page in found for record in page.records]
    assert len(keys) == len(set(keys)) == 112
    assert keys == sorted(keys)
    assert all(page.ByteSize() <= 2 * MIB + 1000 for page in found)
    assert 3 < len(found) < 12


async def test_a_page_of_structures_is_cut_by_the_size_of_the_structures(caller: Caller) -> None:
    rows = [{"id": f"{row:02}", "v": [1, 2, 3, 4] * 10_000} for row in range(12)]
    await write(caller, rows)
    found = await pages(caller, page_size=1000, view="RECORD_VIEW_STRUCT")
    assert [json_format.MessageToDict(record.struct) for page in found for record in page.records] == rows
    assert len(found) > 1
    assert all(page.ByteSize() <= 2 * MIB + 1000 for page in found)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
async def test_the_last_page_of_records_has_no_token(caller: Caller, number: int) -> None:
    await write(caller, [{"id": 9}])
    await caller.records.DeleteRecords(pb.DeleteRecordsRequest(table="things", keys=["9"]))
    await write(caller, ({"id": row} for row in range(number)))
    found = await pages(caller, page_size=2)
    assert [len(page.records) for page in found] == {0: [0], 1: [1], 2: [2], 3: [2, 1], 4: [2, 2]}[number]


async def test_errors_with_long_raw_texts_fit_into_messages_and_none_is_lost(caller: Caller) -> None:
    import_id = await caller.create()
    row = b'{"name": "' + b"\xff" * 9000 + b'"}'
    for batch in range(3):
        await caller.upload([records([row] * 300, import_id=import_id, batch_id=str(batch), finish=True)])
    ended = await caller.finish(import_id)
    assert ended.counts.rejected == 900
    found: list[tuple[str, int, int]] = []
    token, number_of_pages = "", 0
    while token or not found:
        request = ims.ListImportErrorsRequest(import_id=import_id, page_size=1000, page_token=token)
        page = await caller.imports.ListImportErrors(request)
        assert page.ByteSize() <= 2 * MIB + 1000
        found += [(error.batch_id, error.index, error.code) for error in page.errors]
        token = page.next_page_token
        number_of_pages += 1
    # Each of the records has two faults: its encoding, and that it has no key.
    assert len(found) == len(set(found)) == 1800
    assert [index for _, index, _ in found] == [index for index in range(300) for _ in "xy"] * 3
    assert number_of_pages > 10
    for format in (ims.ERROR_EXPORT_FORMAT_NDJSON, ims.ERROR_EXPORT_FORMAT_CSV):
        exported = ims.ExportImportErrorsRequest(import_id=import_id, format=format)
        lines = 0
        async for piece in caller.imports.ExportImportErrors(exported):
            assert piece.ByteSize() <= MIB + 100
            lines += piece.lines.count("\n")
        assert lines == 1800 + (format == ims.ERROR_EXPORT_FORMAT_CSV)


async def test_a_page_of_batches_with_long_formats_fits_into_a_message(caller: Caller, database: Database) -> None:
    import_id = await caller.create()
    for batch in range(5):
        await caller.upload([records([{"id": batch}], import_id=import_id, batch_id=str(batch), finish=True)])
    columns = json.dumps({"type": "CSV", "columns": [f"{column:0100}" for column in range(10_000)]})
    await database.execute("UPDATE batch SET format = $1", columns)
    seen: list[str] = []
    token = ""
    while token or not seen:
        request = batch_service_pb2.ListBatchesRequest(import_id=import_id, page_token=token)
        page = await caller.batches.ListBatches(request)
        seen += [batch.batch_id for batch in page.batches]
        token = page.next_page_token
    assert seen == ["0", "1", "2", "3", "4"]


def hostile(fields: Iterable[str]) -> bytes:
    """A record with a number out of range in each of these fields."""
    return b'{"id": 1, ' + b", ".join(b'"%s": 1e999' % field.encode() for field in fields) + b"}"


def grouped(ended: import_pb2.Import) -> dict[str, int]:
    return {group.field: group.count for group in ended.upload.error_groups}


async def test_fields_that_a_sender_makes_up_make_few_groups_that_count_exactly(
    caller: Caller, database: Database
) -> None:
    import_id = await caller.create()
    # 300 records with 10 new fields each, in several commits: what is known is found again in the database.
    rows = [hostile(f"f{row * 10 + number:04}" for number in range(10)) for row in range(300)]
    messages = [records(rows[:7], import_id=import_id, batch_id="b")]
    messages += [records(rows[start : start + 50]) for start in range(7, 300, 50)]
    batch = (await caller.upload([*messages, UploadMessage(finish=records([], finish=300).finish)])).upload
    groups = {group.field: group for group in batch.error_groups}
    assert len(groups) == 100
    stored = await database.fetch("SELECT field, error_count FROM error_group ORDER BY field")
    assert {row["field"]: row["error_count"] for row in stored} == {
        "": 2900,
        **{f"f{number:04}": 1 for number in range(100)},
    }
    assert next(iter(batch.error_groups)).field == ""
    # The first error without a group of its own is the example, and tells its own field.
    assert (groups[""].example.index, groups[""].example.field) == (10, "f0100")
    assert groups["f0057"].example.index == 5


async def test_a_field_with_a_group_is_counted_there_among_any_number_of_others(
    caller: Caller, database: Database
) -> None:
    import_id = await caller.create()
    await caller.upload([records([hostile(["known"])], import_id=import_id, batch_id="b")])
    rows = [hostile(f"a{row * 9 + number:04}" for number in range(9)) for row in range(100)]
    rows += [hostile(["known", "", "late"])] * 5
    again = records([hostile(["known"]), *rows], import_id=import_id, batch_id="b", offset=0, finish=True)
    await caller.upload([again])
    rows_stored = await database.fetch("SELECT field, error_count FROM error_group")
    stored = {row["field"]: row["error_count"] for row in rows_stored}
    assert len(stored) == 101
    assert stored["known"] == 6
    # 900 fields, 99 of them with a group; five times no name, five times a name that came too late.
    assert stored[""] == 801 + 5 + 5
    assert sum(stored.values()) == 1 + 900 + 15


async def test_each_stage_shows_its_own_hundred_groups(caller: Caller, database: Database) -> None:
    ended = await caller.run([hostile(["n"]), {"id": {"no": "key"}}, {"id": 2}])
    await database.execute(
        """
        INSERT INTO error_group (import_id, batch_seq, stage, code, field, error_count, example)
        SELECT import_id, batch_seq, given.stage, error_group.code, 'g' || number, number, example
        FROM error_group, generate_series(2, 150) AS number, (VALUES (1), (2)) AS given (stage)
        WHERE error_group.stage = 1
        """
    )
    found = await caller.get(ended.import_id)
    for stage in (found.upload, found.processing):
        assert [group.count for group in stage.error_groups] == list(range(150, 50, -1))
        assert stage.error_groups[0].example.index == 0
        assert stage.error_groups[0].example.batch_id == "b"
    assert grouped(found)["g150"] == 150


async def test_a_late_page_of_errors_is_read_without_those_before_it(caller: Caller, database: Database) -> None:
    ended = await caller.run([{"name": 1}, {"id": 1}])
    await database.execute(
        """
        INSERT INTO record_error
        SELECT import_id, batch_seq, number, 0, stage, code, field, key, message, raw, raw_truncated, line
        FROM record_error, generate_series(1, 20000) AS number
        """
    )
    found = await errors.error_list(database, 1, int(ended.import_id), errors.ErrorFilter(), errors.FIRST_POSITION, 1)
    batch_seq = found[0][0][0]
    async with database.transaction() as connection:
        await connection.execute("ANALYZE record_error")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        types = "bigint, bigint, text, int, int, text, int, bigint, bigint, int, bigint"
        await connection.execute(f"PREPARE page ({types}) AS {errors.sql.error_list}")
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page"
        position = f"1, {int(ended.import_id)}, '', 0, 0, '', 0, {batch_seq}, 19000, 0, 100"
        plan = json.loads(await connection.fetchval(f"{explain} ({position})"))[0]["Plan"]
        await connection.execute("DEALLOCATE page")
    assert plan["Actual Rows"] == 100
    assert "Sort" not in json.dumps(plan)
    (scan,) = [node for node in plan["Plans"] if node.get("Relation Name") == "record_error"]
    assert (scan["Actual Rows"], scan["Rows Removed by Filter"]) == (100, 0)


@pytest.mark.parametrize(
    "value",
    ["1" * 400, "1" * 400 + ".5", "-" + "9" * 4000, '{"a":' * 60 + "1" + "}" * 60, "[" * 90 + "]" * 90],
    ids=["integer", "decimal", "negative", "objects", "lists"],
)
async def test_what_no_structure_can_hold_comes_as_json(caller: Caller, value: str) -> None:
    await write(caller, [b'{"id": 1, "v": %s}' % value.encode(), {"id": 2}])
    found = await get(caller, "1")
    assert not found.HasField("struct")
    assert json.loads(found.json, parse_int=str, parse_float=str)["v"] == json.loads(
        value, parse_int=str, parse_float=str
    )
    (page,) = await pages(caller, view="RECORD_VIEW_STRUCT")
    assert [record.HasField("struct") for record in page.records] == [False, True]


@pytest.mark.parametrize("depth", range(28, 36))
async def test_structures_are_as_deep_as_a_message_allows(caller: Caller, depth: int) -> None:
    await write(caller, [b'{"id": 1, "v": %s}' % (b'{"a":' * depth + b"1" + b"}" * depth)])
    found = await get(caller, "1")
    assert found.HasField("struct") == (depth <= 32)
    (page,) = await pages(caller, view="RECORD_VIEW_STRUCT")
    assert page.records[0].HasField("struct") == found.HasField("struct")


async def test_a_structure_that_is_too_large_for_a_message_comes_as_json(caller: Caller) -> None:
    await write(caller, [{"id": 1, "v": [1] * 300_000}])
    found = await get(caller, "1")
    assert len(json.loads(found.json)["v"]) == 300_000


async def test_numbers_of_views_and_formats_that_do_not_exist_are_refused(caller: Caller) -> None:
    ended = await caller.run([{"id": 1}])
    export = ims.ExportImportErrorsRequest(import_id=ended.import_id, format=9)  # type: ignore[arg-type]
    get_one = pb.GetRecordRequest(table="things", key="1", view=9)  # type: ignore[arg-type]
    list_all = pb.ListRecordsRequest(table="things", view=9)  # type: ignore[arg-type]
    for field, call in (
        ("view", caller.records.GetRecord(get_one)),
        ("view", caller.records.ListRecords(list_all)),
        ("format", anext(aiter(caller.imports.ExportImportErrors(export)))),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert reason_of(refused.value).reason == "INVALID_REQUEST"
        assert field in (refused.value.details() or "")


async def test_lists_of_an_import_that_is_not_there_are_not_found(caller: Caller) -> None:
    for call in (
        caller.imports.ListImportErrors(ims.ListImportErrorsRequest(import_id="7")),
        caller.batches.ListBatches(batch_service_pb2.ListBatchesRequest(import_id="7")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert reason_of(refused.value).reason == "IMPORT_NOT_FOUND"
