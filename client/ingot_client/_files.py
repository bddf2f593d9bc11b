"""A file that is to be sent: as its bytes, or, if it is an Excel workbook or Parquet, as the records in it."""

import io
import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import IO

from ingot.v1.batch_pb2 import DataFormat
from ingot_client import _user_code
from ingot_client._formats import COMPRESSIONS, data_format
from ingot_client._pieces import cut_records
from ingot_client._sources import Source, StreamSource, file_source, in_users_place
from ingot_tabular import is_tabular, is_workbook, read_records, record_count

File = str | os.PathLike[str] | IO[bytes]


def file_format(
    file: object,
    *,
    sheet: str | None = None,
    type: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
    encoding: str | None = None,
    columns: Iterable[str] = (),
    compression: str | None = None,
) -> DataFormat | None:
    """The format of a file that is sent as it is; None for one that is sent as records.

    ValueError if the parameters make no sense for the file.
    """
    name = getattr(file, "name", file)
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else ""
    if sheet and (type or not is_workbook(text)):
        raise ValueError("sheet is for Excel workbooks: .xlsx, .xlsm")
    if type or not is_tabular(text):
        return data_format(
            PurePath(text).with_suffix("") if _unpacks_itself(file, text) else name,
            type=type,
            delimiter=delimiter,
            quote=quote,
            encoding=encoding,
            columns=columns,
            compression=compression,
        )
    if delimiter or quote or encoding or columns or compression:
        raise ValueError(
            "delimiter, quote, encoding, columns and compression are for text, and this is Excel or Parquet"
        )
    if not isinstance(file, str | os.PathLike):
        raise TypeError("an Excel or Parquet file is given by its path")
    return None


def _unpacks_itself(file: object, name: str) -> bool:
    """Whether the file has the name of a compressed one and gives what is in it, as those of `gzip.open` do."""
    return PurePath(name).suffix.lower() in COMPRESSIONS and not isinstance(
        file, str | os.PathLike | io.BufferedReader | io.BufferedRandom | io.FileIO
    )


async def opened(file: File, form: DataFormat | None, sheet: str | None) -> Source:
    """The file as a source. What is wrong with it comes as UserCodeFailed, if it shows before it is read."""
    if form is not None:
        return file_source(file)
    # There is only a path: `file_format` has seen to it.
    path = Path(file)  # type: ignore[arg-type]
    name = sheet or ""
    records = await _user_code.run_blocking(lambda: read_records(path, sheet=name))
    total = await _user_code.run_blocking(lambda: record_count(path, sheet=name))
    return StreamSource(in_users_place(cut_records(records), _user_code.run_blocking), "RECORDS", total)
