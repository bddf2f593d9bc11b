"""Tables of records: what they are keyed by, and the rules for their records."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from ingot_server.domain.errors import KeyFieldsDiffer, KindDiffers, TableExists, TableInUse, TableNotFound
from ingot_server.domain.tables import GENERIC, Rules, Table
from ingot_server.storage import field_indexes
from ingot_server.storage.database import Database, rows_touched
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("tables.sql")

CLEARED_AT_ONCE = 5_000
"""How many records of a deleted table are cleared away in one transaction."""


@dataclass(frozen=True, slots=True)
class TableUse:
    """What an import or a write expects of its table, which is made that way if it does not exist."""

    name: str
    kind: str = ""
    """Empty: whatever the table is, GENERIC for a new one."""
    key_fields: tuple[str, ...] = ()
    """Empty: whatever the table has."""
    kind_key_fields: tuple[str, ...] | None = ()
    """The key fields of a table of the kind if they are not named; None if it needs none."""

    @property
    def new_key_fields(self) -> tuple[str, ...] | None:
        """The key fields of a table that is made for this."""
        return self.key_fields or self.kind_key_fields

    def suits(self, table: Table) -> bool:
        """Whether the table is as expected."""
        return self.kind in ("", table.rules.kind) and self.key_fields in ((), table.key_fields)


async def table_create(database: Database, account_id: int, table: Table) -> Table:
    """Makes a table with its settings. Raises TableExists, InvalidRequest for too many indexes."""
    async with database.transaction() as connection:
        rules = rules_text(table.rules)
        row = await connection.fetchrow(sql.table_create, account_id, table.name, table.key_fields, rules, True)
        if row is None:
            raise TableExists(f"There is a table {table.name}: change it with UpdateTable.", table=table.name)
        created = _table(row)
        await field_indexes.field_index_want(connection, account_id, created.table_id, created.rules)
    return created


async def table_find(database: Database, account_id: int, use: TableUse) -> Table | None:
    """The table if it is as expected, without a lock; None if `table_ensure` must make it or refuse."""
    return _suiting(await database.fetchrow(sql.table_get, account_id, use.name), use)


async def table_hold(connection: "Connection", account_id: int, table: Table, *, alone: bool) -> bool:
    """Keeps the table's settings as they are until the transaction ends; False if they are no longer as in `table`.

    `alone` for who gives identifiers to its records: see table_lock_named.
    """
    query = sql.table_lock_named if alone else sql.table_lock_shared
    row = await connection.fetchrow(query, account_id, table.name)
    return row is not None and _table(row) == table


async def table_ensure(connection: "Connection", account_id: int, use: TableUse) -> Table:
    """The table as expected, made if needed; its settings stay as they are until the transaction ends.

    A table that was made in passing, has no record and no unfinished import, and has another kind or other key fields,
    gets those that are expected: a mistake must not spoil a name for good. Raises KindDiffers, KeyFieldsDiffer.
    """
    # Whoever may change the table locks it alone at once: raising a shared lock would be a deadlock for two.
    if _suiting(await connection.fetchrow(sql.table_get, account_id, use.name), use):
        held = _suiting(await connection.fetchrow(sql.table_lock_shared, account_id, use.name), use)
        if held is not None:
            return held
    # Somebody may delete the table just now, or make it.
    while (row := await connection.fetchrow(sql.table_lock_alone, account_id, use.name)) is None:
        new = rules_text(Rules(kind=use.kind or GENERIC))
        await connection.execute(sql.table_create, account_id, use.name, use.new_key_fields, new, False)
    table = _table(row)
    if use.suits(table):
        return table
    wanted = await _adapted(connection, table, use)
    row = await connection.fetchrow(
        sql.table_set, table.table_id, wanted.key_fields, rules_text(wanted.rules), wanted.declared
    )
    assert row is not None  # noqa: S101 the row is locked
    return _table(row)


async def table_rehearse(connection: "Connection", account_id: int, use: TableUse) -> Table:
    """The table as `table_ensure` would make it, with nothing written; its id is 0 if there is none.

    Raises KindDiffers, KeyFieldsDiffer.
    """
    row = await connection.fetchrow(sql.table_get, account_id, use.name)
    if row is None:
        never = datetime.min.replace(tzinfo=UTC)
        return Table(0, use.name, use.new_key_fields, Rules(kind=use.kind or GENERIC), False, never, never)
    table = _table(row)
    return table if use.suits(table) else await _adapted(connection, table, use)


async def _adapted(connection: "Connection", table: Table, use: TableUse) -> Table:
    """The table as it is expected, if nothing speaks against it. Raises KindDiffers, KeyFieldsDiffer."""
    kind = use.kind or table.rules.kind
    if table.key_fields == () and kind == table.rules.kind:
        # Nobody has named key fields yet, so no import that is under way relies on others.
        return replace(table, key_fields=use.key_fields)
    needs_none = kind == table.rules.kind and table.key_fields is None
    if table.declared or needs_none or not await _is_unused(connection, table.table_id):
        raise _differs(table, use)
    keys = use.new_key_fields if use.kind else use.key_fields
    return replace(table, key_fields=keys, rules=replace(table.rules, kind=kind))


async def table_adopt_keys(connection: "Connection", table_id: int, key_fields: tuple[str, ...]) -> tuple[str, ...]:
    """Keys the table by `key_fields` if it has no key fields yet; the ones it has in the end."""
    held = await connection.fetchval(sql.table_lock_by_id, table_id)
    return tuple(held or await connection.fetchval(sql.table_name_keys, table_id, key_fields))


async def table_get(database: Database, account_id: int, name: str) -> Table:
    """One table. Raises TableNotFound."""
    row = await database.fetchrow(sql.table_get, account_id, name)
    if row is None:
        raise _not_found(name)
    return _table(row)


async def table_list(database: Database, account_id: int, after: str, limit: int) -> list[Table]:
    """The tables whose names follow `after`, by name."""
    return [_table(row) for row in await database.fetch(sql.table_list, account_id, after, limit)]


async def table_update(database: Database, account_id: int, name: str, change: Callable[[Table], Table]) -> Table:
    """Changes the settings of a table as `change` says; it must be quick, and may raise InvalidRequest.

    Raises TableNotFound, and TableInUse if it has records or an unfinished import and its key fields or kind change.
    """
    async with database.transaction() as connection:
        table = await _locked(connection, account_id, name)
        changed = change(table)
        same_kind = table.rules.kind == changed.rules.kind
        if not (same_kind and table.key_fields in ((), changed.key_fields)):
            await _expect_no_import(connection, table)
            if await connection.fetchrow(sql.table_any_record, table.table_id) is not None:
                raise TableInUse(
                    f"Table {table.name} has records: its kind and key fields can be changed only without. Delete them"
                    " first, or use another table.",
                    table=table.name,
                )
        row = await connection.fetchrow(
            sql.table_set, table.table_id, changed.key_fields, rules_text(changed.rules), True
        )
        assert row is not None  # noqa: S101 the row is locked
        await field_indexes.field_index_want(connection, account_id, table.table_id, changed.rules)
    return _table(row)


async def table_delete(database: Database, account_id: int, name: str) -> None:
    """Deletes a table; its records go later. Raises TableNotFound, TableInUse."""
    async with database.transaction() as connection:
        table = await _locked(connection, account_id, name)
        await _expect_no_import(connection, table)
        await field_indexes.field_index_want(connection, account_id, table.table_id, Rules())
        await connection.execute(sql.table_delete, table.table_id)


async def table_clear_deleted(database: Database) -> bool:
    """Clears away a part of what a deleted table holds; False if there is nothing left."""
    async with database.transaction() as connection:
        table_id = await connection.fetchval(sql.table_next_deleted)
        if table_id is None:
            return False
        cleared = 0
        for query in (sql.table_clear_records, sql.table_clear_identifiers, sql.table_clear_branch_keys):
            cleared += rows_touched(await connection.execute(query, table_id, CLEARED_AT_ONCE))
        if cleared:
            return True
        return rows_touched(await connection.execute(sql.table_forget, table_id)) > 0


async def table_list_of_kinds(connection: "Connection", account_id: int, kinds: list[str]) -> dict[str, dict[int, str]]:
    """The account's tables of each of these kinds, the oldest first: id and name."""
    found: dict[str, dict[int, str]] = {kind: {} for kind in kinds}
    for row in await connection.fetch(sql.table_list_of_kinds, account_id, kinds):
        found[row["kind"]][row["table_id"]] = row["name"]
    return found


async def table_lock_identifiers(connection: "Connection", table_id: int) -> None:
    """Waits until nobody else gives identifiers to records of the table, and keeps others from it."""
    await connection.execute(sql.table_lock_identifiers, table_id)


async def table_share_identifiers(connection: "Connection", table_id: int) -> None:
    """Waits until nobody else gives identifiers to records of the table that are there, and keeps others from it."""
    await connection.execute(sql.table_share_identifiers, table_id)


def rules_text(rules: Rules) -> str:
    """Rules as they are stored."""
    return msgspec.json.encode(rules).decode()


def rules_of(stored: str) -> Rules:
    """The rules that are stored as this JSON text."""
    return msgspec.json.decode(stored, type=Rules)


async def _locked(connection: "Connection", account_id: int, name: str) -> Table:
    row = await connection.fetchrow(sql.table_lock_alone, account_id, name)
    if row is None:
        raise _not_found(name)
    return _table(row)


async def _is_unused(connection: "Connection", table_id: int) -> bool:
    return (
        await connection.fetchrow(sql.table_unfinished_import, table_id) is None
        and await connection.fetchrow(sql.table_any_record, table_id) is None
    )


async def _expect_no_import(connection: "Connection", table: Table) -> None:
    unfinished = await connection.fetchval(sql.table_unfinished_import, table.table_id)
    if unfinished is not None:
        raise TableInUse(
            f"Import {unfinished} into table {table.name} is unfinished: wait for its end, or cancel it.",
            table=table.name,
            import_id=unfinished,
        )


def _differs(table: Table, use: TableUse) -> KindDiffers | KeyFieldsDiffer:
    kind = table.rules.kind
    if use.kind not in ("", kind):
        return KindDiffers(
            f"kind: table {table.name} is of the kind {kind}: name that, or none, or choose another table",
            table=table.name,
            kind=kind,
        )
    if table.key_fields is None:
        message = f"key_fields: table {table.name} is of the kind {kind}, which needs no key fields: name none"
    else:
        message = (
            f"key_fields: table {table.name} is keyed by {list(table.key_fields)}:"
            " name these, or none, or choose another table"
        )
    return KeyFieldsDiffer(message, table=table.name, key_fields=",".join(table.key_fields or ()))


def _suiting(row: asyncpg.Record | None, use: TableUse) -> Table | None:
    table = _table(row) if row is not None else None
    return table if table is not None and use.suits(table) else None


def _not_found(name: str) -> TableNotFound:
    return TableNotFound(f"The account has no table {name!r}.", table=name)


def _table(row: asyncpg.Record) -> Table:
    values: dict[str, Any] = dict(row)
    keys = values.pop("key_fields")
    return Table(**{**values, "rules": rules_of(values["rules"]), "key_fields": None if keys is None else tuple(keys)})
