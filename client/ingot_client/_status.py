"""Turns gRPC statuses into this package's errors: the one place where that happens."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode, aio

from ingot_client import _errors as errors

DOMAIN: Final = "ingot.v1"

# What grpc raises, besides AioRpcError, for a call that is already over.
CALL_IS_OVER: Final = (aio.AioRpcError, aio.BaseError, asyncio.InvalidStateError)

BY_REASON: Final[dict[str, type[errors.CallFailed]]] = {
    "INVALID_REQUEST": errors.InvalidRequest,
    "API_KEY_INVALID": errors.ApiKeyInvalid,
    "SCOPE_MISSING": errors.ScopeMissing,
    "IMPORT_NOT_FOUND": errors.ImportNotFound,
    "BATCH_NOT_FOUND": errors.BatchNotFound,
    "TABLE_NOT_FOUND": errors.TableNotFound,
    "RECORD_NOT_FOUND": errors.RecordNotFound,
    "IMPORT_STATE": errors.ImportStateRefused,
    "BATCH_UNFINISHED": errors.BatchUnfinished,
    "BATCH_FINISHED": errors.BatchFinished,
    "OFFSET_GAP": errors.OffsetGap,
    "TOTAL_MISMATCH": errors.TotalMismatch,
    "UPLOAD_CONFLICT": errors.UploadConflict,
    "REQUEST_ID_REUSED": errors.RequestIdReused,
    "KEY_FIELDS_DIFFER": errors.KeyFieldsDiffer,
    "SHUTTING_DOWN": errors.ShuttingDown,
    "DATABASE_UNAVAILABLE": errors.DatabaseUnavailable,
    "INTERNAL": errors.ServerFault,
    "CONTENT_DIFFERS": errors.ContentDiffers,
    "KIND_DIFFERS": errors.KindDiffers,
    "TABLE_EXISTS": errors.TableExists,
    "TABLE_IN_USE": errors.TableInUse,
    "FILTER_TOO_SLOW": errors.FilterTooSlow,
    "TOO_MANY_IMPORTS": errors.TooManyImports,
    "NOTHING_TO_RETRY": errors.NothingToRetry,
    "REJECTS_GONE": errors.RejectsGone,
    "SANDBOX_KEY": errors.SandboxKey,
    "TOO_MANY_STREAMS": errors.TooManyStreams,
    "TOO_MANY_REQUESTS": errors.TooManyRequests,
    "IMPORT_TOO_LARGE": errors.ImportTooLarge,
    "QUEUE_FULL": errors.QueueFull,
    "UPLOAD_IDLE": errors.UploadIdle,
    "TOO_MANY_FAILED_KEYS": errors.TooManyFailedKeys,
}

# For an answer without a known reason: from a newer server, from a proxy on the way, or from gRPC itself.
BY_CODE: Final[dict[StatusCode, type[errors.CallFailed]]] = {
    StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    StatusCode.UNAUTHENTICATED: errors.ApiKeyInvalid,
    StatusCode.PERMISSION_DENIED: errors.ScopeMissing,
    StatusCode.NOT_FOUND: errors.NotFound,
    StatusCode.ALREADY_EXISTS: errors.Refused,
    StatusCode.FAILED_PRECONDITION: errors.Refused,
    StatusCode.DATA_LOSS: errors.ServerFault,
    StatusCode.INTERNAL: errors.ServerFault,
    StatusCode.UNKNOWN: errors.ServerFault,
    StatusCode.UNAVAILABLE: errors.Transient,
    StatusCode.ABORTED: errors.Transient,
    StatusCode.OUT_OF_RANGE: errors.Transient,
    StatusCode.DEADLINE_EXCEEDED: errors.Transient,
}

# These codes come from gRPC itself when a connection is cut at an unlucky moment ("Received RST_STREAM", "Stream
# removed", "Internal error from Core"). From Ingot they would carry a reason.
CUT_CONNECTION: Final = (StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.CANCELLED)


@contextmanager
def errors_translated(address: str, advice: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Raises this package's errors for those of grpc. `advice` says what a server may want that hangs up."""
    try:
        yield
    except aio.AioRpcError as error:
        raise translated(error, address, advice()) from error
    except (aio.BaseError, asyncio.InvalidStateError) as error:
        raise errors.Unreachable(f"the connection to {address} was lost", code="UNAVAILABLE") from error
    except asyncio.CancelledError:
        # The call was cancelled, by closing the channel or by a watchdog, but nobody has cancelled this task.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise errors.Unreachable(f"the call to {address} was cut off", code="CANCELLED") from None


def translated(error: aio.AioRpcError, address: str, advice: str = "") -> errors.CallFailed:
    """The error of this package that says what this one says, with all its details."""
    code = error.code()
    try:
        info, violations, retry_after_seconds = _details(error)
    except DecodeError:
        # A garbled detail must not hide the error.
        info, violations, retry_after_seconds = None, {}, None
    found = BY_REASON.get(info.reason) if info is not None else None
    message = error.details() or code.name
    if found is None and info is None:
        if code in CUT_CONNECTION:
            found = errors.Unreachable
        elif code is StatusCode.UNAVAILABLE and "connect" in message:
            found, message = (
                errors.Unreachable,
                f"no Ingot server answers at {address} ({_cause(message, advice)})",
            )
        elif code is StatusCode.UNAVAILABLE:
            found, message = errors.Unreachable, f"the connection to {address} was lost"
        elif code is StatusCode.DEADLINE_EXCEEDED:
            found, message = errors.Unreachable, f"the server at {address} did not answer in time"
    if found is None:
        found = BY_CODE.get(code, errors.CallFailed)
        # RESOURCE_EXHAUSTED passes by itself only if the server says when: "message too large" has the same code.
        if code is StatusCode.RESOURCE_EXHAUSTED and retry_after_seconds is not None:
            found = errors.Transient
    return found(
        message,
        code=code.name,
        reason=info.reason if info is not None else "",
        facts=info.metadata if info is not None else None,
        violations=violations,
        retry_after_seconds=retry_after_seconds,
    )


def _cause(message: str, advice: str) -> str:
    """The telling part of "failed to connect to all addresses; last error: … : Connection refused"."""
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return "its certificate is not trusted: name the file of its root certificates in INGOT_TLS_CA"
    if "handshake" in message.lower():
        return "the TLS handshake failed"
    # So ends a connection to a TLS server that does not begin with a handshake, or without the client's certificate.
    if advice and ("Socket closed" in message or "Connection reset" in message):
        return f"it hung up at once: {advice}"
    return message.rsplit(": ", maxsplit=1)[-1]


def _details(error: aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo | None, dict[str, str], float | None]:
    info: error_details_pb2.ErrorInfo | None = None
    violations: dict[str, str] = {}
    retry_after_seconds: float | None = None
    for detail in _status(error).details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo.FromString(detail.value)
            info = found if found.domain == DOMAIN else info
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            violations |= {violation.field: violation.description for violation in bad.field_violations}
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo.FromString(detail.value)
            retry_after_seconds = max(0.0, retry.retry_delay.ToTimedelta().total_seconds())
    return info, violations, retry_after_seconds


def _status(error: aio.AioRpcError) -> status_pb2.Status:
    # Not grpc_status.from_call: it raises if the status in the metadata and the one on the wire differ, as they do
    # when a proxy changes one of them.
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
