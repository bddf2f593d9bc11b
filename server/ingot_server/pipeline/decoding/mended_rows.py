"""Rows of a CSV file of rejected records that somebody has mended, in a spreadsheet or an editor.

Columns may have been moved, added and deleted, and the file may have been saved with another delimiter or quote. An
empty cell is a missing field. Spreadsheets leave empty cells away at the end of a row, or add some to all rows.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from ingot_server.domain.records import EMPTY_LINE, ErrorCode, Fault
from ingot_server.pipeline.decoding.row_json import cell_count
from ingot_server.pipeline.mending.cells import field_of, json_of, text_of
from ingot_server.pipeline.mending.members import ERRORS, MORE, PREFIX, RAW, restored
from ingot_server.pipeline.mending.rejected import Fields

DELIMITERS = (",", ";", "\t")
"""Those with which files of CSV are saved."""
_NO_JSON = "Expected JSON, such as 12, true, null or a text in double quotes; an empty cell leaves the field out."


def is_mended(columns: Sequence[str]) -> bool:
    """Whether a header is that of a file of rejected records."""
    return ERRORS in columns


def saved_with(header: bytes, delimiter: str, quote: str) -> tuple[str, str]:
    """The delimiter and the quote of a file of rejected records, by its first line; those given for any other file."""
    for candidate in (delimiter, *DELIMITERS):
        between = re.escape(candidate.encode())
        found = re.search(rb"(?:^|%b)([\"']?)%b\1(?:%b|\r?$)" % (between, ERRORS.encode(), between), header)
        if found:
            return candidate, found[1].decode() or quote
    return delimiter, quote


def columns_fault(columns: Sequence[str]) -> str | None:
    """What was expected of the columns, beyond what their names must be by themselves; None if that is so."""
    fields = Counter(field_of(column)[0] for column in columns)
    field, times = fields.most_common(1)[0]
    if times == 1:
        return None
    same = " and ".join(repr(column) for column in columns if field_of(column)[0] == field)
    return f"expected one column for each field, got {same}"


class MendedRowEncoder:
    """Writes each row as the record that was rejected, with what was mended."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = [(column, *field_of(column)) for column in columns]

    def encode_all(self, rows: Iterable[Sequence[str]]) -> list[bytes] | None:
        """None: each row is asked for its faults."""
        return None

    def faults(self, row: Sequence[str], source: bytes) -> list[Fault]:
        """What is wrong with a row."""
        if _is_blank(row):
            return [EMPTY_LINE]
        if any(row[len(self._columns) :]):
            return [cell_count(len(row), len(self._columns))]
        members, faults = self._members(row)
        return faults + restored(members)[1]

    def encode(self, rows: Iterable[Sequence[str]]) -> list[bytes]:
        """The JSON texts of rows without faults."""
        return [restored(self._members(row)[0])[0] for row in rows]

    def shown(self, row: Sequence[str], source: bytes) -> bytes:
        """A row with faults as it is shown: as a record, if it can be read, so that it can be mended once more."""
        if _is_blank(row) or any(row[len(self._columns) :]):
            return source
        return restored(self._members(row)[0])[0]

    def _members(self, row: Sequence[str]) -> tuple[Fields, list[Fault]]:
        members: Fields = {}
        faults = []
        for (column, field, is_json), cell in zip(self._columns, row, strict=False):
            if not cell or (is_json and not cell.strip()) or (column.startswith(PREFIX) and field not in (RAW, MORE)):
                continue
            value = json_of(cell) if is_json else _text(cell)
            if value is None:
                faults.append(Fault(ErrorCode.SYNTAX_ERROR, _NO_JSON, field))
            members[field] = _text(cell) if value is None else value
        return members, faults


def _is_blank(row: Sequence[str]) -> bool:
    return not any(map(str.strip, row))


def _text(cell: str) -> msgspec.Raw:
    # Bytes that are not UTF-8 are told elsewhere, and here they are shown.
    text = text_of(cell).encode(errors="surrogateescape").decode(errors="backslashreplace")
    return msgspec.Raw(msgspec.json.encode(text))
