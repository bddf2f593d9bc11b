"""Identifiers: which record each of them, as in `email:ada@example.org`, belongs to.

Whoever changes them holds `tables.table_lock_identifiers` until the end of the transaction; whoever only gives them to
new records, or relies on those that records have, `tables.table_share_identifiers`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingot_server.storage.arrays import text_array
from ingot_server.storage.copying import copy_lines, escaped
from ingot_server.storage.database import Database
from ingot_server.storage.looking_up import LOOK_UPS_MANY, looking_up_many
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("identifiers.sql")


async def identifier_find(
    connection: "Connection", table_ids: Sequence[int], identifiers: Sequence[str]
) -> dict[int, dict[str, str]]:
    """Which records these identifiers belong to: by table, the key for each identifier that is there."""
    found: dict[int, dict[str, str]] = {table_id: {} for table_id in table_ids}
    if table_ids and len(identifiers) >= LOOK_UPS_MANY:
        async with looking_up_many(connection):
            rows = await connection.fetch(sql.identifier_find_many, table_ids, text_array(identifiers))
        for table_id, texts, keys in rows:
            found[table_id] = dict(zip(texts, keys, strict=True))
    elif table_ids and identifiers:
        for table_id, identifier, key in await connection.fetch(sql.identifier_find, table_ids, identifiers):
            found[table_id][identifier] = key
    return found


@dataclass(frozen=True, slots=True)
class IdentifierChanges:
    """Changes to the identifiers of a table. None stands in two places."""

    new: Mapping[str, str]
    """Those that no record had, each with the key of its record."""
    moved: Mapping[str, str]
    """Those that another record had."""
    removed: Sequence[str]


async def identifier_change(connection: "Connection", table_id: int, changes: IdentifierChanges) -> None:
    """Changes identifiers, for a caller who keeps all others from it."""
    if changes.removed:
        # One by one, in one round trip: a statement for all of them might read the whole table.
        await connection.executemany(sql.identifier_remove, [(table_id, text) for text in sorted(changes.removed)])
    if changes.moved:
        await connection.execute(sql.identifier_move, table_id, list(changes.moved), list(changes.moved.values()))
    # Nobody else gives identifiers meanwhile, so there is no conflict to look for: less than half the time.
    texts, keys = list(changes.new), list(changes.new.values())
    await identifier_copy(connection, await asyncio.to_thread(identifier_lines, table_id, texts, keys))


def identifier_lines(table_id: int, identifiers: Sequence[str], keys: Sequence[str]) -> bytes:
    """Identifiers as `identifier_copy` takes them, each beside the key of its record. Pure."""
    end = f"\t{table_id}\n"
    texts, keys = escaped(identifiers), escaped(keys)
    return "".join(sorted([f"{text}\t{key}{end}" for text, key in zip(texts, keys, strict=True)])).encode()


async def identifier_copy(connection: "Connection", lines: bytes) -> None:
    """Adds identifiers that no record has."""
    if lines:
        await copy_lines(connection, "record_identifier", ["identifier", "key", "table_id"], lines)


async def identifier_find_key(database: Database, table_id: int, identifier: str) -> str | None:
    """The key of the record that an identifier belongs to; None if it belongs to none."""
    row = await database.fetchrow(sql.identifier_find_key, table_id, identifier)
    return row["key"] if row else None


async def identifier_remove_of_records(
    connection: "Connection", table_id: int, held: Mapping[str, Mapping[str, str]]
) -> None:
    """Takes their identifiers, name and value, away from records that are being deleted, by their keys."""
    texts = sorted(f"{name}:{value}" for values in held.values() for name, value in values.items())
    await connection.executemany(sql.identifier_remove, [(table_id, text) for text in texts])
