"""What is told about faulty records."""

import csv
import io
import json

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as pb
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.conftest import running_app

E = record_error_pb2


async def test_errors_name_the_record_the_stage_the_code_and_the_field(caller: Caller) -> None:
    ended = await caller.run([{"id": 1}, {"name": "no id"}, b"{", {"id": {"x": 1}}, {}])
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert ended.counts == stage_pb2.RecordCounts(received=5, created=1, rejected=4)
    found = await caller.errors(ended.import_id)
    assert [(one.index, one.stage, one.code, one.field) for one in found] == [
        (1, E.ERROR_STAGE_UPLOAD, E.RECORD_ERROR_CODE_MISSING_KEY, "id"),
        (2, E.ERROR_STAGE_UPLOAD, E.RECORD_ERROR_CODE_SYNTAX_ERROR, ""),
        (3, E.ERROR_STAGE_PROCESSING, E.RECORD_ERROR_CODE_INVALID_VALUE, "id"),
        (4, E.ERROR_STAGE_UPLOAD, E.RECORD_ERROR_CODE_EMPTY_RECORD, ""),
    ]
    assert json.loads(found[0].raw) == {"name": "no id"}
    assert all(one.batch_id == "b" and one.message and one.severity == E.ERROR_SEVERITY_ERROR for one in found)


async def test_errors_are_filtered_and_paged(caller: Caller) -> None:
    ended = await caller.run([{"id": "", "v": 1}, b"{", {"id": [1]}, {"id": "", "v": 2}])

    async def indexes(**filters: object) -> list[int]:
        return [error.index for error in await caller.errors(ended.import_id, **filters)]

    assert await indexes(stage=E.ERROR_STAGE_PROCESSING) == [2]
    assert await indexes(code=E.RECORD_ERROR_CODE_SYNTAX_ERROR) == [1]
    assert await indexes(field="id") == [0, 2, 3]
    assert await indexes(batch_id="b") == [0, 1, 2, 3]
    assert await indexes(batch_id="other") == []
    seen: list[int] = []
    token = ""
    while True:
        request = pb.ListImportErrorsRequest(import_id=ended.import_id, page_size=1, page_token=token)
        page = await caller.imports.ListImportErrors(request)
        seen += [error.index for error in page.errors]
        token = page.next_page_token
        if not token:
            break
    assert seen == [0, 1, 2, 3]


async def test_groups_are_exact_where_the_list_is_full(caller: Caller, database_url: str) -> None:
    async with running_app(database_url, errors_limit=10) as app, Caller(f"127.0.0.1:{app.port}", caller.key) as few:
        # The other server's workers have another limit.
        ended = await few.run([{"name": row} for row in range(25)] + [{"id": 1}])
        assert len(await few.errors(ended.import_id)) == 10
    (group,) = ended.upload.error_groups
    assert (group.code, group.field, group.count) == (E.RECORD_ERROR_CODE_MISSING_KEY, "id", 25)
    assert (group.example.index, json.loads(group.example.raw)) == (0, {"name": 0})
    assert ended.counts.rejected == 25


async def test_groups_belong_to_their_stage_and_their_batch(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": [1]}, {"v": 1}], import_id=import_id, batch_id="x", finish=True)])
    await caller.upload([records([{"id": {"x": 1}}], import_id=import_id, batch_id="y", finish=True)])
    ended = await caller.finish(import_id)
    assert [(one.code, one.count) for one in ended.processing.error_groups] == [(E.RECORD_ERROR_CODE_INVALID_VALUE, 2)]
    assert sum(one.count for one in ended.upload.error_groups) == 1
    second = await caller.batch(import_id, "y")
    assert [one.count for one in second.processing.error_groups] == [1]
    assert second.status == batch_pb2.BATCH_STATUS_FAILED
    assert ended.state == import_pb2.IMPORT_STATE_FAILED


async def export(caller: Caller, import_id: str, format: pb.ErrorExportFormat.ValueType) -> str:
    request = pb.ExportImportErrorsRequest(import_id=import_id, format=format)
    return "".join([piece.lines async for piece in caller.imports.ExportImportErrors(request)])


async def test_errors_are_exported_as_ndjson(caller: Caller) -> None:
    ended = await caller.run([{"name": row} for row in range(1200)])
    lines = (await export(caller, ended.import_id, pb.ERROR_EXPORT_FORMAT_NDJSON)).splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(1200))
    assert json.loads(lines[7])["reason"] == "MISSING_KEY"
    assert json.loads(lines[7])["code"] == 1102


async def test_a_spreadsheet_finds_no_formula_in_exported_errors(caller: Caller) -> None:
    hostile = ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "＝1"]
    import_id = await caller.create()
    data = ("id,v\n" + "".join(f"{text}\n" for text in hostile)).encode()
    await caller.upload_file(import_id, data, batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV))
    await caller.finish(import_id)
    rows = list(csv.DictReader(io.StringIO(await export(caller, import_id, pb.ERROR_EXPORT_FORMAT_CSV))))
    assert len(rows) == len(hostile)
    for row, text in zip(rows, hostile, strict=True):
        assert row["raw"].startswith("'" + text)


async def test_a_carriage_return_does_not_begin_a_row_of_exported_errors(caller: Caller) -> None:
    raw = b'{"name": "x\r=HYPERLINK(1)"}'
    ended = await caller.run([raw, b'{"name": "y\n+1"}', {"id": 1}])
    text = await export(caller, ended.import_id, pb.ERROR_EXPORT_FORMAT_CSV)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert {row["raw"] for row in rows} == {raw.decode(), '{"name": "y\n+1"}'}
    assert {row["key"] for row in rows} == {""}
    # What a spreadsheet takes for a row: all line breaks within a cell stand between quotes.
    outside = "".join(text.replace('""', "").split('"')[::2])
    assert outside.count("\r") == outside.count("\n") == outside.count("\r\n") == 1 + len(rows)
    assert not any(row.startswith(("=", "+")) for row in outside.splitlines())


async def test_what_only_the_database_refuses_is_found_and_the_rest_is_imported(
    caller: Caller, database: Database
) -> None:
    await database.fetch("ALTER TABLE record ADD CONSTRAINT no_devils CHECK (data->>'v' <> 'devil')")
    rows = [{"id": row, "v": "devil" if row in (0, 1, 700, 999) else "fine"} for row in range(1000)]
    ended = await caller.run(rows)
    assert ended.counts == stage_pb2.RecordCounts(received=1000, created=996, rejected=4)
    found = await caller.errors(ended.import_id)
    assert [(one.index, one.code, one.key) for one in found] == [
        (row, E.RECORD_ERROR_CODE_REFUSED_BY_DATABASE, str(row)) for row in (0, 1, 700, 999)
    ]
    assert "devil" not in found[0].message
    assert json.loads(found[0].raw) == rows[0]
