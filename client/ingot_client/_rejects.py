"""Files of rejected records, as from `export_rejects`, are known again, and refused where they do not belong.

They are told by the names of their columns. What cannot be read here is left to the server to judge.
"""

import codecs
import csv
import io
import zlib
from contextlib import suppress
from typing import Any, Final

import msgspec

from ingot.v1.batch_pb2 import Compression, DataFormat, FileType
from ingot_client._errors import SourceDiffers
from ingot_client._pieces import PIECE_BYTES
from ingot_client._sources import Source

ERRORS: Final = "ingot:errors"
IMPORT: Final = "ingot:import"
# Whatever a spreadsheet has made of the file, the server reads it.
DELIMITERS: Final = ",;\t|"


async def check_rejects(source: Source, form: DataFormat | None, *, rejected_by: str, replaces: bool) -> None:
    """Raises SourceDiffers if the source holds records that another import than `rejected_by` has rejected.

    Or any rejected records, if all others would be deleted: if it `replaces`. Only the first of them is looked at.
    """
    if form is None or not (rejected_by or replaces):
        return
    first = await source.next()
    await source.rewind(0)
    if first is None or not isinstance(first.content, bytes):
        return
    found = rejecting_import(first.content, form)
    if found is None:
        return
    if replaces:
        these = f"that import {found} has rejected" if found else "that were rejected"
        raise SourceDiffers(
            f"the data are the records {these}: a full replacement with them would delete all others. "
            "Mended records are imported with import_mended, or `ingot retry`"
        )
    if found and found != rejected_by:
        raise SourceDiffers(f"the data are records that import {found} has rejected, and not import {rejected_by}")


def rejecting_import(data: bytes, form: DataFormat) -> str | None:
    """The import that has rejected the first record of the data; empty if it does not tell, None if it is another."""
    text = _text(data, form)
    first = _first_row(text) if form.type == FileType.FILE_TYPE_CSV else _first_object(text)
    if ERRORS not in first:
        return None
    # An apostrophe in front of a number keeps it a text in a spreadsheet.
    return str(first.get(IMPORT) or "").strip().removeprefix("'")


def _text(data: bytes, form: DataFormat) -> str:
    try:
        if form.compression == Compression.COMPRESSION_GZIP:
            data = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data, PIECE_BYTES)
        return codecs.getincrementaldecoder(form.encoding or "utf-8")().decode(data).removeprefix("\ufeff")
    except (LookupError, ValueError, zlib.error):
        return ""


def _first_row(text: str) -> dict[str, Any]:
    for delimiter in DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        with suppress(csv.Error):
            header = [name.strip() for name in next(rows, [])]
            if ERRORS in header:
                return dict.fromkeys(header, "") | dict(zip(header, next(rows, []), strict=False))
    return {}


def _first_object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text.lstrip().partition("\n")[0], type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {}
