"""A staged import of several chunks, whose commit the test stops and lets go on."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from ingot.v1 import batch_pb2, field_pb2, import_pb2, stage_pb2, table_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import table_service_pb2 as ts
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, records

ROWS = 12_000
"""Three chunks."""
COUNTS = stage_pb2.RecordCounts(received=ROWS + 2, created=ROWS - 1, updated=2, rejected=1)
"""What becomes of them: there were two, and one has no number."""
BEFORE = [{"id": 0, "n": 0}, {"id": "stop", "n": 0}]


async def begin(caller: Caller) -> str:
    """A staged import that awaits its commit; the last record that it writes is `stop`."""
    fields = [field_pb2.Field(name="n", type=field_pb2.FIELD_TYPE_INTEGER)]
    table = table_pb2.Table(table="things", key_fields=["id"], fields=fields)
    await caller.tables.CreateTable(ts.CreateTableRequest(table=table))
    await caller.run(BEFORE)
    good = [{"id": row, "n": 1} for row in range(ROWS)]
    return await stage(caller, [{"id": "bad", "n": "x"}, *good, {"id": "stop", "n": 1}])


async def stage(caller: Caller, rows: list[Any], table: str = "things", **spec: Any) -> str:
    """A staged import that awaits its commit."""
    spec.setdefault("key_fields", ("id",))
    import_id = await caller.create(table, staged=True, **spec)
    await caller.upload(parts(import_id, rows))
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    await awaiting(caller, import_id)
    return import_id


def parts(import_id: str, rows: list[Any], batch_id: str = "b") -> Iterable[Upload]:
    """An upload in messages of a thousand records."""
    for at in range(0, len(rows), 1_000):
        yield records(rows[at : at + 1_000], import_id=import_id, batch_id=batch_id, offset=at)
    yield Upload(import_id=import_id, batch_id=batch_id, finish=batch_pb2.Finish(total=len(rows)))


async def awaiting(caller: Caller, import_id: str) -> import_pb2.Import:
    """An import once it awaits its commit."""
    async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
        if update.import_job.state == import_pb2.IMPORT_STATE_AWAITING_COMMIT:
            return update.import_job
    raise AssertionError("it ended without awaiting a commit")


async def commit(caller: Caller, import_id: str) -> None:
    """Asks for the commit."""
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=import_id))


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


class Stop:
    """Something that nobody else can change."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.connection = connection
        """Within the transaction that has it."""

    async def reached(self, waiters: int = 1) -> None:
        """Returns when so many wait for it."""
        while await self.connection.fetchval(WAITING) < waiters:
            pass

    async def left(self) -> None:
        """Returns when nobody waits for it any more."""
        while await self.connection.fetchval(WAITING) > 0:
            pass

    async def terminate(self) -> None:
        """Ends the backends that wait for it."""
        await self.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )


STOP = "SELECT FROM record WHERE key = 'stop' FOR UPDATE"


@asynccontextmanager
async def stop_at(database_url: str, what: str = STOP) -> AsyncIterator[Stop]:
    """Stops whoever changes the record `stop`, or what else the statement locks, until the end of the block."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(what)
            yield Stop(connection)
    finally:
        await connection.close()


async def expect_nothing_written(caller: Caller) -> None:
    assert await caller.table() == BEFORE


async def expect_committed_once(caller: Caller, import_id: str) -> None:
    ended = await caller.ended(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED, ended.state_message
    assert ended.counts == COUNTS
    assert [group.count for group in ended.processing.error_groups] == [1]
    assert len(await caller.errors(import_id)) == 1
    held = {row["id"]: row["n"] for row in await caller.table()}
    assert held == dict.fromkeys((*range(ROWS), "stop"), 1)


async def expect_identifiers(database: Database) -> None:
    """Each record of a table that is there has exactly the identifiers that belong to it."""
    rows = await database.fetch(
        """
        WITH there AS (SELECT table_id FROM record_table WHERE delete_time IS NULL),
        owned AS (
            SELECT table_id, key, name || ':' || (data ->> name) AS identifier
            FROM record
            JOIN there USING (table_id)
            CROSS JOIN unnest('{id,email,phone}'::text[]) AS field (name)
            WHERE data ->> name IS NOT NULL
        ),
        given AS (SELECT table_id, key, identifier FROM record_identifier JOIN there USING (table_id))
        (TABLE owned EXCEPT TABLE given) UNION ALL (TABLE given EXCEPT TABLE owned)
        """
    )
    assert rows == []
