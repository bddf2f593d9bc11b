"""Branches: what an import would make of a table, before it is committed.

A branch is a table without a name. A record is copied into it when the import touches its key for the first time; from
then on the import finds it there, and writes it there, with the same statements as into any table.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingot_server.domain.tables import Table
from ingot_server.storage import records, tables
from ingot_server.storage.arrays import text_array
from ingot_server.storage.database import Database, plan_for_all_rows
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("branches.sql")

_UNKNOWN_KEY = ""
"""Stands in a branch for all keys that the import names and nobody knows: no record has it."""


async def branch_create(connection: "Connection", account_id: int, table: Table) -> int:
    """Makes a branch of a table, which need not exist; its id."""
    rules = tables.rules_text(table.rules)
    return int(await connection.fetchval(sql.branch_create, account_id, table.key_fields, rules))


async def branch_touch(connection: "Connection", branch_id: int, base_id: int, keys: Collection[str]) -> list[str]:
    """Copies the records with these keys into the branch, unless that was done before; the keys of those copied now."""
    if not keys:
        return []
    return [row["key"] for row in await connection.fetch(sql.branch_touch, branch_id, base_id, text_array(keys))]


async def branch_touch_identified(
    connection: "Connection", branch_id: int, base_id: int, keys: Collection[str], identifiers: Collection[str]
) -> None:
    """As `branch_touch`, with the records' identifiers, which are the values of these fields."""
    copied = await branch_touch(connection, branch_id, base_id, keys)
    if not identifiers:
        return
    held: Mapping[str, Mapping[str, str]] = await records.record_list_fields(
        connection, branch_id, copied, list(identifiers)
    )
    given = [(f"{name}:{value}", key) for key, values in held.items() for name, value in values.items()]
    if given:
        texts, owners = zip(*given, strict=True)
        await connection.execute(sql.branch_add_identifiers, branch_id, texts, owners)


async def branch_name_keys(connection: "Connection", branch_id: int, keys: Collection[str], *, others: bool) -> None:
    """Remembers that the import names these keys, and `others` of which it is not known which they are."""
    named = [*keys, _UNKNOWN_KEY] if others else keys
    await connection.execute(sql.branch_name_keys, branch_id, text_array(named))


@dataclass(frozen=True, slots=True)
class Unnamed:
    """What an import does not name of a table."""

    records: int
    """How many records the table has."""
    unnamed: int
    """How many of them the import does not name, as far as is known."""
    any_unknown: bool
    """Whether it names others, of which it is not known which they are."""


async def branch_count_unnamed(database: Database, branch_id: int, base_id: int) -> Unnamed:
    """What the import does not name of its table."""
    async with database.transaction() as connection:
        await plan_for_all_rows(connection)
        row = await connection.fetchrow(sql.branch_count_unnamed, branch_id, base_id)
    assert row is not None  # noqa: S101 an aggregate always has one row
    return Unnamed(**row)
