"""The indexes of declared fields on `record`: which are wanted, which are ready, and the making of them.

Each is a partial index over the records of one table. It is made CONCURRENTLY, in the background: writers go on
meanwhile, and filters give the same answer without it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.fields import FieldType
from ingot_server.domain.tables import Rules
from ingot_server.storage.database import Database
from ingot_server.storage.filtering import index_create, index_drop, index_name
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("field_indexes.sql")

ACCOUNT_INDEXES_MAX = 32
INDEXES_MAX = 128
"""Measured: with 400 indexes on it, a write of 1,000 records into any table takes three times as long."""


async def field_index_want(connection: "Connection", account_id: int, table_id: int, rules: Rules) -> None:
    """Asks for the indexes of the fields that `rules` declare as indexed, and for no others of the table.

    Raises InvalidRequest if there are too many: every write plans with all indexes of all tables.
    """
    wanted = [(field.name, str(field.type)) for field in rules.fields if field.indexed]
    await connection.execute(
        sql.field_index_unwant, table_id, [name for name, _ in wanted], [type_ for _, type_ in wanted]
    )
    for name, type_ in wanted:
        await connection.execute(sql.field_index_want, table_id, name, type_)
    if not wanted:
        return
    counted = await connection.fetchrow(sql.field_index_count, account_id)
    assert counted is not None  # noqa: S101 an aggregate always has one row
    if counted["own"] > ACCOUNT_INDEXES_MAX or counted["total"] > INDEXES_MAX:
        raise InvalidRequest(
            {
                "table.fields": f"expected at most {ACCOUNT_INDEXES_MAX} indexed fields in all tables of an account,"
                f" and {INDEXES_MAX} in all of the server: index fewer, or ask the operator"
            }
        )


async def field_index_list_ready(database: Database, table_ids: Sequence[int]) -> dict[int, set[str]]:
    """The names of the fields, by table, whose index can be used."""
    found: dict[int, set[str]] = {table_id: set() for table_id in table_ids}
    for row in await database.fetch(sql.field_index_list_ready, table_ids):
        found[row["table_id"]].add(row["name"])
    return found


async def field_index_build_next(database: Database) -> bool:
    """Makes or drops one index that is not as it is wanted; False if there is none, or another process is at it.

    May take as long as reading the whole table of records takes.
    """
    if await database.fetchrow(sql.field_index_next) is None:
        return False
    async with database.connection(unhurried=True) as connection, _alone(connection) as alone:
        row = await connection.fetchrow(sql.field_index_next) if alone else None
        if row is None:
            return False
        table_id, name, type_ = row["table_id"], row["name"], FieldType(row["type"])
        index = index_name(table_id, name, type_)
        await connection.execute(sql.field_index_note_try, table_id, name, type_)
        valid = await connection.fetchval(sql.field_index_is_valid, f'"{index}"')
        if not row["wanted"] or valid is False:
            await connection.execute(index_drop(table_id, name, type_))
        if row["wanted"]:
            if not valid:
                await connection.execute(index_create(table_id, name, type_))
            await connection.execute(sql.field_index_set_ready, table_id, name, type_)
        else:
            await connection.execute(sql.field_index_forget, table_id, name, type_)
    return True


@asynccontextmanager
async def _alone(connection: "Connection") -> AsyncIterator[bool]:
    """Keeps other processes from making indexes meanwhile, without limits of time; False if another one is at it."""
    if not await connection.fetchval(sql.field_index_try_lock):
        yield False
        return
    try:
        await connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        yield True
    finally:
        await connection.execute("RESET statement_timeout; RESET lock_timeout")
        await connection.execute(sql.field_index_unlock)
