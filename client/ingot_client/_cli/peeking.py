"""Looks at the beginning of a file before it is sent, for mistakes that would cost every record.

Only for files that can be read again. Whatever cannot be understood here is left to the server to judge.
"""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ingot_client._cli.failing import fail
from ingot_tabular import column_names

if TYPE_CHECKING:
    from ingot.v1.batch_pb2 import Compression, DataFormat

PEEK_BYTES: Final = 1024 * 1024
DELIMITERS: Final = ",;\t|"
SHOWN_COLUMNS: Final = 10
# A column of the file of rejected records.
MENDED: Final = "ingot:errors"
# The longer mark begins as the shorter one.
BYTE_ORDER_MARKS: Final = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
MAGIC: Final = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def check_beginning(
    path: Path, form: DataFormat | None, key_fields: Sequence[str], kind: str | None = None, *, sheet: str = ""
) -> None:
    """Ends the command if the file cannot be what the user takes it for. Without a format it is Excel or Parquet.

    The fields of a kind other than GENERIC have many names, which only the server knows.
    """
    from ingot.v1.batch_pb2 import FileType  # noqa: PLC0415 - `--help` does not wait for protobuf

    # A pipe, as from `<(…)`, would be empty afterwards.
    if not path.is_file():
        return
    if form is None:
        if key_fields and kind in {None, "GENERIC"}:
            _check_columns(path, sheet, key_fields)
        return
    with path.open("rb") as file:
        data = _unpacked(path.name, file.read(PEEK_BYTES), form.compression)
    _check_encoding(path.name, data, form.encoding)
    text = _decoded(data, form.encoding)
    if form.type == FileType.FILE_TYPE_JSON_ARRAY and text.lstrip().startswith("{"):
        fail(
            f"{path.name} begins with an object, and not with an array of objects: "
            "if each line is an object, say --type ndjson"
        )
    if form.type == FileType.FILE_TYPE_CSV and not form.csv.columns:
        delimiter, quote = form.csv.delimiter or ",", form.csv.quote or '"'
        if any(MENDED in _header(text, other, quote) for other in DELIMITERS):
            # The server knows its own file again, whatever a spreadsheet has made of it.
            return
        if kind not in {None, "GENERIC"}:
            _check_delimiter(path.name, text, delimiter, quote)
        elif key_fields:
            _check_header(path.name, text, delimiter, quote, key_fields, kind)


def _unpacked(name: str, data: bytes, compression: Compression.ValueType) -> bytes:
    """The beginning of what is in a compressed file; nothing if that cannot be told here."""
    from ingot.v1.batch_pb2 import Compression  # noqa: PLC0415 - `--help` does not wait for protobuf

    said = {Compression.COMPRESSION_GZIP: "gzip", Compression.COMPRESSION_ZSTD: "zstd"}.get(compression, "none")
    found = next((word for word, magic in MAGIC.items() if data.startswith(magic)), "none")
    # Files of zstd may begin otherwise.
    if data and found != said and (said != "zstd" or found != "none"):
        what = "is not compressed" if found == "none" else f"is compressed with {found}"
        fail(f"{name} {what}: say --compression {found}")
    if found != "gzip":
        return b"" if said == "zstd" else data
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data, PEEK_BYTES)
    except zlib.error:
        return b""


def _check_encoding(name: str, data: bytes, encoding: str) -> None:
    if encoding.lower() not in {"", "utf-8", "utf8"}:
        return
    for other, marks in BYTE_ORDER_MARKS.items():
        if data.startswith(marks):
            fail(f"{name} looks like {other.upper()}: say --encoding {other}")


def _check_delimiter(name: str, text: str, delimiter: str, quote: str) -> None:
    columns = _header(text, delimiter, quote)
    for other in DELIMITERS:
        if len(columns) == 1 < len(_header(text, other, quote)):
            fail(f"the header of {name} has 1 column, {columns[0]!r}: is --delimiter {other!r} missing?")


def _check_header(
    name: str, text: str, delimiter: str, quote: str, key_fields: Sequence[str], kind: str | None
) -> None:
    columns = _header(text, delimiter, quote)
    if not columns or not (lack := _lack(columns, key_fields)):
        return
    message = f"the header of {name} has {lack}"
    for other in DELIMITERS:
        if other != delimiter and set(key_fields) <= set(_header(text, other, quote)):
            fail(f"{message}: is --delimiter {other!r} missing?")
    what_to_do = "Say --key with a column of the header, or --columns if the file has no header row."
    if kind is None:
        what_to_do += (
            " If the records are of a kind, such as CONTACTS, leave out --key, and say --kind if the table is new."
        )
    fail(message, what_to_do)


def _check_columns(path: Path, sheet: str, key_fields: Sequence[str]) -> None:
    if lack := _lack(column_names(path, sheet=sheet), key_fields):
        fail(f"{path.name} has {lack}", "Say --key with one of its columns.")


def _lack(columns: Sequence[str], key_fields: Sequence[str]) -> str:
    """Which columns there are, and which are not; nothing if all are there."""
    missing = [field for field in key_fields if field not in columns]
    if not missing:
        return ""
    shown = ", ".join(map(repr, columns[:SHOWN_COLUMNS])) + (", …" if len(columns) > SHOWN_COLUMNS else "")
    count = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
    return f"{count}, {shown}, and no {' and no '.join(map(repr, missing))}"


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
