"""What the server tells of records, as plain values: what became of them, what is wrong with them, what is stored.

Stages and codes are the words of the API without their prefix. Each view keeps the `message` that it was read from.
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from ingot.v1 import record_error_pb2, record_pb2, record_service_pb2, stage_pb2
from ingot_client._translating import moment, word


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records: `received` is the sum of all the others."""

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    deleted: int = 0
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
            message.skipped,
            message.deleted,
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
    """What became of them; or would have, if it was a rehearsal."""
    errors: tuple[RecordError, ...]
    validate_only: bool
    """Whether nothing was stored: as it was asked for, or because the key is a sandbox key."""
    message: record_service_pb2.WriteRecordsResponse = dataclasses.field(repr=False, compare=False)

    @classmethod
    def read(cls, message: record_service_pb2.WriteRecordsResponse) -> "Written":
        return cls(
            Counts.read(message.counts), tuple(map(RecordError.read, message.errors)), message.validate_only, message
        )


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many records were deleted by their keys; or would have been, if it was a rehearsal."""

    deleted: int
    validate_only: bool
    """Whether nothing was deleted, because the key is a sandbox key."""
    message: record_service_pb2.DeleteRecordsResponse = dataclasses.field(repr=False, compare=False)

    @classmethod
    def read(cls, message: record_service_pb2.DeleteRecordsResponse) -> "Deleted":
        return cls(message.deleted, message.validate_only, message)
