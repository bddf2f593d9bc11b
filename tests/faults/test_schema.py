"""Servers that start at the same time, or on a schema that is not theirs."""

import asyncio
import sys

import asyncpg
import pytest

from ingot_server.storage.migrating import MIGRATIONS, migrations_read
from tests.faults.processes import server_process

SERVERS = 5


async def migrated(url: str) -> int:
    """The exit code of a process that only migrates."""
    program = (sys.executable, "-m", "ingot_server", "migrate")
    process = await asyncio.create_subprocess_exec(*program, env={"INGOT_DATABASE_URL": url})
    return await process.wait()


async def test_of_many_that_start_at_once_one_migrates_and_all_work(empty_database_url: str) -> None:
    assert await asyncio.gather(*(migrated(empty_database_url) for _ in range(SERVERS))) == [0] * SERVERS
    found = await asyncpg.connect(empty_database_url)
    names = [row["name"] for row in await found.fetch("SELECT name FROM schema_migration ORDER BY number")]
    await found.close()
    assert names == [migration.name for migration in migrations_read(MIGRATIONS)]
    async with server_process(database_url=empty_database_url):
        pass


async def test_a_server_that_is_older_than_the_schema_does_not_start_and_says_why(database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    await admin.execute("INSERT INTO schema_migration (number, name, digest) VALUES (9999, '9999_of_tomorrow', '')")
    await admin.close()
    with pytest.raises(AssertionError, match=r"9999_of_tomorrow.*A newer version was here"):
        async with server_process(database_url=database_url):
            pass
