"""Writes a few records at once, before the caller gets an answer: the same checks and statements as in an import."""

from dataclasses import dataclass, replace

from ingot_server.domain.progress import Counts
from ingot_server.domain.records import Decoded, ErrorStage, Reject, reject
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.keys import read_keys
from ingot_server.storage import records, tables
from ingot_server.storage.database import Database


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the records, and of each that was rejected."""

    counts: Counts
    rejects: list[tuple[ErrorStage, Reject]]


async def write_records(
    database: Database, account_id: int, table_name: str, key_fields: tuple[str, ...], texts: list[bytes]
) -> Written:
    """Writes records in one transaction. Raises KeyFieldsDiffer, DataRefused."""

    async def attempt() -> Written:
        async with database.transaction() as connection:
            table = await tables.table_ensure(connection, account_id, table_name, key_fields)
            decoded = Decoded(texts, range(len(texts)), [0] * len(texts), [], len(texts))
            checked = check(decoded, table.key_fields)
            keyed = read_keys(checked.texts, table.key_fields, own_keys=not key_fields)
            if not table.key_fields and keyed.named_keys:
                adopted = await tables.table_adopt_keys(connection, table.table_id, keyed.named_keys)
                keyed = read_keys(checked.texts, adopted, own_keys=True)
            rejects = [(ErrorStage.UPLOAD, found) for found in checked.rejects]
            rejects += [
                (ErrorStage.PROCESSING, reject(checked.indexes[position], 0, checked.texts[position], fault))
                for position, fault in keyed.faults
            ]
            writer = -await records.record_next_write_call(connection)
            applied = await records.record_apply(connection, table.table_id, writer, keyed.records)
        counts = replace(applied, received=len(texts), rejected=len(rejects))
        return Written(counts, sorted(rejects, key=lambda found: found[1].index))

    return await database.retrying(attempt)
