"""Rejected records: what is left of them, and what is wrong with them. Those of processing are in the chunk log."""

from dataclasses import dataclass

from ingot_server.domain.records import ErrorStage
from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

sql = Queries("rejects.sql")


@dataclass(frozen=True, slots=True)
class RejectStock:
    """Whether the rejected records of an import are there."""

    final: bool
    """Whether the import is over: then there will be no others."""
    gone: bool
    """Whether some have been deleted with what the import received."""


@dataclass(frozen=True, slots=True)
class RejectError:
    """One error of one record."""

    batch_seq: int
    batch_id: str
    index: int
    ordinal: int
    line: int
    processed: bool
    """Whether it was found in processing."""
    field: str
    message: str
    raw: str
    """The record, with its first error, if it was rejected before processing."""
    raw_truncated: bool


async def reject_stock(database: Database, account_id: int, import_id: int) -> RejectStock | None:
    """Whether the rejected records of an import are there; None if the account has no such import."""
    row = await database.fetchrow(sql.reject_stock, account_id, import_id)
    return RejectStock(**row) if row else None


async def reject_batch_id(database: Database, batch_seq: int) -> str:
    """The id of a batch; empty if it was just deleted."""
    row = await database.fetchrow(sql.reject_batch_id, batch_seq)
    return row["batch_id"] if row else ""


async def reject_count_read(database: Database, import_id: int) -> int:
    """How many records were rejected before processing, in the upload or while a file was read."""
    row = await database.fetchrow(sql.reject_count_read, import_id)
    return int(row[0]) if row else 0


async def reject_error_list(
    database: Database, import_id: int, after: tuple[int, int, int], limit: int
) -> list[RejectError]:
    """The errors after a position, by batch, index and ordinal; also those of records imported with warnings."""
    rows = await database.fetch(sql.reject_error_list, import_id, *after, limit)
    return [
        RejectError(
            batch_seq=row["batch_seq"],
            # The import may have been deleted in between.
            batch_id=row["batch_id"] or "",
            index=row["record_index"],
            ordinal=row["ordinal"],
            line=row["line"],
            processed=row["stage"] == ErrorStage.PROCESSING,
            field=row["field"],
            message=row["message"],
            raw=row["raw"],
            raw_truncated=row["raw_truncated"],
        )
        for row in rows
    ]
