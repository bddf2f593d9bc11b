"""Makes a new import of the records that another has rejected; they are fetched from its chunks like any file."""

from dataclasses import replace

from ingot_server.domain.batches import Source
from ingot_server.domain.errors import NothingToRetry, RejectsGone, RequestIdReused
from ingot_server.domain.imports import Import
from ingot_server.pipeline.kinds import use_of_table
from ingot_server.storage import batches, chunks, import_creation, import_moves, imports, tables
from ingot_server.storage.database import Database
from ingot_server.storage.import_creation import ImportLimits


async def retry_import(
    database: Database, account_id: int, import_id: int, request_id: str, limits: ImportLimits, *, sandboxed: bool
) -> int:
    """Makes the import; its id. The same request id gives the same import again. `sandboxed`: it only validates.

    Raises ImportNotFound, ImportStateRefused, NothingToRetry, RejectsGone, TooManyImports, RequestIdReused, and what
    making an import raises if its table has changed.
    """
    async with database.transaction() as connection:
        if (made := await import_creation.import_find_request(connection, account_id, request_id)) is not None:
            return _same(made, import_id, request_id)
        state = await imports.import_lock(connection, account_id, import_id)
        if not state.final:
            raise imports.import_state_refused(
                import_id, state, "its rejected records can be tried again when it has ended"
            )
        original = (await imports.import_get_within(connection, [import_id]))[import_id]
        rejected = await chunks.chunk_count_rejected(connection, import_id)
        if not rejected:
            raise _nothing(original)
        spec = replace(original.spec, max_deleted_ratio=None, validate_only=original.spec.validate_only or sandboxed)
        spec = replace(spec, staged=spec.staged and not spec.validate_only)
        find = tables.table_rehearse if spec.validate_only else tables.table_ensure
        table = await find(connection, account_id, use_of_table(spec.table, original.rules.kind, spec.key_fields))
        await import_creation.import_expect_room(connection, account_id, limits, validates_only=spec.validate_only)
        if (made := await import_creation.import_find_request(connection, account_id, request_id)) is not None:
            return _same(made, import_id, request_id)
        new_id = await import_creation.import_insert(
            connection, account_id, spec, table, request_id, retry_of=import_id
        )
        made_seq: int | None = None
        for batch in rejected:
            source = Source(retry_of=import_id, retry_batch_seq=batch.batch_seq, records=batch.records)
            # In the order in which they would have been applied: the last one wins again.
            made_seq = await batches.batch_insert(
                connection, account_id, new_id, batch.batch_id, source, after_seq=made_seq
            )
        await import_moves.import_no_more(connection, new_id)
        return new_id


def _same(made: Import, import_id: int, request_id: str) -> int:
    if made.retry_of != import_id:
        raise RequestIdReused(import_id=made.import_id, request_id=request_id)
    return made.import_id


def _nothing(original: Import) -> NothingToRetry | RejectsGone:
    import_id, counts = original.import_id, original.counts
    if original.rejected_of_chunks and original.chunks_deleted:
        return RejectsGone(
            f"What import {import_id} received is no longer kept, and its rejected records with it: send them again.",
            import_id=import_id,
        )
    message = f"Import {import_id} has rejected no record"
    if counts.rejected:
        message += " that could be read and had a key; the others have to be mended: see ExportImportRejects"
    return NothingToRetry(f"{message}.", import_id=import_id)
