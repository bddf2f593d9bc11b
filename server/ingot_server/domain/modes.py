"""Write modes: what happens to a record whose key the table holds already."""

from enum import StrEnum


class WriteMode(StrEnum):
    """What happens to a record whose key the table holds already; write_mode.proto explains each."""

    REPLACE = "REPLACE"
    MERGE = "MERGE"
    FILL_EMPTY = "FILL_EMPTY"
    SKIP_EXISTING = "SKIP_EXISTING"
    DELETE = "DELETE"

    @property
    def merges(self) -> bool:
        """Whether the record is put together from what is given and what the table holds."""
        return self in (WriteMode.MERGE, WriteMode.FILL_EMPTY)
