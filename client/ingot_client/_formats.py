"""Says how a file is to be read: from its name and from what the user says."""

import os
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

from ingot.v1.batch_pb2 import CsvOptions, DataFormat, FileType
from ingot_client._translating import names

TYPES: Final = {
    "ndjson": FileType.FILE_TYPE_NDJSON,
    "csv": FileType.FILE_TYPE_CSV,
    "json": FileType.FILE_TYPE_JSON_ARRAY,
}

# Suffix: type and delimiter.
SUFFIXES: Final = {
    ".ndjson": ("ndjson", ""),
    ".jsonl": ("ndjson", ""),
    ".csv": ("csv", ""),
    ".tsv": ("csv", "\t"),
    ".json": ("json", ""),
}


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
) -> DataFormat:
    """The format of the file called `name`; ValueError if neither its suffix nor `type` tells.

    `name` may be anything: what is not a path has no suffix.
    """
    suffix = PurePath(os.fspath(name)).suffix.lower() if isinstance(name, str | os.PathLike) else ""
    by_suffix, usual_delimiter = SUFFIXES.get(suffix, (None, ""))
    chosen = type.lower() if isinstance(type, str) and type else type or by_suffix
    if chosen not in TYPES:
        said = repr(type) if type else f"the suffix {suffix!r}" if suffix else "a source without a suffix"
        raise TypeUnknown(f"{said} does not tell the type of the data: choose ndjson, csv or json")
    columns = names(columns)
    csv: CsvOptions | None = None
    if chosen == "csv":
        delimiter = delimiter or (usual_delimiter if by_suffix == "csv" else "")
        csv = CsvOptions(
            delimiter=_one_character("delimiter", delimiter), quote=_one_character("quote", quote), columns=columns
        )
    elif delimiter or quote or columns:
        raise ValueError(f"delimiter, quote and columns are for csv, and this is {chosen}")
    return DataFormat(type=TYPES[chosen], encoding=encoding or "", csv=csv)


def _one_character(what: str, text: str | None) -> str:
    if text and (not isinstance(text, str) or len(text) != 1 or not text.isascii()):
        raise ValueError(f"the {what} must be one ASCII character, not {text!r}")
    return text or ""
