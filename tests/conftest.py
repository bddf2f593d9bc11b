"""What all tests share: one embedded PostgreSQL, a database of its own for each test, and a server on it."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import hypothesis
import pytest

from ingot_server.access import create_key
from ingot_server.app import App
from ingot_server.domain.api_keys import SCOPES
from ingot_server.pipeline import progress
from ingot_server.settings import Settings
from ingot_server.storage import embedded
from ingot_server.storage.database import Database
from ingot_server.storage.embedded import EmbeddedPostgres
from ingot_server.storage.migrating import migrate
from ingot_server.storage.postgres_processes import stop_leftovers
from tests.calling import Caller

FOLDER = "ingot-pytest"
TEMPLATE = "ingot_template"
UNSAFE = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "512MB"}
"""Settings of the shared PostgreSQL: no test cuts its power, and its log need not fill the memory."""
MEMORY = "/dev/shm"
MEMORY_BYTES = 4_000_000_000
"""How much must be free there before the tests use it: several processes may run them at the same time."""
CONNECTIONS = 12
"""Of a server in the process of the tests."""
NAMED_BYTES_MAX = 40
"""Longer ones are not told in the names of tests."""
_numbers = count(1)

# Both are about time on the clock, which tells what else the machine does.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names contents by their argument: some are random, and older versions of pytest would put all of them into the
    names of tests, which then differ from process to process."""
    return argname if isinstance(val, bytes) and len(val) > NAMED_BYTES_MAX else None


@contextmanager
def passable_folder() -> Iterator[Path]:
    """A folder that other users may pass through, as embedded PostgreSQL needs it when the tests run as root.

    Pytest's own temporary folders are closed.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-{os.getpid()}-", dir=_place()))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _place() -> str | None:
    """The memory, where it has room and may hold programs: databases come and go there several times as fast."""
    with suppress(OSError):
        memory = os.statvfs(MEMORY)
        if memory.f_bavail * memory.f_frsize > MEMORY_BYTES and not memory.f_flag & getattr(os, "ST_NOEXEC", 0):
            return MEMORY
    return "/tmp" if os.geteuid() == 0 else None


def _clear_abandoned() -> None:
    """Gives back the memory that runs which were killed have left occupied."""
    for folder in Path(MEMORY).glob(f"{FOLDER}-*"):
        if not Path("/proc", folder.name.split("-")[2]).exists():
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def open_folder() -> AsyncIterator[Path]:
    """A folder of this process that other users may pass through, for data folders of servers that may be killed."""
    _clear_abandoned()
    with passable_folder() as folder:
        yield folder
        # PostgreSQL outlives a killed server for a moment, and would write on while the folder is removed.
        for cluster in folder.glob("*/postgres"):
            await stop_leftovers(cluster)


@pytest.fixture(scope="session", autouse=True)
def quick_progress() -> Iterator[None]:
    """Servers in this process tell watchers within 20 ms how things stand, for most tests watch imports end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "POLL_SECONDS", 0.02)
        yield


@pytest.fixture(scope="session")
async def postgres(open_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """One PostgreSQL for all tests of this process, with the migrated template database."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in UNSAFE.items():
            patch.setitem(embedded.SETTINGS, name, value)
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
    # Copying files costs two checkpoints, which are cheap without fsync, and saves a log of all that is copied.
    async with _made_database(postgres, f"TEMPLATE {TEMPLATE} STRATEGY FILE_COPY") as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database without a schema."""
    async with _made_database(postgres, "") as url:
        yield url


@asynccontextmanager
async def _made_database(postgres: EmbeddedPostgres, how: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE {name} {how}")
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
    given: dict[str, Any] = {
        "address": "127.0.0.1:0",
        "database_url": database_url,
        "shutdown_grace_seconds": 1,
        "open_imports_max": 1_000,
        **settings,
    }
    statement_seconds = given.pop("statement_timeout_seconds", 60)
    database = await Database.connect(
        database_url, max_connections=CONNECTIONS, statement_timeout_seconds=statement_seconds
    )
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
