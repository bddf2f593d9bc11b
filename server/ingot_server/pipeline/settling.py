"""Ends imports: PROCESSING becomes final when every chunk is processed, CANCELLING becomes CANCELLED.

Any process may do it at any time; the database lets one of them win. Workers do it when they have emptied a batch, and
all now and then, for imports whose worker died just before.
"""

import logging

from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.domain.imports import ImportState, final_state
from ingot_server.storage import imports
from ingot_server.storage.database import Database

log = logging.getLogger(__name__)


async def end_if_due(database: Database, import_id: int) -> None:
    """Ends the import if its state and its chunks say so."""
    found = (await imports.import_get_many(database, [import_id])).get(import_id)
    if found is None:
        return
    if found.state is ImportState.CANCELLING:
        await imports.import_end_cancel(database, import_id)
    if found.state is not ImportState.PROCESSING or not await imports.import_work_is_over(database, import_id):
        return
    # In PROCESSING no chunk is added, so once the work is over the counts stand still: read them after that.
    found = (await imports.import_get_many(database, [import_id])).get(import_id)
    if found is not None:
        state, message = final_state(found.counts, found.batch_count, any_empty_batch=found.any_empty_batch)
        await imports.import_settle(database, import_id, state, message)


async def end_all_due(database: Database) -> None:
    """Ends every import whose end is due."""
    for import_id in await imports.import_list_due(database):
        try:
            await end_if_due(database, import_id)
        except DatabaseUnavailable:
            raise
        except Exception:
            # One import that cannot be ended must not keep all others from it.
            log.exception("an import cannot be ended", extra={"import_id": import_id})
