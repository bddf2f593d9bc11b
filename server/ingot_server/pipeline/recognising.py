"""Recognises records of a kind with identifiers that the table knows just so.

A record that is sent again comes, most often, with exactly the identifiers that it has. Then nobody gets or loses one,
and nothing is to be found out about it but its key: it stays in columns. All others go the way by `mapping`; the
outcome is the same.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, compress
from operator import not_
from typing import TYPE_CHECKING

from ingot_server.pipeline.identities import Identities
from ingot_server.pipeline.mapping import Surroundings, look_up_blocked
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.validation import ReadRecords
from ingot_server.pipeline.validation.columns import Columns
from ingot_server.storage import identifiers, records
from ingot_server.storage.keyed_records import KeyedRecords

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Names:
    """The identifiers that records come with, as they are stored."""

    of_columns: Sequence[Mapping[str, Sequence[str | None]]]
    """Of the records in each columns, by identifier; None for a record that has none."""
    distinct: Set[str]
    """Of all records, also of those in rows."""
    common: Set[str]
    """Those that more than one record comes with."""


def names_of(read: ReadRecords) -> Names:
    """The identifiers that records come with. Pure."""
    of_columns = [
        {
            name: [f"{name}:{value}" if value else None for value in columns.values[name]]
            for name in read.identifiers
            if name in columns.values
        }
        for columns in read.columns
    ]
    texts = [name.text for row in read.rows for name in row.names]
    texts += filter(None, chain.from_iterable(chain.from_iterable(names.values()) for names in of_columns))
    distinct = frozenset(texts)
    common = [text for text, times in Counter(texts).items() if times > 1] if len(distinct) < len(texts) else ()
    return Names(of_columns, distinct, frozenset(common))


async def recognise(
    connection: "Connection", target: Target, read: ReadRecords, names: Names, around: Surroundings
) -> KeyedRecords | None:
    """Takes the records that the table knows just so out of `read`. The caller keeps others from moving identifiers.

    Adds who has the identifiers of all records to what is known. None if that was not asked for, because an address is
    blocked.
    """
    await look_up_blocked(connection, target.account_id, read.addresses(), around)
    if around.blocked:
        return None
    owners = (await identifiers.identifier_find(connection, [target.table_id], list(names.distinct)))[target.table_id]
    around.own = Identities(owners, stored=frozenset(owners))
    meant = await asyncio.to_thread(_meant, read, names, owners)
    in_part = list(chain.from_iterable(one.in_part for one in meant))
    held = await records.record_list_fields(connection, target.table_id, in_part, read.identifiers)
    return await asyncio.to_thread(_take, read, meant, held)


@dataclass(slots=True)
class _Meant:
    """Which records are meant."""

    keys: Sequence[str | None]
    """The key of the only one that has any of each one's identifiers, and all of them; None if there is none."""
    in_part: dict[str, dict[str, str]] = field(default_factory=dict)
    """The identifiers that were given, name and value, by the keys of those of which not all were."""


def _meant(read: ReadRecords, names: Names, owners: Mapping[str, str]) -> list[_Meant]:
    """Which records those of each columns mean. Those that may be meant by others as well are left out."""
    if names.common:
        owners = {text: key for text, key in owners.items() if text not in names.common}
    return [
        _meant_by_columns(columns, of_columns, read.identifiers, owners)
        for columns, of_columns in zip(read.columns, names.of_columns, strict=True)
    ]


def _meant_by_columns(
    columns: Columns, names: Mapping[str, Sequence[str | None]], identifiers: Sequence[str], owners: Mapping[str, str]
) -> _Meant:
    # No identifier is None.
    owned = [[owners.get(text) for text in texts if text] for texts in names.values()]
    if len(names) == len(identifiers) and all(len(keys) == len(columns.records) for keys in owned):
        first, *others = owned
        if all(other == first for other in others):
            return _Meant(first)
        return _Meant([keys[0] if len(set(keys)) == 1 else None for keys in zip(*owned, strict=True)])
    keys: list[str | None] = []
    meant = _Meant(keys)
    for number in range(len(columns.records)):
        given = {name: text for name, texts in names.items() if (text := texts[number])}
        found = {owners.get(text) for text in given.values()}
        key = found.pop() if len(found) == 1 else None
        keys.append(key)
        if key is not None and len(given) < len(identifiers):
            meant.in_part[key] = {name: text.removeprefix(f"{name}:") for name, text in given.items()}
    return meant


def _take(read: ReadRecords, meant: Sequence[_Meant], held: Mapping[str, Mapping[str, str]]) -> KeyedRecords:
    """Takes those out of `read` that come with all identifiers that their record has: so no other can mean it."""
    keys: list[str] = []
    texts: list[bytes] = []
    left: list[Columns] = []
    for columns, one in zip(read.columns, meant, strict=True):
        more = {key for key, given in one.in_part.items() if held.get(key, {}) != given}
        is_known = [key is not None and key not in more for key in one.keys]
        keys += [key for key in compress(one.keys, is_known) if key is not None]
        texts += compress(columns.texts, is_known)
        if not all(is_known):
            left.append(columns.selected(list(map(not_, is_known))))
    read.columns = left
    return KeyedRecords(keys, texts)
