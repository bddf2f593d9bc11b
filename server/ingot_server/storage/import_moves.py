"""The moves of imports from state to state, but for the commit's own: see domain/imports.py for a drawing."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from ingot_server.domain.errors import BatchUnfinished
from ingot_server.domain.imports import Import, ImportState
from ingot_server.storage import chunks, imports
from ingot_server.storage.database import Database, rows_touched
from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

sql = Queries("import_moves.sql")


async def import_finish(database: Database, account_id: int, import_id: int) -> None:
    """RECEIVING becomes PROCESSING; an import that is already finished stays as it is.

    Raises ImportNotFound, BatchUnfinished, and ImportStateRefused for a cancelled import.
    """
    async with database.transaction() as connection:
        state = await imports.import_lock(connection, account_id, import_id)
        if state in (ImportState.CANCELLING, ImportState.CANCELLED):
            raise imports.import_state_refused(import_id, state, "it cannot be finished; create another import")
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
        state = await imports.import_lock(connection, account_id, import_id)
        if state is ImportState.AWAITING_COMMIT:
            await connection.execute(sql.import_begin_commit, import_id, state)
            return
        found = (await imports.import_get_within(connection, [import_id]))[import_id]
        if found.committing and state not in (ImportState.CANCELLING, ImportState.CANCELLED):
            return
        if not found.spec.staged:
            raise imports.import_state_refused(import_id, state, "it is not staged, so there is nothing to commit")
        wait = state in (ImportState.RECEIVING, ImportState.PROCESSING)
        what_to_do = (
            "finish it, and wait for AWAITING_COMMIT" if wait else "it cannot be committed; create another import"
        )
        raise imports.import_state_refused(import_id, state, what_to_do)


async def import_cancel(database: Database, account_id: int, import_id: int) -> None:
    """Asks for an end: the import becomes CANCELLING. Raises ImportNotFound and ImportStateRefused."""
    async with database.transaction() as connection:
        state = await imports.import_lock(connection, account_id, import_id)
        if state in (ImportState.CANCELLING, ImportState.CANCELLED):
            return
        if state.final:
            raise imports.import_state_refused(
                import_id, state, "there is nothing left to cancel; DeleteRecords takes records away"
            )
        await connection.execute(sql.import_set_state, import_id, ImportState.CANCELLING)


async def import_cancel_abandoned(database: Database, after: timedelta) -> int:
    """Begins to cancel the imports that nobody has gone on with for so long; how many there were."""
    hours = after.total_seconds() / 3600
    return await database.execute(sql.import_cancel_abandoned, after, f"Nobody went on with it for {hours:g} hours.")


async def import_end_cancel(database: Database, import_id: int) -> bool:
    """CANCELLING becomes CANCELLED; from then on the counts stand still. False if another process was faster."""
    async with database.transaction() as connection:
        await connection.execute(sql.import_close_batches, import_id, False)
        found = (await imports.import_get_within(connection, [import_id])).get(import_id)
        if found is not None and await _settle(connection, found, [ImportState.CANCELLING], ImportState.CANCELLED, ""):
            ended = (await imports.import_get_within(connection, [import_id]))[import_id]
            message = f"{found.state_message or 'Cancelled on request.'} {ended.what_stayed}"
            await connection.execute(sql.import_set_message, import_id, message)
            return True
        return False


async def import_give_up(database: Database, import_id: int, reason: str) -> bool:
    """RECEIVING or PROCESSING becomes FAILED; from then on the counts stand still. What was written stays.

    False if another process was faster.
    """
    async with database.transaction() as connection:
        await connection.execute(sql.import_lock_by_id, import_id)
        found = (await imports.import_get_within(connection, [import_id])).get(import_id)
        states = [ImportState.RECEIVING, ImportState.PROCESSING]
        if found is None or found.committing or found.state not in states:
            return False
        # Whoever is just committing to a batch is waited for: then the counts are the last ones.
        await connection.execute(sql.import_close_batches, import_id, True)
        await _settle(connection, found, states, ImportState.FAILED, "")
        ended = (await imports.import_get_within(connection, [import_id]))[import_id]
        await connection.execute(sql.import_set_message, import_id, f"{reason} {ended.what_stayed}")
        return True


async def import_settle(database: Database, found: Import, state: ImportState, message: str, removed: int = 0) -> bool:
    """PROCESSING becomes `state`; False if another process was faster, and then nothing happens."""
    # Without a branch it is one statement, and a transaction by itself.
    async with database.connection() if found.branch_id is None else database.transaction() as connection:
        return await _settle(connection, found, [ImportState.PROCESSING], state, message, removed)


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
    if found.branch_id is not None:
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
        state = await imports.import_lock(connection, account_id, import_id)
        if not state.final:
            raise imports.import_state_refused(import_id, state, "cancel it, or wait for its end, before deleting it")
        await chunks.chunk_delete_of_import(connection, import_id)
        await connection.execute(sql.import_delete, import_id)
