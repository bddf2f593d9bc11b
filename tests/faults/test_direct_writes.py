"""Records that are written or deleted without an import, when the answer to the COMMIT is lost."""

import json
import logging
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingot.v1 import record_pb2
from ingot.v1 import record_service_pb2 as rs
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.storage.database import Database, Once
from ingot_server.storage.embedded import EmbeddedPostgres
from tests.calling import Caller
from tests.conftest import running_app
from tests.faults.postgres_proxy import PostgresProxy, postgres_proxy

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

SWALLOWED = 3
"""A chore of the server may come first."""


@asynccontextmanager
async def beyond_proxy(caller: Caller, database_url: str) -> AsyncIterator[tuple[PostgresProxy, Caller]]:
    with tempfile.TemporaryDirectory() as folder:
        async with postgres_proxy(Path(folder), database_url) as (proxy, url), running_app(url, workers=0) as app:
            async with Caller(f"127.0.0.1:{app.port}", caller.key) as beyond:
                yield proxy, beyond


def written(numbers: range) -> rs.WriteRecordsRequest:
    texts = [record_pb2.Record(json=json.dumps({"id": number}).encode()) for number in numbers]
    return rs.WriteRecordsRequest(table="things", key_fields=["id"], records=texts)


async def test_records_that_are_written_are_counted_once_and_as_what_they_were(
    caller: Caller, database_url: str
) -> None:
    async with beyond_proxy(caller, database_url) as (proxy, beyond):
        for number in range(3):
            proxy.swallow_commits = SWALLOWED
            answer = await beyond.records.WriteRecords(written(range(number, number + 2)))
            # The table is made by the first call, in a transaction of its own.
            assert (answer.counts.created, answer.counts.unchanged) == ((2, 0) if number == 0 else (1, 1))
        assert proxy.swallowed


async def test_records_that_are_deleted_are_counted_and_told(
    caller: Caller, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ingot.audit")
    async with beyond_proxy(caller, database_url) as (proxy, beyond):
        await beyond.records.WriteRecords(written(range(3)))
        proxy.swallow_commits = SWALLOWED
        answer = await beyond.records.DeleteRecords(rs.DeleteRecordsRequest(table="things", keys=["0", "1"]))
        assert answer.deleted == 2
        assert await beyond.table() == [{"id": 2}]
        assert proxy.swallowed
    (told,) = [entry for entry in caplog.records if getattr(entry, "event", "") == "deletion"]
    assert vars(told)["count"] == 2


async def test_what_a_crash_has_taken_back_is_not_taken_for_done(open_folder: Path) -> None:
    """PostgreSQL gives the number of such a transaction to another one, which does commit."""
    postgres = EmbeddedPostgres(open_folder / "crashing", max_connections=20)
    await postgres.start()
    database = await Database.connect(postgres.dsn, max_connections=4)
    await database.fetch("CREATE TABLE written (number text)")
    once: Once[None] = Once(database, lock_timeout_seconds=1)
    numbers: list[str] = []

    async def attempt(connection: "Connection") -> None:
        numbers.append(await connection.fetchval("SELECT pg_current_xact_id()::text"))
        await connection.execute("INSERT INTO written VALUES ('ours')")
        if len(numbers) == 1:
            # Dies when it gets the COMMIT, and PostgreSQL with it.
            os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)

    with pytest.raises(DatabaseUnavailable):
        await once.run(attempt)
    others: list[str] = []
    while numbers[0] not in others:
        with suppress(DatabaseUnavailable):
            row = await database.fetchrow("INSERT INTO written VALUES ('other') RETURNING pg_current_xact_id()::text")
            assert row is not None
            others.append(row[0])
    await database.retrying(lambda: once.run(attempt))
    assert [row[0] for row in await database.fetch("SELECT number FROM written")].count("ours") == 1
    assert len(numbers) == 2
    await database.close()
    await postgres.stop()
