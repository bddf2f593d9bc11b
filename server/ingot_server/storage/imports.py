"""Imports: creating, reading, and the moves from state to state that are not a worker's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg
import msgspec

from ingot_server.domain.errors import (
    BatchUnfinished,
    ImportNotFound,
    ImportStateRefused,
    RequestIdReused,
    UploadConflict,
)
from ingot_server.domain.fields import Reading
from ingot_server.domain.imports import Import, ImportSpec, ImportState
from ingot_server.domain.progress import Counts, Stage, percent, stage_state
from ingot_server.domain.records import ErrorStage
from ingot_server.storage import chunks, errors, tables
from ingot_server.storage.database import Database, rows_touched
from ingot_server.storage.sql import Queries

sql = Queries("imports.sql")


@dataclass(frozen=True, slots=True)
class ImportFilter:
    """Which imports to list; None and empty switch a condition off."""

    table: str = ""
    states: Sequence[ImportState] = ()
    created_from: datetime | None = None
    created_before: datetime | None = None
    labels: Mapping[str, str] | None = None


async def import_create(
    database: Database, account_id: int, spec: ImportSpec, use: tables.TableUse, request_id: str
) -> int:
    """Makes an import, and its table if needed; its id. The same request id gives the original's id.

    Raises KindDiffers, KeyFieldsDiffer, and RequestIdReused if the original had another spec.
    """
    async with database.transaction() as connection:
        table = await tables.table_ensure(connection, account_id, use)
        labels = msgspec.json.encode(dict(spec.labels)).decode()
        created = await connection.fetchval(
            sql.import_create,
            account_id,
            table.table_id,
            spec.key_fields,
            table.key_fields,
            spec.kind,
            msgspec.json.encode(spec.reading).decode(),
            tables.rules_text(table.rules_for(spec.reading)),
            labels,
            request_id or None,
        )
        if created is not None:
            return int(created)
        original = await connection.fetchrow(sql.import_find_request, account_id, request_id)
        if original is None:
            raise UploadConflict("The import with this request id was just deleted: call again.")
        # Raised within the transaction, so that nothing is left of a refused request, not even the table.
        if _import(original).spec != spec:
            raise RequestIdReused(import_id=original["import_id"], request_id=request_id)
        return int(original["import_id"])


async def import_get(database: Database, account_id: int, import_id: int) -> Import:
    """One import with its error groups. Raises ImportNotFound."""
    row = await database.fetchrow(sql.import_get, account_id, import_id)
    if row is None:
        raise import_not_found(import_id)
    return await with_groups(database, _import(row))


async def import_expect(database: Database, account_id: int, import_id: int) -> None:
    """Raises ImportNotFound if the account has no such import."""
    if await database.fetchrow(sql.import_expect, account_id, import_id) is None:
        raise import_not_found(import_id)


async def import_get_many(database: Database, import_ids: Sequence[int]) -> dict[int, Import]:
    """The imports with these ids, of any account, without error groups."""
    rows = await database.fetch(sql.import_get_many, import_ids)
    return {row["import_id"]: _import(row) for row in rows}


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
        state = await connection.fetchval(sql.import_lock, account_id, import_id)
        if state is None:
            raise import_not_found(import_id)
        if state in (ImportState.CANCELLING, ImportState.CANCELLED):
            raise import_state_refused(import_id, state, "it cannot be finished; create another import")
        if state != ImportState.RECEIVING:
            return
        unfinished = await connection.fetchrow(sql.import_first_unfinished_batch, import_id)
        if unfinished is not None:
            raise BatchUnfinished(import_id=import_id, **unfinished)
        await connection.execute(sql.import_set_state, import_id, ImportState.PROCESSING)


async def import_cancel(database: Database, account_id: int, import_id: int) -> None:
    """Asks for an end: the import becomes CANCELLING. Raises ImportNotFound and ImportStateRefused."""
    async with database.transaction() as connection:
        state = await connection.fetchval(sql.import_lock, account_id, import_id)
        if state is None:
            raise import_not_found(import_id)
        if state in (ImportState.CANCELLING, ImportState.CANCELLED):
            return
        if ImportState(state).final:
            raise import_state_refused(import_id, state, "there is nothing left to cancel")
        await connection.execute(sql.import_set_state, import_id, ImportState.CANCELLING)


async def import_end_cancel(database: Database, import_id: int) -> None:
    """CANCELLING becomes CANCELLED; from then on the counts stand still."""
    async with database.transaction() as connection:
        await connection.execute(sql.import_close_batches, import_id, False)
        await connection.execute(sql.import_settle, import_id, ImportState.CANCELLING, ImportState.CANCELLED, "")


async def import_give_up(database: Database, import_id: int, message: str) -> None:
    """RECEIVING or PROCESSING becomes FAILED; from then on the counts stand still. What was written stays."""
    async with database.transaction() as connection:
        if rows_touched(await connection.execute(sql.import_give_up, import_id, message)):
            await connection.execute(sql.import_close_batches, import_id, True)


async def import_work_is_over(database: Database, import_id: int) -> bool:
    """Whether every chunk received is processed."""
    row = await database.fetchrow(sql.import_work_is_over, import_id)
    return bool(row and row[0])


async def import_settle(database: Database, import_id: int, state: ImportState, message: str) -> None:
    """PROCESSING becomes `state`; nothing happens if another process was faster."""
    await database.execute(sql.import_settle, import_id, ImportState.PROCESSING, state, message)


async def import_list_due(database: Database) -> list[int]:
    """The imports whose end is due."""
    return [row["import_id"] for row in await database.fetch(sql.import_list_due)]


async def import_delete(database: Database, account_id: int, import_id: int) -> None:
    """Deletes a final import and all that belongs to it but its records. Raises ImportNotFound, ImportStateRefused."""
    async with database.transaction() as connection:
        state = await connection.fetchval(sql.import_lock, account_id, import_id)
        if state is None:
            raise import_not_found(import_id)
        if not ImportState(state).final:
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


def import_closed(import_id: int, *, given_up: bool) -> ImportStateRefused:
    """The error for an upload to an import that was cancelled or given up."""
    return import_state_refused(import_id, "FAILED" if given_up else "CANCELLED", "it takes nothing more")


def counts(row: asyncpg.Record) -> Counts:
    """The counts of an import or of a batch."""
    return Counts(
        received=row["upload_accepted"] + row["upload_rejected"],
        created=row["created"],
        updated=row["updated"],
        unchanged=row["unchanged"],
        superseded=row["superseded"],
        rejected=row["upload_rejected"] + row["processing_rejected"],
    )


def _import(row: asyncpg.Record) -> Import:
    state = ImportState(row["state"])
    total = counts(row)
    received_all = state is not ImportState.RECEIVING
    uploaded, processed = row["upload_accepted"], total.imported + row["processing_rejected"]
    return Import(
        import_id=row["import_id"],
        spec=ImportSpec(
            table=row["table_name"],
            key_fields=tuple(row["key_fields"]),
            labels=msgspec.json.decode(row["labels"]),
            kind=row["kind"],
            reading=msgspec.json.decode(row["reading"], type=Reading),
        ),
        rules=tables.rules_of(row["rules"]),
        request_id=row["request_id"] or "",
        state=state,
        state_message=row["state_message"],
        counts=total,
        upload=Stage(
            stage_state(
                begun=row["batch_count"] > 0, over=received_all, accepted=uploaded, rejected=row["upload_rejected"]
            ),
            uploaded,
            row["upload_rejected"],
            percent(row["committed_offset"], row["expected_total"]),
        ),
        processing=Stage(
            stage_state(
                begun=processed > 0, over=state.final, accepted=total.imported, rejected=row["processing_rejected"]
            ),
            total.imported,
            row["processing_rejected"],
            percent(processed, uploaded) if row["batches_finished"] else None,
        ),
        batch_count=row["batch_count"],
        any_empty_batch=row["any_empty"],
        create_time=row["create_time"],
        update_time=max(row["update_time"], row["batch_update_time"] or row["update_time"]),
        finish_time=row["finish_time"],
    )
