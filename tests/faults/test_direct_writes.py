"""Records that are written or deleted without an import, when the answer to the COMMIT is lost."""

import json
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ingot.v1 import record_pb2
from ingot.v1 import record_service_pb2 as rs
from tests.calling import Caller
from tests.conftest import running_app
from tests.faults.postgres_proxy import PostgresProxy, postgres_proxy

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
