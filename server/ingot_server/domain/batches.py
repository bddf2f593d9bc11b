"""Batches: uploads within an import."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ingot_server.domain.formats import DataFormat
from ingot_server.domain.progress import Counts, Stage


class OffsetUnit(StrEnum):
    """What the offsets of a batch count."""

    RECORDS = "RECORDS"
    BYTES = "BYTES"


class BatchStatus(StrEnum):
    """How far a batch has come as a whole."""

    UPLOADING = "UPLOADING"
    UPLOADED = "UPLOADED"
    PROCESSED = "PROCESSED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether the batch will not change any more."""
        return self in (BatchStatus.PROCESSED, BatchStatus.FAILED, BatchStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands."""

    import_id: int
    batch_id: str
    status: BatchStatus
    committed_offset: int
    unit: OffsetUnit | None
    """None while nothing was received."""
    format: DataFormat | None
    total: int | None
    finished: bool
    counts: Counts
    upload: Stage
    processing: Stage
    create_time: datetime
    update_time: datetime


def batch_status(*, finished: bool, closed: bool, given_up: bool, done: bool, imported: int) -> BatchStatus:
    """The status of a batch; `done` says that every chunk received is processed."""
    if finished and done:
        return BatchStatus.PROCESSED if imported else BatchStatus.FAILED
    if closed:
        return BatchStatus.FAILED if given_up else BatchStatus.CANCELLED
    return BatchStatus.UPLOADED if finished else BatchStatus.UPLOADING
