"""Writes a few records at once, before the caller gets an answer: the same checks and statements as in an import."""

from dataclasses import dataclass, replace

from ingot_server.domain.fields import Reading
from ingot_server.domain.progress import Counts
from ingot_server.domain.records import Decoded, ErrorStage, Reject, reject
from ingot_server.pipeline.applying import Target, apply, prepare
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.validation import validator
from ingot_server.storage import records, tables
from ingot_server.storage.database import Database
from ingot_server.storage.tables import TableUse


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the records, and of each that was rejected or accepted with doubt."""

    counts: Counts
    findings: list[tuple[ErrorStage, Reject]]


async def write_records(
    database: Database, account_id: int, use: TableUse, reading: Reading, texts: list[bytes]
) -> Written:
    """Writes records in one transaction. Raises KindDiffers, KeyFieldsDiffer, DataRefused."""

    async def attempt() -> Written:
        async with database.transaction() as connection:
            table = await tables.table_ensure(connection, account_id, use, adopts_keys=True)
            rules = validator(tables.rules_text(table.rules_for(reading)))
            decoded = Decoded(texts, range(len(texts)), [0] * len(texts), [], len(texts))
            checked = check(decoded, table.key_fields, rules.names_of(table.key_fields or ()))
            target = Target(account_id, table.table_id, rules, table.key_fields or (), own_keys=not use.key_fields)
            prepared = prepare(checked.texts, target)
            if table.key_fields == () and prepared.named_keys:
                adopted = await tables.table_adopt_keys(connection, table.table_id, prepared.named_keys)
                prepared = prepare(checked.texts, replace(target, key_fields=adopted))
            applied = await apply(connection, prepared, -await records.record_next_write_call(connection))
        rejected = [(ErrorStage.UPLOAD, found) for found in checked.rejects]
        findings = [
            (
                ErrorStage.PROCESSING,
                reject(checked.indexes[found.position], 0, checked.texts[found.position], *found.faults, key=found.key),
            )
            for found in (*applied.rejected, *applied.doubted)
        ]
        counts = replace(applied.counts, received=len(texts), rejected=len(rejected) + len(applied.rejected))
        return Written(counts, sorted(rejected + findings, key=lambda found: found[1].index))

    return await database.retrying(attempt)
