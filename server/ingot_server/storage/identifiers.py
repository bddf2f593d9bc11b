"""Identifiers: which record each of them, as in `email:ada@example.org`, belongs to.

Whoever changes them holds `tables.table_lock_identifiers` until the end of the transaction.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("identifiers.sql")

Owners = dict[tuple[int, str], str]
"""The key of the record, by table and identifier."""


async def identifier_find(connection: "Connection", table_ids: Sequence[int], identifiers: Sequence[str]) -> Owners:
    """Which records these identifiers belong to."""
    if not table_ids or not identifiers:
        return {}
    rows = await connection.fetch(sql.identifier_find, table_ids, identifiers)
    return {(row["table_id"], row["identifier"]): row["key"] for row in rows}


async def identifier_list_of_keys(connection: "Connection", table_ids: Sequence[int], keys: Sequence[str]) -> Owners:
    """All identifiers of the records with these keys."""
    if not keys:
        return {}
    rows = await connection.fetch(sql.identifier_list_of_keys, table_ids, keys)
    return {(row["table_id"], row["identifier"]): row["key"] for row in rows}


async def identifier_change(
    connection: "Connection", table_id: int, given: Mapping[str, str], removed: Sequence[str]
) -> None:
    """Gives identifiers to records by their keys, and removes others."""
    if removed:
        await connection.execute(sql.identifier_remove, table_id, sorted(removed))
    if given:
        await connection.execute(sql.identifier_give, table_id, list(given), list(given.values()))


async def identifier_find_key(database: Database, table_id: int, identifier: str) -> str | None:
    """The key of the record that an identifier belongs to; None if it belongs to none."""
    row = await database.fetchrow(sql.identifier_find_key, table_id, identifier)
    return row["key"] if row else None


async def identifier_remove_of_keys(connection: "Connection", table_id: int, keys: Sequence[str]) -> None:
    """Takes all identifiers away from records that are being deleted."""
    await connection.execute(sql.identifier_remove_of_keys, table_id, keys)
