"""Servers that start at the same time, or on a schema that is not theirs."""

import asyncio
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ingot_server.storage.embedded import EmbeddedPostgres
from ingot_server.storage.migrating import MIGRATIONS, migrations_read
from tests.conftest import database_url_of
from tests.faults.processes import server_process

SERVERS = 5


@pytest.fixture
async def empty_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database in which nothing is yet."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE test_schema")
    yield database_url_of(postgres, "test_schema")
    await admin.execute("DROP DATABASE test_schema WITH (FORCE)")
    await admin.close()


async def migrated(url: str) -> int:
    """The exit code of a process that only migrates."""
    program = (sys.executable, "-m", "ingot_server", "migrate")
    process = await asyncio.create_subprocess_exec(*program, env={"INGOT_DATABASE_URL": url})
    return await process.wait()


async def test_of_many_that_start_at_once_one_migrates_and_all_work(empty_url: str) -> None:
    assert await asyncio.gather(*(migrated(empty_url) for _ in range(SERVERS))) == [0] * SERVERS
    found = await asyncpg.connect(empty_url)
    names = [row["name"] for row in await found.fetch("SELECT name FROM schema_migration ORDER BY number")]
    await found.close()
    assert names == [migration.name for migration in migrations_read(MIGRATIONS)]
    async with server_process(database_url=empty_url):
        pass


async def test_a_server_that_is_older_than_the_schema_does_not_start_and_says_why(database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    await admin.execute("INSERT INTO schema_migration (number, name, digest) VALUES (9999, '9999_of_tomorrow', '')")
    await admin.close()
    with pytest.raises(AssertionError, match=r"9999_of_tomorrow.*A newer version was here"):
        async with server_process(database_url=database_url):
            pass
