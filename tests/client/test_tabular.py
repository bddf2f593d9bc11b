"""Excel workbooks and Parquet files become records that say what the file says."""

import builtins
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest
from openpyxl.styles import PatternFill

from ingot_tabular import TabularFault, TabularUnavailable, column_names, is_tabular, read_records, record_count

MOMENT = datetime.fromisoformat("2026-03-04T05:06:07.250")
MIDNIGHT = datetime.fromisoformat("2026-03-04")


@pytest.fixture
def workbook(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows into a sheet of a workbook."""

    def write(*rows: tuple[Any, ...], formats: dict[str, str] | None = None) -> Path:
        book = openpyxl.Workbook()
        sheet = book.worksheets[0]
        sheet.title = "people"
        for row in rows:
            sheet.append(row)
        for cell, number_format in (formats or {}).items():
            sheet[cell].number_format = number_format
        book.save(tmp_path / "people.xlsx")
        return tmp_path / "people.xlsx"

    return write


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """Writes columns into a Parquet file."""

    def write(columns: dict[str, Any], **options: Any) -> Path:
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / "people.parquet", **options)
        return tmp_path / "people.parquet"

    return write


def records(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in read_records(path, **options)]


def column(path: Path, name: str = "a") -> list[Any]:
    return [record.get(name) for record in records(path)]


def rewritten(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    """The workbook with one of its parts changed."""
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(parts[part])
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


SHEET = "xl/worksheets/sheet1.xml"


def test_the_ending_tells() -> None:
    assert [is_tabular(name) for name in ("a.xlsx", "A.XLSM", "b/c.Parquet")] == [True] * 3
    assert not any(is_tabular(name) for name in ("a.xls", "xlsx", "a.csv", "a.parquet.gz", ""))


def test_cells_keep_what_they_are(workbook: Callable[..., Path]) -> None:
    path = workbook(
        ("id", "text", "whole", "float", "flag", "error", "blank"),
        ("007", " ä ", 5.0, 0.1, True, "#N/A", None),
        (123456789012345, "", -3, 1e300, False, "#DIV/0!", None),
    )
    assert records(path) == [
        {"id": "007", "text": " ä ", "whole": 5, "float": Decimal("0.1"), "flag": True, "error": "#N/A"},
        {"id": 123456789012345, "whole": -3, "float": Decimal("1e300"), "flag": False, "error": "#DIV/0!"},
    ]
    assert b'"whole":5,' in next(read_records(path))
    assert column_names(path) == ["id", "text", "whole", "float", "flag", "error", "blank"]
    assert record_count(path) is None


def test_dates_and_times_are_iso_8601(workbook: Callable[..., Path]) -> None:
    path = workbook(
        ("a",),
        (date(2026, 3, 4),),
        (MIDNIGHT,),
        (MIDNIGHT,),
        (MOMENT,),
        (time(14, 30),),
        (timedelta(hours=30, seconds=1.5),),
        formats={"A3": "yyyy-mm-dd hh:mm", "A4": 'dd.mm.yyyy "h"', "A5": "dd.mm.yyyy"},
    )
    assert column(path) == [
        "2026-03-04",
        "2026-03-04T00:00:00",
        "2026-03-04",
        "2026-03-04T05:06:07.250000",
        "14:30:00",
        "PT30H1.500000S",
    ]


def test_formulas_are_their_last_values(workbook: Callable[..., Path]) -> None:
    path = rewritten(
        workbook(("a",), ("=1+1",)),
        SHEET,
        lambda text: text.replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>"),
    )
    assert records(path) == [{"a": 2}]


def test_blank_rows_are_no_records_and_blank_columns_behind_the_last_name_do_no_harm(
    workbook: Callable[..., Path],
) -> None:
    path = workbook((), ("id", "a", None), (), (1, None, None), (None, "", None), (2, "x"))
    book = openpyxl.load_workbook(path)
    book.worksheets[0]["F9"].fill = PatternFill("solid", "FF0000")
    book.save(path)
    assert records(path) == [{"id": 1}, {"id": 2, "a": "x"}]


def test_only_a_header_is_no_record(workbook: Callable[..., Path]) -> None:
    assert records(workbook(("id",))) == []


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "the sheet of people.xlsx is empty"),
        ([("a", None, "c")], "column B has no name in row 1"),
        ([("a", "  ", "c")], "column B has no name in row 1"),
        ([("a", "b", " a ")], "columns A and C of people.xlsx are both named 'a'"),
        ([("a",), (1,), (1, None, "x")], "row 3 has a value in column C"),
    ],
)
def test_header_that_cannot_be_used_is_refused(
    workbook: Callable[..., Path], rows: list[tuple[Any, ...]], why: str
) -> None:
    path = workbook(*rows)
    with pytest.raises(TabularFault, match=why):
        records(path)


def test_rejected_records_are_not_taken_for_records(workbook: Callable[..., Path]) -> None:
    with pytest.raises(TabularFault, match="save it from the spreadsheet as CSV"):
        records(workbook(("ingot:errors", "id"), ("email: invalid", 1)))


def test_names_may_be_numbers(workbook: Callable[..., Path]) -> None:
    assert records(workbook((2024.0, " a "), (1, 2))) == [{"2024": 1, "a": 2}]


def test_what_is_wrong_with_the_beginning_is_told_before_there_is_a_record(workbook: Callable[..., Path]) -> None:
    with pytest.raises(TabularFault):
        read_records(workbook())


def test_sheets_are_found_by_name_and_the_first_one_shown_is_the_default(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].sheet_state = "hidden"
    for name in ("first", "second"):
        sheet = book.create_sheet(name)
        sheet.append(["a"])
        sheet.append([name])
    path = tmp_path / "a.xlsm"
    book.save(path)
    assert (column(path), records(path, sheet="second")) == (["first"], [{"a": "second"}])
    with pytest.raises(TabularFault, match=r"has no sheet 'third': it has 'Sheet', 'first', 'second'"):
        read_records(path, sheet="third")


def test_size_that_a_sheet_states_is_not_believed(workbook: Callable[..., Path]) -> None:
    path = workbook(("id", "a"), (1, 2), (3, 4))
    rewritten(path, SHEET, lambda text: text.replace(b'ref="A1:B3"', b'ref="A1:A2"'))
    assert records(path) == [{"id": 1, "a": 2}, {"id": 3, "a": 4}]


def test_line_breaks_of_excel_are_characters_again(workbook: Callable[..., Path]) -> None:
    assert column(workbook(("a",), ("1_x000D_2",), ("_x0041_",))) == ["1\r2", "_x0041_"]


def test_bombs_are_refused(workbook: Callable[..., Path]) -> None:
    path = rewritten(workbook(("a",), (1,)), SHEET, lambda text: text + b" " * (17 << 20))
    with pytest.raises(TabularFault, match="packed more tightly"):
        read_records(path)
    entity = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    path = rewritten(workbook(("a",), (1,)), SHEET, lambda text: entity + text)
    with pytest.raises(TabularFault, match="EntitiesForbidden"):
        read_records(path)


def test_row_behind_the_last_that_excel_has_is_refused(workbook: Callable[..., Path]) -> None:
    path = rewritten(workbook(("a",), (1,)), SHEET, lambda text: text.replace(b'r="2"', b'r="2000000000"'))
    with pytest.raises(TabularFault, match="more than 1,048,576 rows"):
        records(path)


def test_two_cells_in_far_corners_cost_nothing(workbook: Callable[..., Path]) -> None:
    path = workbook(("a",))
    book = openpyxl.load_workbook(path)
    book.worksheets[0]["XFD100000"] = 1
    book.save(path)
    with pytest.raises(TabularFault, match="row 100,000 has a value in column XFD"):
        records(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"id,name\n1,Ada\n", "not a zip file"),
        (b"", "not a zip file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "protected by a password"),
    ],
)
def test_other_file_with_the_ending_of_a_workbook_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with pytest.raises(TabularFault, match=why):
        read_records(path)


def test_archive_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(TabularFault, match="cannot be read as an Excel workbook"):
        read_records(path)


def test_damaged_sheet_is_a_fault_where_it_shows(workbook: Callable[..., Path]) -> None:
    path = rewritten(workbook(("a",), (1,), (2,)), SHEET, lambda text: text.replace(b"<v>2</v>", b"<v>zwei</v>"))
    rows = read_records(path)
    assert next(rows) == b'{"a":1}'
    with pytest.raises(TabularFault, match="cannot be read as an Excel workbook"):
        next(rows)


def test_columns_keep_what_they_are(parquet: Callable[..., Path]) -> None:
    path = parquet(
        {
            "int64": pa.array([2**63 - 1, None]),
            "uint64": pa.array([2**64 - 1, 0], pa.uint64()),
            "decimal": pa.array([Decimal("12345678901234567890.10"), Decimal("-0.00")], pa.decimal128(38, 2)),
            "double": pa.array([0.1, 5.0]),
            "single": pa.array([0.1, 3.4028235e38], pa.float32()),
            "id": pa.array([16777216.0, 33554432.0], pa.float32()),
            "half": pa.array([0.1, 65504.0], pa.float16()),
            "flag": pa.array([True, False]),
            "text": pa.array(["007", "ä"]),
            "bytes": pa.array(["ä".encode(), None], pa.binary()),
            "category": pa.array(["x", "y"]).dictionary_encode(),
            "nothing": pa.nulls(2),
        }
    )
    assert records(path) == [
        {
            "int64": 2**63 - 1,
            "uint64": 2**64 - 1,
            "decimal": Decimal("12345678901234567890.10"),
            "double": Decimal("0.1"),
            "single": Decimal("0.1"),
            "id": 16777216,
            "half": Decimal("0.1"),
            "flag": True,
            "text": "007",
            "bytes": "ä",
            "category": "x",
            "nothing": None,
        },
        {
            "int64": None,
            "uint64": 0,
            "decimal": Decimal(0),
            "double": 5,
            "single": Decimal("3.4028235e38"),
            "id": 33554432,
            "half": 65504,
            "flag": False,
            "text": "ä",
            "bytes": None,
            "category": "y",
            "nothing": None,
        },
    ]
    assert b'"decimal":12345678901234567890.10,"double":0.1,' in next(read_records(path))
    assert column_names(path)[:2] == ["int64", "uint64"]


def test_nan_is_null_and_infinity_a_text(parquet: Callable[..., Path]) -> None:
    values = [float("nan"), float("inf"), float("-inf"), None]
    expected = [None, "Infinity", "-Infinity", None]
    for kind in (pa.float64(), pa.float32(), pa.float16()):
        assert column(parquet({"a": pa.array(values, kind)})) == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([MOMENT], pa.timestamp("us")), "2026-03-04T05:06:07.250000"),
        (pa.array([1_772_600_767_000_000_001], pa.timestamp("ns")), "2026-03-04T05:06:07.000000001"),
        (pa.array([MOMENT.replace(tzinfo=UTC)], pa.timestamp("ms", "UTC")), "2026-03-04T05:06:07.250Z"),
        (
            pa.array(
                [datetime(1969, 12, 31, 23, tzinfo=timezone(timedelta(hours=-1)))], pa.timestamp("s", "Europe/Berlin")
            ),
            "1970-01-01T00:00:00Z",
        ),
        (pa.array([datetime.fromisoformat("1960-01-01")], pa.timestamp("s")), "1960-01-01T00:00:00"),
        (pa.array([date(2026, 3, 4)]), "2026-03-04"),
        (pa.array([date(2026, 3, 4)], pa.date64()), "2026-03-04"),
        (pa.array([time(14, 30)], pa.time32("ms")), "14:30:00"),
        (pa.array([1], pa.time64("ns")), "00:00:00.000000001"),
        (pa.array([timedelta(hours=-30)], pa.duration("ns")), "-PT30H"),
        (pa.array([timedelta()], pa.duration("ms")), "PT0S"),
        (pa.array([[1, None]], pa.list_(pa.int8())), [1, None]),
        (pa.array([[MOMENT]], pa.list_(pa.timestamp("ms"), 1)), ["2026-03-04T05:06:07.250"]),
        (pa.array([{"b": {"c": b"x"}, "d": None}]), {"b": {"c": "x"}, "d": None}),
        (pa.array([[("x", 1), ("y", None)]], pa.map_(pa.string(), pa.int8())), {"x": 1, "y": None}),
        (pa.array([[(date(2026, 3, 4), [1])]], pa.map_(pa.date32(), pa.list_(pa.int8()))), {"2026-03-04": [1]}),
        (pa.array([[(1, "x")]], pa.map_(pa.int8(), pa.string())), {"1": "x"}),
        (pa.array([b"\x01" * 16], pa.uuid()), "01010101-0101-0101-0101-010101010101"),
    ],
)
def test_types_of_parquet_have_a_form_in_json(parquet: Callable[..., Path], array: Any, expected: object) -> None:
    path = parquet({"a": array})
    assert column(path) == [expected]
    nothing = pa.nulls(2, array.type)
    assert column(parquet({"a": pa.concat_arrays([nothing, array, nothing])})) == [None, None, expected, None, None]


def test_bytes_that_are_no_text_are_refused_with_their_column(parquet: Callable[..., Path]) -> None:
    with pytest.raises(TabularFault, match="the column 'photo' holds bytes that are not text in UTF-8"):
        records(parquet({"id": pa.array([1]), "photo": pa.array([b"\xff\xd8"])}))


def test_date_that_no_calendar_has_is_refused_with_its_column(parquet: Callable[..., Path]) -> None:
    for kind in (pa.timestamp("s"), pa.date32()):
        array = pa.array([2**31 - 1], pa.int32()).cast(pa.int64() if kind != pa.date32() else pa.int32())
        with pytest.raises(TabularFault, match="the column 'at'"):
            records(parquet({"at": (array * 1000 if kind != pa.date32() else array).cast(kind)}))


@pytest.mark.parametrize(
    ("schema", "why"),
    [(["a", "a"], "two columns named 'a'"), (["a", ""], "column 2 of people.parquet has no name")],
)
def test_columns_without_names_of_their_own_are_refused(tmp_path: Path, schema: list[str], why: str) -> None:
    path = tmp_path / "people.parquet"
    pyarrow.parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], schema), path)
    with pytest.raises(TabularFault, match=why):
        read_records(path)


def test_other_or_damaged_file_is_not_taken_for_parquet(parquet: Callable[..., Path]) -> None:
    path = parquet({"a": list(range(10_000))}, use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(TabularFault, match=r"people.parquet cannot be read as Parquet"):
        records(path)
    path.write_bytes(b"id,name\n")
    with pytest.raises(TabularFault, match="cannot be read as Parquet"):
        read_records(path)
    with pytest.raises(TabularFault, match="has no sheets"):
        read_records(path, sheet="x")


@pytest.mark.parametrize("first", [0, 1, 999, 1_000, 2_499, 2_500, 5_000, 9_999, 10_000, 10_001])
def test_records_begin_anywhere(parquet: Callable[..., Path], workbook: Callable[..., Path], first: int) -> None:
    path = parquet({"a": list(range(10_000))}, row_group_size=2_500)
    assert record_count(path) == 10_000
    assert [int(line[5:-1]) for line in read_records(path, first=first)] == list(range(first, 10_000))
    if first < 1_000:
        path = workbook(("a",), *(row for number in range(1_000) for row in ((number,), ())))
        assert [int(line[5:-1]) for line in read_records(path, first=first)] == list(range(first, 1_000))


def test_wide_rows_are_read_a_few_at_a_time(parquet: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    iter_batches = pyarrow.parquet.ParquetFile.iter_batches

    def noting(*args: Any, **options: Any) -> Any:
        for batch in iter_batches(*args, **options):
            sizes.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", noting)
    path = parquet({"a": [f"{number:01000000}" for number in range(50)]}, use_dictionary=False)
    assert len(records(path)) == 50
    assert max(sizes) <= 8


def test_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    for name in ("a.xlsx", "a.parquet"):
        with pytest.raises(FileNotFoundError):
            read_records(tmp_path / name)


@pytest.mark.parametrize(("name", "library"), [("a.xlsx", "openpyxl"), ("a.parquet", "pyarrow")])
def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str
) -> None:
    for module in [found for found in sys.modules if found.startswith("ingot_tabular._") and "faults" not in found]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("ingot_tabular._workbooks", raising=False)
    monkeypatch.delattr("ingot_tabular._parquet", raising=False)
    real = builtins.__import__

    def without(asked: str, *args: Any, **options: Any) -> Any:
        if asked.partition(".")[0] == library:
            raise ImportError(asked)
        return real(asked, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TabularUnavailable, match=r"pip install '\.\[tabular\]'"):
        read_records(tmp_path / name)


def test_what_openpyxl_leaves_out_is_no_warning(workbook: Callable[..., Path]) -> None:
    path = workbook(("a",), (10**10,), formats={"A2": "yyyy-mm-dd"})
    assert column(path) == ["#VALUE!"], "Excel shows no date either"
