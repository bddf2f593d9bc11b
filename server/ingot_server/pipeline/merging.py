"""Applies records whose fields were read in another mode than REPLACE: to what the table holds, and checked as a whole.

What a record means is found out first, by what it gives; then it is folded into the record that is meant, and the whole
is read anew, like one that came that way.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingot_server.domain.modes import WriteMode
from ingot_server.domain.records import ErrorCode, Severity
from ingot_server.pipeline.folding import Fold, too_large
from ingot_server.pipeline.identities import IdentityConflict, first_key
from ingot_server.pipeline.keys import joined_key
from ingot_server.pipeline.kinds.kind import DERIVED
from ingot_server.pipeline.mapping import (
    Surroundings,
    blame_blocked,
    follow_references,
    identify,
    look_around,
    look_up,
)
from ingot_server.pipeline.target import Target
from ingot_server.pipeline.validation import Row, Validator
from ingot_server.storage import branches, records

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection


async def fold_rows(
    connection: "Connection", target: Target, rows: Sequence[Row], writer: int
) -> tuple[Fold, Surroundings]:
    """Folds rows into the records of their table; what is wrong is noted in the rows. Nothing is written yet."""
    rules = target.rules
    around = await look_up(connection, target, rows)
    if rules.kind.identifiers:
        keys = set(around.own.owners.values())
    else:
        if rules.kind.identity:
            await asyncio.to_thread(_find_keys, rows, rules, around)
        # What faulty records would be merged with says what else is wrong with them.
        keys = {row.key for row in rows if row.key and (target.mode.merges or not row.is_faulty)}
        if target.base_id is not None:
            await branches.branch_touch(connection, target.table_id, target.base_id, keys)
    held = await records.record_hold(connection, target.table_id, writer, keys)
    if target.mode.merges:
        texts = [record.data.encode() for record in held.values()]
        known = await asyncio.to_thread(rules.read, texts, range(len(texts)))
        await look_around(connection, target.account_id, known.take_rows(), around)
    fold = Fold(target.mode, held)
    await asyncio.to_thread(_fold, rows, rules, around, fold)
    return fold, around


def _find_keys(rows: Sequence[Row], rules: Validator, around: Surroundings) -> None:
    """Finds the keys of rows whose kind says what identifies them."""
    kind = rules.kind
    derived = [name for name in kind.identity if name not in rules.field_names]
    required = {field.name for field in kind.fields if field.required}
    for row in rows:
        referred = follow_references(row, around) if derived else {}
        if row.is_faulty:
            continue
        record = row.record | {DERIVED: referred}
        try:
            missing = [name for name in kind.identity if name in required and record.get(name) is None]
            missing += [name for name in derived if not referred.get(name)]
            key = None if missing and kind.key_parts is None else joined_key(kind.key_parts_of(record))
        except KeyError:
            key = None
        if key is None:
            needed = ", ".join(f"`{name}`" for name in (*(kind.needs_one_of if derived else ()), *required))
            row.blame(
                ErrorCode.TOO_LITTLE_INFORMATION,
                f"Too little information to tell which record is meant: expected values for {needed}.",
            )
        else:
            row.take_key(key)


def _fold(rows: Sequence[Row], rules: Validator, around: Surroundings, fold: Fold) -> None:
    for row in rows:
        _find(row, rules, around)
        if row.is_faulty:
            if fold.mode.merges and row.key:
                _tell(row, _whole(row, rules, fold))
            continue
        if fold.mode is WriteMode.DELETE:
            fold.delete(row.key)
            around.own.forget(row.key, rules.kind.identifiers)
        elif row.key and fold.skips(row.key):
            fold.skip()
        else:
            _take(row, rules, around, fold)


def _find(row: Row, rules: Validator, around: Surroundings) -> None:
    """Finds which record is meant by identifiers: a key that no record has is none yet."""
    if not row.names:
        return
    try:
        row.key = around.own.find(row.names) or ""
    except IdentityConflict as conflict:
        row.blame(ErrorCode.CONFLICTING_IDENTIFIERS, conflict.message, conflict.field)
    if row.is_faulty and not row.key:
        row.key = first_key(row.names[0])


def _take(row: Row, rules: Validator, around: Surroundings, fold: Fold) -> None:
    """Makes the whole of a row and what the table holds, and puts it there if nothing is wrong with it."""
    whole = row
    if fold.mode.merges:
        whole = _whole(row, rules, fold)
        if fault := too_large(whole.record):
            whole.accuse(fault)
    blame_blocked(whole, around)
    referred = follow_references(whole, around) if whole.references else {}
    identify(whole, rules, around, referred)
    if whole is not row:
        _tell(row, whole)
    row.key = whole.key or row.key
    if not row.is_faulty:
        fold.put(row.key, whole.record)


def _whole(row: Row, rules: Validator, fold: Fold) -> Row:
    merged = fold.merged(row.key, row.record) if row.key else {**row.record}
    whole = rules.read_whole(merged, row.position, row.record)
    whole.key = row.key
    return whole


def _tell(row: Row, whole: Row) -> None:
    """Tells what is wrong with the whole of a row, but not that it lacks what the row has and could not be read.

    Doubts about values that were there before are not those of this record.
    """
    for fault in whole.faults:
        lacks = fault.code is ErrorCode.TOO_LITTLE_INFORMATION and row.unread
        is_told = fault in row.faults or (lacks and (not fault.field or fault.field in row.unread))
        if fault.code.severity is Severity.ERROR and not is_told:
            row.accuse(fault)
