"""Commits: leasing an import that is to be committed, and what is done to it as a whole."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ingot_server.domain.imports import Import, ImportState
from ingot_server.domain.progress import Counts
from ingot_server.storage import import_moves, imports
from ingot_server.storage.arrays import text_array
from ingot_server.storage.database import Database, plan_for_all_rows, rows_touched
from ingot_server.storage.sql import Queries
from ingot_server.storage.writings import Writing, writing_fields

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("commits.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLease(Writing):
    """An import that is ours to commit until the lease ends."""

    generation: int
    """Raised by each claim; a commit that names an old one has no effect."""
    max_deleted_ratio: float | None
    """Of a full replacement: which share of the table's records may be deleted."""


async def commit_claim(
    database: Database, lease: timedelta, served: Sequence[int] = (), records_max: int | None = None
) -> CommitLease | None:
    """The import whose turn it is to be committed, ours until the lease ends; None if there is none.

    The turns of accounts are as in `lease_claim`. With `records_max`, larger imports and full replacements are left to
    others.
    """
    row = await database.fetchrow(sql.commit_claim, lease, served, records_max)
    if row is None:
        return None
    return CommitLease(
        generation=row["commit_generation"],
        max_deleted_ratio=row["max_deleted_ratio"],
        # All is one transaction, on one connection.
        alone=True,
        **writing_fields(row),
    )


async def commit_extend_lease(database: Database, lease: CommitLease, duration: timedelta, processed: int) -> bool:
    """Keeps the lease for `duration` from now, and tells how many records are processed; False if it was lost."""
    return await database.execute(sql.commit_extend_lease, lease.import_id, lease.generation, duration, processed) == 1


async def commit_release(database: Database, lease: CommitLease) -> None:
    """Gives the import back, to be committed later."""
    await database.execute(sql.commit_release, lease.import_id, lease.generation)


async def commit_is_settled(database: Database, lease: CommitLease) -> bool:
    """Whether the import has ended with this commit."""
    return await database.fetchrow(sql.commit_is_settled, lease.import_id, lease.generation) is not None


async def commit_release_all(database: Database) -> None:
    """Takes all leases back, for a caller who knows that no other server is running."""
    await database.execute(sql.commit_release_all)


async def commit_note_failure(database: Database, lease: CommitLease) -> int:
    """Counts a failure that nobody foresaw; how many there were, 0 if the lease was lost."""
    row = await database.fetchrow(sql.commit_note_failure, lease.import_id, lease.generation)
    return int(row["commit_failures"]) if row else 0


async def commit_list_batches(connection: "Connection", import_id: int) -> list[int]:
    """The numbers of the import's batches; those that wait for others come after these."""
    return [row["batch_seq"] for row in await connection.fetch(sql.commit_list_batches, import_id)]


async def commit_settle_batch(connection: "Connection", batch_seq: int, outcome: Counts) -> None:
    """Says what has become of the records of a batch in the end."""
    await connection.execute(
        sql.commit_settle_batch,
        batch_seq,
        outcome.created,
        outcome.updated,
        outcome.unchanged,
        outcome.superseded,
        outcome.rejected,
        outcome.skipped,
        outcome.deleted,
    )


async def commit_report(connection: "Connection", import_id: int) -> Import:
    """The import as our transaction leaves it."""
    return (await imports.import_get_within(connection, [import_id]))[import_id]


async def commit_settle(
    connection: "Connection", lease: CommitLease, state: ImportState, message: str, removed: int
) -> bool:
    """Ends the import; False if it is no longer ours, and then nothing may be written."""
    tag = await connection.execute(sql.commit_settle, lease.import_id, lease.generation, state, message, removed)
    if not rows_touched(tag):
        return False
    await import_moves.import_drop_branch(connection, lease.import_id)
    return True


async def commit_refuse(database: Database, lease: CommitLease, message: str) -> None:
    """Ends an import that must not, or cannot, be committed: it is FAILED, and nothing of it is there."""
    async with database.transaction() as connection:
        if rows_touched(await connection.execute(sql.commit_refuse, lease.import_id, lease.generation, message)):
            await import_moves.import_forget_trial(connection, lease.import_id)
            await import_moves.import_drop_branch(connection, lease.import_id)


async def commit_stage_names(connection: "Connection") -> None:
    """Makes room for the keys that the records of a commit name."""
    await connection.execute(sql.commit_stage_names)


async def commit_add_names(connection: "Connection", keys: Collection[str]) -> None:
    """Adds keys that records name."""
    await connection.execute(sql.commit_add_names, text_array(keys))


async def commit_count_unnamed(connection: "Connection", table_id: int) -> tuple[int, int]:
    """How many records the table has, and how many of them are not named."""
    await plan_for_all_rows(connection)
    row = await connection.fetchrow(sql.commit_count_unnamed, table_id)
    assert row is not None  # noqa: S101 an aggregate always has one row
    return row["records"], row["unnamed"]


async def commit_delete_unnamed(connection: "Connection", table_id: int, expected: int) -> int:
    """Deletes the records that are not named, with their identifiers; how many there were. So many are expected."""
    await plan_for_all_rows(connection)
    removed = rows_touched(await connection.execute(sql.commit_delete_unnamed, table_id))
    # One that was exchanged while we waited for it is there again: see record_take_out.
    while removed < expected and (await commit_count_unnamed(connection, table_id))[1]:
        removed += rows_touched(await connection.execute(sql.commit_delete_unnamed, table_id))
    await connection.execute(sql.commit_delete_identifiers, table_id)
    return removed
