"""Maps records to what is there already: which record they are, what they refer to, what they must not contain.

In two halves: `look_up` reads what is needed for all records at once, in the transaction that will write them;
`map_rows` is pure, and takes them one by one in their order.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingot_server.domain.blocked import BlockedType, blockable
from ingot_server.domain.fields import FieldType
from ingot_server.domain.modes import WriteMode
from ingot_server.domain.records import ErrorCode
from ingot_server.pipeline import exact_json
from ingot_server.pipeline.identities import Identities, IdentityConflict, first_key
from ingot_server.pipeline.keys import joined_key
from ingot_server.pipeline.kinds import KINDS
from ingot_server.pipeline.kinds.kind import DERIVED, Name, Reference
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.validation import Row, Validator
from ingot_server.storage import blocked_values, branches, identifiers, records, tables
from ingot_server.storage.keyed_records import KeyedRecords

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection


_WORDS = {BlockedType.DOMAIN: "domain", BlockedType.EMAIL: "e-mail address", BlockedType.PHONE: "phone number"}


@dataclass(slots=True)
class Surroundings:
    """What is known of everything around some records."""

    own: Identities = field(default_factory=Identities)
    """Of the table itself, if its kind has identifiers."""
    others: dict[str, dict[str, Identities]] = field(default_factory=dict)
    """Of the tables of each kind that is referred to, by their names, the oldest table first."""
    keys: dict[str, set[str]] = field(default_factory=dict)
    """The keys, of those that are referred to, that exist in tables of kinds without identifiers."""
    blocked: frozenset[tuple[BlockedType, str]] = frozenset()


async def look_up(
    connection: "Connection", target: Target, rows: Sequence[Row], around: Surroundings | None = None
) -> Surroundings:
    """Reads what is needed to map the rows. Nobody else gives identifiers to records of the table from then on.

    If there is something `around` already, the caller sees to that, and knows who has the identifiers of the rows.
    """
    found = Surroundings() if around is None else around
    kind, table_id = target.rules.kind, target.table_id
    if kind.identifiers:
        named = [row.names for row in rows if row.names]
        if target.base_id is not None:
            texts = {name.text for names in named for name in names}
            keys = {first_key(names[0]) for names in named}
            await _touch(connection, target, target.base_id, texts, keys)
        if around is None:
            await tables.table_lock_identifiers(connection, table_id)
        # A record that is only a part may leave out what the whole has, and is then asked for by that as well.
        (found.own,) = await look_up_identities(
            connection,
            [table_id],
            named,
            kind.identifiers,
            ask_all=target.mode is not WriteMode.REPLACE,
            owners=None if around is None else {table_id: around.own.owners},
        )
        found.own.taken = await _keys_taken(connection, table_id, named, found.own)
    await look_around(connection, target.account_id, rows, found)
    return found


async def _keys_taken(
    connection: "Connection", table_id: int, named: Sequence[Sequence[Name]], own: Identities
) -> set[str]:
    """Which keys new records cannot have, of those that rows would have if they are new, and of the numbered ones."""
    if own.held:
        # Of all rows: an earlier one may take an identifier away from a record that is known.
        wanted = [first_key(names[0]) for names in named]
        numbered = set(wanted)
        taken = await records.record_keys_existing(connection, [table_id], numbered)
    else:
        # No record loses an identifier, but for those of rows that mean the same new one.
        wanted = [first_key(names[0]) for names in named if names[0].text not in own.owners]
        taken = await records.record_keys_existing(connection, [table_id], set(wanted))
        numbered = taken.union(key for key, times in Counter(wanted).items() if times > 1)
    return taken | await records.record_keys_numbered(connection, table_id, numbered)


async def _touch(
    connection: "Connection", target: Target, base_id: int, identifiers_: set[str], first_keys: set[str]
) -> None:
    """Has all records in the branch that may be meant, or that keep a new one from having its key."""
    owners = await identifiers.identifier_find(connection, [base_id], list(identifiers_))
    taken = await records.record_keys_existing(connection, [base_id], first_keys)
    taken |= await records.record_keys_numbered(connection, base_id, first_keys)
    keys = taken.union(owners[base_id].values())
    fields = target.rules.kind.identifiers
    await branches.branch_touch_identified(connection, target.table_id, base_id, keys, fields)


async def look_around(connection: "Connection", account_id: int, rows: Sequence[Row], found: Surroundings) -> None:
    """Adds what is blocked, and what the rows refer to, to what is known."""
    addresses = (address for row in rows for address in row.addresses)
    await look_up_blocked(connection, account_id, addresses, found)
    if references := [reference for row in rows for reference in row.references]:
        await _look_up_references(connection, account_id, references, found)


async def look_up_blocked(
    connection: "Connection", account_id: int, addresses: Iterator[tuple[FieldType, str, str]], found: Surroundings
) -> None:
    """Adds what is blocked of some e-mail addresses and phone numbers to what is known."""
    first = next(addresses, None)
    if first is not None and await blocked_values.blocked_value_any(connection, account_id):
        wanted = {value for type_, text, _ in (first, *addresses) for value in blockable(type_, text)}
        found.blocked |= await blocked_values.blocked_value_find(connection, account_id, wanted)


async def _look_up_references(
    connection: "Connection", account_id: int, references: Sequence[Reference], found: Surroundings
) -> None:
    kinds = sorted({reference.kind for reference in references})
    found_tables = await tables.table_list_of_kinds(connection, account_id, kinds)
    for kind in kinds:
        named = [reference.names for reference in references if reference.kind == kind]
        table_ids = list(found_tables[kind])
        if KINDS[kind].identifiers:
            # What is asked for later may name a record in two ways at once that were looked up one by one.
            known = kind in found.others
            identities = await look_up_identities(connection, table_ids, named, KINDS[kind].identifiers, ask_all=known)
            others = found.others.setdefault(kind, {})
            for table, further in zip(found_tables[kind].values(), identities, strict=True):
                others.setdefault(table, further).learn(further)
        else:
            keys = {name.value for names in named for name in names}
            existing = await records.record_keys_existing(connection, table_ids, keys)
            found.keys.setdefault(kind, set()).update(existing)


async def look_up_identities(
    connection: "Connection",
    table_ids: Sequence[int],
    named: Sequence[Sequence[Name]],
    identifier_fields: Sequence[str],
    *,
    ask_all: bool = False,
    owners: Mapping[int, dict[str, str]] | None = None,
) -> list[Identities]:
    """Who has the identifiers that are `named`, in each of some tables; that may be known already as the `owners`.

    What a record holds beside them is asked for where it matters; with `ask_all`, of all that are found.
    """
    if owners is None:
        wanted = {name.text for names in named for name in names}
        owners = await identifiers.identifier_find(connection, table_ids, list(wanted))
    found = []
    for table_id in table_ids:
        identities = Identities(owners[table_id], stored=frozenset(owners[table_id]))
        asked = set(identities.owners.values()) if ask_all else identities.untold(named, identifier_fields)
        identities.held = await records.record_list_fields(connection, table_id, list(asked), identifier_fields)
        if ask_all:
            identities.know_held()
        found.append(identities)
    return found


def map_rows(rows: Sequence[Row], rules: Validator, around: Surroundings) -> KeyedRecords:
    """The records that rows are to become, in their order; the others are faulty then.

    Adds faults to rows, and what is derived from what they refer to.
    """
    keys: list[str] = []
    texts: list[bytes] = []
    for row in rows:
        blame_blocked(row, around)
        referred = follow_references(row, around) if row.references else {}
        completed = identify(row, rules, around, referred)
        if not row.is_faulty:
            text = exact_json.encode(row.record) if referred or completed else row.text
            keys.append(row.key)
            texts.append(text)
    return KeyedRecords(keys, texts)


def named_keys(row: Row, rules: Validator, around: Surroundings) -> set[str]:
    """The keys of the records that a rejected row names; none if that is not known."""
    kind = rules.kind
    if kind.identifiers:
        if not row.names or not row.unread.isdisjoint(kind.identifiers):
            return set()
        return {row.key, *(around.own.owners[name.text] for name in row.names if name.text in around.own.owners)}
    if kind.identity and not row.key:
        try:
            key = joined_key(kind.key_parts_of(row.record)) if row.unread.isdisjoint(kind.identity) else ""
        except KeyError:
            return set()
        is_whole = all(row.record.get(name) is not None for name in kind.identity) or kind.key_parts
        return {key} if isinstance(key, str) and key and is_whole else set()
    return {row.key} if row.key else set()


def blame_blocked(row: Row, around: Surroundings) -> None:
    if not around.blocked:
        return
    for type_, text, path in row.addresses:
        for blocked in blockable(type_, text):
            if blocked in around.blocked:
                message = f"Blocked value: the account blocks the {_WORDS[blocked[0]]} {blocked[1]}."
                row.blame(ErrorCode.BLOCKED_VALUE, message, path)
                break


def follow_references(row: Row, around: Surroundings) -> dict[str, str]:
    """The keys of what the row refers to, and the tables they are in, by the names under which they are derived."""
    derived: dict[str, str] = {}
    for reference in row.references:
        try:
            table, key = _referred(reference, around)
        except IdentityConflict as conflict:
            row.blame(ErrorCode.CONFLICTING_IDENTIFIERS, conflict.message, conflict.field)
            continue
        if not key:
            first = reference.names[0]
            what = reference.kind.lower().removesuffix("s").replace("_", " ")
            values = " or ".join(repr(name.value) for name in reference.names)
            row.blame(
                reference.code,
                f"No {what} found: no table of the account with the kind {reference.kind} has {values}.",
                first.field,
            )
        elif reference.derived:
            derived |= {reference.derived: key, f"{reference.derived}_table": table}
    return derived


def _referred(reference: Reference, around: Surroundings) -> tuple[str, str]:
    """The table and the key of what is referred to; empty if there is no such record, or its table does not matter.

    The strongest name that any table knows decides about the table: an old one must not be in the way of the right one.
    """
    if reference.kind in around.keys:
        value = reference.names[0].value
        return "", value if value in around.keys[reference.kind] else ""
    for name in reference.names:
        for table, identities in around.others.get(reference.kind, {}).items():
            if name.text in identities.owners:
                return table, identities.find(reference.names) or ""
    return "", ""


def identify(row: Row, rules: Validator, around: Surroundings, referred: Mapping[str, str]) -> bool:
    """Finds the key of a row, and adds what is derived from references; whether identifiers were added to it."""
    kind, completed = rules.kind, False
    if row.names:
        try:
            if row.is_faulty:
                row.key = around.own.find(row.names) or first_key(row.names[0])
                return False
            row.key, completed = around.own.take(row.record, row.names, kind.identifiers)
        except IdentityConflict as conflict:
            row.key = first_key(row.names[0])
            row.blame(ErrorCode.CONFLICTING_IDENTIFIERS, conflict.message, conflict.field)
            return False
    if completed:
        # What was derived before was derived from less.
        rules.derive(row.record)
    if referred:
        row.record[DERIVED] = {**row.record.get(DERIVED, {}), **referred}
    if kind.identity and not row.is_faulty:
        row.take_key(joined_key(kind.key_parts_of(row.record)))
    return completed
