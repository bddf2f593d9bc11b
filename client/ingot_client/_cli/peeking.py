"""Looks at the beginning of a file before it is sent, for mistakes that would cost every record.

Only for files that can be read again. Whatever cannot be understood here is left to the server to judge.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ingot_client._cli.failing import fail

if TYPE_CHECKING:
    from ingot.v1.batch_pb2 import DataFormat

PEEK_BYTES: Final = 1024 * 1024
DELIMITERS: Final = ",;\t|"
SHOWN_COLUMNS: Final = 10


def check_beginning(path: Path, form: DataFormat, key_fields: Sequence[str], kind: str | None = None) -> None:
    """Ends the command if the file cannot be what the user takes it for.

    The fields of a kind other than GENERIC have many names, which only the server knows.
    """
    from ingot.v1.batch_pb2 import FileType  # noqa: PLC0415 - `--help` does not wait for protobuf

    # A pipe, as from `<(…)`, would be empty afterwards.
    if not path.is_file():
        return
    with path.open("rb") as file:
        text = _decoded(file.read(PEEK_BYTES), form.encoding)
    if form.type == FileType.FILE_TYPE_JSON_ARRAY and text.lstrip().startswith("{"):
        fail(
            f"{path.name} begins with an object, and not with an array of objects: "
            "if each line is an object, say --type ndjson"
        )
    if form.type == FileType.FILE_TYPE_CSV and not form.csv.columns:
        delimiter, quote = form.csv.delimiter or ",", form.csv.quote or '"'
        if kind not in {None, "GENERIC"}:
            _check_delimiter(path.name, text, delimiter, quote)
        elif key_fields:
            _check_header(path.name, text, delimiter, quote, key_fields, kind)


def _check_delimiter(name: str, text: str, delimiter: str, quote: str) -> None:
    columns = _header(text, delimiter, quote)
    for other in DELIMITERS:
        if len(columns) == 1 < len(_header(text, other, quote)):
            fail(f"the header of {name} has 1 column, {columns[0]!r}: is --delimiter {other!r} missing?")


def _check_header(
    name: str, text: str, delimiter: str, quote: str, key_fields: Sequence[str], kind: str | None
) -> None:
    columns = _header(text, delimiter, quote)
    missing = [field for field in key_fields if field not in columns]
    if not columns or not missing:
        return
    shown = ", ".join(map(repr, columns[:SHOWN_COLUMNS])) + (", …" if len(columns) > SHOWN_COLUMNS else "")
    count = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
    message = f"the header of {name} has {count}, {shown}, and no {' and no '.join(map(repr, missing))}"
    for other in DELIMITERS:
        if other != delimiter and set(key_fields) <= set(_header(text, other, quote)):
            fail(f"{message}: is --delimiter {other!r} missing?")
    what_to_do = "Say --key with a column of the header, or --columns if the file has no header row."
    if kind is None:
        what_to_do += (
            " If the records are of a kind, such as CONTACTS, leave out --key, and say --kind if the table is new."
        )
    fail(message, what_to_do)


def _header(text: str, delimiter: str, quote: str) -> list[str]:
    """The names of the columns; none if the first row cannot be read."""
    try:
        row = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote, strict=True), [])
    except (csv.Error, TypeError, ValueError):
        return []
    return [cell.strip() for cell in row]


def _decoded(data: bytes, encoding: str) -> str:
    """The data as text; nothing if it is none in this encoding. A character cut in two at the end is left out."""
    try:
        text = codecs.getincrementaldecoder(encoding or "utf-8")().decode(data)
    except (LookupError, ValueError):
        return ""
    return text.removeprefix("\ufeff")
