"""Usages: how much an import has received, and how much of its account waits to be processed."""

from dataclasses import dataclass

from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

sql = Queries("usages.sql")


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes are those of the records as JSON, uncompressed."""

    records: int
    """What the import has received, good and bad."""
    bytes: int
    """Of those that were good."""
    queued_bytes: int
    """Of all unfinished imports of the account, about: parts of a batch are taken to be of one size."""


async def usage_get(database: Database, account_id: int, import_id: int) -> Usage:
    """What an import of an account has used."""
    row = await database.fetchrow(sql.usage_get, account_id, import_id)
    assert row is not None  # noqa: S101 sums are always one row
    return Usage(**row)
