"""Finds where a row of a CSV file ends, and what is wrong with one that has no proper end.

A row is cells with delimiters between them. A cell is either quoted, with each inner quote doubled, or has no quote and
no carriage return in it. CRLF, LF and CR CR LF end a row. The `csv` module cannot be asked: it lets a quote within an
unquoted cell pass, and after an error it cannot tell where it stood.
"""

import re
from dataclasses import dataclass

from ingot_server.domain.records import RECORD_BYTES_MAX, RECORD_TOO_LARGE, ErrorCode, Fault

ROW_LINES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """A complete row."""

    text: bytes
    """The row without its line end."""
    end: int
    """Where the next row begins."""
    lines: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line on which a row begins that cannot be read. The next line is the beginning of another row."""

    text: bytes
    end: int
    fault: Fault
    complete: bool
    """Whether the line ended: if not, the rest of it is still to be skipped."""


class RowGrammar:
    """Reads rows with one choice of delimiter and quote."""

    def __init__(self, delimiter: str, quote: str) -> None:
        d, q = re.escape(delimiter.encode()), re.escape(quote.encode())
        quoted = rb"%b[^%b]*+(?:%b%b[^%b]*+)*+%b" % (q, q, q, q, q, q)
        plain = rb"[^%b%b\r\n]*+" % (q, d)
        cell = rb"(?:%b|%b)" % (quoted, plain)
        row = rb"(?:%b%b)*+%b\r*+(?:\n|\Z)" % (cell, d, cell)
        self._quote = quote.encode()
        self._quoted = re.compile(quoted)
        self._plain = re.compile(plain)
        self._cells = re.compile(rb"(?:%b%b)*+" % (cell, d))
        self._row = re.compile(row)
        # Without a lookahead the empty row at the end would match for ever.
        self._rows = re.compile(rb"(?:(?!\Z)%b)*+" % row)

    def proper_until(self, block: bytes) -> int:
        """Up to where `block` consists of proper rows."""
        found = self._rows.match(block)
        return found.end() if found else 0

    def read(self, data: bytes, start: int, line: int, final: bool) -> Row | BadLine | None:
        """The row that begins at `start`, on line `line`; None if more bytes are needed."""
        line_end = data.find(b"\n", start)
        # One byte more than a record: it may be the CR of a CRLF.
        if line_end < 0 and not final and len(data) - start <= RECORD_BYTES_MAX + 1:
            return None
        next_line = line_end + 1 or len(data)
        first_line = data[start:next_line].removesuffix(b"\n").removesuffix(b"\r")
        if len(first_line) > RECORD_BYTES_MAX:
            return BadLine(first_line, next_line, RECORD_TOO_LARGE, complete=line_end >= 0 or final)
        if self._quote not in first_line and b"\r" not in first_line:
            return Row(first_line, next_line, 1)
        found = self._read_quoted(data, start, line, final)
        return BadLine(first_line, next_line, found, complete=True) if isinstance(found, Fault) else found

    def _read_quoted(self, data: bytes, start: int, line: int, final: bool) -> Row | Fault | None:
        found = self._row.match(data, start, start + RECORD_BYTES_MAX + 2)
        if found is None:
            return self._fault(data, start, line, final)
        complete = found.group().endswith(b"\n") or (final and found.end() == len(data))
        text = found.group().rstrip(b"\r\n")
        lines = text.count(b"\n") + 1
        if complete and len(text) <= RECORD_BYTES_MAX and lines <= ROW_LINES_MAX:
            return Row(text, found.end(), lines)
        return self._endless(data, start, line) if complete or _beyond_limits(data, start) else None

    def _fault(self, data: bytes, start: int, line: int, final: bool) -> Fault | None:
        """Why the row has no proper end; None if more bytes are needed to say."""
        cells = self._cells.match(data, start)
        cell = cells.end() if cells else start
        cell_line = line + data.count(b"\n", start, cell)
        if data.startswith(self._quote, cell):
            closed = self._quoted.match(data, cell)
            if closed is None:
                if _beyond_limits(data, start):
                    return self._endless(data, start, line)
                return _unclosed(cell_line, "is never closed") if final else None
            wrong, problem = closed.end(), "text after the closing quote: expected a delimiter or the end of the row"
        else:
            plain = self._plain.match(data, cell)
            wrong = plain.end() if plain else cell
            problem = "a carriage return within a cell: put the cell in quotes"
            if data.startswith(self._quote, wrong):
                problem = "a quote within a cell: put the cell in quotes, and double the quotes in it"
        if wrong - start > RECORD_BYTES_MAX or data.count(b"\n", start, wrong) >= ROW_LINES_MAX:
            return self._endless(data, start, line)
        wrong_line = cell_line + data.count(b"\n", cell, wrong)
        if wrong_line > cell_line:
            return _unclosed(cell_line, f"goes on to line {wrong_line}, where text follows its end")
        column = len(data[data.rfind(b"\n", start, wrong) + 1 or start : wrong].decode(errors="replace")) + 1
        return Fault(ErrorCode.SYNTAX_ERROR, f"Line {wrong_line}, column {column}: {problem}.")

    def _endless(self, data: bytes, start: int, line: int) -> Fault:
        # Nothing behind the limit may be looked at: it need not have arrived yet.
        limit = min(start + RECORD_BYTES_MAX + 2, _lines_end(data, start))
        cells = self._cells.match(data, start, limit)
        cell = cells.end() if cells else start
        quote_line = line + data.count(b"\n", start, cell)
        return _unclosed(quote_line, f"makes a row of more than {ROW_LINES_MAX:,} lines or {RECORD_BYTES_MAX:,} bytes")


def _unclosed(quote_line: int, problem: str) -> Fault:
    advice = "close it, or double it if it belongs to the text"
    return Fault(ErrorCode.SYNTAX_ERROR, f"The quote that opens on line {quote_line} {problem}: {advice}.")


def _beyond_limits(data: bytes, start: int) -> bool:
    return len(data) - start > RECORD_BYTES_MAX + 1 or data.count(b"\n", start) >= ROW_LINES_MAX


def _lines_end(data: bytes, start: int) -> int:
    end = start
    for _ in range(ROW_LINES_MAX):
        end = data.find(b"\n", end) + 1
        if not end:
            return len(data)
    return end
