"""Tables of records, and the fields they are keyed by."""

from typing import TYPE_CHECKING

import asyncpg

from ingot_server.domain.errors import KeyFieldsDiffer, TableNotFound
from ingot_server.domain.tables import Table
from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("tables.sql")


async def table_ensure(connection: "Connection", account_id: int, name: str, key_fields: tuple[str, ...]) -> Table:
    """The table with this name, made if needed; its key fields stay as they are until the transaction ends.

    `key_fields`, if given, become the table's if it has none yet, or if it has no record and no import is under way:
    a wrong key must not spoil a name for good. Raises KeyFieldsDiffer if it is keyed by others.
    """
    await connection.execute(sql.table_ensure, account_id, name, key_fields)
    table = await _table_lock(connection, account_id, name)
    if not key_fields or table.key_fields == key_fields:
        return table
    await connection.execute(sql.table_lock_alone, table.table_id)
    await connection.execute(sql.table_rekey, table.table_id, key_fields)
    await connection.execute(sql.table_name_keys, table.table_id, key_fields)
    table = await _table_lock(connection, account_id, name)
    if table.key_fields != key_fields:
        raise KeyFieldsDiffer(
            f"key_fields: table {name} is keyed by {list(table.key_fields)}:"
            " name these, or none, or choose another table",
            table=name,
            key_fields=",".join(table.key_fields),
        )
    return table


async def _table_lock(connection: "Connection", account_id: int, name: str) -> Table:
    row = await connection.fetchrow(sql.table_lock, account_id, name)
    assert row is not None  # noqa: S101 tables are never deleted
    return _table(row)


async def table_adopt_keys(connection: "Connection", table_id: int, key_fields: tuple[str, ...]) -> tuple[str, ...]:
    """Keys the table by `key_fields` if it has no key fields yet; the ones it has in the end."""
    await connection.execute(sql.table_name_keys, table_id, key_fields)
    return tuple(await connection.fetchval(sql.table_key_fields, table_id))


async def table_get(database: Database, account_id: int, name: str) -> Table:
    """One table. Raises TableNotFound."""
    row = await database.fetchrow(sql.table_get, account_id, name)
    if row is None:
        raise TableNotFound(f"The account has no table {name!r}.", table=name)
    return _table(row)


async def table_list(database: Database, account_id: int, after: str, limit: int) -> list[Table]:
    """The tables whose names follow `after`, by name."""
    return [_table(row) for row in await database.fetch(sql.table_list, account_id, after, limit)]


def _table(row: asyncpg.Record) -> Table:
    return Table(row["table_id"], row["name"], tuple(row["key_fields"]), row["create_time"])
