"""Excel workbooks: the first row that is not blank names the fields, and each row after it is a record.

Numbers stay numbers and texts stay texts. A blank cell is a field that the record does not have; a blank row is no
record. Dates and times are written as ISO 8601, without a zone: Excel knows none. A formula counts as the value that
was last calculated, and an error such as `#N/A` as that text.

Read by openpyxl, row by row. Others are ten times as fast, but hold the whole rectangle of a sheet in memory, also
where it is empty: with two cells a workbook of 5 kB can ask them for 100 GB.
"""

import re
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

import msgspec

from ingot_tabular import _texts
from ingot_tabular._faults import TabularFault, TabularUnavailable, extra_needed, faults_told

with extra_needed():
    import openpyxl
    from openpyxl.utils import get_column_letter

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook

WHAT: Final = "an Excel workbook"
# By this column the server knows a file of rejected records that somebody has mended.
REJECTS_COLUMN: Final = "ingot:errors"
# Excel's own limit. A file may claim any number for its next row, and all before it would be made.
ROWS_MAX: Final = 1_048_576
# Sheets are read in passing, everything else is held in memory: texts above all.
SHEET_BYTES: Final = 1 << 30
PART_BYTES: Final = 256 << 20
# The XML of real workbooks shrinks to a tenth or a thirtieth.
SMALL_BYTES: Final = 16 << 20
RATIO_MAX: Final = 100
MICROSECOND: Final = timedelta(microseconds=1)

_encode: Final = msgspec.json.Encoder().encode
# Excel writes control characters in texts like this. Others are left: openpyxl has taken the mark away by which a text
# that only looks like that could be told.
_CONTROL: Final = re.compile("_x(00[01][0-9A-Fa-f])_")
# What of a number format is shown as it stands, or is about colours and conditions.
_LITERAL: Final = re.compile(r'"[^"]*"|\\.|_.|\[[^hHmMsS\]][^\]]*\]')

Row = tuple[int, list[Any]]


def read(path: Path, sheet: str, first: int) -> Iterator[bytes]:
    """The records from number `first` on."""
    rows = _rows(path, sheet)
    return _records(rows, _header(path, rows), first)


def column_names(path: Path, sheet: str) -> list[str]:
    """The names in the header."""
    with closing(_rows(path, sheet)) as rows:
        return _header(path, rows)


def _records(rows: Iterator[Row], names: list[str], first: int) -> Iterator[bytes]:
    for index, (number, cells) in enumerate(rows):
        if len(cells) > len(names):
            column = get_column_letter(len(cells))
            raise TabularFault(f"row {number:,} has a value in column {column}, which the first row gives no name")
        if index >= first:
            yield _encode({name: value for name, value in zip(names, cells, strict=False) if value is not None})


def _header(path: Path, rows: Iterator[Row]) -> list[str]:
    number, cells = next(rows, (0, []))
    if not cells:
        raise TabularFault(f"the sheet of {path.name} is empty: its first row has to name the fields")
    columns: dict[str, str] = {}
    for at, cell in enumerate(cells, 1):
        column = get_column_letter(at)
        name = "" if cell is None else cell.strip() if isinstance(cell, str) else _encode(cell).decode()
        if not name:
            raise TabularFault(f"column {column} has no name in row {number:,} of {path.name}")
        if name in columns:
            raise TabularFault(f"columns {columns[name]} and {column} of {path.name} are both named {name!r}")
        columns[name] = column
    if REJECTS_COLUMN in columns:
        # As records they would be imported with all that was added to them.
        raise TabularFault(
            f"{path.name} holds rejected records: save it from the spreadsheet as CSV, where they are known as such"
        )
    return list(columns)


def _rows(path: Path, sheet: str) -> Generator[Row, None, None]:
    """The rows that are not blank, with their numbers, each up to its last cell that is not."""
    with faults_told(path.name, WHAT):
        _check_archive(path)
        with closing(_opened(path)) as book:
            found = _sheet(book, sheet, path.name)
            # The size that a sheet states is often wrong, and rows would be cut off by it.
            found.reset_dimensions()
            for number, row in enumerate(found.iter_rows(), 1):
                if number > ROWS_MAX:
                    raise TabularFault(f"{path.name} claims to have more than {ROWS_MAX:,} rows")
                cells = [_value(cell) for cell in row]
                while cells and cells[-1] is None:
                    cells.pop()
                if cells:
                    yield number, cells


def _opened(path: Path) -> "Workbook":
    if not openpyxl.DEFUSEDXML:
        # Without it entities are expanded, and a few lines become gigabytes.
        raise TabularUnavailable
    # Of what it does not keep, such as rules for input: nothing of that is read here.
    warnings.filterwarnings("ignore", module=r"openpyxl\.")
    return openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)


def _sheet(book: "Workbook", name: str, file: str) -> Any:
    sheets: dict[str, Any] = {sheet.title: sheet for sheet in book.worksheets}
    if name in sheets:
        return sheets[name]
    if name or not sheets:
        raise TabularFault(f"{file} has no sheet {name!r}: it has {', '.join(map(repr, sheets)) or 'none'}")
    return next((sheet for sheet in sheets.values() if sheet.sheet_state == "visible"), book.worksheets[0])


def _value(cell: Any) -> object:
    value = cell.value
    if isinstance(value, str):
        return _CONTROL.sub(_character, value) if "_x00" in value else value or None
    if isinstance(value, float):
        return _texts.number(value)
    if isinstance(value, datetime):
        # Midnight is a time where times are shown, so that a column is of one form.
        only_date = value.time() == time.min and not _shows_time(cell.number_format)
        return (value.date() if only_date else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _texts.duration(value // MICROSECOND, 1_000_000)
    return value


@lru_cache(maxsize=256)
def _shows_time(number_format: str) -> bool:
    return any(letter in "hs" for letter in _LITERAL.sub("", number_format).lower())


def _character(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _check_archive(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) == b"\xd0\xcf\x11\xe0":
            raise TabularFault(
                f"{path.name} is protected by a password, or of Excel before 2007: save it as .xlsx without a password"
            )
    with ZipFile(path) as archive:
        for member in archive.infolist():
            limit_bytes = SHEET_BYTES if member.filename.startswith("xl/worksheets/") else PART_BYTES
            if member.file_size > limit_bytes:
                raise TabularFault(f"{path.name} is too large for a workbook: save the sheet as CSV")
            if member.file_size > max(SMALL_BYTES, RATIO_MAX * member.compress_size):
                raise TabularFault(f"{path.name} is packed more tightly than any workbook of Excel: save it anew")
