"""Turns rows of cells into JSON objects."""

from collections.abc import Sequence
from itertools import starmap
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()
_STRUCT_COLUMNS_MAX = 500


class RowEncoder:
    """Writes each row as one JSON object, its keys in the order of the columns and every value a string."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self.width = len(self._columns)
        self._struct = _row_struct(self._columns)

    def encode(self, rows: Sequence[Sequence[str]]) -> list[bytes]:
        """The JSON texts of rows that have as many cells as there are columns."""
        objects: list[Any]
        if self._struct is None:
            objects = [dict(zip(self._columns, row, strict=True)) for row in rows]
        else:
            objects = list(starmap(self._struct, rows))
        # Line breaks within values are escaped, so each line is an object.
        return _ENCODER.encode_lines(objects).split(b"\n")[:-1]


def _row_struct(columns: tuple[str, ...]) -> type[msgspec.Struct] | None:
    """A struct for rows, which encodes 3 times as fast as dicts; None if its keys could not be these columns."""
    if len(columns) > _STRUCT_COLUMNS_MAX:
        return None
    fields = [(f"c{number}", str) for number in range(len(columns))]
    try:
        return msgspec.defstruct("Row", fields, rename=dict(zip(dict(fields), columns, strict=True)), gc=False)
    except ValueError:
        # msgspec does not escape keys, and refuses those that need it.
        return None
