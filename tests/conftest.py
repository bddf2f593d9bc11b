"""What all tests share: one embedded PostgreSQL, a database of its own for each test, and a server on it."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ingot_server.app import App, create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.settings import Settings
from ingot_server.storage.database import Database
from ingot_server.storage.embedded import EmbeddedPostgres
from ingot_server.storage.migrating import migrate
from tests.calling import Caller

TEMPLATE = "ingot_template"
_numbers = count(1)


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, as embedded PostgreSQL needs it when the tests run as root.

    Pytest's own temporary folders are closed.
    """
    folder = Path(tempfile.mkdtemp(prefix="ingot-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def postgres(open_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """One PostgreSQL for all tests, with the migrated template database."""
    server = EmbeddedPostgres(open_folder / "postgres", max_connections=200)
    await server.start()
    admin = await asyncpg.connect(server.dsn)
    await admin.execute(f"CREATE DATABASE {TEMPLATE}")
    await admin.close()
    template = await asyncpg.connect(database_url_of(server, TEMPLATE))
    await migrate(template)
    await template.close()
    yield server
    await server.stop()


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield database_url_of(postgres, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on the test's database."""
    opened = await Database.connect(database_url, max_connections=8)
    yield opened
    await opened.close()


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[App]:
    """A running server on the test's database."""
    async with running_app(database_url) as app:
        yield app


@pytest.fixture
async def caller(server: App, database: Database) -> AsyncIterator[Caller]:
    """Somebody with a key for everything."""
    key = await create_key(database, "acme", list(SCOPES), "test", None)
    async with Caller(f"127.0.0.1:{server.port}", key.text) as caller:
        yield caller


@asynccontextmanager
async def running_app(database_url: str, **settings: Any) -> AsyncIterator[App]:
    """A server on a database, as a replica beside others if there are."""
    given = {"address": "127.0.0.1:0", "database_url": database_url, "shutdown_grace_seconds": 1, **settings}
    database = await Database.connect(database_url, max_connections=12)
    app = App(Settings(**given), database)
    await app.start()
    try:
        yield app
    finally:
        await app.stop()
        await database.close()


def database_url_of(postgres: EmbeddedPostgres, name: str) -> str:
    """The address of another database on the same server."""
    start, _, query = postgres.dsn.partition("?")
    return f"{start.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def skip_without(tool: str, why: str) -> None:
    """Skips the test where a tool is missing; in CI it fails instead."""
    if shutil.which(tool) is None:
        message = f"{tool} is not installed: {why}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
