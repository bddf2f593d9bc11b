"""What the server tells, as plain values.

States, statuses, stages and codes are the words of the API without their prefix: `job.state == "SUCCEEDED"`. Each view
keeps the `message` that it was read from.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from ingot.v1 import batch_pb2, field_pb2, import_pb2, record_error_pb2, record_pb2, record_service_pb2, stage_pb2
from ingot_client._translating import moment, word

FINAL_STATES: Final = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records: `received` is the sum of all the others."""

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0
    pending: int = 0

    @classmethod
    def read(cls, message: stage_pb2.RecordCounts) -> "Counts":
        return cls(
            message.received,
            message.created,
            message.updated,
            message.unchanged,
            message.superseded,
            message.rejected,
            message.pending,
        )


@dataclass(frozen=True, slots=True)
class RecordError:
    """One reason why one record was rejected; or imported with doubt, if its `severity` is WARNING."""

    index: int
    batch_id: str
    key: str
    stage: str
    code: str
    number: int
    """The number of the code, as in 1002."""
    field: str
    text: str
    """What is wrong, for people."""
    raw: str
    raw_truncated: bool
    line: int
    severity: str
    message: record_error_pb2.RecordError = dataclasses.field(repr=False, compare=False)

    @classmethod
    def read(cls, message: record_error_pb2.RecordError) -> "RecordError":
        return cls(
            message.index,
            message.batch_id,
            message.key,
            word(record_error_pb2.ErrorStage, message.stage, "ERROR_STAGE_"),
            word(record_error_pb2.RecordErrorCode, message.code, "RECORD_ERROR_CODE_"),
            message.code,
            message.field,
            message.message,
            message.raw,
            message.raw_truncated,
            message.line,
            word(record_error_pb2.ErrorSeverity, message.severity, "ERROR_SEVERITY_"),
            message,
        )


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """All errors of one sort; `count` is exact, `example` is the first. WARNINGs reject no record."""

    stage: str
    code: str
    number: int
    """The number of the code, as in 1002."""
    field: str
    severity: str
    count: int
    example: RecordError

    @classmethod
    def read(cls, message: stage_pb2.ErrorGroup) -> "ErrorGroup":
        return cls(
            word(record_error_pb2.ErrorStage, message.stage, "ERROR_STAGE_"),
            word(record_error_pb2.RecordErrorCode, message.code, "RECORD_ERROR_CODE_"),
            message.code,
            message.field,
            word(record_error_pb2.ErrorSeverity, message.severity, "ERROR_SEVERITY_"),
            message.count,
            RecordError.read(message.example),
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """How far uploading or processing has come. `percent` is None while the total is not known."""

    state: str
    accepted: int
    rejected: int
    percent: float | None
    error_groups: tuple[ErrorGroup, ...]

    @classmethod
    def read(cls, message: stage_pb2.StageProgress) -> "Stage":
        return cls(
            word(stage_pb2.StageState, message.state, "STAGE_STATE_"),
            message.accepted,
            message.rejected,
            message.percent if message.HasField("percent") else None,
            tuple(map(ErrorGroup.read, message.error_groups)),
        )


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
        return field_pb2.ReadingOptions(country=self.country, time_zone=self.time_zone, locale=self.locale)


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
    message: import_pb2.Import = dataclasses.field(repr=False, compare=False)
    already_ended: bool = False
    """Of an import in one call: whether it, or its upload, had ended before the call, which sent nothing."""

    @property
    def final(self) -> bool:
        """Whether the import has ended, one way or another."""
        return self.state in FINAL_STATES

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
            message,
        )


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a table holds it; `json` keeps every digit of its numbers."""

    key: str
    json: str
    import_id: str
    create_time: datetime | None
    update_time: datetime | None
    message: record_pb2.StoredRecord = dataclasses.field(repr=False, compare=False)

    @property
    def value(self) -> dict[str, Any]:
        """The record as a dict."""
        decoded: dict[str, Any] = msgspec.json.decode(self.json, type=dict[str, Any])
        return decoded

    @classmethod
    def read(cls, message: record_pb2.StoredRecord) -> "StoredRecord":
        return cls(
            message.key,
            message.json,
            message.import_id,
            moment(message, "create_time"),
            moment(message, "update_time"),
            message,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What became of records that were written directly."""

    counts: Counts
    errors: tuple[RecordError, ...]
    message: record_service_pb2.WriteRecordsResponse = dataclasses.field(repr=False, compare=False)

    @classmethod
    def read(cls, message: record_service_pb2.WriteRecordsResponse) -> "Written":
        return cls(Counts.read(message.counts), tuple(map(RecordError.read, message.errors)), message)


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
