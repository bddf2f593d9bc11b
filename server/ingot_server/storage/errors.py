"""The errors of records: groups that are always exact, and a full list up to a limit.

Groups are few, whatever a sender calls his fields: those of a batch, a stage and a code are at most GROUP_FIELDS_MAX,
and one more, without a field, that also counts the errors of all further fields.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from ingot_server.domain.progress import ErrorGroup, RecordError
from ingot_server.domain.records import RAW_BYTES_MAX, ErrorCode, ErrorStage, Fault, Reject, Severity
from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

GROUP_FIELDS_MAX = 100
"""How many fields of one batch, stage and code have groups of their own."""
GROUPS_LISTED_MAX = 100
"""How many groups of a stage are listed."""

sql = Queries("errors.sql")

_INDEX = re.compile(r"\[[0-9]+\]")

_COLUMNS = [
    "import_id",
    "batch_seq",
    "record_index",
    "ordinal",
    "stage",
    "code",
    "field",
    "key",
    "message",
    "raw",
    "raw_truncated",
    "line",
]


@dataclass(frozen=True, slots=True)
class ErrorFilter:
    """Which errors to list; empty and None switch a condition off."""

    batch_id: str = ""
    stage: ErrorStage | None = None
    code: ErrorCode | None = None
    field: str = ""
    severity: Severity | None = None


ErrorPosition = tuple[int, int, int]
"""Batch number, record index and ordinal: where a page of errors ends."""

FIRST_POSITION: ErrorPosition = (0, -1, -1)


async def error_count_storable(
    connection: "Connection",
    import_id: int,
    rejects: Sequence[Reject],
    limit: int,
    severity: Severity = Severity.ERROR,
) -> int:
    """How many of the errors of `rejects` the full list of an import still has room for.

    Records that were imported with warnings have a limit of their own: `severity` says which they are.
    """
    if not rejects:
        return 0
    row = await connection.fetchrow(sql.error_count_stored, import_id)
    assert row is not None  # noqa: S101 an aggregate always has one row
    stored: int = row["warnings_stored" if severity is Severity.WARNING else "errors_stored"]
    return max(0, min(limit - stored, sum(len(reject.faults) for reject in rejects)))


async def error_add(
    connection: "Connection",
    import_id: int,
    batch_seq: int,
    stage: ErrorStage,
    rejects: Sequence[Reject],
    storable: int,
) -> None:
    """Adds all errors of `rejects` to the groups, and the first `storable` of them to the full list."""
    if not rejects:
        return
    rows = (
        (
            import_id,
            batch_seq,
            reject.index,
            ordinal,
            stage,
            fault.code,
            fault.field,
            reject.key,
            fault.message,
            reject.raw,
            reject.raw_truncated,
            reject.line,
        )
        for reject in rejects
        for ordinal, fault in enumerate(reject.faults)
    )
    if storable:
        await connection.copy_records_to_table("record_error", records=islice(rows, storable), columns=_COLUMNS)
    # Plain numbers: the hash of an enum's member is made in Python.
    counts: dict[tuple[int, str], int] = {}
    examples: list[str | None] = []
    fields: dict[int, int] = {}
    for reject in rejects:
        for fault in reject.faults:
            code, field = int(fault.code), fault.field
            group = (code, _INDEX.sub("[]", field) if "[" in field else field)
            known = counts.get(group, 0)
            counts[group] = known + 1
            if known:
                continue
            fields[code] = fields.get(code, 0) + bool(field)
            # At most GROUP_FIELDS_MAX fields come before the first that gets no group, whose example may be needed.
            shown = not field or fields[code] <= GROUP_FIELDS_MAX + 1
            examples.append(_example(reject, fault) if shown else None)
    await connection.execute(
        sql.error_group_add,
        import_id,
        batch_seq,
        stage,
        [code for code, _ in counts],
        [field for _, field in counts],
        list(counts.values()),
        examples,
        GROUP_FIELDS_MAX,
    )


async def error_forget_processing(connection: "Connection", import_id: int) -> None:
    """Forgets the errors that the processing of an import has found: its records are processed again."""
    await connection.execute(sql.error_forget, import_id, ErrorStage.PROCESSING)
    await connection.execute(sql.error_group_forget, import_id, ErrorStage.PROCESSING)


async def error_count_listed(connection: "Connection", import_id: int) -> int:
    """How many errors of an import are in the full list."""
    return int(await connection.fetchval(sql.error_count_listed, import_id))


async def error_count_nameless(database: "Database | Connection", import_id: int) -> int:
    """How many records were rejected as they arrived, or were in files that could not be fetched: it is not known which
    records they are.

    A file counts as one. Empty records count as none: they name nothing.
    """
    empty = [ErrorCode.EMPTY_LINE, ErrorCode.EMPTY_RECORD, ErrorCode.EMPTY_PAYLOAD]
    row = await database.fetchrow(sql.error_count_nameless, import_id, empty)
    assert row is not None  # noqa: S101 an aggregate always has one row
    return int(row[0])


async def error_group_list(database: Database, import_id: int, batch_id: str = "") -> list[ErrorGroup]:
    """The groups of an import, or of one of its batches; of each stage the 100 most frequent, these first."""
    rows = await database.fetch(sql.error_group_list, import_id, batch_id, GROUPS_LISTED_MAX)
    return [
        ErrorGroup(
            stage=ErrorStage(row["stage"]).told,
            code=ErrorCode(row["code"]),
            field=row["field"],
            count=row["error_count"],
            example=_error(
                {**msgspec.json.decode(row["example"]), **{name: row[name] for name in ("batch_id", "stage", "code")}}
            ),
        )
        for row in rows
    ]


async def error_list(
    database: Database, account_id: int, import_id: int, wanted: ErrorFilter, after: ErrorPosition, limit: int
) -> list[tuple[ErrorPosition, RecordError]]:
    """The errors after a position, by batch and index, each with its own position."""
    rows = await database.fetch(
        sql.error_list,
        account_id,
        import_id,
        wanted.batch_id,
        wanted.stage or 0,
        wanted.code or 0,
        wanted.field,
        wanted.severity or 0,
        *after,
        limit,
    )
    return [((row["batch_seq"], row["record_index"], row["ordinal"]), _error(row)) for row in rows]


def _example(reject: Reject, fault: Fault) -> str:
    return msgspec.json.encode(
        {
            "record_index": reject.index,
            # Of an error that is counted without its field, this is the only place that tells it.
            "field": fault.field,
            "key": reject.key,
            "message": fault.message,
            # Bytes shown as `\xNN` are four times as long, and an import is sent with 200 examples.
            "raw": reject.raw[:RAW_BYTES_MAX],
            "raw_truncated": reject.raw_truncated or len(reject.raw) > RAW_BYTES_MAX,
            "line": reject.line,
        }
    ).decode()


def _error(row: asyncpg.Record | dict[str, Any]) -> RecordError:
    return RecordError(
        batch_id=row["batch_id"],
        index=row["record_index"],
        stage=ErrorStage(row["stage"]).told,
        code=ErrorCode(row["code"]),
        field=row["field"],
        key=row["key"],
        message=row["message"],
        raw=row["raw"],
        raw_truncated=row["raw_truncated"],
        line=row["line"],
    )
