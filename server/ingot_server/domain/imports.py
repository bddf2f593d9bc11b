"""Imports, and the states they go through.

RECEIVING ──finish──► PROCESSING ──► SUCCEEDED | PARTIALLY_SUCCEEDED | FAILED
    │                  ▲     │
    │           commit │     ▼ staged
    │              AWAITING_COMMIT
    │                     │
    └──────cancel─────────┴──► CANCELLING ──► CANCELLED      from any state that is not final
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ingot_server.domain.fields import NO_READING, Reading
from ingot_server.domain.modes import WriteMode
from ingot_server.domain.progress import Counts, Stage
from ingot_server.domain.tables import Rules


class ImportState(StrEnum):
    """Where an import stands; ...ING passes, and AWAITING_COMMIT waits for a decision; the others are final."""

    RECEIVING = "RECEIVING"
    PROCESSING = "PROCESSING"
    AWAITING_COMMIT = "AWAITING_COMMIT"
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
class Budget:
    """How many records of an import may be rejected; None is no limit."""

    max_errors: int | None = None
    max_error_ratio: float | None = None
    """A share of the records received, looked at once all are received."""

    def __bool__(self) -> bool:
        return self.max_errors is not None or self.max_error_ratio is not None

    def overdrawn(self, counts: Counts, *, received_all: bool) -> str:
        """A sentence that says how the budget was spent; empty while it is not."""
        rejected = counts.rejected
        if self.max_errors is not None and rejected > self.max_errors:
            return f"{_records(rejected, 'was', 'were')} rejected, more than max_errors allows ({self.max_errors:,})."
        if self.max_error_ratio is not None and received_all and rejected > self.max_error_ratio * counts.received:
            return (
                f"{rejected:,} of {_records(counts.received, 'was', 'were')} rejected, more than max_error_ratio allows"
                f" ({self.max_error_ratio:g})."
            )
        return ""


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
    mode: WriteMode = WriteMode.REPLACE
    validate_only: bool = False
    """Whether nothing is stored."""
    staged: bool = False
    """Whether nothing is written before somebody commits it."""
    max_deleted_ratio: float | None = None
    """Of a full replacement: which share of the table's records may be deleted. None: the import is none."""
    budget: Budget = Budget()

    @property
    def reconciles(self) -> bool:
        """Whether records that the import does not name are deleted."""
        return self.max_deleted_ratio is not None

    @property
    def is_tried_first(self) -> bool:
        """Whether the records go into a branch of the table, and into the table itself with a commit, if at all."""
        return self.validate_only or self.staged or self.reconciles


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
    not_fetched: bool
    """Whether there is a batch that the server could not fetch."""
    create_time: datetime
    update_time: datetime
    finish_time: datetime | None
    retry_of: int | None = None
    """The import whose rejected records these are."""
    removed: int = 0
    """Records that a full replacement has deleted, or would delete, because the import did not name them."""
    committing: bool = False
    """Whether it is being committed, or was."""
    rejected_of_chunks: int = 0
    """How many of the rejected records could be read and had a key, so that they are in its chunks."""
    chunks_deleted: bool = False
    """Whether what it received is no longer kept."""
    table_id: int = 0
    branch_id: int | None = None
    """The branch that its records go into before they are committed; the table itself if there is no other."""
    any_errors: bool = False
    """Whether it has error groups."""
    work_is_over: bool = False
    """Whether every batch is received and processed."""

    @property
    def what_stayed(self) -> str:
        """What the table has of an import that stopped, and what became of the rest."""
        counts = self.counts
        dropped = f"{_records(counts.pending, 'was', 'were')} received and dropped" if counts.pending else ""
        if self.spec.is_tried_first:
            return f"Nothing was written{f'; {dropped}' if dropped else ''}."
        done = [
            f"{number:,} {name}"
            for number, name in (
                (counts.created, "created"),
                (counts.updated, "updated"),
                (counts.deleted, "deleted"),
                (counts.superseded, "superseded"),
                (counts.unchanged, "unchanged"),
                (counts.skipped, "skipped"),
            )
            if number
        ]
        parts = [f"What was done stays: {', '.join(done)}" if done else "Nothing was written"]
        if counts.rejected:
            parts.append(f"{_records(counts.rejected, 'was', 'were')} rejected")
        return "; ".join([*parts, dropped] if dropped else parts) + "."


def _records(number: int, one: str, many: str) -> str:
    return f"1 record {one}" if number == 1 else f"{number:,} records {many}"


def final_state(found: Import) -> tuple[ImportState, str]:
    """The state in which an import ends whose records are all processed, and why if it FAILED."""
    counts = found.counts
    if found.batch_count == 0:
        return ImportState.FAILED, "Nothing was uploaded."
    if counts.received == 0:
        return ImportState.FAILED, _NOT_FETCHED if found.not_fetched else "The upload held no record."
    if counts.imported == 0:
        return ImportState.FAILED, "All records were rejected: see the errors of the import."
    if spent := found.spec.budget.overdrawn(counts, received_all=True):
        return ImportState.FAILED, f"{spent} {found.what_stayed}"
    message = _NOT_FETCHED if found.not_fetched else ""
    if counts.rejected or found.any_empty_batch or found.not_fetched:
        return ImportState.PARTIALLY_SUCCEEDED, message
    return ImportState.SUCCEEDED, message


_NOT_FETCHED = "A file could not be fetched or read: see the status_message of the batches."
