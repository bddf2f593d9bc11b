"""Turns domain values into messages."""

import json
from collections.abc import Iterable
from datetime import datetime
from math import isinf
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from ingot.v1 import (
    batch_pb2,
    field_pb2,
    import_pb2,
    record_error_pb2,
    record_pb2,
    record_service_pb2,
    stage_pb2,
    write_mode_pb2,
)
from ingot_server.domain.batches import Batch
from ingot_server.domain.fields import Reading
from ingot_server.domain.formats import DataFormat
from ingot_server.domain.imports import Import
from ingot_server.domain.progress import Counts, ErrorGroup, RecordError, Stage
from ingot_server.domain.records import ErrorCode, ErrorStage, Reject
from ingot_server.storage.records import StoredRecord

PAGE_BYTES_MAX = 2_097_152
"""gRPC clients take messages of 4 MiB if they are not told otherwise."""
STRUCT_BYTES_MAX = 3_145_728
_SURELY_SHALLOW = 30
"""Protobuf nests messages 100 deep; each level of a structure takes up to three, and what is around it three more."""

M = TypeVar("M", bound=Message)


def fitting(messages: Iterable[M], number: int) -> tuple[list[M], bool]:
    """The first messages, as many as fit into a page, but one in any case; and whether there are more.

    A page holds at most `number` messages, and about PAGE_BYTES_MAX bytes.
    """
    page: list[M] = []
    size = 0
    for message in messages:
        size += message.ByteSize()
        if len(page) == number or (page and size > PAGE_BYTES_MAX):
            return page, True
        page.append(message)
    return page, False


def fitting_errors(
    errors: Iterable[record_error_pb2.RecordError],
) -> list[record_error_pb2.RecordError]:
    """Errors, as many as fit into a message; when half of it is full, what was sent is left out."""
    fitting_ones: list[record_error_pb2.RecordError] = []
    size = 0
    for error in errors:
        if size > PAGE_BYTES_MAX // 2 and error.raw:
            error.raw, error.raw_truncated = "", True
        size += error.ByteSize()
        if size > PAGE_BYTES_MAX:
            break
        fitting_ones.append(error)
    return fitting_ones


def import_message(found: Import) -> import_pb2.Import:
    """An import."""
    return import_pb2.Import(
        import_id=str(found.import_id),
        table=found.spec.table,
        state=import_pb2.ImportState.Value(f"IMPORT_STATE_{found.state}"),
        state_message=found.state_message,
        counts=counts_message(found.counts),
        upload=_stage(found.upload),
        processing=_stage(found.processing),
        batch_count=found.batch_count,
        key_fields=found.spec.key_fields,
        labels=found.spec.labels,
        request_id=found.request_id,
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
        finish_time=timestamp(found.finish_time) if found.finish_time else None,
        kind=found.rules.kind,
        reading=reading_message(found.rules.reading),
        mode=write_mode_pb2.WriteMode.Value(f"WRITE_MODE_{found.spec.mode}"),
        validate_only=found.spec.validate_only,
        staged=found.spec.staged,
        reconcile=(
            import_pb2.Reconcile(max_deleted_ratio=found.spec.max_deleted_ratio) if found.spec.reconciles else None
        ),
        max_errors=found.spec.budget.max_errors,
        max_error_ratio=found.spec.budget.max_error_ratio,
        retry_of=str(found.retry_of) if found.retry_of is not None else "",
        removed=found.removed,
    )


def batch_message(found: Batch) -> batch_pb2.Batch:
    """A batch."""
    return batch_pb2.Batch(
        import_id=str(found.import_id),
        batch_id=found.batch_id,
        status=batch_pb2.BatchStatus.Value(f"BATCH_STATUS_{found.status}"),
        committed_offset=found.committed_offset,
        unit=batch_pb2.OffsetUnit.Value(f"OFFSET_UNIT_{found.unit or 'UNSPECIFIED'}"),
        format=_format(found.format) if found.format else None,
        total=found.total,
        finished=found.finished,
        counts=counts_message(found.counts),
        upload=_stage(found.upload),
        processing=_stage(found.processing),
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
        uri=found.uri,
        status_message=found.status_message,
    )


def counts_message(counts: Counts) -> stage_pb2.RecordCounts:
    """Counts."""
    return stage_pb2.RecordCounts(
        received=counts.received,
        created=counts.created,
        updated=counts.updated,
        unchanged=counts.unchanged,
        superseded=counts.superseded,
        rejected=counts.rejected,
        pending=counts.pending,
        skipped=counts.skipped,
        deleted=counts.deleted,
    )


def error_message(error: RecordError) -> record_error_pb2.RecordError:
    """One error of one record."""
    return record_error_pb2.RecordError(
        index=error.index,
        batch_id=error.batch_id,
        key=error.key,
        stage=_error_stage(error.stage),
        code=record_error_pb2.RecordErrorCode.ValueType(error.code),
        field=error.field,
        message=error.message,
        raw=error.raw,
        raw_truncated=error.raw_truncated,
        line=error.line,
        severity=_severity(error.code),
    )


def reading_message(reading: Reading) -> field_pb2.ReadingOptions:
    """How values are read."""
    return field_pb2.ReadingOptions(country=reading.country, time_zone=reading.time_zone, locale=reading.locale)


def reject_messages(stage: ErrorStage, reject: Reject) -> list[record_error_pb2.RecordError]:
    """All errors of a record that was not part of an import."""
    return [
        error_message(
            RecordError(
                batch_id="",
                index=reject.index,
                stage=stage,
                code=fault.code,
                field=fault.field,
                key=reject.key,
                message=fault.message,
                raw=reject.raw,
                raw_truncated=reject.raw_truncated,
                line=reject.line,
            )
        )
        for fault in reject.faults
    ]


def record_message(found: StoredRecord, view: record_pb2.RecordView.ValueType) -> record_pb2.StoredRecord:
    """A stored record in the form that was asked for; as JSON where it cannot be had as a structure."""
    message = record_pb2.StoredRecord(
        key=found.key,
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
        import_id=str(found.writer) if found.writer > 0 else "",
    )
    if view != record_pb2.RECORD_VIEW_STRUCT or not _set_struct(message, found.data):
        message.json = found.data
    return message


def _set_struct(message: record_pb2.StoredRecord, data: str) -> bool:
    """Sets the structure; False, and nothing is set, if a number, the depth or the size is beyond what it may have."""
    try:
        value = json.loads(data, parse_int=_double, parse_float=_double)
        message.struct.SetInParent()
        json_format.ParseDict(value, message.struct, max_recursion_depth=200)
        if data.count("{") + data.count("[") > _SURELY_SHALLOW:
            # As deep in messages as it ever is when it is sent.
            answer = record_service_pb2.ListRecordsResponse(records=[message])
            record_service_pb2.ListRecordsResponse.FromString(answer.SerializeToString())
        if message.ByteSize() <= STRUCT_BYTES_MAX:
            return True
    except (json_format.ParseError, EncodeError, DecodeError, OverflowError):
        pass
    message.ClearField("struct")
    return False


def _double(number: str) -> float:
    value = float(number)
    if isinf(value):
        raise OverflowError
    return value


def _stage(stage: Stage) -> stage_pb2.StageProgress:
    return stage_pb2.StageProgress(
        state=stage_pb2.StageState.Value(f"STAGE_STATE_{stage.state}"),
        accepted=stage.accepted,
        rejected=stage.rejected,
        percent=stage.percent,
        error_groups=[_group(group) for group in stage.groups],
    )


def _group(group: ErrorGroup) -> stage_pb2.ErrorGroup:
    return stage_pb2.ErrorGroup(
        stage=_error_stage(group.stage),
        code=record_error_pb2.RecordErrorCode.ValueType(group.code),
        field=group.field,
        count=group.count,
        example=error_message(group.example),
        severity=_severity(group.code),
    )


def _severity(code: ErrorCode) -> record_error_pb2.ErrorSeverity.ValueType:
    return record_error_pb2.ErrorSeverity.ValueType(code.severity)


def _error_stage(stage: ErrorStage) -> record_error_pb2.ErrorStage.ValueType:
    return record_error_pb2.ErrorStage.ValueType(stage)


def _format(format: DataFormat) -> batch_pb2.DataFormat:
    message = batch_pb2.DataFormat(
        type=batch_pb2.FileType.Value(f"FILE_TYPE_{format.type}"),
        encoding="" if format.type.tabular else format.encoding,
        compression=batch_pb2.Compression.Value(f"COMPRESSION_{format.compression}"),
        sheet=format.sheet,
    )
    if message.type == batch_pb2.FILE_TYPE_CSV:
        message.csv.CopyFrom(
            batch_pb2.CsvOptions(delimiter=format.delimiter, quote=format.quote, columns=format.columns)
        )
    return message


def timestamp(moment: datetime) -> Timestamp:
    """A time."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message
