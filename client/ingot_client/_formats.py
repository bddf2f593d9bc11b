"""Says how a file is to be read: from its name and from what the user says."""

import os
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final, TypedDict

from ingot.v1.batch_pb2 import Compression, CsvOptions, DataFormat, FileType
from ingot_client._translating import names, number

TYPES: Final = {
    "ndjson": FileType.FILE_TYPE_NDJSON,
    "csv": FileType.FILE_TYPE_CSV,
    "json": FileType.FILE_TYPE_JSON_ARRAY,
}

# Files of these types are fetched by the server; the client reads them itself.
FETCHED_TYPES: Final = {
    **TYPES,
    "excel": FileType.FILE_TYPE_EXCEL,
    "parquet": FileType.FILE_TYPE_PARQUET,
}

COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd"}

# Suffix: type and delimiter.
SUFFIXES: Final = {
    ".ndjson": ("ndjson", ""),
    ".jsonl": ("ndjson", ""),
    ".csv": ("csv", ""),
    ".tsv": ("csv", "\t"),
    ".json": ("json", ""),
}


class FileOptions(TypedDict, total=False):
    """How a file is read. All of it may be left out, if its name tells enough.

    `type`: ndjson, csv or json, which is one array of objects; for a file that the server fetches also excel or
        parquet. By default the suffix tells.
    `sheet`: the sheet of an Excel workbook; by default the first.
    `delimiter`, `quote`: the characters that separate and enclose the cells of CSV.
    `encoding`: of the text, as in latin-1; by default UTF-8, or what a byte order mark says.
    `columns`: the names of the columns of CSV without a header.
    `compression`: GZIP, ZSTD or NONE, in any case; by default .gz or .zst behind the suffix tells.
    """

    type: str | None
    sheet: str | None
    delimiter: str | None
    quote: str | None
    encoding: str | None
    columns: Iterable[str]
    compression: str | None


class TypeUnknown(ValueError):
    """Nothing tells the type of the data."""


def data_format(
    name: object,
    *,
    type: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    encoding: str | None = None,
    columns: Iterable[str] = (),
    compression: str | None = None,
) -> DataFormat:
    """The format of the file called `name`; ValueError if neither its suffix nor `type` tells.

    `name` may be anything: what is not a path has no suffix.
    """
    path = PurePath(os.fspath(name)) if isinstance(name, str | os.PathLike) else PurePath()
    packed = COMPRESSIONS.get(path.suffix.lower(), "")
    suffix = (path.with_suffix("") if packed else path).suffix.lower()
    by_suffix, usual_delimiter = SUFFIXES.get(suffix, (None, ""))
    chosen = type.lower() if isinstance(type, str) and type else type or by_suffix
    if chosen not in TYPES:
        said = repr(type) if type else f"the suffix {suffix!r}" if suffix else "a source without a suffix"
        raise TypeUnknown(f"{said} does not tell the type of the data: choose ndjson, csv or json")
    columns = names(columns)
    csv: CsvOptions | None = None
    if chosen == "csv":
        csv = _csv(delimiter or (usual_delimiter if by_suffix == "csv" else ""), quote, columns)
    elif delimiter or quote or columns:
        raise ValueError(f"delimiter, quote and columns are for csv, and this is {chosen}")
    return DataFormat(
        type=TYPES[chosen], encoding=encoding or "", csv=csv, compression=_compression(compression or packed)
    )


def reference_format(
    *,
    type: str | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    encoding: str | None = None,
    columns: Iterable[str] = (),
    compression: str | None = None,
) -> DataFormat:
    """The format of a file that the server fetches, as far as it is given: the server takes the rest from its name."""
    chosen = FETCHED_TYPES.get(type.lower()) if type else FileType.FILE_TYPE_UNSPECIFIED
    if chosen is None:
        raise TypeUnknown(f"{type!r} is not a type of data: choose {', '.join(FETCHED_TYPES)}")
    columns = names(columns)
    return DataFormat(
        type=chosen,
        encoding=encoding or "",
        csv=_csv(delimiter, quote, columns) if delimiter or quote or columns else None,
        compression=_compression(compression or ""),
        sheet=sheet or "",
    )


def _csv(delimiter: str | None, quote: str | None, columns: list[str]) -> CsvOptions:
    return CsvOptions(
        delimiter=_one_character("delimiter", delimiter), quote=_one_character("quote", quote), columns=columns
    )


def _compression(word: str) -> Compression.ValueType:
    found: Compression.ValueType = number(Compression, word, "COMPRESSION_")
    return found


def _one_character(what: str, text: str | None) -> str:
    if text and (not isinstance(text, str) or len(text) != 1 or not text.isascii()):
        raise ValueError(f"the {what} must be one ASCII character, not {text!r}")
    return text or ""
