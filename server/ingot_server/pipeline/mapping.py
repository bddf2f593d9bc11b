"""Maps records to what is there already: which record they are, what they refer to, what they must not contain.

In two halves: `look_up` reads what is needed for all records at once, in the transaction that will write them;
`map_rows` is pure, and takes them one by one in their order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from ingot_server.domain.blocked import BlockedType, blockable
from ingot_server.domain.records import KEY_BYTES_MAX, ErrorCode, Fault
from ingot_server.pipeline.identities import Identities, IdentityConflict, identifier
from ingot_server.pipeline.kinds import KINDS
from ingot_server.pipeline.kinds.kind import DERIVED, Name, Reference
from ingot_server.pipeline.validation import Row, Validator, encode
from ingot_server.storage import blocked_values, identifiers, records, tables
from ingot_server.storage.records import KeyedRecord

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection


_WORDS = {BlockedType.DOMAIN: "domain", BlockedType.EMAIL: "e-mail address", BlockedType.PHONE: "phone number"}


@dataclass(slots=True)
class Surroundings:
    """What is known of everything around some records."""

    own: Identities = field(default_factory=Identities)
    """Of the table itself, if its kind has identifiers."""
    others: dict[str, list[Identities]] = field(default_factory=dict)
    """Of the tables of each kind that is referred to, the oldest table first."""
    keys: dict[str, set[str]] = field(default_factory=dict)
    """The keys, of those that are referred to, that exist in tables of kinds without identifiers."""
    blocked: frozenset[tuple[BlockedType, str]] = frozenset()


@dataclass(slots=True)
class Mapped:
    """What became of rows."""

    records: list[KeyedRecord] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)
    doubted: list[Row] = field(default_factory=list)
    """Those among the records that have warnings."""


async def look_up(
    connection: "Connection", account_id: int, table_id: int, rules: Validator, rows: Sequence[Row]
) -> Surroundings:
    """Reads what is needed to map the rows. Nobody else gives identifiers to records of the table from then on."""
    found = Surroundings()
    if any(row.addresses for row in rows) and await blocked_values.blocked_value_any(connection, account_id):
        wanted = {value for row in rows for type_, text, _ in row.addresses for value in blockable(type_, text)}
        found.blocked = await blocked_values.blocked_value_find(connection, account_id, wanted)
    kind = rules.kind
    if kind.identifiers:
        await tables.table_lock_identifiers(connection, table_id)
        own = [_own_names(row, kind.identifiers) for row in rows]
        found.own = (await _identities(connection, [table_id], chain.from_iterable(own)))[0]
        new = {identifier(names[0].identifier, names[0].value) for names in own if names}
        found.own.taken = await records.record_keys_taken(connection, table_id, new - found.own.owners.keys())
    if references := [reference for row in rows for reference in kind.references(row.record)]:
        await _look_up_references(connection, account_id, references, found)
    return found


async def _look_up_references(
    connection: "Connection",
    account_id: int,
    references: Sequence[Reference],
    found: Surroundings,
) -> None:
    kinds = sorted({reference.kind for reference in references})
    table_ids = await tables.table_ids_of_kinds(connection, account_id, kinds)
    for kind in kinds:
        names = [name for reference in references if reference.kind == kind for name in reference.names]
        if KINDS[kind].identifiers:
            found.others[kind] = await _identities(connection, table_ids[kind], names)
        else:
            keys = {name.value for name in names}
            found.keys[kind] = await records.record_keys_existing(connection, table_ids[kind], keys)


async def _identities(connection: "Connection", table_ids: Sequence[int], names: Iterable[Name]) -> list[Identities]:
    wanted = {identifier(name.identifier, name.value) for name in names}
    owners = await identifiers.identifier_find(connection, table_ids, list(wanted))
    owners |= await identifiers.identifier_list_of_keys(connection, table_ids, list({*owners.values()}))
    return [
        Identities.of({text: key for (owner_table, text), key in owners.items() if owner_table == table_id})
        for table_id in table_ids
    ]


def map_rows(rows: Sequence[Row], rules: Validator, around: Surroundings) -> Mapped:
    """What becomes of rows, in their order. Adds faults to them, and what is derived from what they refer to."""
    mapped = Mapped()
    for row in rows:
        _blame_blocked(row, around)
        _follow_references(row, rules, around)
        _identify(row, rules, around)
        if row.faults and row.is_faulty:
            mapped.rejected.append(row)
            continue
        mapped.records.append((row.key, encode(row.record).decode()))
        mapped.positions.append(row.position)
        if row.faults:
            mapped.doubted.append(row)
    return mapped


def _blame_blocked(row: Row, around: Surroundings) -> None:
    if not around.blocked:
        return
    for type_, text, path in row.addresses:
        for blocked in blockable(type_, text):
            if blocked in around.blocked:
                message = f"Blocked value: the account blocks the {_WORDS[blocked[0]]} {blocked[1]}."
                row.blame(ErrorCode.BLOCKED_VALUE, message, path)
                break


def _follow_references(row: Row, rules: Validator, around: Surroundings) -> None:
    for reference in rules.kind.references(row.record):
        try:
            key = _referred_key(reference, around)
        except IdentityConflict as conflict:
            row.blame(ErrorCode.CONFLICTING_IDENTIFIERS, conflict.message, conflict.field)
            continue
        if key is None:
            first = reference.names[0]
            what = reference.kind.lower().removesuffix("s").replace("_", " ")
            values = " or ".join(repr(name.value) for name in reference.names)
            row.blame(
                reference.code,
                f"No {what} found: no table of the account with the kind {reference.kind} has {values}.",
                first.field,
            )
        elif reference.derived:
            row.record.setdefault(DERIVED, {})[reference.derived] = key


def _referred_key(reference: Reference, around: Surroundings) -> str | None:
    if reference.kind in around.keys:
        value = reference.names[0].value
        return value if value in around.keys[reference.kind] else None
    for identities in around.others.get(reference.kind, ()):
        if (key := identities.find(reference.names)) is not None:
            return key
    return None


def _identify(row: Row, rules: Validator, around: Surroundings) -> None:
    kind = rules.kind
    if kind.identifiers:
        names = _own_names(row, kind.identifiers)
        if not names:
            return
        try:
            if row.faults and row.is_faulty:
                row.key = around.own.find(names) or identifier(names[0].identifier, names[0].value)
                return
            row.key = around.own.take(row.record, names, kind.identifiers)
        except IdentityConflict as conflict:
            row.key = identifier(names[0].identifier, names[0].value)
            row.blame(ErrorCode.CONFLICTING_IDENTIFIERS, conflict.message, conflict.field)
            return
        # Not before: only now the record has all its identifiers.
        rules.derive(row.record)
    elif kind.identity and not (row.faults and row.is_faulty):
        key = kind.key_of(row.record)
        if (size := len(key.encode())) <= KEY_BYTES_MAX:
            row.key = key
        else:
            message = f"The key has {size:,} bytes: expected at most {KEY_BYTES_MAX:,}."
            row.faults.append(Fault(ErrorCode.INVALID_VALUE, message))


def _own_names(row: Row, identifier_fields: Sequence[str]) -> list[Name]:
    record = row.record
    return [Name(name, record[name], name) for name in identifier_fields if record.get(name)]
