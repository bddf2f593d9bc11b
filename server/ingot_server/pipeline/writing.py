"""Writes a few records at once, before the caller gets an answer: the same checks and statements as in an import."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ingot_server.domain.fields import Reading
from ingot_server.domain.modes import WriteMode
from ingot_server.domain.progress import Counts
from ingot_server.domain.records import Decoded, ErrorStage, Reject, reject
from ingot_server.domain.tables import Table
from ingot_server.pipeline.applying import Applied, Prepared, apply, prepare
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.threads import LITTLE_BYTES, computed
from ingot_server.pipeline.validation import validator
from ingot_server.storage import records, tables
from ingot_server.storage.database import BRIEF_LOCK_SECONDS, Database, Once
from ingot_server.storage.tables import TableUse

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

_REHEARSAL = 0
"""The writer of what is never written."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the records, and of each that was rejected or accepted with doubt."""

    counts: Counts
    findings: list[tuple[ErrorStage, Reject]]


@dataclass(frozen=True, slots=True)
class _Checked:
    """Records, checked and prepared by the rules that a table had."""

    table: Table
    decoded: Decoded
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """What is to be written, and how."""

    use: TableUse
    reading: Reading
    mode: WriteMode
    texts: list[bytes]


async def rehearse_records(database: Database, account_id: int, order: WriteOrder) -> Written:
    """Says what would become of records, and stores nothing. Raises KindDiffers, KeyFieldsDiffer, DataRefused."""

    async def attempt() -> Written:
        async with database.connection() as connection:
            table = await tables.table_rehearse(connection, account_id, order.use)
            if not table.table_id:
                # A place of its own in the transaction that is rolled back: others rehearse at the same time.
                table = replace(table, table_id=-await records.record_next_write_call(connection))
        checked = await asyncio.to_thread(_checked, account_id, table, order)
        if table.key_fields == () and checked.prepared.named_keys:
            table = replace(table, key_fields=checked.prepared.named_keys)
            checked = await asyncio.to_thread(_checked, account_id, table, order, must_name_keys=True)
        async with database.rehearsal() as connection:
            applied = await apply(connection, checked.prepared, _REHEARSAL)
        return _written(checked, applied, len(order.texts))

    return await database.retrying(attempt)


async def write_records(database: Database, account_id: int, order: WriteOrder) -> Written:
    """Writes records in one transaction. Raises KindDiffers, KeyFieldsDiffer, DataRefused."""
    use, texts = order.use, order.texts
    # Once it was so, it stays so for this call: what the first record names says nothing of one without `keys`.
    must_name_keys = False
    once: Once[Applied | None] = Once(database, lock_timeout_seconds=BRIEF_LOCK_SECONDS)

    async def attempt() -> Written:
        nonlocal must_name_keys
        while True:
            table = await tables.table_find(database, account_id, use) or await _ensured(database, account_id, use)
            must_name_keys = must_name_keys or table.key_fields == ()
            # Not within the transaction: it may take long.
            checked = await computed(
                sum(map(len, texts)) <= LITTLE_BYTES,
                _checked,
                account_id,
                table,
                order,
                must_name_keys=must_name_keys,
            )
            if table.key_fields == () and checked.prepared.named_keys:
                async with database.transaction() as connection:
                    await tables.table_adopt_keys(connection, table.table_id, checked.prepared.named_keys)
                continue
            applied = await _applied(once, account_id, checked)
            if applied is not None:
                return _written(checked, applied, len(texts))

    return await database.retrying(attempt)


async def _ensured(database: Database, account_id: int, use: TableUse) -> Table:
    async with database.transaction() as connection:
        return await tables.table_ensure(connection, account_id, use)


def _checked(account_id: int, table: Table, order: WriteOrder, *, must_name_keys: bool = False) -> _Checked:
    texts = order.texts
    rules = validator(tables.rules_text(table.rules_for(order.reading)), table.key_fields or ())
    decoded = check(
        Decoded(texts, range(len(texts)), [0] * len(texts), [], len(texts)),
        () if must_name_keys else table.key_fields,
        rules.is_name,
    )
    target = Target(
        account_id, table.table_id, rules, table.key_fields or (), own_keys=not order.use.key_fields, mode=order.mode
    )
    return _Checked(table, decoded, prepare(decoded.texts, target, decoded.keys))


async def _applied(once: Once[Applied | None], account_id: int, checked: _Checked) -> Applied | None:
    """What became of the records; None if the table has been changed meanwhile, and nothing was written."""

    async def write(connection: "Connection") -> Applied | None:
        alone = bool(checked.prepared.target.rules.kind.identifiers)
        if not await tables.table_hold(connection, account_id, checked.table, alone=alone):
            return None
        return await apply(connection, checked.prepared, -await records.record_next_write_call(connection))

    return await once.run(write)


def _written(checked: _Checked, applied: Applied, received: int) -> Written:
    decoded = checked.decoded
    rejected = [(ErrorStage.UPLOAD, found) for found in decoded.rejects]
    findings: Sequence[tuple[ErrorStage, Reject]] = [
        (
            ErrorStage.PROCESSING,
            reject(decoded.indexes[found.position], 0, decoded.texts[found.position], *found.faults, key=found.key),
        )
        for found in (*applied.rejected, *applied.doubted)
    ]
    counts = replace(applied.counts, received=received, rejected=len(rejected) + len(applied.rejected))
    return Written(counts, sorted([*rejected, *findings], key=lambda found: found[1].index))
