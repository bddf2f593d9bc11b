"""Imports as they stand: reading, listing and expecting them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from ingot_server.domain.errors import (
    ImportNotFound,
    ImportStateRefused,
)
from ingot_server.domain.fields import Reading
from ingot_server.domain.imports import Budget, Import, ImportSpec, ImportState
from ingot_server.domain.modes import WriteMode
from ingot_server.domain.progress import Counts, Stage, percent, stage_state
from ingot_server.domain.records import ErrorStage
from ingot_server.storage import errors, tables
from ingot_server.storage.database import Database
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


async def import_get(database: Database, account_id: int, import_id: int) -> Import:
    """One import with its error groups. Raises ImportNotFound."""
    row = await database.fetchrow(sql.import_get, account_id, import_id)
    if row is None:
        raise import_not_found(import_id)
    return await with_groups(database, import_of(row))


@dataclass(frozen=True, slots=True)
class Effect:
    """What an import may do to its table."""

    validate_only: bool
    deletes: bool
    """Whether it may delete records."""


async def import_expect(database: Database, account_id: int, import_id: int) -> Effect:
    """What an import may do. Raises ImportNotFound if the account has no such import."""
    row = await database.fetchrow(sql.import_expect, account_id, import_id)
    if row is None:
        raise import_not_found(import_id)
    return Effect(**row)


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


async def import_get_due(database: Database, import_id: int) -> Import | None:
    """An import, of any account, without error groups; None also if it is surely not time to end it."""
    row = await database.fetchrow(sql.import_get_due, import_id)
    return import_of(row) if row else None


async def import_get_within(connection: "Connection", import_ids: Sequence[int]) -> dict[int, Import]:
    """The imports with these ids, as a transaction sees them."""
    return {row["import_id"]: import_of(row) for row in await connection.fetch(sql.import_get_many, import_ids)}


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
    return [import_of(row) for row in rows]


async def with_groups(database: Database, found: Import) -> Import:
    """`found` with the error groups of its stages."""
    if not found.any_errors:
        return found
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


def import_of(row: asyncpg.Record) -> Import:
    """An import as import_report shows it, without error groups."""
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
        any_errors=row["any_errors"],
        work_is_over=row["work_is_over"],
    )
