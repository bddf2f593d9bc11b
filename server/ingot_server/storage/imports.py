"""Imports: creating, reading, and the moves from state to state that are not a worker's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from ingot_server.domain.errors import (
    BatchUnfinished,
    ImportNotFound,
    ImportStateRefused,
    RequestIdReused,
    SandboxKey,
    TooManyImports,
)
from ingot_server.domain.fields import Reading
from ingot_server.domain.imports import Budget, Import, ImportSpec, ImportState
from ingot_server.domain.modes import WriteMode
from ingot_server.domain.progress import Counts, Stage, percent, stage_state
from ingot_server.domain.records import ErrorStage
from ingot_server.domain.tables import Table
from ingot_server.storage import branches, chunks, errors, tables
from ingot_server.storage.database import Database, rows_touched
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("imports.sql")


@dataclass(frozen=True, slots=True)
class ImportFilter:
    """Which imports to list; None and empty switch a condition off."""

    table: str = ""
    states: Sequence[ImportState] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None
    labels: Mapping[str, str] | None = None


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
    return _import(row) if row else None


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


async def import_get(database: Database, account_id: int, import_id: int) -> Import:
    """One import with its error groups. Raises ImportNotFound."""
    row = await database.fetchrow(sql.import_get, account_id, import_id)
    if row is None:
        raise import_not_found(import_id)
    return await with_groups(database, _import(row))


async def import_expect(
    database: Database, account_id: int, import_id: int, *, that_only_validates: bool = False
) -> None:
    """Raises ImportNotFound if the account has no such import, and SandboxKey if it stores something and must not."""
    row = await database.fetchrow(sql.import_expect, account_id, import_id)
    if row is None:
        raise import_not_found(import_id)
    if that_only_validates and not row["validate_only"]:
        raise SandboxKey(
            f"Import {import_id} stores records, and the API key is a sandbox key: use another key for it."
        )


async def import_lock(connection: "Connection", account_id: int, import_id: int) -> ImportState:
    """The state of an import, which nobody else changes until we are done. Raises ImportNotFound."""
    state = await connection.fetchval(sql.import_lock, account_id, import_id)
    if state is None:
        raise import_not_found(import_id)
    return ImportState(state)


async def import_get_many(database: Database, import_ids: Sequence[int]) -> dict[int, Import]:
    """The imports with these ids, of any account, without error groups."""
    async with database.connection() as connection:
        return await import_get_within(connection, import_ids)


async def import_get_within(connection: "Connection", import_ids: Sequence[int]) -> dict[int, Import]:
    """The imports with these ids, as a transaction sees them."""
    return {row["import_id"]: _import(row) for row in await connection.fetch(sql.import_get_many, import_ids)}


async def import_list(
    database: Database, account_id: int, wanted: ImportFilter, before_id: int, limit: int
) -> list[Import]:
    """The account's imports with ids below `before_id`, newest first, without error groups."""
    rows = await database.fetch(
        sql.import_list,
        account_id,
        before_id,
        wanted.table or None,
        [str(state) for state in wanted.states] or None,
        wanted.created_from,
        wanted.created_before,
        msgspec.json.encode(dict(wanted.labels)).decode() if wanted.labels else None,
        limit,
    )
    return [_import(row) for row in rows]


async def import_finish(database: Database, account_id: int, import_id: int) -> None:
    """RECEIVING becomes PROCESSING; an import that is already finished stays as it is.

    Raises ImportNotFound, BatchUnfinished, and ImportStateRefused for a cancelled import.
    """
    async with database.transaction() as connection:
        state = await import_lock(connection, account_id, import_id)
        if state in (ImportState.CANCELLING, ImportState.CANCELLED):
            raise import_state_refused(import_id, state, "it cannot be finished; create another import")
        if state is not ImportState.RECEIVING:
            return
        unfinished = await connection.fetchrow(sql.import_first_unfinished_batch, import_id)
        if unfinished is not None:
            raise BatchUnfinished(import_id=import_id, **unfinished)
        await connection.execute(sql.import_set_state, import_id, ImportState.PROCESSING)


async def import_no_more(connection: "Connection", import_id: int) -> None:
    """RECEIVING becomes PROCESSING, for an import that our transaction has just made."""
    await connection.execute(sql.import_set_state, import_id, ImportState.PROCESSING)


async def import_commit(database: Database, account_id: int, import_id: int) -> None:
    """AWAITING_COMMIT becomes PROCESSING, to be committed; an import that is or was committed stays as it is.

    Raises ImportNotFound and ImportStateRefused.
    """
    async with database.transaction() as connection:
        state = await import_lock(connection, account_id, import_id)
        if state is ImportState.AWAITING_COMMIT:
            await connection.execute(sql.import_begin_commit, import_id, state)
            return
        found = (await import_get_within(connection, [import_id]))[import_id]
        if found.committing and state not in (ImportState.CANCELLING, ImportState.CANCELLED):
            return
        if not found.spec.staged:
            raise import_state_refused(import_id, state, "it is not staged, so there is nothing to commit")
        wait = state in (ImportState.RECEIVING, ImportState.PROCESSING)
        what_to_do = (
            "finish it, and wait for AWAITING_COMMIT" if wait else "it cannot be committed; create another import"
        )
        raise import_state_refused(import_id, state, what_to_do)


async def import_cancel(database: Database, account_id: int, import_id: int) -> None:
    """Asks for an end: the import becomes CANCELLING. Raises ImportNotFound and ImportStateRefused."""
    async with database.transaction() as connection:
        state = await import_lock(connection, account_id, import_id)
        if state in (ImportState.CANCELLING, ImportState.CANCELLED):
            return
        if state.final:
            raise import_state_refused(
                import_id, state, "there is nothing left to cancel; DeleteRecords takes records away"
            )
        await connection.execute(sql.import_set_state, import_id, ImportState.CANCELLING)


async def import_cancel_abandoned(database: Database, after: timedelta) -> int:
    """Begins to cancel the imports that nobody has gone on with for so long; how many there were."""
    hours = after.total_seconds() / 3600
    return await database.execute(sql.import_cancel_abandoned, after, f"Nobody went on with it for {hours:g} hours.")


async def import_end_cancel(database: Database, import_id: int) -> None:
    """CANCELLING becomes CANCELLED; from then on the counts stand still."""
    async with database.transaction() as connection:
        await connection.execute(sql.import_close_batches, import_id, False)
        found = (await import_get_within(connection, [import_id])).get(import_id)
        if found is not None and await _settle(connection, found, [ImportState.CANCELLING], ImportState.CANCELLED, ""):
            ended = (await import_get_within(connection, [import_id]))[import_id]
            message = f"{found.state_message or 'Cancelled on request.'} {ended.what_stayed}"
            await connection.execute(sql.import_set_message, import_id, message)


async def import_give_up(database: Database, import_id: int, reason: str) -> None:
    """RECEIVING or PROCESSING becomes FAILED; from then on the counts stand still. What was written stays."""
    async with database.transaction() as connection:
        await connection.execute(sql.import_lock_by_id, import_id)
        found = (await import_get_within(connection, [import_id])).get(import_id)
        states = [ImportState.RECEIVING, ImportState.PROCESSING]
        if found is None or found.committing or found.state not in states:
            return
        # Whoever is just committing to a batch is waited for: then the counts are the last ones.
        await connection.execute(sql.import_close_batches, import_id, True)
        await _settle(connection, found, states, ImportState.FAILED, "")
        ended = (await import_get_within(connection, [import_id]))[import_id]
        await connection.execute(sql.import_set_message, import_id, f"{reason} {ended.what_stayed}")


async def import_work_is_over(database: Database, import_id: int) -> bool:
    """Whether every chunk received is processed."""
    row = await database.fetchrow(sql.import_work_is_over, import_id)
    return bool(row and row[0])


async def import_settle(database: Database, found: Import, state: ImportState, message: str, removed: int = 0) -> None:
    """PROCESSING becomes `state`; nothing happens if another process was faster."""
    async with database.transaction() as connection:
        await _settle(connection, found, [ImportState.PROCESSING], state, message, removed)


async def _settle(
    connection: "Connection",
    found: Import,
    states: Sequence[ImportState],
    state: ImportState,
    message: str,
    removed: int = 0,
) -> bool:
    """Ends an import, and lets its branch go; False if it was in none of `states`."""
    tag = await connection.execute(sql.import_settle, found.import_id, states, state, message, removed)
    if not rows_touched(tag):
        return False
    came_to_nothing = state in (ImportState.FAILED, ImportState.CANCELLED)
    if came_to_nothing and found.spec.is_tried_first and not found.spec.validate_only:
        await import_forget_trial(connection, found.import_id)
    await import_drop_branch(connection, found.import_id)
    return True


async def import_forget_trial(connection: "Connection", import_id: int) -> None:
    """Counts the records of an import that was tried and not committed as not processed: nothing of them is there."""
    await connection.execute(sql.import_forget_trial, import_id)


async def import_drop_branch(connection: "Connection", import_id: int) -> None:
    """Lets the branch of an import that has ended be cleared away, if it has one."""
    if rows_touched(await connection.execute(sql.import_drop_branch, import_id)):
        await connection.execute(sql.import_forget_branch, import_id)


async def import_await_commit(database: Database, import_id: int, message: str, removed: int) -> None:
    """PROCESSING becomes AWAITING_COMMIT; nothing happens if another process was faster."""
    await database.execute(sql.import_await_commit, import_id, message, removed)


async def import_begin_commit(database: Database, import_id: int) -> None:
    """Lets an import be committed whose records are all processed; nothing happens if another process was faster."""
    await database.execute(sql.import_begin_commit, import_id, ImportState.PROCESSING)


async def import_list_due(database: Database) -> list[int]:
    """The imports whose end is due."""
    return [row["import_id"] for row in await database.fetch(sql.import_list_due)]


async def import_delete(database: Database, account_id: int, import_id: int) -> None:
    """Deletes a final import and all that belongs to it but its records. Raises ImportNotFound, ImportStateRefused."""
    async with database.transaction() as connection:
        state = await import_lock(connection, account_id, import_id)
        if not state.final:
            raise import_state_refused(import_id, state, "cancel it, or wait for its end, before deleting it")
        await chunks.chunk_delete_of_import(connection, import_id)
        await connection.execute(sql.import_delete, import_id)


async def with_groups(database: Database, found: Import) -> Import:
    """`found` with the error groups of its stages."""
    groups = await errors.error_group_list(database, found.import_id)
    return replace(
        found,
        upload=found.upload.with_groups_of(ErrorStage.UPLOAD, groups),
        processing=found.processing.with_groups_of(ErrorStage.PROCESSING, groups),
    )


def import_not_found(import_id: int) -> ImportNotFound:
    """The error for an id that the account does not have."""
    return ImportNotFound(f"The account has no import {import_id}.", import_id=import_id)


def import_state_refused(import_id: int, state: str, what_to_do: str) -> ImportStateRefused:
    """The error for a move that the state does not allow."""
    return ImportStateRefused(f"Import {import_id} is {state}: {what_to_do}.", import_id=import_id, state=state)


def import_closed(import_id: int, reason: str, *, given_up: bool) -> ImportStateRefused:
    """The error for an upload to an import that was cancelled or given up, for a reason."""
    what_to_do = f"it takes nothing more. {reason}".rstrip(". ")
    return import_state_refused(import_id, "FAILED" if given_up else "CANCELLED", what_to_do)


def counts(row: asyncpg.Record) -> Counts:
    """The counts of an import or of a batch."""
    return Counts(
        received=row["upload_accepted"] + row["upload_rejected"],
        created=row["created"],
        updated=row["updated"],
        unchanged=row["unchanged"],
        superseded=row["superseded"],
        rejected=row["upload_rejected"] + row["processing_rejected"],
        skipped=row["skipped"],
        deleted=row["deleted"],
    )


def _import(row: asyncpg.Record) -> Import:
    state = ImportState(row["state"])
    total = counts(row)
    received_all = state is not ImportState.RECEIVING
    # What was found in files that the server had fetched counts as processing.
    early = row["reading_rejected"]
    uploaded, upload_rejected = row["upload_accepted"] + early, row["upload_rejected"] - early
    processing_rejected = row["processing_rejected"] + early
    processed = row["commit_processed"] + early if row["committing"] else total.imported + processing_rejected
    if state.final:
        processed = total.imported + processing_rejected
    return Import(
        import_id=row["import_id"],
        spec=ImportSpec(
            table=row["table_name"],
            key_fields=tuple(row["key_fields"]),
            labels=msgspec.json.decode(row["labels"]),
            kind=row["kind"],
            reading=msgspec.json.decode(row["reading"], type=Reading),
            mode=WriteMode(row["mode"]),
            validate_only=row["validate_only"],
            staged=row["staged"],
            max_deleted_ratio=row["max_deleted_ratio"],
            budget=Budget(row["max_errors"], row["max_error_ratio"]),
        ),
        rules=tables.rules_of(row["rules"]),
        request_id=row["request_id"] or "",
        state=state,
        state_message=row["state_message"],
        counts=total,
        upload=Stage(
            stage_state(
                begun=row["batch_count"] > 0,
                over=received_all and (row["batches_finished"] or state.final),
                # As in its batches: files in which no record could be read were not fetched either. One that could not
                # be fetched leaves a doubt about all.
                accepted=uploaded if row["upload_accepted"] else 0,
                rejected=upload_rejected + row["any_not_fetched"],
            ),
            uploaded,
            upload_rejected,
            percent(row["committed_offset"], row["expected_total"]),
        ),
        processing=Stage(
            stage_state(
                begun=processed > 0,
                over=state.final or state is ImportState.AWAITING_COMMIT,
                accepted=total.imported,
                rejected=processing_rejected,
            ),
            total.imported,
            processing_rejected,
            percent(processed, uploaded) if row["batches_finished"] else None,
        ),
        batch_count=row["batch_count"],
        any_empty_batch=row["any_empty"],
        not_fetched=row["any_not_fetched"],
        create_time=row["create_time"],
        update_time=max(row["update_time"], row["batch_update_time"] or row["update_time"]),
        finish_time=row["finish_time"],
        retry_of=row["retry_of"],
        removed=row["removed"],
        committing=row["committing"],
        rejected_of_chunks=row["processing_rejected"],
        chunks_deleted=row["chunks_deleted"],
        table_id=row["table_id"],
        branch_id=row["branch_id"],
    )
