"""Prepares records by the rules of their table, and applies them to it: for imports and direct writes alike.

Preparing is pure. Applying runs in the caller's transaction, and may be tried again when that was rolled back.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ingot_server.domain.modes import WriteMode
from ingot_server.domain.progress import Counts
from ingot_server.domain.records import Fault, Severity
from ingot_server.pipeline import exact_json
from ingot_server.pipeline.creating import Strangers, create, strangers
from ingot_server.pipeline.folding import Fold, too_large
from ingot_server.pipeline.hopes import Hopes
from ingot_server.pipeline.keys import Keyed, KeySet, key_of, read_keys
from ingot_server.pipeline.mapping import Surroundings, look_up, map_rows, named_keys
from ingot_server.pipeline.merging import fold_rows
from ingot_server.pipeline.own_keys import without_keys
from ingot_server.pipeline.recognising import Identifiers, identifiers_of, recognise
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.validation import ReadRecords, Row, Validator
from ingot_server.storage import branches, identifiers, records, tables
from ingot_server.storage.keyed_records import KeyedRecords

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

_WORTHWHILE = 4
"""To look for unchanged records pays if they are one of so many."""
_ROWS_ON_LOOP_MAX = 10
"""More rows than this are mapped in a thread: one may have many references."""


class MustBeAlone(Exception):
    """Records may gain or lose identifiers, which cannot be written beside others: nothing is to be committed."""


@dataclass(slots=True)
class Prepared:
    """Records, prepared by the rules of their table."""

    texts: Sequence[bytes]
    target: Target
    named_keys: tuple[str, ...] = ()
    """The key fields that the first record with a usable `keys` field names; empty if none was found or looked for."""
    refused: dict[int, "Finding"] = field(default_factory=dict)
    """What the database refuses, by position."""
    keyed: Keyed = field(default_factory=Keyed)
    """The records with their keys, where nothing but these has to be known."""
    hopes: Hopes | None = None
    """What is worth a try; None: nothing."""
    read: ReadRecords | None = None
    """Elsewhere the records with their values, until they are taken."""
    strangers: Strangers | None = None
    """These as they are created, if that is worth a try."""
    given: Identifiers | None = None
    """The identifiers that they come with, if that was found out."""
    recognisable: bool = False
    """Whether it is worth a try to recognise all of them, beside others."""
    apart: Set[str] | None = None
    """The identifiers that others who are written beside them must not have; None if no others may be."""
    alone: bool = True
    """Whether all records before these are written, and whoever else writes records with identifiers is waited for."""

    async def part(self, first: int, end: int) -> "Prepared":
        """Some of the records, prepared by themselves."""
        part = await asyncio.to_thread(prepare, self.texts[first:end], self.target)
        for position, found in self.refused.items():
            if first <= position < end:
                part.refuse(position - first, *found.faults)
        return part

    def refuse(self, position: int, fault: Fault) -> None:
        """Takes a record out that the database refuses."""
        key = ""
        if self.target.rules.is_plain:
            key = self.keyed.pop(position)
        self.refused[position] = Finding(position, (fault,), key)

    def keys(self) -> KeySet | None:
        """What others must not have in common with the records to be written beside them: their keys, or identifiers.

        None if they can be written only alone.
        """
        if self.target.rules.is_plain:
            return KeySet.of(self.keyed.records)
        if self.read is None:
            return None
        if self.target.rules.kind.identifies_itself:
            return None if self.apart is None or self.alone else KeySet(self.apart)
        return KeySet(frozenset(row.key for row in self.read.rows if not row.is_faulty))

    def hope(self, hopes: Hopes, writer: int, *, alone: bool) -> None:
        """Takes note of what is worth a try when `writer` applies the records, and prepares it.

        If it is not to be done `alone`, `apply` may raise MustBeAlone.
        """
        self.hopes = hopes
        if not self.creates_rows or self.read is None:
            return
        # Those in rows are not recognised.
        self.recognisable = hopes.recognised.is_so and all(row.is_faulty for row in self.read.rows)
        if hopes.new.is_so:
            self.strangers = strangers(self.read, self.target.table_id, writer)
        if self.strangers is not None:
            self.apart = self.strangers.identifiers
        else:
            self.given = identifiers_of(self.read)
            if self.recognisable and not self.given.repeated:
                self.apart = self.given.all
        self.alone = alone or self.apart is None

    @property
    def creates_rows(self) -> bool:
        """Whether new records are written by `creating`."""
        target = self.target
        return bool(target.rules.kind.identifiers) and target.mode is WriteMode.REPLACE and target.base_id is None

    async def take_read(self) -> ReadRecords:
        """The records with their values. Mapping adds to them, so they are read anew for another try."""
        read = self.read if self.read is not None else (await asyncio.to_thread(_read, self))[0]
        self.read = None
        return read

    async def take_rows(self) -> list[Row]:
        """As `take_read`, in rows."""
        rows = (await self.take_read()).take_rows()
        for row in rows:
            if row.position in self.refused:
                for fault in self.refused[row.position].faults:
                    row.accuse(fault)
        return rows


def prepare(texts: Sequence[bytes], target: Target, keys: Sequence[str] | None = None) -> Prepared:
    """Reads keys and values. Pure; takes some microseconds per record.

    `texts` have passed `checking.check`; `keys` are those that it has found.
    """
    prepared = Prepared(texts, target)
    if target.rules.is_plain:
        prepared.keyed = read_keys(texts, target.key_fields, own_keys=target.own_keys, known=keys)
        prepared.named_keys = prepared.keyed.named_keys
    else:
        prepared.read, prepared.named_keys = _read(prepared)
    return prepared


def _read(prepared: Prepared) -> tuple[ReadRecords, tuple[str, ...]]:
    texts, target = prepared.texts, prepared.target
    rules, mode = target.rules, target.mode
    read = rules.read_names if mode is WriteMode.DELETE else rules.read_parts if mode.merges else rules.read
    if rules.kind.identifies_itself:
        return read(texts, range(len(texts))), ()
    if not target.own_keys:
        return _with_keys(read(texts, range(len(texts))), target.key_fields), ()
    bare = without_keys(texts, target.key_fields)
    found = _with_keys(read(bare.texts, bare.positions), target.key_fields or bare.named_keys)
    found.rows += [Row(position, faults=[fault], is_faulty=True) for position, fault in bare.faults]
    found.rows.sort(key=lambda row: row.position)
    return found, bare.named_keys


def _with_keys(read: ReadRecords, key_fields: tuple[str, ...]) -> ReadRecords:
    for row in read.take_rows():
        row.take_key(key_of(row.record, key_fields, row.unread))
    return read


@dataclass(slots=True)
class Finding:
    """A record with faults."""

    position: int
    faults: Sequence[Fault]
    key: str


@dataclass(slots=True)
class Applied:
    """What became of records."""

    counts: Counts
    """Of those that were applied; the rejected ones are not counted here."""
    rejected: list[Finding]
    doubted: list[Finding]
    """Those that were applied and have warnings."""
    named: Collection[str]
    """The keys that the records name, also the rejected ones, as far as they are known. They may repeat."""
    nameless: int
    """How many rejected records there are of which that is not known."""

    def followed_by(self, other: "Applied", position: int) -> "Applied":
        """What became of these records and of `other`, of which the first has this position."""
        rejected, doubted = (
            [replace(found, position=found.position + position) for found in findings]
            for findings in (other.rejected, other.doubted)
        )
        return Applied(
            self.counts + other.counts,
            self.rejected + rejected,
            self.doubted + doubted,
            [*self.named, *other.named],
            self.nameless + other.nameless,
        )


async def apply(connection: "Connection", prepared: Prepared, writer: int) -> Applied:
    """Writes records to their table, in their order, within the caller's transaction.

    Raises DataRefused, and MustBeAlone if that cannot be done beside others.
    """
    try:
        if prepared.target.rules.is_plain:
            return await _apply_plain(connection, prepared, writer)
        return await _apply_rows(connection, prepared, writer)
    except records.TooMuchHeld as much:
        return await _apply_parts(connection, prepared, writer, much.parts)


async def _apply_parts(connection: "Connection", prepared: Prepared, writer: int, parts: int) -> Applied:
    """As `apply`, one part after the other."""
    number = len(prepared.texts)
    step = max(1, number // parts)
    applied = await apply(connection, await prepared.part(0, step), writer)
    for first in range(step, number, step):
        await records.record_unstage(connection)
        part = await prepared.part(first, first + step)
        applied = applied.followed_by(await apply(connection, part, writer), first)
    return applied


async def _apply_plain(connection: "Connection", prepared: Prepared, writer: int) -> Applied:
    target, keyed = prepared.target, prepared.keyed
    named = keyed.records.keys
    rejected = [Finding(position, (fault,), "") for position, fault in keyed.faults]
    rejected += prepared.refused.values()
    if target.base_id is not None:
        await branches.branch_touch(connection, target.table_id, target.base_id, named)
    if target.mode is WriteMode.REPLACE:
        counts = await _replace(connection, prepared, writer, keyed.records)
    else:
        held = await records.record_hold(connection, target.table_id, writer, set(named))
        fold = Fold(target.mode, held)
        rejected += await asyncio.to_thread(_fold_plain, keyed, fold)
        await _write(connection, target, writer, fold)
        counts = fold.counts
    named = [*named, *(found.key for found in prepared.refused.values())] if prepared.refused else named
    rejected.sort(key=lambda found: found.position)
    return Applied(counts, rejected, [], named, len(keyed.faults))


async def _replace(connection: "Connection", prepared: Prepared, writer: int, keyed: KeyedRecords) -> Counts:
    table_id, hopes = prepared.target.table_id, prepared.hopes
    # With a few there is nothing to be gained.
    if hopes is None or len(keyed) <= records.FEW_RECORDS:
        return await records.record_apply(connection, table_id, writer, keyed)
    if not prepared.creates_rows and hopes.new.is_so:
        new = await asyncio.to_thread(records.new_records, table_id, writer, keyed)
        created = await records.record_create(connection, new)
        hopes.new.learn(is_so=created is not None)
        if created is not None:
            return created
    unchanged = Counts()
    if keyed.is_distinct:
        if is_looked_at := hopes.unchanged.is_so:
            differing = await records.record_differing(connection, table_id, keyed)
            number = len(keyed) - len(differing)
            hopes.unchanged.learn(is_so=number * _WORTHWHILE >= len(keyed))
            unchanged, keyed = Counts(received=number, unchanged=number), differing
            hopes.any_unchanged = number > 0
        may_all_differ = is_looked_at or not hopes.any_unchanged
        if len(keyed) > records.FEW_RECORDS and may_all_differ and hopes.differing.is_so:
            exchanged = await records.record_exchange(connection, table_id, writer, keyed)
            hopes.differing.learn(is_so=exchanged is not None)
            if exchanged is not None:
                return unchanged + exchanged
    return unchanged + await records.record_apply(connection, table_id, writer, keyed)


def _fold_plain(keyed: Keyed, fold: Fold) -> list[Finding]:
    oversized = []
    for position, key, text in zip(keyed.positions, keyed.records.keys, keyed.records.texts, strict=True):
        if fold.mode is WriteMode.DELETE:
            fold.delete(key)
        elif fold.skips(key):
            fold.skip()
        else:
            record = fold.merged(key, exact_json.decode(text))
            if fault := too_large(record) if fold.mode.merges else None:
                oversized.append(Finding(position, (fault,), key))
            else:
                fold.put(key, record)
    return oversized


async def _apply_rows(connection: "Connection", prepared: Prepared, writer: int) -> Applied:
    target, rules = prepared.target, prepared.target.rules
    found, prepared.strangers = prepared.strangers, None
    if found is not None and prepared.hopes is not None:
        read = await prepared.take_read()
        created = await create(connection, target, read, found, writer, alone=prepared.alone)
        prepared.hopes.new.learn(is_so=created is not None)
        if created is not None:
            return _applied(read.rows, rules, *created)
    if target.mode is WriteMode.REPLACE:
        known, rows, around = await _recognised(connection, prepared)
        around = await look_up(connection, target, rows, around)
        if len(rows) > _ROWS_ON_LOOP_MAX:
            mapped = await asyncio.to_thread(map_rows, rows, rules, around)
        else:
            mapped = map_rows(rows, rules, around)
        if target.base_id is not None and not rules.kind.identifiers:
            await branches.branch_touch(connection, target.table_id, target.base_id, mapped.keys)
        counts = await _replace(connection, prepared, writer, known.followed_by(mapped))
    else:
        known = KeyedRecords([], [])
        rows = await prepared.take_rows()
        fold, around = await fold_rows(connection, target, rows, writer)
        await _write(connection, target, writer, fold)
        counts = fold.counts
    if around.own.changed:
        await identifiers.identifier_change(connection, target.table_id, around.own.changes())
    return _applied(rows, rules, counts, around, known.keys)


async def _recognised(
    connection: "Connection", prepared: Prepared
) -> tuple[KeyedRecords, list[Row], Surroundings | None]:
    """Records that the table knows just so, all others, and what was found out about them, if anything was."""
    target, hopes = prepared.target, prepared.hopes
    is_worthwhile = prepared.creates_rows and hopes is not None and not prepared.refused
    if not prepared.alone and not (is_worthwhile and prepared.recognisable):
        raise MustBeAlone
    if hopes is None or not is_worthwhile:
        return KeyedRecords([], []), await prepared.take_rows(), None
    # Before others are kept waiting.
    read = await prepared.take_read()
    if prepared.given is None:
        prepared.given = await asyncio.to_thread(identifiers_of, read)
    lock = tables.table_lock_identifiers if prepared.alone else tables.table_share_identifiers
    await lock(connection, target.table_id)
    around = Surroundings()
    known = await recognise(connection, target, read, prepared.given, around)
    rows = read.take_rows()
    if not prepared.alone:
        is_all = all(row.is_faulty for row in rows)
        hopes.recognised.learn(is_so=is_all)
        if not is_all:
            raise MustBeAlone
    return known, rows, around


def _applied(
    rows: Sequence[Row], rules: Validator, counts: Counts, around: Surroundings, known_keys: Iterable[str] = ()
) -> Applied:
    named = {*known_keys, *(row.key for row in rows if not row.is_faulty)}
    nameless = 0
    for row in rows:
        if row.is_faulty:
            keys = named_keys(row, rules, around)
            if rules.kind.identity and len(keys) == 1:
                # Only of good rows it was looked for.
                [row.key] = keys
            named |= keys
            nameless += not keys
    return Applied(counts, _findings(rows, Severity.ERROR), _findings(rows, Severity.WARNING), named, nameless)


async def _write(connection: "Connection", target: Target, writer: int, fold: Fold) -> None:
    """Writes what has become of records."""
    to_put = await asyncio.to_thread(fold.to_put)
    await records.record_put(connection, target.table_id, writer, to_put, fold.new)
    if doomed := fold.to_delete():
        await records.record_delete(connection, target.table_id, doomed)


def _findings(rows: Sequence[Row], severity: Severity) -> list[Finding]:
    """What is wrong with rows that are rejected, or with those that are not and have warnings.

    Of rejected ones not the warnings, which tell of values that were accepted.
    """
    return [
        Finding(row.position, [fault for fault in row.faults if fault.code.severity is severity], row.key)
        for row in rows
        if row.faults and row.is_faulty == (severity is Severity.ERROR)
    ]
