"""Reads Excel workbooks and Parquet files as records, a few at a time.

    people.xlsx      ──► workbooks ──┐
                                     ├──► lines of JSON, from any record on
    people.parquet   ──► parquet   ──┘

A file is opened at once and read as the records are asked for: what is wrong with its beginning is told before there
is a first record. The libraries behind it come with the extra `tabular` and are loaded when a file is opened.
"""

__all__ = [
    "TabularFault",
    "TabularUnavailable",
    "column_names",
    "is_tabular",
    "is_workbook",
    "read_records",
    "record_count",
    "tabular_is_installed",
]

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Final

from ingot_tabular._faults import TabularFault, TabularUnavailable

WORKBOOKS: Final = frozenset({".xlsx", ".xlsm"})
PARQUET: Final = ".parquet"


def tabular_is_installed() -> bool:
    """Whether the extra is there, without loading it."""
    return all(find_spec(name) is not None for name in ("openpyxl", "defusedxml", "pyarrow"))


def is_tabular(name: str) -> bool:
    """Whether a file of this name is one that `read_records` takes."""
    return is_workbook(name) or PurePath(name).suffix.lower() == PARQUET


def is_workbook(name: str) -> bool:
    """Whether a file of this name has sheets."""
    return PurePath(name).suffix.lower() in WORKBOOKS


def read_records(path: Path, *, sheet: str = "", first: int = 0) -> Iterator[bytes]:
    """The records as JSON objects, one line of text each, from record number `first` on.

    The same file gives the same records each time. `sheet` is the name of a workbook's sheet, by default the first
    that is not hidden. Raises TabularFault if the file is not what its name says, here or at the record where it
    shows, and TabularUnavailable without the extra.
    """
    if is_workbook(path.name):
        from ingot_tabular import _workbooks  # noqa: PLC0415 - the extra is loaded only for those who use it

        return _workbooks.read(path, sheet, first)
    from ingot_tabular import _parquet  # noqa: PLC0415 - as above

    _refuse_sheet(path, sheet)
    return _parquet.read(path, first)


def column_names(path: Path, *, sheet: str = "") -> list[str]:
    """The names of the fields, in the file's order."""
    if is_workbook(path.name):
        from ingot_tabular import _workbooks  # noqa: PLC0415 - as above

        return _workbooks.column_names(path, sheet)
    from ingot_tabular import _parquet  # noqa: PLC0415 - as above

    _refuse_sheet(path, sheet)
    return _parquet.column_names(path)


def record_count(path: Path, *, sheet: str = "") -> int | None:
    """How many records there are, where the file says so; a workbook does not."""
    if is_workbook(path.name):
        return None
    from ingot_tabular import _parquet  # noqa: PLC0415 - as above

    _refuse_sheet(path, sheet)
    return _parquet.record_count(path)


def _refuse_sheet(path: Path, sheet: str) -> None:
    if sheet:
        raise TabularFault(f"{path.name} has no sheets: only Excel workbooks have them")
