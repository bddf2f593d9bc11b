"""Creates records of a kind with identifiers in the hope that nobody has any of these.

Nothing is looked up before; that something is there after all shows when it is written. Then nothing was, and the
records go the way of all others, by `mapping`. The outcome is the same: a record whose identifiers nobody has, neither
in the table nor among the records beside it, gets them all and the key that is made of the strongest.

Several who create records at the same time do not disturb each other: they have no identifier in common, or one of them
finds that its own are not new.
"""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from ingot_server.domain.progress import Counts
from ingot_server.pipeline.identities import first_key, first_keys
from ingot_server.pipeline.kinds.kind import name_texts
from ingot_server.pipeline.mapping import (
    Surroundings,
    blame_blocked,
    identify,
    look_up_blocked,
    look_up_identities,
)
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.validation import ReadRecords
from ingot_server.storage import records, tables
from ingot_server.storage.keyed_records import KeyedRecords
from ingot_server.storage.records import NewRecords

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Strangers:
    """Records of which no two have an identifier in common, as they are created."""

    keys: Sequence[str]
    new: NewRecords
    identifiers: Set[str]
    """Those of the records with faults as well."""


def strangers(read: ReadRecords, table_id: int, writer: int) -> Strangers | None:
    """The records without faults; None if two of all have an identifier in common. Pure."""
    keys: list[str] = []
    texts: list[bytes] = []
    names: list[str] = []
    owners: list[str] = []
    for columns in read.columns:
        named = [(name, columns.values[name]) for name in read.identifiers if name in columns.values]
        named_by = first_keys(named)
        keys += named_by
        texts += columns.texts
        for identifier, values in named:
            names += name_texts(identifier, filter(None, values))
            owners += compress(named_by, values)
    good = [row for row in read.rows if not row.is_faulty]
    for row in good:
        row.key = first_key(row.names[0])
        names += [name.text for name in row.names]
        owners += [row.key] * len(row.names)
    keys += [row.key for row in good]
    texts += [row.text for row in good]
    faulty = [name.text for row in read.rows if row.is_faulty for name in row.names]
    identifiers = {*names, *faulty}
    if len(identifiers) < len(names) + len(faulty):
        return None
    new = records.new_records(table_id, writer, KeyedRecords(keys, texts), names, owners)
    return Strangers(keys, new, identifiers)


async def create(
    connection: "Connection", target: Target, read: ReadRecords, found: Strangers, writer: int, *, alone: bool
) -> tuple[Counts, Surroundings, Sequence[str]] | None:
    """Creates the records that `strangers` has `found`, gives them their identifiers, and tells their keys.

    Nobody else writes to the table meanwhile if it is done `alone`. None if the table knows one of the records; then
    nothing was written. Faults are added to rows in any case.
    """
    around, kind = Surroundings(), target.rules.kind
    lock = tables.table_lock_identifiers if alone else tables.table_share_identifiers
    await lock(connection, target.table_id)
    await look_up_blocked(connection, target.account_id, read.addresses(), around)
    if around.blocked:
        for row in read.take_rows():
            blame_blocked(row, around)
        without_blocked = await asyncio.to_thread(strangers, read, target.table_id, writer)
        assert without_blocked is not None  # noqa: S101 fewer of them have not more in common
        found = without_blocked
    if faulty := [row for row in read.rows if row.is_faulty]:
        # It is told which record they mean.
        named = [row.names for row in faulty]
        (around.own,) = await look_up_identities(connection, [target.table_id], named, kind.identifiers)
        for row in faulty:
            identify(row, target.rules, around, {})
    counts = await records.record_create(connection, found.new)
    return None if counts is None else (counts, around, found.keys)
