"""Prepares records by the rules of their table, and applies them to it: for imports and direct writes alike.

Preparing is pure. Applying runs in the caller's transaction, and may be tried again when that was rolled back.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingot_server.domain.progress import Counts
from ingot_server.domain.records import Fault, Severity
from ingot_server.pipeline.keys import Keyed, key_of, read_keys
from ingot_server.pipeline.mapping import look_up, map_rows
from ingot_server.pipeline.own_keys import without_keys
from ingot_server.pipeline.validation import Row, Validator
from ingot_server.storage import identifiers, records

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

_ROWS_ON_LOOP_MAX = 10
"""More rows than this are mapped in a thread: one may have many references."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where records go."""

    account_id: int
    table_id: int
    rules: Validator
    key_fields: tuple[str, ...]
    """Empty if they are not known yet, or the kind needs none."""
    own_keys: bool
    """Whether a record's `keys` field is an instruction."""


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
    rows: list[Row] | None = None
    """Elsewhere the records with their values, until they are taken."""

    async def part(self, first: int, end: int) -> "Prepared":
        """Some of the records, prepared by themselves."""
        return await asyncio.to_thread(prepare, self.texts[first:end], self.target)

    def refuse(self, position: int, fault: Fault) -> None:
        """Takes a record out that the database refuses."""
        key = ""
        if self.target.rules.is_plain:
            key, _ = self.keyed.pop(position)
        self.refused[position] = Finding(position, (fault,), key)

    async def take_rows(self) -> list[Row]:
        """The records with their values. Mapping adds to them, so they are read anew for another try."""
        rows = self.rows if self.rows is not None else (await asyncio.to_thread(_rows_of, self))[0]
        self.rows = None
        for row in rows:
            if row.position in self.refused:
                for fault in self.refused[row.position].faults:
                    row.accuse(fault)
        return rows


def prepare(texts: Sequence[bytes], target: Target) -> Prepared:
    """Reads keys and values. Pure; takes some microseconds per record. `texts` have passed `checking.check`."""
    prepared = Prepared(texts, target)
    if target.rules.is_plain:
        prepared.keyed = read_keys(texts, target.key_fields, own_keys=target.own_keys)
        prepared.named_keys = prepared.keyed.named_keys
    else:
        prepared.rows, prepared.named_keys = _rows_of(prepared)
    return prepared


def _rows_of(prepared: Prepared) -> tuple[list[Row], tuple[str, ...]]:
    texts, target = prepared.texts, prepared.target
    rules = target.rules
    if rules.kind.identifies_itself:
        return rules.read(texts, range(len(texts))), ()
    if not target.own_keys:
        return _with_keys(rules.read(texts, range(len(texts))), target.key_fields), ()
    bare = without_keys(texts, target.key_fields)
    rows = _with_keys(rules.read(bare.texts, bare.positions), target.key_fields or bare.named_keys)
    rows += [Row(position, faults=[fault], is_faulty=True) for position, fault in bare.faults]
    return sorted(rows, key=lambda row: row.position), bare.named_keys


def _with_keys(rows: list[Row], key_fields: tuple[str, ...]) -> list[Row]:
    for row in rows:
        row.take_key(key_of(row.record, key_fields, row.unread))
    return rows


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


async def apply(connection: "Connection", prepared: Prepared, writer: int) -> Applied:
    """Writes records to their table, in their order, within the caller's transaction. Raises DataRefused."""
    target = prepared.target
    if target.rules.is_plain:
        keyed = prepared.keyed
        counts = await records.record_apply(connection, target.table_id, writer, keyed.records)
        rejected = [Finding(position, (fault,), "") for position, fault in keyed.faults]
        rejected += prepared.refused.values()
        return Applied(counts, sorted(rejected, key=lambda found: found.position), [])
    rows = await prepared.take_rows()
    around = await look_up(connection, target.account_id, target.table_id, target.rules, rows)
    if len(rows) > _ROWS_ON_LOOP_MAX:
        mapped = await asyncio.to_thread(map_rows, rows, target.rules, around)
    else:
        mapped = map_rows(rows, target.rules, around)
    counts = await records.record_apply(connection, target.table_id, writer, mapped.records)
    if around.own.changed:
        await identifiers.identifier_change(connection, target.table_id, around.own.changes())
    return Applied(counts, _findings(mapped.rejected, Severity.ERROR), _findings(mapped.doubted, Severity.WARNING))


def _findings(rows: Sequence[Row], severity: Severity) -> list[Finding]:
    """What is wrong with rows; of rejected ones not the warnings, which tell of values that were accepted."""
    return [
        Finding(row.position, [fault for fault in row.faults if fault.code.severity is severity], row.key)
        for row in rows
    ]
