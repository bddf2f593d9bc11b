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
class Identifiers:
    """The identifiers that records come with, as they are stored."""

    by_columns: Sequence[Mapping[str, Sequence[str | None]]]
    """Of the records in each columns, by name; None for a record that has none."""
    all: Set[str]
    """Also of those in rows."""
    repeated: Set[str]
    """Those that more than one record comes with."""


def identifiers_of(read: ReadRecords) -> Identifiers:
    """The identifiers that records come with. Pure."""
    by_columns = [
        {
            name: [f"{name}:{value}" if value else None for value in columns.values[name]]
            for name in read.identifiers
            if name in columns.values
        }
        for columns in read.columns
    ]
    texts = [name.text for row in read.rows for name in row.names]
    texts += filter(None, chain.from_iterable(chain.from_iterable(given.values()) for given in by_columns))
    distinct = frozenset(texts)
    repeated = [text for text, times in Counter(texts).items() if times > 1] if len(distinct) < len(texts) else ()
    return Identifiers(by_columns, distinct, frozenset(repeated))


async def recognise(
    connection: "Connection", target: Target, read: ReadRecords, given: Identifiers, around: Surroundings
) -> KeyedRecords:
    """Takes the records that the table knows just so out of `read`; none if an address of any is blocked.

    Adds who has the identifiers of all of them to what is known. The caller keeps others from moving identifiers.
    """
    owners = (await identifiers.identifier_find(connection, [target.table_id], list(given.all)))[target.table_id]
    around.own = Identities(owners, stored=frozenset(owners))
    await look_up_blocked(connection, target.account_id, read.addresses(), around)
    if around.blocked:
        return KeyedRecords([], [])
    meant = await asyncio.to_thread(_meant, read, given, owners)
    in_part = list(chain.from_iterable(one.in_part for one in meant))
    held = await records.record_list_fields(connection, target.table_id, in_part, read.identifiers)
    return await asyncio.to_thread(_take, read, meant, held)


@dataclass(slots=True)
class _Meant:
    """Which records are meant."""

    keys: Sequence[str | None]
    """The key of the only one that has any of each one's identifiers, and all of them; None if there is none."""
    in_part: dict[str, set[str]] = field(default_factory=dict)
    """The identifiers that were given, by the keys of those of which not all were."""


def _meant(read: ReadRecords, given: Identifiers, owners: Mapping[str, str]) -> list[_Meant]:
    """Which records those of each columns mean. Those that others may mean as well are left out."""
    if given.repeated:
        owners = {text: key for text, key in owners.items() if text not in given.repeated}
    return [
        _meant_by(texts, len(columns.records), len(read.identifiers), owners)
        for columns, texts in zip(read.columns, given.by_columns, strict=True)
    ]


def _meant_by(
    given: Mapping[str, Sequence[str | None]], number: int, identifiers_max: int, owners: Mapping[str, str]
) -> _Meant:
    if len(given) == identifiers_max and all(map(all, given.values())):
        owned = [[owners.get(text) for text in texts if text] for texts in given.values()]
        return _Meant([keys[0] if len(set(keys)) == 1 else None for keys in zip(*owned, strict=True)])
    keys: list[str | None] = []
    meant = _Meant(keys)
    for position in range(number):
        own = {text for texts in given.values() if (text := texts[position])}
        found = set(map(owners.get, own))
        key = found.pop() if len(found) == 1 else None
        keys.append(key)
        if key is not None and len(own) < identifiers_max:
            meant.in_part[key] = own
    return meant


def _take(read: ReadRecords, meant: Sequence[_Meant], held: Mapping[str, Mapping[str, str]]) -> KeyedRecords:
    """Takes those out of `read` that come with all identifiers that their record has: so no other can mean it."""
    keys: list[str] = []
    texts: list[bytes] = []
    left: list[Columns] = []
    for columns, one in zip(read.columns, meant, strict=True):
        have_more = {
            key
            for key, given in one.in_part.items()
            if {f"{name}:{value}" for name, value in held.get(key, {}).items()} != given
        }
        is_known = [key is not None and key not in have_more for key in one.keys]
        keys += [key for key in compress(one.keys, is_known) if key is not None]
        texts += compress(columns.texts, is_known)
        if not all(is_known):
            left.append(columns.selected(list(map(not_, is_known))))
    read.columns = left
    return KeyedRecords(keys, texts)
