"""Makes imports, each with its table and its branch if it needs them, as far as the account has room for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ingot_server.domain.errors import RequestIdReused, TooManyImports
from ingot_server.domain.imports import Import, ImportSpec
from ingot_server.domain.tables import Table
from ingot_server.storage import branches, imports, tables
from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("import_creation.sql")


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """What an account may have."""

    open_imports: int
    """How many unfinished imports, and as many again that only validate."""


async def import_create(
    database: Database,
    account_id: int,
    spec: ImportSpec,
    use: tables.TableUse,
    request_id: str,
    limits: ImportLimits,
) -> int:
    """Makes an import, and its table if needed; its id. The same request id gives the original's id.

    Raises KindDiffers, KeyFieldsDiffer, TooManyImports, and RequestIdReused if the original had another spec.
    """
    async with database.transaction() as connection:
        # Before anything else: the original may be the reason why there is no room for another.
        if (original := await import_find_request(connection, account_id, request_id)) is None:
            find = tables.table_rehearse if spec.validate_only else tables.table_ensure
            table = await find(connection, account_id, use)
            await import_expect_room(connection, account_id, limits, validates_only=spec.validate_only)
            # Somebody may have been faster; from here on nobody is.
            original = await import_find_request(connection, account_id, request_id)
        if original is None:
            return await import_insert(connection, account_id, spec, table, request_id)
        # Raised within the transaction, so that nothing is left of a refused request, not even the table.
        if original.spec != spec or original.retry_of is not None:
            raise RequestIdReused(import_id=original.import_id, request_id=request_id)
        return original.import_id


async def import_find_request(connection: "Connection", account_id: int, request_id: str) -> Import | None:
    """The import that was made with a request id; None if there is none, or the id is empty."""
    row = await connection.fetchrow(sql.import_find_request, account_id, request_id) if request_id else None
    return imports.import_of(row) if row else None


async def import_expect_room(
    connection: "Connection", account_id: int, limits: ImportLimits, *, validates_only: bool
) -> None:
    """Raises TooManyImports if the account may have no further import; else nobody else makes one until we are done."""
    await connection.execute(sql.import_lock_account, account_id)
    unfinished = await connection.fetch(sql.import_list_unfinished, account_id, validates_only)
    if len(unfinished) >= limits.open_imports:
        what = "imports that only validate" if validates_only else "imports"
        raise TooManyImports(
            f"The account has {len(unfinished)} unfinished {what}, and may have {limits.open_imports}: finish, commit"
            f" or cancel one, import {unfinished[0]['import_id']} is the oldest, or wait for the end of one.",
            limit=limits.open_imports,
            import_id=unfinished[0]["import_id"],
        )


async def import_insert(
    connection: "Connection",
    account_id: int,
    spec: ImportSpec,
    table: Table,
    request_id: str,
    retry_of: int | None = None,
) -> int:
    """Makes an import into a table, which need not exist if it only validates; its id."""
    branch_id = await branches.branch_create(connection, account_id, table) if spec.is_tried_first else None
    return int(
        await connection.fetchval(
            sql.import_create,
            account_id,
            table.table_id or branch_id,
            spec.table,
            branch_id,
            spec.key_fields,
            table.key_fields,
            spec.kind,
            msgspec.json.encode(spec.reading).decode(),
            tables.rules_text(table.rules_for(spec.reading)),
            msgspec.json.encode(dict(spec.labels)).decode(),
            request_id or None,
            spec.mode,
            spec.validate_only,
            spec.staged,
            spec.max_deleted_ratio,
            spec.budget.max_errors,
            spec.budget.max_error_ratio,
            retry_of,
        )
    )
