"""Brings the schema of a database to what this version of Ingot expects.

A migration is a plain SQL file `migrations/NNNN_name.sql`. Each is applied once, in the order of the numbers, in one
transaction with the note that it was: a crash leaves the schema after one of the files, never within one. Any number of
servers may start at once; one migrates and the others wait. There is no way back but a backup.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingot_server.storage.sql import Queries

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

logger = logging.getLogger(__name__)

sql = Queries("migrating.sql")

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = int.from_bytes(b"ingot")
POLL_SECONDS = 0.1
TELL_SECONDS = 10

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+")


class SchemaError(Exception):
    """The schema of the database does not go with this version of Ingot; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    """The file's name without its ending, such as `0001_initial`."""
    digest: str
    script: str


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How the schema of a database compares to what this version of Ingot knows; the names of migrations."""

    applied: tuple[str, ...]
    """Known here, and applied."""
    pending: tuple[str, ...]
    """Known here, and not applied."""
    newer: tuple[str, ...]
    """Applied, and not known here."""
    changed: tuple[str, ...]
    """Applied, but the file was another one then."""
    late: tuple[str, ...]
    """Pending, but with a number below one that is applied."""

    def refuse_unfit(self) -> None:
        """Raises SchemaError if this version of Ingot must not touch the schema."""
        if self.newer:
            raise SchemaError(
                f"The database has migrations that this version of Ingot does not know: {', '.join(self.newer)}. "
                "A newer version was here: install that one, or go back to a backup from before it."
            )
        if self.changed:
            raise SchemaError(
                f"Migrations were changed after they were applied to this database: {', '.join(self.changed)}. "
                "Put the files back as they were, and write the change as a new migration."
            )
        if self.late:
            raise SchemaError(
                f"Migrations were added below the last one that is applied to this database: {', '.join(self.late)}. "
                "Give them higher numbers."
            )


async def migrate(connection: "Connection", directory: Path = MIGRATIONS) -> list[str]:
    """Applies what is pending; the names of what was applied.

    Raises SchemaError, and changes nothing, if the schema is newer than this version or was made from other files.
    Waits without limit while another process migrates. Must not be called within a transaction.
    """
    migrations = await asyncio.to_thread(migrations_read, directory)
    await _lock(connection)
    try:
        await connection.execute(sql.table_ensure)
        state = await _state(connection, migrations)
        state.refuse_unfit()
        for migration in migrations:
            if migration.name in state.pending:
                await _apply(connection, migration)
    finally:
        if not connection.is_closed():
            await connection.fetchval(sql.lock_release, LOCK_KEY)
    return list(state.pending)


async def schema_state(connection: "Connection", directory: Path = MIGRATIONS) -> SchemaState:
    """How the schema compares to the files; reads only."""
    return await _state(connection, await asyncio.to_thread(migrations_read, directory))


def migrations_read(directory: Path) -> list[Migration]:
    """The migrations in a directory, in order."""
    found: dict[int, Migration] = {}
    for file in sorted(directory.glob("*.sql")):
        named = _FILE_NAME.fullmatch(file.stem)
        if named is None:
            raise SchemaError(f"{file} is no migration: its name must be like 0001_what_it_does.sql.")
        # As text, so that a checkout with other line ends is the same file.
        script = file.read_text("utf-8")
        number = int(named[1])
        if number in found:
            raise SchemaError(f"{found[number].name}.sql and {file.name} have the same number: give each its own.")
        found[number] = Migration(number, file.stem, hashlib.sha256(script.encode()).hexdigest(), script)
    return list(found.values())


async def _state(connection: "Connection", migrations: Sequence[Migration]) -> SchemaState:
    rows = await connection.fetch(sql.applied_list) if await connection.fetchval(sql.table_exists) else []
    digests = {row["number"]: row["digest"] for row in rows}
    known = {migration.number for migration in migrations}
    last = max(digests, default=0)
    pending = [migration for migration in migrations if migration.number not in digests]
    applied = [migration for migration in migrations if migration.number in digests]
    return SchemaState(
        applied=tuple(migration.name for migration in applied),
        pending=tuple(migration.name for migration in pending),
        newer=tuple(row["name"] for row in rows if row["number"] not in known),
        changed=tuple(migration.name for migration in applied if migration.digest != digests[migration.number]),
        late=tuple(migration.name for migration in pending if migration.number < last),
    )


async def _lock(connection: "Connection") -> None:
    # Not pg_advisory_lock: who waits in it holds a snapshot, and CREATE INDEX CONCURRENTLY in the other process waits
    # for that to end, which is a deadlock.
    told = time.monotonic()
    while not await connection.fetchval(sql.lock_try, LOCK_KEY):
        if (now := time.monotonic()) - told >= TELL_SECONDS:
            told = now
            logger.info("Waiting for another process to finish migrating the schema")
        await asyncio.sleep(POLL_SECONDS)


async def _apply(connection: "Connection", migration: Migration) -> None:
    logger.info("Migrating the schema: %s", migration.name)
    try:
        async with connection.transaction():
            # The limits of a session are for the statements of a request.
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute(migration.script)
            await connection.execute(sql.applied_add, migration.number, migration.name, migration.digest)
    except Exception as error:
        error.add_note(f"in the migration {migration.name}, which was rolled back")
        raise
