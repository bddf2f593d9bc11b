"""Files over the API: each fault has its defined answer, with the line it stands on."""

import json

import pytest

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, stage_pb2
from tests.calling import Caller

E = record_error_pb2
NDJSON = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
CSV = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV)
ARRAY = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_JSON_ARRAY)


async def faults(caller: Caller, import_id: str) -> list[tuple[int, int, str]]:
    """Index, line and code of every error."""
    return [
        (error.index, error.line, E.RecordErrorCode.Name(error.code).removeprefix("RECORD_ERROR_CODE_"))
        for error in await caller.errors(import_id)
    ]


@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
async def test_a_csv_file_with_every_fault(caller: Caller, piece: int) -> None:
    data = (
        "\ufeffid,name,note\r\n"  # line 1
        '1,"Müller, Åsa","two\r\nlines"\r\n'  # lines 2-3
        "\r\n"  # 4: blank
        "2,too few\r\n"  # 5
        "3,too,many,cells\r\n"  # 6
        '4,"stray"quote,x\r\n'  # 7
        ",no id,x\r\n"  # 8
        '5,"never closed,x\r\n'  # 9
        '6,"said ""hi""",\r\n'  # 10
        "7,last,row"  # 11, without a line break
    ).encode()
    ended = await caller.run_file(data, CSV, piece=piece)
    assert await faults(caller, ended.import_id) == [
        (1, 4, "EMPTY_LINE"),
        (2, 5, "CELL_COUNT"),
        (3, 6, "CELL_COUNT"),
        (4, 7, "SYNTAX_ERROR"),
        (5, 8, "MISSING_KEY"),
        (6, 9, "SYNTAX_ERROR"),
    ]
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert ended.counts == stage_pb2.RecordCounts(received=9, created=3, rejected=6)
    assert await caller.table() == [
        {"id": "1", "name": "Müller, Åsa", "note": "two\r\nlines"},
        {"id": "6", "name": 'said "hi"', "note": ""},
        {"id": "7", "name": "last", "note": "row"},
    ]


@pytest.mark.parametrize("piece", [1, 1009, 1 << 18])
async def test_an_ndjson_file_with_every_fault(caller: Caller, piece: int) -> None:
    lines = [
        b'{"id": 1}',
        b"",
        b"   ",
        b'{"id": 2',
        b"[1]",
        b"{}",
        b'{"name": "x"}',
        b'{"id": "\xff"}',
        b'{"id": 3, "v": "\\u0000"}',
        b'{"id": 4, "v": "tab\there"}',
        b'{"id": 5, "v": 1e400}',
        b'{"id": 6, "v": ' + b"[" * 101 + b"]" * 101 + b"}",
        b'{"id": 7, "v": "\\ud800"}',
        b'{"id": 8, "v": NaN}',
        b'{"id": {"x": 1}}',
        b'{"id": "' + b"k" * 1025 + b'"}',
        b'{"id": 9, "v": "' + b"x" * 2_097_152 + b'"}',
        b'{"id": 10}',
    ]
    if piece == 1:
        lines[-2] = b'{"id": [1]}'
    ended = await caller.run_file(b"\n".join(lines) + b"\n", NDJSON, piece=piece)
    assert await faults(caller, ended.import_id) == [
        (1, 2, "EMPTY_LINE"),
        (2, 3, "EMPTY_LINE"),
        (3, 4, "SYNTAX_ERROR"),
        (4, 5, "NOT_AN_OBJECT"),
        (5, 6, "EMPTY_RECORD"),
        (6, 7, "MISSING_KEY"),
        (7, 8, "INVALID_ENCODING"),
        (8, 9, "CONTROL_CHARACTER"),
        (9, 10, "CONTROL_CHARACTER"),
        (10, 11, "NUMBER_OUT_OF_RANGE"),
        (11, 12, "TOO_DEEP"),
        (12, 13, "INVALID_ENCODING"),
        (13, 14, "SYNTAX_ERROR"),
        (14, 15, "INVALID_VALUE"),
        (15, 16, "INVALID_VALUE"),
        (16, 17, "INVALID_VALUE" if piece == 1 else "RECORD_TOO_LARGE"),
    ]
    assert await caller.table() == [{"id": 1}, {"id": 10}]


@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
async def test_a_json_array_with_a_faulty_element(caller: Caller, piece: int) -> None:
    data = b'[\n {"id": 1,\n  "v": [1, {"x": "]}"}]},\n {"id": 2 "v": 1},\n {"id": 3}\n]\n'
    ended = await caller.run_file(data, ARRAY, piece=piece)
    assert await faults(caller, ended.import_id) == [(1, 4, "SYNTAX_ERROR")]
    assert await caller.table() == [{"id": 1, "v": [1, {"x": "]}"}]}, {"id": 3}]


async def test_a_json_array_that_ends_too_soon_says_so(caller: Caller) -> None:
    ended = await caller.run_file(b'[{"id": 1}, {"id": 2', ARRAY)
    assert [code for _, _, code in await faults(caller, ended.import_id)] == ["UNREADABLE_REST"]
    assert await caller.table() == [{"id": 1}]


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"", CSV),
        (b"id,name\n", CSV),
        (b"", NDJSON),
        (b"", ARRAY),
        (b"[]", ARRAY),
        (b" [ ]\n", ARRAY),
        (b"\xef\xbb\xbf", CSV),
    ],
)
async def test_a_file_without_a_record_is_a_failure_with_a_reason(
    caller: Caller, data: bytes, format: batch_pb2.DataFormat
) -> None:
    ended = await caller.run_file(data, format)
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert ended.state_message == "The upload held no record."
    assert [code for _, _, code in await faults(caller, ended.import_id)] == ["EMPTY_PAYLOAD"]


@pytest.mark.parametrize("header", ["id,id\n1,2\n", "id,\n1,2\n"])
async def test_a_header_that_cannot_be_used_fails_the_file_with_one_error(caller: Caller, header: str) -> None:
    ended = await caller.run_file(header.encode(), CSV)
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert [code for _, _, code in await faults(caller, ended.import_id)] == ["UNREADABLE_REST"]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252", "utf-16", "utf-16-le", "shift_jis", "utf-8"])
@pytest.mark.parametrize("piece", [1, 1 << 18])
async def test_other_encodings_are_read_exactly(caller: Caller, encoding: str, piece: int) -> None:
    word = "日本" if encoding == "shift_jis" else "Ærø"
    format = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV, encoding=encoding)
    data = f'id,v\n1,"{word}\n{word}"\n2,{word}\n'.encode(encoding)
    await caller.run_file(data, format, piece=piece)
    assert await caller.table() == [{"id": "1", "v": f"{word}\n{word}"}, {"id": "2", "v": word}]


async def test_csv_options(caller: Caller) -> None:
    options = batch_pb2.CsvOptions(delimiter="\t", quote="'", columns=["id", "v"])
    format = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV, csv=options)
    await caller.run_file(b"1\t'tab\there'\n2\tplain\n", format)
    assert await caller.table() == [{"id": "1", "v": "tab\there"}, {"id": "2", "v": "plain"}]


async def test_raw_shows_the_row_as_it_was_sent(caller: Caller) -> None:
    ended = await caller.run_file(b'id,v,w\n1,"a"b,c\n2,\xff\xff,x\n3,' + b"\xc3\xa5" * 5000 + b",x,y\n", CSV)
    found = await caller.errors(ended.import_id)
    assert found[0].raw.rstrip("\r\n") == '1,"a"b,c'
    assert found[1].raw.rstrip("\r\n") == "2,\\xff\\xff,x"
    assert found[2].raw_truncated
    assert len(found[2].raw.encode()) <= 8192
    assert found[2].raw.startswith("3,åå")
    assert json.dumps(found[2].raw)
