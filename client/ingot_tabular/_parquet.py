"""Parquet files: a row is a record, and a column a field.

Whole numbers and decimals keep every digit; a float is the shortest number that stands for it. Null is null. NaN is
null too, because pandas writes it for what is missing; infinity, which JSON has no number for, is the text `Infinity`.
Dates, times and durations are written as ISO 8601, and moments in UTC with a `Z` if their column has a zone. Bytes are
text if they are UTF-8. Lists, structs and maps become arrays and objects; the key of a map is a name.

Read by pyarrow, in batches of about 8 MiB and 1,000 rows.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from ingot_tabular._faults import TabularFault, extra_needed, faults_told

with extra_needed():
    import pyarrow.parquet

    from ingot_tabular._columns import values_of

WHAT: Final = "Parquet"
BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 8 << 20
BUFFER_BYTES: Final = 1 << 20

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def read(path: Path, first: int) -> Iterator[bytes]:
    """The records from number `first` on; row groups before it are not read."""
    file = _opened(path)
    return _records(file, path.name, file.schema_arrow.names, first)


def column_names(path: Path) -> list[str]:
    """The names of the columns."""
    with closing(_opened(path)) as file:
        return list(file.schema_arrow.names)


def record_count(path: Path) -> int:
    """How many rows the file says it has."""
    with closing(_opened(path)) as file:
        return int(file.metadata.num_rows)


def _opened(path: Path) -> Any:
    with faults_told(path.name, WHAT):
        # Buffered: otherwise the columns of a whole row group are in memory at once.
        file = pyarrow.parquet.ParquetFile(
            path, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        )
        names = file.schema_arrow.names
        for at, name in enumerate(names):
            if not name:
                raise TabularFault(f"column {at + 1} of {path.name} has no name")
            if name in names[:at]:
                raise TabularFault(f"{path.name} has two columns named {name!r}")
        return file


def _records(file: Any, file_name: str, names: list[str], first: int) -> Iterator[bytes]:
    with closing(file), faults_told(file_name, WHAT):
        skipped = 0
        for group in range(file.num_row_groups):
            sizes = file.metadata.row_group(group)
            if skipped + sizes.num_rows <= first:
                skipped += sizes.num_rows
                continue
            row_bytes = sizes.total_byte_size // max(1, sizes.num_rows)
            batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, row_bytes)))
            for batch in file.iter_batches(batch_rows, row_groups=[group], use_threads=False):
                start = min(first - skipped, batch.num_rows)
                skipped += start
                if start < batch.num_rows:
                    yield from _lines(batch.slice(start), names)


def _lines(batch: Any, names: list[str]) -> Iterator[bytes]:
    columns = [_column(array, name) for array, name in zip(batch.columns, names, strict=True)]
    for row in zip(*columns, strict=True):
        yield _encode(dict(zip(names, row, strict=True)))


def _column(array: Any, name: str) -> list[Any]:
    try:
        return values_of(array)
    except UnicodeDecodeError:
        raise TabularFault(f"the column {name!r} holds bytes that are not text in UTF-8") from None
    except (ValueError, OverflowError, NotImplementedError) as error:
        raise TabularFault(f"the column {name!r} cannot be written as JSON: {error}") from error
