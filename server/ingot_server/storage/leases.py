"""Leases: whose turn a batch has to be processed, and the worker that it is left to for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ingot_server.domain.progress import Counts
from ingot_server.storage.database import Database, rows_touched
from ingot_server.storage.sql import Queries
from ingot_server.storage.writings import Writing, writing_fields

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

TRANSACTION_TIME = timedelta(minutes=1)
"""How long it takes at most, in the order of things, until others see what we have written."""

sql = Queries("leases.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Writing):
    """A batch that is ours to process until the lease ends."""

    batch_seq: int
    chunks_done: int
    """How many are done; one of them may have been done before another that is not."""
    chunks_total: int | None
    """How many there are; None while more may come."""
    generation: int
    """Raised by each claim; a write that names an old one has no effect."""
    reconciles: bool
    """Whether it matters which records the import names."""
    all_new: bool
    """Whether the keys of all records so far were new to the table."""
    none_new: bool
    """Whether none of them was."""
    has_budget: bool
    """Whether only so many records may be rejected."""


async def lease_claim(
    database: Database, lease: timedelta, served: Sequence[int] = (), since: datetime | None = None
) -> Lease | None:
    """The batch whose turn it is, ours until the lease ends; None if nothing waits.

    `served` are accounts, the one that was served longest ago first: they have their turns after all others, in this
    order. Of the batches of one account the one that has waited longest comes first. `since` is what
    `lease_waiting_since` said last.
    """
    row = await database.fetchrow(sql.lease_claim, lease, served, since)
    if row is None:
        return None
    return Lease(
        batch_seq=row["batch_seq"],
        chunks_done=row["chunks_done"],
        chunks_total=row["chunks_total"],
        generation=row["lease_generation"],
        reconciles=row["reconciles"],
        all_new=row["all_new"],
        none_new=row["none_new"],
        has_budget=row["has_budget"],
        # Which records the rejected ones mean decides what is deleted, and is told by what was written before them.
        alone=row["reconciles"],
        **writing_fields(row, row["branch_id"]),
    )


async def lease_waiting_since(database: Database, before: datetime | None) -> datetime:
    """A time since when all batches wait that wait, in the database's time; holds from now on.

    `before` is what it said last. With None it also finds a batch that was committed later than TRANSACTION_TIME after
    its time.
    """
    row = await database.fetchrow(sql.lease_waiting_since, before, TRANSACTION_TIME)
    assert row is not None  # noqa: S101 an aggregate always has one row
    since: datetime = row[0]
    return since


async def lease_extend(database: Database, lease: Lease, duration: timedelta) -> bool:
    """Keeps the lease for `duration` from now; False if it was lost."""
    return await database.execute(sql.lease_extend, lease.batch_seq, lease.generation, duration) == 1


async def lease_release_all(database: Database) -> int:
    """Takes all leases back, for a caller who knows that no other server is running; how many there were."""
    return await database.execute(sql.lease_release_all)


async def lease_release(database: Database, lease: Lease) -> None:
    """Gives the batch back."""
    await database.execute(sql.lease_release, lease.batch_seq, lease.generation)


async def lease_note_failure(database: Database, lease: Lease) -> int:
    """Counts a failure that nobody foresaw; how many there were in a row, 0 if the lease was lost."""
    row = await database.fetchrow(sql.lease_note_failure, lease.batch_seq, lease.generation)
    return int(row["failures"]) if row else 0


async def lease_settle_chunk(
    connection: "Connection", lease: Lease, outcome: Counts, errors_stored: int, warnings_stored: int
) -> bool:
    """Counts a chunk as done; False if the lease was lost or the batch closed."""
    tag = await connection.execute(
        sql.lease_settle_chunk,
        lease.batch_seq,
        lease.generation,
        outcome.created,
        outcome.updated,
        outcome.unchanged,
        outcome.superseded,
        outcome.rejected,
        outcome.skipped,
        outcome.deleted,
        errors_stored,
        warnings_stored,
    )
    return rows_touched(tag) == 1
