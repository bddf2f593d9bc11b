"""A status of gRPC becomes one error of this package, with all that it says."""

from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode, aio

from ingot.v1.error_reason_pb2 import ErrorReason
from ingot_client import _errors as errors
from ingot_client._status import BY_REASON, translated


def status(code: StatusCode, text: str, *details: Any) -> aio.AioRpcError:
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    message = status_pb2.Status(code=code.value[0], message=text, details=packed)
    trailing = aio.Metadata(("grpc-status-details-bin", message.SerializeToString())) if details else aio.Metadata()
    return aio.AioRpcError(code, aio.Metadata(), trailing, text)


def info(reason: str, domain: str = "ingot.v1", **facts: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=facts)


def test_every_reason_of_the_api_has_its_error() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - an enum of protobuf
    assert names - {"UNSPECIFIED"} == set(BY_REASON)


@pytest.mark.parametrize("reason", BY_REASON)
def test_reason_decides(reason: str) -> None:
    found = translated(status(StatusCode.UNKNOWN, "why", info(reason, import_id="42")), "here:1")
    assert type(found) is BY_REASON[reason]
    assert (found.message, found.code, found.reason) == ("why", "UNKNOWN", reason)
    assert found.facts == {"import_id": "42"}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.INVALID_ARGUMENT, errors.InvalidRequest),
        (StatusCode.UNAUTHENTICATED, errors.ApiKeyInvalid),
        (StatusCode.PERMISSION_DENIED, errors.ScopeMissing),
        (StatusCode.NOT_FOUND, errors.NotFound),
        (StatusCode.FAILED_PRECONDITION, errors.Refused),
        (StatusCode.UNIMPLEMENTED, errors.CallFailed),
        (StatusCode.RESOURCE_EXHAUSTED, errors.CallFailed),
        (StatusCode.UNAVAILABLE, errors.Transient),
        (StatusCode.INTERNAL, errors.ServerFault),
    ],
)
def test_code_decides_for_a_reason_of_a_newer_server(code: StatusCode, kind: type[errors.CallFailed]) -> None:
    assert type(translated(status(code, "why", info("BRAND_NEW")), "here:1")) is kind


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
        StatusCode.CANCELLED,
    ],
)
def test_what_does_not_come_from_ingot_is_a_broken_connection(code: StatusCode) -> None:
    assert isinstance(translated(status(code, "Received RST_STREAM"), "here:1"), errors.Unreachable)
    foreign = translated(status(code, "Received RST_STREAM", info("X", domain="proxy.example")), "here:1")
    assert isinstance(foreign, errors.Unreachable)


@pytest.mark.parametrize(
    ("details", "cause"),
    [
        ("failed to connect; last error: X: Connection refused", "Connection refused"),
        ("failed to connect; X: Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: self signed: OK", "INGOT_TLS_CA"),
        ("failed to connect; last error: X: Ssl handshake failed: WRONG_VERSION: OK", "the TLS handshake failed"),
    ],
)
def test_unreachable_server_is_named(details: str, cause: str) -> None:
    found = translated(status(StatusCode.UNAVAILABLE, details), "here:1")
    assert found.message.startswith("no Ingot server answers at here:1 (")
    assert cause in found.message


def test_plain_client_of_a_tls_server_gets_a_hint() -> None:
    hung_up = status(StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: X: Socket closed")
    advice = "is it a TLS server? Set INGOT_TLS=1"
    assert advice in translated(hung_up, "here:1", advice).message
    assert "TLS" not in translated(hung_up, "here:1").message


def test_violations_and_retry_delay_are_kept() -> None:
    bad = error_details_pb2.BadRequest(
        field_violations=[error_details_pb2.BadRequest.FieldViolation(field="spec.table", description="is required")]
    )
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    found = translated(status(StatusCode.INVALID_ARGUMENT, "why", bad, info("INVALID_REQUEST"), retry), "here:1")
    assert found.violations == {"spec.table": "is required"}
    assert found.retry_after_seconds == 1.5


def test_exhausted_passes_by_itself_only_if_the_server_says_when() -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1))
    assert isinstance(translated(status(StatusCode.RESOURCE_EXHAUSTED, "busy", retry), "h"), errors.Transient)
    assert not isinstance(translated(status(StatusCode.RESOURCE_EXHAUSTED, "too large"), "h"), errors.Transient)


def test_garbled_details_do_not_hide_the_error() -> None:
    trailing = aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    garbled = aio.AioRpcError(StatusCode.NOT_FOUND, aio.Metadata(), trailing, "why")
    assert translated(garbled, "here:1").message == "why"
