"""Creates records of a kind with identifiers in the hope that nobody has any of these.

Nothing is looked up before; that something is there after all shows when it is written. Then nothing was, and the
records go the way of all others, by `mapping`. The outcome is the same: a record whose identifiers nobody has, neither
in the table nor among the records beside it, gets them all and the key that is made of the strongest.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingot_server.domain.progress import Counts
from ingot_server.pipeline.identities import first_key
from ingot_server.pipeline.mapping import (
    Surroundings,
    blame_blocked,
    identify,
    look_around,
    look_up_identities,
)
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.validation import Row
from ingot_server.storage import records, tables
from ingot_server.storage.identifiers import Identifier
from ingot_server.storage.records import KeyedRecord, keyed_records

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection


def are_strangers(rows: Sequence[Row]) -> bool:
    """Whether no two of the rows have an identifier in common, so that they can be created side by side."""
    texts = [name.text for row in rows for name in row.names]
    return len(set(texts)) == len(texts)


async def create_rows(
    connection: "Connection", target: Target, rows: Sequence[Row], writer: int
) -> tuple[Counts, Surroundings] | None:
    """Creates the records of rows that are strangers to each other, and gives them their identifiers.

    None if the table knows one of them; then nothing was written. Faults are added to rows in any case.
    """
    around, kind = Surroundings(), target.rules.kind
    await tables.table_lock_identifiers(connection, target.table_id)
    await look_around(connection, target.account_id, rows, around)
    for row in rows if around.blocked else ():
        blame_blocked(row, around)
    if faulty := [row for row in rows if row.is_faulty]:
        # It is told which record they mean.
        named = [row.names for row in faulty]
        (around.own,) = await look_up_identities(connection, [target.table_id], named, kind.identifiers)
        for row in faulty:
            identify(row, target.rules, around, {})
    keyed, given = await asyncio.to_thread(_with_keys, rows)
    counts = await records.record_create(connection, target.table_id, writer, keyed, given)
    return None if counts is None else (counts, around)


def _with_keys(rows: Sequence[Row]) -> tuple[list[KeyedRecord], list[Identifier]]:
    """The records, and each of their identifiers with its key."""
    good = [row for row in rows if not row.is_faulty]
    for row in good:
        row.key = first_key(row.names[0])
    given = [(name.text, row.key) for row in good for name in row.names]
    return keyed_records([row.key for row in good], [row.text for row in good]), given
