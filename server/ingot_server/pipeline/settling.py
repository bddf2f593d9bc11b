"""Ends imports: PROCESSING becomes final when every chunk is processed, or goes on to the commit; CANCELLING becomes
CANCELLED; what has spent its budget of errors becomes FAILED.

Any process may do it at any time; the database lets one of them win. Workers do it when they have emptied a batch, and
all now and then, for imports whose worker died just before.
"""

import logging

from ingot_server import audit
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.domain.imports import Import, ImportState, final_state
from ingot_server.pipeline.replacing import Removal, removal_refused
from ingot_server.storage import branches, errors, import_moves, imports
from ingot_server.storage.database import Database

log = logging.getLogger(__name__)

_STAGED = "Nothing is written yet: look at it, then commit or cancel it."


async def end_if_due(database: Database, import_id: int) -> ImportState | None:
    """Ends the import, or takes it to its commit, if its state and its chunks say so.

    Returns the state that it has come to, PROCESSING if it is to be committed; None if it was not time for that.
    """
    found = await imports.import_get_due(database, import_id)
    if found is None:
        return None
    if found.state is ImportState.CANCELLING:
        if await import_moves.import_end_cancel(database, import_id):
            await tell_deletions(database, import_id)
        return ImportState.CANCELLED
    # In PROCESSING no chunk is added once all is fetched, so these counts are the last ones.
    if found.state is ImportState.PROCESSING and found.work_is_over:
        return await _end(database, found)
    if spent := found.spec.budget.overdrawn(found.counts, received_all=False):
        if await import_moves.import_give_up(database, import_id, spent):
            await tell_deletions(database, import_id)
        return ImportState.FAILED
    return None


async def _end(database: Database, found: Import) -> ImportState:
    state, message = final_state(found)
    removed = 0
    if found.spec.reconciles and state is not ImportState.FAILED:
        removal, removed = await _removal(database, found)
        if removal.is_fatal:
            state = ImportState.FAILED
        message = " ".join(filter(None, (message, removal.message)))
    if state is ImportState.FAILED or found.spec.validate_only:
        if found.spec.validate_only and state is not ImportState.FAILED:
            message = " ".join(filter(None, (message, "Nothing was stored: the import only validates.")))
        await _settle(database, found, state, message, removed if found.spec.validate_only else 0)
    elif found.spec.staged:
        message = " ".join(filter(None, (message, _STAGED)))
        await import_moves.import_await_commit(database, found.import_id, message, removed)
        return ImportState.AWAITING_COMMIT
    elif found.spec.reconciles:
        await import_moves.import_begin_commit(database, found.import_id)
        return ImportState.PROCESSING
    else:
        await _settle(database, found, state, message)
    return state


async def _settle(database: Database, found: Import, state: ImportState, message: str, removed: int = 0) -> None:
    """Ends an import, and tells the audit log what it has deleted, also if only the answer to it is lost."""
    try:
        settled = await import_moves.import_settle(database, found, state, message, removed)
    except DatabaseUnavailable:
        if found.counts.deleted:
            now = await database.retrying(lambda: imports.import_get_many(database, [found.import_id]))
            if found.import_id in now and now[found.import_id].state is state:
                _tell_deletions(found)
        raise
    if settled:
        _tell_deletions(found)


async def tell_deletions(database: Database, import_id: int) -> None:
    """Tells the audit log how many records an import has deleted that has just ended without a commit."""
    found = (await imports.import_get_many(database, [import_id])).get(import_id)
    if found is not None:
        _tell_deletions(found)


def _tell_deletions(found: Import) -> None:
    if found.counts.deleted and not found.spec.is_tried_first:
        audit.deletion("records", table=found.spec.table, import_id=found.import_id, count=found.counts.deleted)


async def _removal(database: Database, found: Import) -> tuple[Removal, int]:
    """Whether, and how many, records a full replacement may remove, and as things stand would."""
    if found.branch_id is None or found.table_id == found.branch_id or found.spec.max_deleted_ratio is None:
        return Removal(), 0
    there = await branches.branch_count_unnamed(database, found.branch_id, found.table_id)
    nameless = there.any_unknown or await errors.error_count_nameless(database, found.import_id) > 0
    refused = removal_refused(there.unnamed, there.records, found.spec.max_deleted_ratio, nameless=nameless)
    return refused, 0 if refused.message else there.unnamed


async def end_all_due(database: Database) -> None:
    """Ends every import whose end is due."""
    for import_id in await import_moves.import_list_due(database):
        try:
            await end_if_due(database, import_id)
        except DatabaseUnavailable:
            raise
        except Exception:
            # One import that cannot be ended must not keep all others from it.
            log.exception("an import cannot be ended", extra={"import_id": import_id})
