"""CSV: each row is a record, in which every value is a string, exactly as in the file.

The first row names the columns, unless they were given with the format. Names are stripped of surrounding blanks, and
must be distinct and not empty: else nothing can be read (UNREADABLE_REST). A blank line, a row with too few or too many
cells, with a NUL or with bytes that are not UTF-8, is rejected alone.

A row with a syntax error, and one with a quote that is not closed within 1,000 lines and RECORD_BYTES_MAX bytes, is
rejected as the one line on which it begins, and reading goes on at the very next line: a forgotten quote costs a row,
not the file. Lines are counted as they stand in the file, and a row of several lines is on the line where it begins.
"""

import csv
import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ingot_server.domain.formats import DataFormat, column_fault
from ingot_server.domain.records import RECORD_BYTES_MAX, Decoded, ErrorCode, Fault
from ingot_server.pipeline.decoding.decoder import BYTE_ORDER_MARK
from ingot_server.pipeline.decoding.gathering import Gathering
from ingot_server.pipeline.decoding.mended_rows import (
    DELIMITERS,
    MendedRowEncoder,
    columns_fault,
    is_mended,
    saved_with,
)
from ingot_server.pipeline.decoding.pace import Pace
from ingot_server.pipeline.decoding.row_json import RowEncoder
from ingot_server.pipeline.decoding.row_records import PlainRows, Rows, is_utf8
from ingot_server.pipeline.decoding.rows import ROW_LINES_MAX, BadLine, Row, RowGrammar

_SHOWN_CHARACTERS_MAX = 80

# Process-wide, and this is its only user: the default of 131,072 would refuse cells that a record may hold.
csv.field_size_limit(RECORD_BYTES_MAX)


class TableDecoder:
    """Reads CSV in UTF-8."""

    def __init__(self, format: DataFormat, state: dict[str, Any]) -> None:
        self._read_as(state.get("delimiter", format.delimiter), state.get("quote", format.quote))
        self._pace = Pace()
        self._index: int = state.get("index", 0)
        self._line: int = state.get("line", 1)
        self._skipping: bool = state.get("skipping", False)
        self._lost: bool = state.get("lost", False)
        self._columns: list[str] | None = state.get("columns") or list(format.columns) or None
        self._encoder = _encoder(self._columns or ())

    def _read_as(self, delimiter: str, quote: str) -> None:
        self._dialect: dict[str, Any] = {"delimiter": delimiter, "quotechar": quote, "strict": True}
        self._delimiter, self._quote = delimiter, quote
        self._grammar = RowGrammar(delimiter, quote)

    def state(self) -> dict[str, Any]:
        return {
            "index": self._index,
            "line": self._line,
            "skipping": self._skipping,
            "lost": self._lost,
            "columns": self._columns,
            "delimiter": self._delimiter,
            "quote": self._quote,
        }

    def feed(self, data: bytes, final: bool) -> tuple[Decoded, int]:
        found = Gathering(self._index)
        consumed = self._read(data, final, found)
        self._index = found.next_index
        return found.decoded(), consumed

    def lose(self, rest: bytes, fault: Fault) -> Decoded:
        found = Gathering(self._index)
        if not self._lost:
            found.reject(self._line, rest, fault)
        self._lost, self._index = True, found.next_index
        return found.decoded()

    def _read(self, data: bytes, final: bool, found: Gathering) -> int:
        position = 0
        if self._skipping:
            position = data.find(b"\n") + 1
            if not position:
                return len(data)
            self._skipping = False
            self._line += 1
        elif self._line == 1 and data.startswith(BYTE_ORDER_MARK):
            position = len(BYTE_ORDER_MARK)
        # A byte order mark alone is not consumed, for what follows it must still be known to be the first line.
        consumed = len(data) if final else 0 if self._line == 1 else position
        while position < len(data) and not self._lost:
            if self._columns is None:
                first_line = data[position : data.find(b"\n", position) + 1 or len(data)].removesuffix(b"\n")
                self._read_as(*saved_with(first_line, self._delimiter, self._quote))
            after = self._read_block(data, position, final, found)
            if after == position:
                row = self._grammar.read(data, position, self._line, final)
                if row is None:
                    break
                after = self._read_row(row, found)
            position = consumed = after
        return len(data) if self._lost else consumed

    def _read_row(self, row: Row | BadLine, found: Gathering) -> int:
        if self._columns is None:
            self._read_header(row, found)
        elif isinstance(row, Row):
            self._take([self._cells(row.text)], [row.lines], row.text, found)
        else:
            found.reject(self._line, row.text, row.fault)
            self._skipping = not row.complete
        self._line += row.lines if isinstance(row, Row) else 0 if self._skipping else 1
        return row.end

    def _read_header(self, header: Row | BadLine, found: Gathering) -> None:
        if isinstance(header, Row):
            columns = tuple(cell.strip() for cell in self._cells(header.text)) or ("",)
            if is_mended(columns):
                # Spreadsheets count columns in which something has stood once.
                while not columns[-1]:
                    columns = columns[:-1]
            fault = self._other_delimiter(header.text, columns)
            fault = fault or column_fault(columns) or (columns_fault(columns) if is_mended(columns) else None)
            if not is_utf8(header.text):
                fault = "expected column names in the encoding of the file"
        else:
            fault = header.fault.message
        if fault:
            why = fault.removesuffix(".")
            message = f"The header, on line {self._line}, cannot be used: {why}. Nothing after it was read."
            found.reject(self._line, header.text, Fault(ErrorCode.UNREADABLE_REST, message))
            self._lost = True
        else:
            self._columns = list(columns)
            self._encoder = _encoder(columns)

    def _other_delimiter(self, header: bytes, columns: Sequence[str]) -> str | None:
        """What was expected if the only column is several, with something else between them; None if it is not so."""
        if len(columns) > 1 or self._quote.encode() in header:
            return None
        between, names = max(
            ((candidate, columns[0].split(candidate)) for candidate in (*DELIMITERS, "|")),
            key=lambda found: len(found[1]),
        )
        if len(names) == 1 or column_fault(tuple(name.strip() for name in names)):
            return None
        return (
            f"expected `{self._delimiter}` between columns, got {columns[0][:_SHOWN_CHARACTERS_MAX]!r}: give"
            f" {between!r} as the delimiter, or put the header in quotes if it is one column"
        )

    def _take(
        self, rows: list[list[str]] | PlainRows, line_ends: Sequence[int], block: bytes, found: Gathering
    ) -> None:
        Rows(rows, line_ends, block, self._line).become_records(self._encoder, found)

    def _cells(self, text: bytes) -> list[str]:
        return next(csv.reader([text.decode(errors="surrogateescape")], **self._dialect))

    def _read_block(self, data: bytes, start: int, final: bool, found: Gathering) -> int:
        """Reads many rows at once; where it stopped, which is `start` if the next row needs care."""
        block_bytes = self._pace.block_bytes() if self._columns else 0
        end = start + block_bytes
        end = len(data) if final and end >= len(data) else data.rfind(b"\n", start, end) + 1
        if end <= start:
            return start
        block = data[start:end]
        rows, line_ends = self._parse(block)
        if len(rows) and line_ends[-1] == block.count(b"\n") + (not block.endswith(b"\n")):
            self._pace.succeeded()
        else:
            self._pace.failed()
            if not rows:
                return start
            block = _first_lines(block, line_ends[-1])
        self._take(rows, line_ends, block, found)
        self._line += line_ends[-1]
        return start + len(block)

    def _parse(self, block: bytes) -> tuple[list[list[str]] | PlainRows, Sequence[int]]:
        """The rows up to the first one that needs care, and for each how many lines there are up to its end."""
        text = block.decode(errors="surrogateescape")
        plain = text.replace("\r\n", "\n") if "\r" in text else text
        if self._quote not in plain and "\r" not in plain:
            # Twice as fast as the csv module, and the same: no cell is quoted.
            lines = plain.removesuffix("\n").split("\n")
            return PlainRows(lines, self._delimiter), range(1, len(lines) + 1)
        # newline="\n": lines end there and nowhere else, and carriage returns stay.
        reader = csv.reader(io.StringIO(text, newline="\n"), **self._dialect)
        rows: list[list[str]] = []
        line_ends: list[int] = []
        try:
            for row in reader:
                rows.append(row)
                line_ends.append(reader.line_num)
        except csv.Error:
            pass
        good = self._proper_rows(block, rows, line_ends)
        return rows[:good], line_ends[:good]

    def _proper_rows(self, block: bytes, rows: list[list[str]], line_ends: list[int]) -> int:
        """How many rows are as they should be: the csv module lets a quote within an unquoted cell pass."""
        good = len(rows)
        if self._quote in "".join(map("".join, rows)):
            proper = self._grammar.proper_until(block)
            if proper < len(block):
                good = bisect_right(line_ends, block.count(b"\n", 0, proper))
        for number, (before, line_end) in enumerate(pairwise([0, *line_ends[:good]])):
            if line_end - before > ROW_LINES_MAX:
                return number
        return good


def _encoder(columns: Sequence[str]) -> RowEncoder | MendedRowEncoder:
    return MendedRowEncoder(columns) if is_mended(columns) else RowEncoder(columns)


def _first_lines(block: bytes, count: int) -> bytes:
    """The first `count` lines of a block that has more."""
    return block[: len(block) - len(block.split(b"\n", count)[-1])]
