"""Imports, and the states they go through.

RECEIVING ──finish──► PROCESSING ──► SUCCEEDED | PARTIALLY_SUCCEEDED | FAILED
    │                     │
    └──────cancel─────────┴──► CANCELLING ──► CANCELLED
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ingot_server.domain.fields import NO_READING, Reading
from ingot_server.domain.progress import Counts, Stage
from ingot_server.domain.tables import Rules


class ImportState(StrEnum):
    """Where an import stands; ...ING passes, the others are final."""

    RECEIVING = "RECEIVING"
    PROCESSING = "PROCESSING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    PARTIALLY_SUCCEEDED = "PARTIALLY_SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether the import will not change any more."""
        return self in FINAL_STATES


FINAL_STATES = frozenset(
    {ImportState.SUCCEEDED, ImportState.PARTIALLY_SUCCEEDED, ImportState.FAILED, ImportState.CANCELLED}
)


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """What an import is to do."""

    table: str
    key_fields: tuple[str, ...]
    """Empty if the import names none: the table's apply, or those that each record carries."""
    labels: Mapping[str, str]
    kind: str = ""
    """Empty if the import names none: the table's applies."""
    reading: Reading = NO_READING
    """How values are to be read, as far as the import says it."""


@dataclass(frozen=True, slots=True)
class Import:
    """An import as it stands, with the sums of its batches."""

    import_id: int
    spec: ImportSpec
    rules: Rules
    """What its records must be: as the table said when the import was created, and read as the import says."""
    request_id: str
    state: ImportState
    state_message: str
    counts: Counts
    upload: Stage
    processing: Stage
    batch_count: int
    any_empty_batch: bool
    """Whether a finished batch held no record."""
    create_time: datetime
    update_time: datetime
    finish_time: datetime | None


def final_state(counts: Counts, batch_count: int, *, any_empty_batch: bool) -> tuple[ImportState, str]:
    """The state in which an import ends whose records are all processed, and why if it FAILED."""
    if batch_count == 0:
        return ImportState.FAILED, "Nothing was uploaded."
    if counts.received == 0:
        return ImportState.FAILED, "The upload held no record."
    if counts.imported == 0:
        return ImportState.FAILED, "All records were rejected: see the errors of the import."
    if counts.rejected or any_empty_batch:
        return ImportState.PARTIALLY_SUCCEEDED, ""
    return ImportState.SUCCEEDED, ""
