"""What may not occur in the records of an account: e-mail addresses, their domains, and phone numbers."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from ingot_server.domain.blocked import BlockedType, BlockedValue
from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("blocked_values.sql")

TypedValue = tuple[BlockedType, str]


async def blocked_value_any(connection: "Connection", account_id: int) -> bool:
    """Whether the account has blocked anything."""
    return bool(await connection.fetchval(sql.blocked_value_any, account_id))


async def blocked_value_find(
    connection: "Connection", account_id: int, values: Collection[TypedValue]
) -> frozenset[TypedValue]:
    """Those of `values` that the account has blocked."""
    rows = await connection.fetch(sql.blocked_value_find, account_id, *_columns(values))
    return frozenset((BlockedType(row["type"]), row["value"]) for row in rows)


async def blocked_value_add(database: Database, account_id: int, values: Collection[TypedValue]) -> int:
    """Blocks values; how many were not blocked before."""
    return await database.execute(sql.blocked_value_add, account_id, *_columns(values))


async def blocked_value_remove(database: Database, account_id: int, values: Collection[TypedValue]) -> int:
    """Takes values off the list; how many were blocked."""
    return await database.execute(sql.blocked_value_remove, account_id, *_columns(values))


async def blocked_value_list(
    database: Database, account_id: int, type_: BlockedType | None, after: tuple[str, str], limit: int
) -> list[BlockedValue]:
    """The values after a type and value, by these."""
    rows = await database.fetch(sql.blocked_value_list, account_id, type_ or "", *after, limit)
    return [BlockedValue(BlockedType(row["type"]), row["value"], row["create_time"]) for row in rows]


def _columns(values: Collection[TypedValue]) -> tuple[list[str], list[str]]:
    return [str(type_) for type_, _ in values], [value for _, value in values]
