"""What the server tells of imports and batches, as plain values.

States, statuses and modes are the words of the API without their prefix: `job.state == "SUCCEEDED"`. Each view keeps
the `message` that it was read from.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ingot.v1 import batch_pb2, field_pb2, import_pb2, write_mode_pb2
from ingot_client._outcomes import Counts, ErrorGroup, Stage
from ingot_client._translating import filled, moment, word

WRITTEN_STATES: Final = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED"})
FINAL_STATES: Final = WRITTEN_STATES | {"FAILED", "CANCELLED"}

# A label that the client gives to an import of mended records.
MENDED_FROM: Final = "mended_from"


@dataclass(frozen=True, slots=True)
class Reading:
    """How values are read that say too little about themselves; what is empty is not settled."""

    country: str = ""
    """Of phone numbers that come without one, as in SE."""
    time_zone: str = ""
    """Of times that come without an offset, as in Europe/Stockholm."""
    locale: str = ""
    """Of numbers that come as text, as in sv: which decimal and group signs they have."""

    @classmethod
    def read(cls, message: field_pb2.ReadingOptions) -> "Reading":
        return cls(message.country, message.time_zone, message.locale)

    def write(self) -> field_pb2.ReadingOptions:
        """The message that says so."""
        return filled(field_pb2.ReadingOptions, country=self.country, time_zone=self.time_zone, locale=self.locale)


@dataclass(frozen=True, slots=True)
class Import:
    """An import as it stood when the server was asked."""

    import_id: str
    table: str
    state: str
    state_message: str
    counts: Counts
    upload: Stage
    processing: Stage
    batch_count: int
    kind: str
    """The kind of the table's records when the import was created."""
    key_fields: tuple[str, ...]
    reading: Reading
    labels: Mapping[str, str]
    request_id: str
    create_time: datetime | None
    update_time: datetime | None
    finish_time: datetime | None
    mode: str
    """What happens to a record whose key the table holds already: REPLACE, MERGE, FILL_EMPTY, SKIP_EXISTING, DELETE."""
    validate_only: bool
    """Whether it is a rehearsal, which stores nothing."""
    staged: bool
    """Whether it writes nothing before it is committed."""
    reconcile: bool
    """Whether it is a full replacement: records of the table that it does not name are deleted."""
    max_deleted_ratio: float | None
    """Which share of the table a full replacement may delete, as far as the import says so."""
    max_errors: int | None
    max_error_ratio: float | None
    retry_of: str
    """The id of the import whose rejected records this one tries again; empty otherwise."""
    removed: int
    """How many records a full replacement has deleted, or would delete, because the import does not name them."""
    message: import_pb2.Import = dataclasses.field(repr=False, compare=False)
    already_ended: bool = False
    """Of an import in one call: whether it, or its upload, had ended before the call, which sent nothing."""

    @property
    def final(self) -> bool:
        """Whether the import has ended, one way or another."""
        return self.state in FINAL_STATES

    @property
    def awaits_commit(self) -> bool:
        """Whether everything is processed and nothing written: commit it, or cancel it."""
        return self.state == "AWAITING_COMMIT"

    @property
    def would_be(self) -> bool:
        """Whether `counts` and `removed` tell of what would happen, because nothing of it is written."""
        return self.validate_only or ((self.staged or self.reconcile) and self.state not in WRITTEN_STATES)

    @property
    def mended_from(self) -> str:
        """The id of the import that had rejected these records, or some of those they come from; empty otherwise."""
        return self.labels.get(MENDED_FROM, "")

    @property
    def being_committed(self) -> bool:
        """Whether the records are being processed for the second time, as far as that shows: into the table."""
        if self.state != "PROCESSING" or not (self.staged or self.reconcile):
            return False
        # While records are processed for the first time, some of them are pending.
        percent = self.processing.percent
        return self.counts.received > 0 and not self.counts.pending and percent is not None and percent < 100

    @property
    def error_groups(self) -> tuple[ErrorGroup, ...]:
        """The distinct errors of both stages, each with its count and its first example."""
        return self.upload.error_groups + self.processing.error_groups

    @classmethod
    def read(cls, message: import_pb2.Import) -> "Import":
        return cls(
            message.import_id,
            message.table,
            word(import_pb2.ImportState, message.state, "IMPORT_STATE_"),
            message.state_message,
            Counts.read(message.counts),
            Stage.read(message.upload),
            Stage.read(message.processing),
            message.batch_count,
            message.kind,
            tuple(message.key_fields),
            Reading.read(message.reading),
            dict(message.labels),
            message.request_id,
            moment(message, "create_time"),
            moment(message, "update_time"),
            moment(message, "finish_time"),
            word(write_mode_pb2.WriteMode, message.mode or write_mode_pb2.WRITE_MODE_REPLACE, "WRITE_MODE_"),
            message.validate_only,
            message.staged,
            message.HasField("reconcile"),
            message.reconcile.max_deleted_ratio if message.reconcile.HasField("max_deleted_ratio") else None,
            message.max_errors if message.HasField("max_errors") else None,
            message.max_error_ratio if message.HasField("max_error_ratio") else None,
            message.retry_of,
            message.removed,
            message,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """One upload within an import. Offsets and totals count its `unit`: RECORDS or BYTES."""

    import_id: str
    batch_id: str
    status: str
    committed_offset: int
    unit: str
    total: int | None
    finished: bool
    counts: Counts
    upload: Stage
    processing: Stage
    create_time: datetime | None
    update_time: datetime | None
    uri: str
    """Where the server fetches it from, without the query; empty for an upload."""
    status_message: str
    """Why the server could not fetch it; empty otherwise."""
    message: batch_pb2.Batch = dataclasses.field(repr=False, compare=False)

    @property
    def error_groups(self) -> tuple[ErrorGroup, ...]:
        """The distinct errors of both stages, each with its count and its first example."""
        return self.upload.error_groups + self.processing.error_groups

    @classmethod
    def read(cls, message: batch_pb2.Batch) -> "Batch":
        return cls(
            message.import_id,
            message.batch_id,
            word(batch_pb2.BatchStatus, message.status, "BATCH_STATUS_"),
            message.committed_offset,
            word(batch_pb2.OffsetUnit, message.unit, "OFFSET_UNIT_"),
            message.total if message.HasField("total") else None,
            message.finished,
            Counts.read(message.counts),
            Stage.read(message.upload),
            Stage.read(message.processing),
            moment(message, "create_time"),
            moment(message, "update_time"),
            message.uri,
            message.status_message,
            message,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of an import that is under way, as `on_progress` gets it."""

    import_id: str
    state: str
    """The state of the import."""
    unit: str
    """What `committed` and `total` count: RECORDS or BYTES."""
    committed: int
    """How much has arrived for good; never goes back."""
    total: int | None
    """How much there is in all; None while that is not known."""
    counts: Counts
    """What became of the records so far."""
    trouble: str = ""
    """Why it does not go on at the moment; empty when it does. It is being tried again."""
    job: Import | None = None
    """The import as it stood; None while records are being sent."""

    @classmethod
    def of(cls, job: Import, trouble: str = "") -> "Progress":
        """The moment of an import that is only followed."""
        return cls(job.import_id, job.state, "RECORDS", job.counts.received, None, job.counts, trouble, job)
