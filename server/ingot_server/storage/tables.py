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
    """The table with this name, made if needed and keyed by `key_fields` if these are given and it has none yet.

    Raises KeyFieldsDiffer if it is keyed by others.
    """
    await connection.execute(sql.table_ensure, account_id, name, key_fields)
    row = await connection.fetchrow(sql.table_get, account_id, name)
    assert row is not None  # noqa: S101 tables are never deleted
    table = _table(row)
    if not key_fields or table.key_fields == key_fields:
        return table
    adopted = await table_adopt_keys(connection, table.table_id, key_fields)
    if adopted != key_fields:
        raise KeyFieldsDiffer(
            f"key_fields: table {name} is keyed by {list(adopted)}: name these, or none, or choose another table",
            table=name,
            key_fields=",".join(adopted),
        )
    return Table(table.table_id, table.name, key_fields, table.create_time)


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
