"""The database of the settings: started if it is embedded, migrated, and opened or joined."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ingot_server.settings import ConfigurationError, Settings
from ingot_server.storage import commits, leases, references
from ingot_server.storage.database import STATEMENT_SECONDS, UNHURRIED_CONNECTIONS, Database
from ingot_server.storage.embedded import EmbeddedPostgres
from ingot_server.storage.migrating import migrate

log = logging.getLogger(__name__)


def require_own_database(settings: Settings) -> None:
    """Raises ConfigurationError if the settings name no database."""
    if settings.database_url is None:
        raise ConfigurationError(
            "embedded PostgreSQL belongs to `ingot-server serve`: set INGOT_DATABASE_URL to the database that the"
            " servers share"
        )


@asynccontextmanager
async def database_started(settings: Settings) -> AsyncIterator[str]:
    """The URL of the database of the settings; embedded PostgreSQL runs meanwhile if it is used."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    async with _embedded_postgres(settings) as dsn:
        yield dsn


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database of the settings, migrated; embedded PostgreSQL runs meanwhile if it is used."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(database_started(settings))
        database = await Database.connect(
            dsn,
            max_connections=settings.database_connections,
            idle_in_transaction_seconds=settings.lease_seconds,
            # Writing a chunk may take two leases, and is no reason for an unhurried connection.
            statement_timeout_seconds=max(STATEMENT_SECONDS, 2 * settings.lease_seconds),
        )
        stack.push_async_callback(database.close)
        async with database.connection(unhurried=True) as connection:
            await migrate(connection)
        yield database


@asynccontextmanager
async def join_database(settings: Settings) -> AsyncIterator[Database]:
    """The database of the settings, for a short errand beside a server that may be running on it."""
    dsn = settings.database_url
    postgres = EmbeddedPostgres(
        settings.data_dir, postgres_bin=settings.postgres_bin, postgres_user=settings.postgres_user
    )
    if dsn is None:
        if not postgres.exists():
            raise ConfigurationError(
                f"there is no Ingot database in {settings.data_dir}: set INGOT_DATA_DIR to the folder that the server"
                " printed at its start, or INGOT_DATABASE_URL, or start a server there first"
            )
        dsn = await postgres.dsn_of_running()
    if dsn is None:
        async with open_database(settings) as database:
            yield database
        return
    database = await Database.connect(dsn, max_connections=3)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _embedded_postgres(settings: Settings) -> AsyncIterator[str]:
    postgres = EmbeddedPostgres(
        settings.data_dir,
        postgres_bin=settings.postgres_bin,
        postgres_user=settings.postgres_user,
        max_connections=settings.processes * (settings.database_connections + UNHURRIED_CONNECTIONS) + 20,
    )
    await postgres.start()
    keeping = asyncio.create_task(_keep_running(postgres))
    try:
        yield postgres.dsn
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await postgres.stop()


async def _keep_running(postgres: EmbeddedPostgres) -> None:
    while True:
        code = await postgres.wait()
        log.error("embedded PostgreSQL ended unexpectedly; starting it again", extra={"exit_code": code})
        try:
            await postgres.start()
        except Exception:
            log.exception("embedded PostgreSQL does not start; trying again")
            await asyncio.sleep(5)


async def take_leases_back(database: Database) -> None:
    """For embedded PostgreSQL: the lock on its folder proves that nobody else works, under whatever lease.

    What is left of a killed server's processes may still want to write; it finds that its leases are gone.
    """
    for release_all in (leases.lease_release_all, references.reference_release_all, commits.commit_release_all):
        await release_all(database)
