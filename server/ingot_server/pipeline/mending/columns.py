"""The columns of the CSV file of rejected records.

The file is made in two passes: the first sees which fields there are, and whether all their values are texts. What has
no column, because its name cannot be one or there is no room for more, stands as JSON in one last column.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from ingot_server.domain.formats import COLUMN_BYTES_MAX, HEADER_BYTES_MAX
from ingot_server.domain.records import RECORD_BYTES_MAX
from ingot_server.pipeline.mending.cells import (
    JSON_SUFFIX,
    column_name,
    fits_as_name,
    fits_as_text,
    json_cell,
    text_cell,
    text_in,
)
from ingot_server.pipeline.mending.members import BATCH, ERRORS, IMPORT, INDEX, LINE, MORE, PREFIX, RAW
from ingot_server.pipeline.mending.rejected import Rejected

COLUMNS_MAX = 16_384
"""So many a sheet of Excel has, and one of LibreOffice."""
_FIRST = (ERRORS, IMPORT, BATCH, INDEX, LINE, RAW)
_MORE = MORE + JSON_SUFFIX
_MARKS_BYTES = len("'" + JSON_SUFFIX) + 1
"""What a column may add to the name of its field, and the comma."""
_LINE_BREAKS_MAX = 500
"""In the texts of a row: a row that is read has at most 1,000 lines."""
_BEGINNING_CHARACTERS_MAX = 8_192
_TOO_LARGE = "The record is too large for a row of CSV, and only its beginning stands here: mend it in NDJSON."


class Columns:
    """Which columns there are, and how a record fills them."""

    def __init__(self, *, changing: bool) -> None:
        """`changing` says that the second pass may see what the first did not."""
        self._is_json: dict[str, bool] = {}
        self._has_more = changing
        self._room_bytes = HEADER_BYTES_MAX - len(",".join((*_FIRST, _MORE)))
        self._room = COLUMNS_MAX - len(_FIRST) - 1

    def see(self, found: Iterable[Rejected]) -> None:
        """Takes the fields of records into account."""
        for record in found:
            crowded = _line_breaks(record.text) > _LINE_BREAKS_MAX
            for name, value in (record.fields or {}).items():
                self._see(name, bytes(value), crowded=crowded)

    def _see(self, name: str, value: bytes, *, crowded: bool) -> None:
        if name not in self._is_json:
            if not self._takes(name):
                self._has_more = True
                return
            self._is_json[name] = name.endswith(JSON_SUFFIX)
        if not self._is_json[name]:
            self._is_json[name] = not fits_as_text(value) or (crowded and _line_breaks(value) > 0)

    def _takes(self, name: str) -> bool:
        name_bytes = len(name.encode()) + _MARKS_BYTES
        if name.startswith(PREFIX) or not fits_as_name(name) or name_bytes > COLUMN_BYTES_MAX:
            return False
        if not self._room or name_bytes > self._room_bytes:
            return False
        self._room -= 1
        self._room_bytes -= name_bytes
        return True

    @property
    def header(self) -> str:
        """The first row of the file."""
        names = (column_name(name, json=is_json) for name, is_json in self._is_json.items())
        return _row([*_FIRST, *names, *([_MORE] if self._has_more else [])])

    def row(self, found: Rejected) -> str:
        """The row of a record."""
        place = (found.batch_id, str(found.index)) if found.batch_id else ("", "")
        origin = (str(found.import_id or ""), _marked(place[0]), place[1], str(found.line or ""))
        cells = [_marked(found.errors), *origin, _raw_cell(found.raw)]
        rest = dict(found.fields or {})
        for name, is_json in self._is_json.items():
            value = bytes(rest.get(name, b""))
            if not value:
                cells.append("")
            elif is_json:
                cells.append(json_cell(bytes(rest.pop(name))))
            elif fits_as_text(value):
                cells.append(text_cell(text_in(bytes(rest.pop(name)))))
            else:
                cells.append("")
        if self._has_more:
            cells.append(json_cell(msgspec.json.encode(rest)) if rest else "")
        row = _row(cells)
        return row if len(row.encode()) <= RECORD_BYTES_MAX else self._too_large(found)

    def _too_large(self, found: Rejected) -> str:
        """The row of a record whose own would be too large to be read."""
        beginning = found.text.decode()[:_BEGINNING_CHARACTERS_MAX]
        return self.row(replace(found, errors=f"{found.errors}; {_TOO_LARGE}", fields=None, raw=beginning))


def _line_breaks(json: bytes) -> int:
    """How many line breaks there are in strings, or a few more."""
    return json.count(b"\\n") + json.count(b"\\u000")


def _marked(text: str) -> str:
    return text_cell(text) if text else ""


def _raw_cell(raw: str) -> str:
    return _marked(raw if raw.count("\n") <= _LINE_BREAKS_MAX else raw.replace("\n", "\\n"))


def _row(cells: list[str]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerow(cells)
    return file.getvalue()
