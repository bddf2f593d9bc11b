"""Turns domain errors into gRPC statuses: a code, a message, and details for programs."""

from datetime import timedelta

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from ingot.v1 import error_reason_pb2
from ingot_server.domain import errors

DOMAIN = "ingot.v1"
MESSAGE_CHARACTERS_MAX = 1_000
FACT_CHARACTERS_MAX = 300
VIOLATIONS_MAX = 10

_CODES: dict[type[errors.IngotError], tuple[grpc.StatusCode, str]] = {
    errors.InvalidRequest: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    errors.ApiKeyInvalid: (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID"),
    errors.ScopeMissing: (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING"),
    errors.SandboxKey: (grpc.StatusCode.PERMISSION_DENIED, "SANDBOX_KEY"),
    errors.ImportNotFound: (grpc.StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND"),
    errors.BatchNotFound: (grpc.StatusCode.NOT_FOUND, "BATCH_NOT_FOUND"),
    errors.TableNotFound: (grpc.StatusCode.NOT_FOUND, "TABLE_NOT_FOUND"),
    errors.RecordNotFound: (grpc.StatusCode.NOT_FOUND, "RECORD_NOT_FOUND"),
    errors.ImportStateRefused: (grpc.StatusCode.FAILED_PRECONDITION, "IMPORT_STATE"),
    errors.BatchUnfinished: (grpc.StatusCode.FAILED_PRECONDITION, "BATCH_UNFINISHED"),
    errors.BatchFinished: (grpc.StatusCode.FAILED_PRECONDITION, "BATCH_FINISHED"),
    errors.OffsetGap: (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_GAP"),
    errors.TotalMismatch: (grpc.StatusCode.FAILED_PRECONDITION, "TOTAL_MISMATCH"),
    errors.KeyFieldsDiffer: (grpc.StatusCode.FAILED_PRECONDITION, "KEY_FIELDS_DIFFER"),
    errors.KindDiffers: (grpc.StatusCode.FAILED_PRECONDITION, "KIND_DIFFERS"),
    errors.TableExists: (grpc.StatusCode.ALREADY_EXISTS, "TABLE_EXISTS"),
    errors.TableInUse: (grpc.StatusCode.FAILED_PRECONDITION, "TABLE_IN_USE"),
    errors.RequestIdReused: (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
    errors.ContentDiffers: (grpc.StatusCode.ALREADY_EXISTS, "CONTENT_DIFFERS"),
    errors.FilterTooSlow: (grpc.StatusCode.FAILED_PRECONDITION, "FILTER_TOO_SLOW"),
    errors.NothingToRetry: (grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_TO_RETRY"),
    errors.RejectsGone: (grpc.StatusCode.FAILED_PRECONDITION, "REJECTS_GONE"),
    errors.UploadConflict: (grpc.StatusCode.ABORTED, "UPLOAD_CONFLICT"),
    errors.ShuttingDown: (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
    errors.TooManyImports: (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_IMPORTS"),
    errors.TooManyStreams: (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS"),
    errors.TooManyRequests: (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS"),
    errors.ImportTooLarge: (grpc.StatusCode.RESOURCE_EXHAUSTED, "IMPORT_TOO_LARGE"),
    errors.QueueFull: (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
    errors.UploadIdle: (grpc.StatusCode.ABORTED, "UPLOAD_IDLE"),
    errors.TooManyFailedKeys: (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_FAILED_KEYS"),
    errors.DatabaseUnavailable: (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
}

_RETRY_AFTER: dict[type[errors.IngotError], timedelta] = {
    errors.ShuttingDown: timedelta(seconds=1),
    errors.TooManyImports: timedelta(seconds=10),
    errors.TooManyStreams: timedelta(seconds=2),
    errors.QueueFull: timedelta(seconds=2),
    errors.UploadIdle: timedelta(0),
    errors.TooManyFailedKeys: timedelta(seconds=5),
    errors.DatabaseUnavailable: timedelta(seconds=2),
}

_QUOTA_SUBJECTS: dict[type[errors.IngotError], str] = {
    errors.TooManyImports: "imports",
    errors.TooManyStreams: "streams",
    errors.TooManyRequests: "requests",
    errors.ImportTooLarge: "import",
    errors.QueueFull: "queued bytes",
}


class Status(grpc.Status):
    """What `abort_with_status` takes."""

    def __init__(self, code: grpc.StatusCode, message: str, details: list[Message]) -> None:
        packed = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message)
        for detail in details:
            wrapped = any_pb2.Any()
            wrapped.Pack(detail)
            packed.details.append(wrapped)
        self.code = code
        self.details = message
        self.trailing_metadata = (("grpc-status-details-bin", packed.SerializeToString()),)


def status_of(error: errors.IngotError) -> Status:
    """The status that tells a caller about `error`."""
    code, reason = _CODES[type(error)]
    error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}")
    # All of it travels as metadata, which is limited to 8 KiB in all.
    facts = {name: value[:FACT_CHARACTERS_MAX] for name, value in error.facts.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=facts)]
    if isinstance(error, errors.InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=field[:FACT_CHARACTERS_MAX], description=expected[:FACT_CHARACTERS_MAX]
            )
            for field, expected in list(error.violations.items())[:VIOLATIONS_MAX]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if subject := _QUOTA_SUBJECTS.get(type(error)):
        violation = error_details_pb2.QuotaFailure.Violation(subject=subject, description=error.message)
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    retry_after = error.retry_after if isinstance(error, errors.TooManyRequests) else _RETRY_AFTER.get(type(error))
    if retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromTimedelta(retry_after)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return Status(code, error.message[:MESSAGE_CHARACTERS_MAX], details)


def status_of_fault(error_id: str) -> Status:
    """The status for a fault of ours: nothing of it is shown but an id to be found in the log."""
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
    message = f"The server has a fault. Please report the id {error_id}; the details are in the server's log."
    return Status(grpc.StatusCode.INTERNAL, message, [info])
