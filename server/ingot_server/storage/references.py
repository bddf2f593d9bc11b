"""Batches that the server fetches by itself: leasing one, and how it ends if it cannot be fetched."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from ingot_server.storage import compressed_parts
from ingot_server.storage.database import Database, rows_touched
from ingot_server.storage.sql import Queries

sql = Queries("references.sql")


@dataclass(frozen=True, slots=True)
class FetchLease:
    """A batch that is ours to fetch until the lease ends."""

    batch_seq: int
    batch_id: str
    import_id: int
    account_id: int
    generation: int
    """Raised by each claim. Two who fetch the same batch do no harm: only one of them can append."""


async def reference_claim(database: Database, lease: timedelta, but_for: Collection[int]) -> FetchLease | None:
    """The batch whose turn it is to be fetched, ours until the lease ends; None if nothing waits.

    None of the accounts `but_for`.
    """
    row = await database.fetchrow(sql.reference_claim, lease, but_for)
    if row is None:
        return None
    return FetchLease(row["batch_seq"], row["batch_id"], row["import_id"], row["account_id"], row["fetch_generation"])


async def reference_extend_lease(database: Database, lease: FetchLease, duration: timedelta) -> bool:
    """Keeps the lease for `duration` from now; False if it was lost, or the batch closed."""
    return await database.execute(sql.reference_extend_lease, lease.batch_seq, lease.generation, duration) == 1


async def reference_release(database: Database, lease: FetchLease) -> None:
    """Gives the batch back."""
    await database.execute(sql.reference_release, lease.batch_seq, lease.generation)


async def reference_release_all(database: Database) -> None:
    """Takes all leases back, for a caller who knows that no other server is running."""
    await database.execute(sql.reference_release_all)


async def reference_set_version(database: Database, lease: FetchLease, version: str) -> None:
    """Remembers which version of its file is being fetched."""
    await database.execute(sql.reference_set_version, lease.batch_seq, lease.generation, version)


async def reference_note_failure(database: Database, lease: FetchLease) -> int:
    """Counts a failure that nobody foresaw; how many there were, 0 if the lease was lost."""
    row = await database.fetchrow(sql.reference_note_failure, lease.batch_seq, lease.generation)
    return int(row["fetch_failures"]) if row else 0


async def reference_fail(database: Database, lease: FetchLease, message: str) -> None:
    """Ends a batch that cannot be fetched; what was received of it stays."""
    async with database.transaction() as connection:
        if rows_touched(await connection.execute(sql.reference_fail, lease.batch_seq, lease.generation, message)):
            await compressed_parts.compressed_part_delete(connection, lease.batch_seq)
