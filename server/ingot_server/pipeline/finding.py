"""Finds and deletes single records, by their key or, where the kind has identifiers, by any of these."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingot_server.domain.tables import Table
from ingot_server.pipeline.kinds import KINDS
from ingot_server.pipeline.values import Unreadable, normal_text
from ingot_server.storage import identifiers, records, tables
from ingot_server.storage.database import BRIEF_LOCK_SECONDS, Database, Once
from ingot_server.storage.records import StoredRecord

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection


async def find_record(database: Database, table: Table, key: str) -> StoredRecord | None:
    """The record with a key, or with an identifier such as `email:ada@example.org`; None if there is none."""
    if text := _identifier(table, key):
        owner = await identifiers.identifier_find_key(database, table.table_id, text)
        return await records.record_get(database, table.table_id, owner) if owner else None
    return await records.record_get(database, table.table_id, key)


async def delete_records(database: Database, table: Table, keys: Sequence[str], *, rehearsed: bool = False) -> int:
    """Deletes the records with these keys or identifiers, and their identifiers; how many there were.

    If it is only rehearsed, they stay.
    """
    fields, table_id = KINDS[table.rules.kind].identifiers, table.table_id
    spelled = {key: _identifier(table, key) for key in keys}
    texts = [text for text in spelled.values() if text]
    plain = [key for key, text in spelled.items() if not text]

    async def delete(connection: "Connection") -> int:
        if not fields:
            return await records.record_delete(connection, table_id, keys)
        await tables.table_lock_identifiers(connection, table_id)
        owners = await identifiers.identifier_find(connection, [table_id], texts)
        doomed = sorted({*plain, *owners[table_id].values()})
        held = await records.record_list_fields(connection, table_id, doomed, fields)
        await identifiers.identifier_remove_of_records(connection, table_id, held)
        return await records.record_delete(connection, table_id, doomed)

    async def rehearse() -> int:
        async with database.rehearsal() as connection:
            return await delete(connection)

    once: Once[int] = Once(database, lock_timeout_seconds=BRIEF_LOCK_SECONDS)
    return await database.retrying(rehearse if rehearsed else lambda: once.run(delete))


def _identifier(table: Table, key: str) -> str:
    """The identifier that `key` spells, in its normal form; empty if it spells none."""
    kind = KINDS[table.rules.kind]
    name, _, value = key.partition(":")
    if name not in kind.identifiers or not value.strip():
        return ""
    field = next(field for field in kind.fields if field.name == name)
    try:
        return f"{name}:{normal_text(field.type, table.rules.reading, value)}"
    except Unreadable:
        return ""
