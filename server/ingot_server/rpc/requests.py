"""Checks the fields of a request and turns them into domain values.

A wrong request is refused before anything is written, with all that is wrong with it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from ingot.v1 import field_pb2, import_pb2, import_service_pb2, record_error_pb2, write_mode_pb2
from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.fields import Reading
from ingot_server.domain.imports import Budget, ImportSpec, ImportState
from ingot_server.domain.modes import WriteMode
from ingot_server.domain.records import (
    KEY_BYTES_MAX,
    KEY_FIELD_BYTES_MAX,
    KEY_FIELDS_MAX,
    ErrorCode,
    ErrorStage,
    Severity,
)
from ingot_server.domain.tables import Rules
from ingot_server.pipeline.kinds import KINDS, use_of_table
from ingot_server.pipeline.validation import merged_fields
from ingot_server.pipeline.validation.declaring import key_field_violations
from ingot_server.pipeline.values import is_country, is_locale, is_time_zone, shown
from ingot_server.storage.errors import ErrorFilter
from ingot_server.storage.imports import ImportFilter
from ingot_server.storage.tables import TableUse

T = TypeVar("T")

MAX_DELETED_RATIO = 0.2
"""Which share of a table a full replacement may delete if it does not say so itself."""
LABELS_MAX = 16
LABEL_CHARACTERS_MAX = 63
REQUEST_ID_CHARACTERS_MAX = 128
WRITE_RECORDS_MAX = 1_000
_ID_MAX = 2**63 - 1

_TABLE = re.compile(r"[A-Za-z0-9_]{1,63}")
_BATCH_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_IMPORT_ID = re.compile(r"[1-9][0-9]{0,18}")


class Violations(dict[str, str]):
    """What is wrong with a request: the path of each field, and what was expected of it."""

    def raise_if_any(self) -> None:
        """Raises InvalidRequest if something is wrong."""
        if self:
            raise InvalidRequest(self)

    def collect(self, check: Callable[[], T]) -> T | None:
        """What a check returns; None, and its violations are added, if it raises some."""
        try:
            return check()
        except InvalidRequest as error:
            self.update(error.violations)
            return None


def import_id(text: str, path: str = "import_id") -> int:
    """An import's id. Raises InvalidRequest."""
    if not _IMPORT_ID.fullmatch(text) or int(text) > _ID_MAX:
        raise InvalidRequest({path: f"expected an import's id, a decimal number, got {shown(text)}"})
    return int(text)


def batch_id(text: str) -> str:
    """A batch's id. Raises InvalidRequest."""
    if not _BATCH_ID.fullmatch(text):
        raise InvalidRequest({"batch_id": f"expected 1 to 64 letters, digits, `_`, `-` and `.`, got {shown(text)}"})
    return text


def table_name(text: str, path: str = "table") -> str:
    """A table's name. Raises InvalidRequest."""
    if not _TABLE.fullmatch(text):
        raise InvalidRequest({path: f"expected 1 to 63 letters, digits and underscores, got {shown(text)}"})
    return text


def record_key(text: str, path: str = "key") -> str:
    """A record's key. Raises InvalidRequest."""
    if not text or "\0" in text or len(text.encode()) > KEY_BYTES_MAX:
        raise InvalidRequest({path: f"expected a key of 1 to {KEY_BYTES_MAX} bytes, without NUL characters"})
    return text


def key_fields(names: Sequence[str], path: str) -> tuple[str, ...]:
    """Names of key fields. Raises InvalidRequest."""
    named = tuple(names[: KEY_FIELDS_MAX + 1])
    distinct = len(set(named)) == len(named) <= KEY_FIELDS_MAX
    if not distinct or not all(0 < len(name.encode()) <= KEY_FIELD_BYTES_MAX and "\0" not in name for name in named):
        expected = f"at most {KEY_FIELDS_MAX} different names of fields, each of 1 to {KEY_FIELD_BYTES_MAX} bytes"
        raise InvalidRequest({path: f"expected {expected}, got {shown(', '.join(named))}"})
    return named


def kind_name(name: str, path: str) -> str:
    """The name of a kind, or nothing. Raises InvalidRequest."""
    if name and name not in KINDS:
        raise InvalidRequest({path: f"expected one of the kinds {', '.join(KINDS)}, got {shown(name)}"})
    return name


def table_use(name: str, kind: str, fields: Sequence[str], prefix: str = "") -> TableUse:
    """What a call expects of its table. Raises InvalidRequest."""
    violations = Violations()
    violations.collect(lambda: table_name(name, f"{prefix}table"))
    violations.collect(lambda: kind_name(kind, f"{prefix}kind"))
    violations.collect(lambda: key_fields(fields, f"{prefix}key_fields"))
    if fields and kind in KINDS and KINDS[kind].identifies_itself:
        violations[f"{prefix}key_fields"] = f"expected none: the records of the kind {kind} need no key fields"
    elif kind in KINDS:
        for expected in key_field_violations(merged_fields(Rules(kind)), fields).values():
            violations[f"{prefix}key_fields"] = expected
    violations.raise_if_any()
    return use_of_table(name, kind, tuple(fields))


def reading_options(message: field_pb2.ReadingOptions, path: str) -> Reading:
    """How values are to be read. Raises InvalidRequest."""
    violations = Violations()
    country = message.country.upper()
    if country and not is_country(country):
        violations[f"{path}.country"] = f"expected an ISO 3166-1 code such as SE, got {shown(message.country)}"
    if message.time_zone and not is_time_zone(message.time_zone):
        violations[f"{path}.time_zone"] = f"expected a zone such as Europe/Stockholm, got {shown(message.time_zone)}"
    if message.locale and not is_locale(message.locale):
        violations[f"{path}.locale"] = f"expected a locale such as de or en-IN, got {shown(message.locale)}"
    violations.raise_if_any()
    return Reading(country, message.time_zone, message.locale)


def request_id(text: str) -> str:
    """An id that makes a call idempotent; empty for none. Raises InvalidRequest."""
    if len(text) > REQUEST_ID_CHARACTERS_MAX or "\0" in text:
        raise InvalidRequest(
            {"request_id": f"expected at most {REQUEST_ID_CHARACTERS_MAX} characters, none of them NUL"}
        )
    return text


def import_spec(message: import_pb2.ImportSpec, sent_request_id: str) -> tuple[ImportSpec, TableUse]:
    """What an import is to do, and what it expects of its table. Raises InvalidRequest."""
    violations = Violations()
    use = violations.collect(lambda: table_use(message.table, message.kind, message.key_fields, "spec."))
    reading = violations.collect(lambda: reading_options(message.reading, "spec.reading"))
    violations.collect(lambda: _labels(message.labels, "spec.labels"))
    mode = violations.collect(lambda: write_mode(message.mode, "spec.mode"))
    budget = violations.collect(lambda: _budget(message))
    max_deleted_ratio = violations.collect(lambda: _max_deleted_ratio(message))
    if message.staged and message.validate_only:
        violations["spec.staged"] = "expected not together with validate_only, which never writes anything"
    violations.collect(lambda: request_id(sent_request_id))
    violations.raise_if_any()
    assert use is not None  # noqa: S101 else there are violations
    assert reading is not None  # noqa: S101 as above
    assert mode is not None  # noqa: S101 as above
    assert budget is not None  # noqa: S101 as above
    spec = ImportSpec(
        use.name,
        use.key_fields,
        dict(message.labels),
        use.kind,
        reading,
        mode,
        message.validate_only,
        message.staged,
        max_deleted_ratio,
        budget,
    )
    return spec, use


def write_mode(number: write_mode_pb2.WriteMode.ValueType, path: str) -> WriteMode:
    """A write mode. Raises InvalidRequest."""
    if number not in write_mode_pb2.WriteMode.values():
        raise InvalidRequest({path: f"expected a write mode such as WRITE_MODE_MERGE, got {number}"})
    if number == write_mode_pb2.WRITE_MODE_UNSPECIFIED:
        return WriteMode.REPLACE
    return WriteMode(write_mode_pb2.WriteMode.Name(number).removeprefix("WRITE_MODE_"))


def _budget(message: import_pb2.ImportSpec) -> Budget:
    max_errors = message.max_errors if message.HasField("max_errors") else None
    if max_errors is not None and max_errors < 0:
        raise InvalidRequest({"spec.max_errors": f"expected 0 or more, got {max_errors}"})
    ratio = message.max_error_ratio if message.HasField("max_error_ratio") else None
    return Budget(max_errors, _share(ratio, "spec.max_error_ratio"))


def _max_deleted_ratio(message: import_pb2.ImportSpec) -> float | None:
    if not message.HasField("reconcile"):
        return None
    if message.mode == write_mode_pb2.WRITE_MODE_DELETE:
        raise InvalidRequest({"spec.reconcile": "expected not together with the mode DELETE"})
    given = message.reconcile.HasField("max_deleted_ratio")
    ratio = message.reconcile.max_deleted_ratio if given else MAX_DELETED_RATIO
    return _share(ratio, "spec.reconcile.max_deleted_ratio")


def _share(share: float | None, path: str) -> float | None:
    # NaN is not between.
    if share is not None and not 0 <= share <= 1:
        raise InvalidRequest({path: f"expected a share from 0 to 1, got {share:g}"})
    return share


def import_filter(request: import_service_pb2.ListImportsRequest) -> ImportFilter:
    """Which imports to list. Raises InvalidRequest."""
    if request.table:
        table_name(request.table)
    known = set(import_pb2.ImportState.values()) - {import_pb2.IMPORT_STATE_UNSPECIFIED}
    if len(request.states) > len(known):
        raise InvalidRequest({"states": f"expected at most {len(known)}, each once, got {len(request.states):,}"})
    if unknown := set(request.states) - known:
        raise InvalidRequest({"states": f"expected states of an import, got {min(unknown)}"})
    names = map(import_pb2.ImportState.Name, request.states)
    states = [ImportState(name.removeprefix("IMPORT_STATE_")) for name in names]
    return ImportFilter(
        table=request.table,
        states=states,
        created_from=_time(request, "created_from"),
        created_before=_time(request, "created_before"),
        labels=_labels(request.labels, "labels"),
    )


def error_filter(request: import_service_pb2.ListImportErrorsRequest) -> ErrorFilter:
    """Which errors to list. Raises InvalidRequest."""
    violations = Violations()
    if request.stage not in record_error_pb2.ErrorStage.values():
        violations["stage"] = f"expected a stage, got {request.stage}"
    if request.code not in record_error_pb2.RecordErrorCode.values():
        violations["code"] = f"expected a code of a record's error, got {request.code}"
    if request.severity not in record_error_pb2.ErrorSeverity.values():
        violations["severity"] = f"expected a severity, got {request.severity}"
    if "\0" in request.field:
        violations["field"] = "expected the name of a field, without NUL characters"
    violations.raise_if_any()
    return ErrorFilter(
        batch_id=batch_id(request.batch_id) if request.batch_id else "",
        stage=ErrorStage(request.stage) if request.stage else None,
        code=ErrorCode(request.code) if request.code else None,
        field=request.field,
        severity=Severity(request.severity) if request.severity else None,
    )


def _labels(labels: Mapping[str, str], path: str) -> dict[str, str]:
    if len(labels) > LABELS_MAX:
        raise InvalidRequest({path: f"expected at most {LABELS_MAX} labels, got {len(labels)}"})
    for key, value in labels.items():
        if not 0 < len(key) <= LABEL_CHARACTERS_MAX or len(value) > LABEL_CHARACTERS_MAX or "\0" in key + value:
            raise InvalidRequest({path: f"expected keys and values of at most {LABEL_CHARACTERS_MAX} characters"})
    return dict(labels)


def _time(
    request: import_service_pb2.ListImportsRequest, name: Literal["created_from", "created_before"]
) -> datetime | None:
    if not request.HasField(name):
        return None
    message: Timestamp = getattr(request, name)
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest({name: "expected a time between the years 1 and 9999"}) from None
