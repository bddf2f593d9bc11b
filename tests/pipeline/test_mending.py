"""The file of rejected records comes back as it was, whatever is in it and whoever has saved it in between."""

import csv
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.domain.records import RECORD_BYTES_MAX, ErrorCode
from ingot_server.pipeline.mending.cells import FORMULA_STARTS, json_cell, json_of, text_cell, text_of
from ingot_server.pipeline.mending.columns import COLUMNS_MAX, Columns
from ingot_server.pipeline.mending.members import member_line
from ingot_server.pipeline.mending.rejected import Rejected, read_fields
from tests.pipeline.feeding import Read, read

CSV, NDJSON = DataFormat(FileType.CSV), DataFormat(FileType.NDJSON)
FIRST = ["ingot:errors", "ingot:import", "ingot:batch", "ingot:index", "ingot:line", "ingot:raw"]


def rejected(record: Any, index: int = 0, errors: str = "email: Invalid value: expected an address") -> Rejected:
    """A rejected record; a text is one that could not be read."""
    if isinstance(record, str):
        return Rejected("b", index, index + 2, errors, b"", None, record)
    text = json.dumps(record).encode() if isinstance(record, dict) else record
    return Rejected("b", index, index + 2, errors, text, read_fields(text))


def csv_file(records: list[Any], *, changing: bool = False) -> str:
    """The file of such records."""
    found = [rejected(record, index) for index, record in enumerate(records)]
    columns = Columns(changing=changing)
    columns.see(found)
    return columns.header + "".join(map(columns.row, found))


def table(file: str) -> list[list[str]]:
    """The cells that a spreadsheet would show."""
    return list(csv.reader(io.StringIO(file, newline="")))


def values(found: Read) -> list[Any]:
    """The records that were read."""
    assert found.rejects == []
    return [json.loads(text) for text in found.texts]


def test_a_file_has_a_column_for_each_field_in_the_order_of_their_appearance() -> None:
    file = csv_file([{"id": "1", "name": "Ada"}, {"id": "2", "phone": "46", "n": 5}, '3,"x'])
    assert file == (
        "ingot:errors,ingot:import,ingot:batch,ingot:index,ingot:line,ingot:raw,id,name,phone,n:json\r\n"
        "email: Invalid value: expected an address,,b,0,2,,1,Ada,,\r\n"
        "email: Invalid value: expected an address,,b,1,3,,2,,46,5\r\n"
        'email: Invalid value: expected an address,,b,2,4,"3,""x",,,,\r\n'
    )


@pytest.mark.parametrize(
    ("value", "column", "cell"),
    [
        ("", "v", "'"),
        ("'", "v", "''"),
        ("=1+1", "v", "'=1+1"),
        ("-5", "v", "'-5"),
        ("\t", "v", "'\t"),
        ("5", "v", "5"),
        ("123456789012345", "v", "123456789012345"),
        ("1234567890123456", "v", "'1234567890123456"),
        ("007", "v", "'007"),
        ("1.5", "v", "'1.5"),
        ("2026-11-20", "v", "'2026-11-20"),
        ("1E5", "v", "'1E5"),
        ("true", "v", "'true"),
        ("Jan 5, 2026", "v", "'Jan 5, 2026"),
        ("MARCH1", "v", "'MARCH1"),
        ("5 May", "v", "'5 May"),
        ("Mary 5 Street", "v", "Mary 5 Street"),
        ("12 Main Street", "v", "12 Main Street"),
        (" x ", "v", " x "),
        (5, "v:json", "5"),
        (-5, "v:json", "-5"),
        (1.5, "v:json", "'1.5"),
        (True, "v:json", "true"),
        (None, "v:json", "null"),
        ([1], "v:json", "[1]"),
        ("\x01", "v:json", '"\\u0001"'),
        ("\0", "v:json", '"\\u0000"'),
    ],
)
def test_each_value_has_its_cell(value: Any, column: str, cell: str) -> None:
    file = csv_file([{"v": value}])
    assert [row[6] for row in table(file)] == [column, cell]
    assert values(read(CSV, file.encode())) == [{"v": value}]


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("a", "a"),
        ("a:json", "a:json:json"),
        ("a:json:json", "a:json:json:json"),
        ("=a()", "'=a()"),
        ("'a", "''a"),
        ("2026", "2026"),
        ("ingot:errors", "ingot:more:json"),
        ("ingot:more", "ingot:more:json"),
        ("ingot:more:json", "ingot:more:json"),
        ("", "ingot:more:json"),
        (" a", "ingot:more:json"),
        ("a\nb", "ingot:more:json"),
        ("a" * 300, "ingot:more:json"),
    ],
)
def test_each_field_has_its_column(field: str, column: str) -> None:
    file = csv_file([{field: "x"}])
    assert table(file)[0] == [*FIRST, column]
    assert values(read(CSV, file.encode())) == [{field: "x"}]


NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    st.sampled_from(["id", "a:json", "ingot:errors", "ingot:more", "ingot:raw", "ingot:x", "'", "'a", ":json", "=a"]),
)
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.from_regex(r"[-+=@'0-9.,:/eE% ]{1,6}", fullmatch=True),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.lists(st.dictionaries(NAMES, VALUES | TEXTS, min_size=1, max_size=5), min_size=1, max_size=5)


@given(records=RECORDS, seen=st.integers(0, 5), cut=st.integers(0, 60))
@settings(max_examples=500, deadline=None)
def test_every_record_comes_back_from_csv_as_it_was(records: list[dict[str, Any]], seen: int, cut: int) -> None:
    found = [rejected(record, index) for index, record in enumerate(records)]
    columns = Columns(changing=True)
    # While an import is under way the second pass sees what the first has not.
    columns.see(found[:seen])
    file = columns.header + "".join(map(columns.row, found))
    assert values(read(CSV, file.encode(), [cut], [0])) == records


@given(records=RECORDS)
@settings(max_examples=300, deadline=None)
def test_every_record_comes_back_from_ndjson_as_it_was(records: list[dict[str, Any]]) -> None:
    file = "".join(member_line(rejected(record, index)) for index, record in enumerate(records))
    assert values(read(NDJSON, file.encode())) == records


@given(text=TEXTS)
def test_no_cell_of_a_text_begins_like_a_formula(text: str) -> None:
    assert not text_cell(text).startswith(FORMULA_STARTS)
    assert text_of(text_cell(text)) == text


@given(number=st.one_of(st.integers(), st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: f"{d:f}")))
def test_numbers_keep_every_digit(number: object) -> None:
    value = str(number).encode()
    found = json_of(json_cell(value))
    assert found is not None
    assert bytes(found) == value


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
# A quote that is not in the header cannot be told from it.
@pytest.mark.parametrize(("quoting", "quote"), [(csv.QUOTE_MINIMAL, '"'), (csv.QUOTE_ALL, '"'), (csv.QUOTE_ALL, "'")])
def test_a_file_that_was_saved_in_another_way_is_the_same(
    delimiter: str, encoding: str, quoting: Any, quote: str
) -> None:
    records = [{"id": 1, "v": "a,b;c\td\"e'f\ng"}, {"id": True, "v": ""}, {"id": None}]
    saved = io.StringIO(newline="")
    csv.writer(saved, delimiter=delimiter, quoting=quoting, quotechar=quote).writerows(table(csv_file(records)))
    format = DataFormat(FileType.CSV, "utf-16" if encoding == "utf-16" else "utf-8")
    data = saved.getvalue().encode(encoding)
    assert values(read(format, data, [3, 40], [0, 1])) == records


def test_columns_may_be_moved_added_and_deleted() -> None:
    rows = table(csv_file([{"id": "1", "name": "Ada", "n": 1}, {"id": "2", "name": "Bo"}]))
    errors, origin, batch, index, line, raw, key, name, number = range(9)
    order = [name, index, errors, key]
    moved = [[row[column] for column in order] + [added] for row, added in zip(rows, ["city", "Lund", ""], strict=True)]
    saved = io.StringIO(newline="")
    csv.writer(saved, delimiter=";").writerows(moved)
    assert values(read(CSV, saved.getvalue().encode())) == [
        {"name": "Ada", "id": "1", "city": "Lund"},
        {"name": "Bo", "id": "2"},
    ]
    assert {origin, batch, line, raw, number} == {1, 2, 4, 5, 8}


def test_spreadsheets_may_leave_empty_cells_away_or_add_some() -> None:
    data = b"ingot:errors,a,b,,\nx,1,2,,\nx,1\nx,1,2,,\nx,1,2,3,\n"
    found = read(CSV, data)
    assert found.texts == [b'{"a":"1","b":"2"}', b'{"a":"1"}', b'{"a":"1","b":"2"}']
    assert found.codes == [(3, 5, ErrorCode.CELL_COUNT)]


@pytest.mark.parametrize("blank", [b"", b",,", b" ,\t,", b'"",,'])
def test_a_blank_row_is_no_record(blank: bytes) -> None:
    found = read(CSV, b"ingot:errors,a,b\nx,1,2\n" + blank + b"\n")
    assert found.texts == [b'{"a":"1","b":"2"}']
    assert found.codes == [(1, 3, ErrorCode.EMPTY_LINE)]
    assert found.rejects[0].raw == blank.decode()


def test_a_row_that_nobody_has_mended_says_what_to_do_and_keeps_what_it_has() -> None:
    found = read(CSV, csv_file(['3,"x', {"id": "1"}]).encode())
    assert found.codes == [(0, 2, ErrorCode.SYNTAX_ERROR)]
    assert found.rejects[0].raw == '3,"x'
    assert "under the names of their fields" in found.rejects[0].faults[0].message
    assert found.texts == [b'{"id":"1"}']


def test_a_line_that_nobody_has_mended_says_what_to_do() -> None:
    found = read(NDJSON, (member_line(rejected('{"id": 2')) + '{"id": 1}\n').encode())
    assert found.codes == [(0, 1, ErrorCode.SYNTAX_ERROR)]
    assert found.rejects[0].raw == '{"id": 2'
    assert found.records == [(b'{"id": 1}', 1, 2)]


def test_a_cell_that_is_not_the_json_it_should_be_costs_its_row_and_shows_it_readable() -> None:
    found = read(CSV, b'ingot:errors,id,n:json,m:json\nx,1,1,TRUE\nx,2,abc,1\nx,3,"1,5", \nx,4,\xff,\'1.50\n')
    assert found.texts == [b'{"id":"1","n":1,"m":true}']
    assert [(reject.raw, [fault.field for fault in reject.faults]) for reject in found.rejects] == [
        ('{"id":"2","n":"abc","m":1}', ["n"]),
        ('{"id":"3","n":"1,5"}', ["n"]),
        ('{"id":"4","n":"\\\\xff","m":1.50}', ["", "n"]),
    ]


def test_two_columns_for_a_field_make_the_file_unreadable() -> None:
    [found] = read(CSV, b"ingot:errors,a,a:json\n,1,1\n").rejects
    assert found.faults[0].code is ErrorCode.UNREADABLE_REST
    assert "got 'a' and 'a:json'" in found.faults[0].message


def test_files_without_the_mark_are_read_as_they_stand() -> None:
    assert read(CSV, b"ingot:index,a:json\n'1,'2\n").texts == [b'{"ingot:index":"\'1","a:json":"\'2"}']
    line = b'{"ingot:index":1,"v":{"ingot:errors":"x"},"w":"\\"ingot:errors\\""}'
    assert read(NDJSON, line).texts == [line]
    broken = b'{"ingot:errors":"x","id":1'
    assert read(NDJSON, broken).texts == [broken]


def test_a_field_that_somebody_gives_a_column_wins_over_the_rest() -> None:
    data = b'ingot:errors,a,ingot:more:json\nx,mended,"{""a"":1,""b"":2}"\nx,1,"[]"\n'
    found = read(CSV, data)
    assert values(Read(found.records)) == [{"a": "mended", "b": 2}]
    assert found.rejects[0].faults[0].field == "ingot:more"


def test_what_has_no_room_for_a_column_stands_in_the_last_one() -> None:
    record = {f"f{number}": "x" for number in range(COLUMNS_MAX)} | {"last": 5}
    file = csv_file([record])
    assert len(table(file)[0]) <= COLUMNS_MAX
    assert table(file)[0][-1] == "ingot:more:json"
    assert values(read(CSV, file.encode())) == [record]


def test_texts_of_many_lines_come_back() -> None:
    record = {"short": "a\nb", "long": "x\n" * 2_000, "plain": "c"}
    file = csv_file([record, "y\n" * 3_000])
    assert table(file)[0][6:] == ["short:json", "long:json", "plain"]
    found = read(CSV, file.encode())
    assert json.loads(found.texts[0]) == record
    assert found.codes == [(1, 3, ErrorCode.SYNTAX_ERROR)]


def test_the_largest_record_comes_back_in_ndjson_and_says_so_in_csv() -> None:
    record = {"v": '"' * ((RECORD_BYTES_MAX - 8) // 2)}
    text = msgspec.json.encode(record)
    line = member_line(rejected(text))
    assert read(NDJSON, line.encode()).texts == [text]
    [found] = read(CSV, csv_file([text]).encode()).rejects
    assert [fault.code for fault in found.faults] == [ErrorCode.SYNTAX_ERROR]
    assert "mend it in NDJSON" in csv_file([text])


def test_a_file_that_had_no_room_for_all_says_so() -> None:
    missing = Rejected("", 0, 0, "3 records are not in this file.", b"", None)
    columns = Columns(changing=False)
    columns.see([missing])
    assert columns.row(missing) == "3 records are not in this file.,,,,,\r\n"
    assert member_line(missing) == '{"ingot:errors":"3 records are not in this file."}\n'
    assert read(CSV, (columns.header + columns.row(missing)).encode()).texts == [b"{}"]
