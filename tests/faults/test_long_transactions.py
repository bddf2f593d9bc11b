"""Somebody else keeps a transaction open: nothing that is out of date can be cleared away, and the work goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import msgspec
import pytest

from ingot.v1 import import_pb2
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.domain.progress import Counts
from ingot_server.storage import batches, leases
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.conftest import running_app

LEASE = timedelta(minutes=1)
SOON = timedelta(0)
IMPORTS = 25


@asynccontextmanager
async def long_transaction(database_url: str) -> AsyncIterator[None]:
    """Somebody who still sees how everything was at the beginning, as a backup does."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.fetchval("SELECT count(*) FROM batch")
            yield
    finally:
        await connection.close()


async def pages_of_a_claim(database: Database, since: datetime | None) -> int:
    """How many pages a claim looks at that finds nothing."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {leases.sql.lease_claim}"
    async with database.rehearsal() as connection:
        # As it is with many batches; of few it reads all. And each entry is looked up by itself, which can be counted.
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        plan = msgspec.json.decode(await connection.fetchval(explain, LEASE, [], since))[0]["Plan"]
    assert plan["Actual Rows"] == 0
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def waiting_since(database: Database, before: datetime | None = None) -> datetime:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "TRANSACTION_TIME", SOON)
        return await leases.lease_waiting_since(database, before)


async def test_imports_go_on_and_claims_do_not_read_what_has_piled_up(
    caller: Caller, database: Database, database_url: str
) -> None:
    everything, recent = [], []
    async with long_transaction(database_url):
        for round in range(3):
            for number in range(IMPORTS):
                ended = await caller.run([{"id": f"{round}.{number}"}])
                assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
            everything.append(await pages_of_a_claim(database, None))
            # As a minute later, when the leases of these imports would have run out.
            recent.append(await pages_of_a_claim(database, await waiting_since(database) + LEASE))
        assert len(await caller.table()) == 3 * IMPORTS
    # What was true of a batch for a moment only is not always in the index.
    assert everything[0] < everything[1] < everything[2]
    assert everything[2] - everything[0] >= IMPORTS
    assert max(recent) < everything[0]


class Waiting:
    """Batches of an import that nobody processes, seen by one who claims them."""

    def __init__(self, caller: Caller, database: Database, import_id: str) -> None:
        self.since: datetime | None = None
        self._caller = caller
        self._database = database
        self._import_id = import_id

    async def append(self, batch_id: str, row: int = 0, *, finish: bool = False) -> None:
        """Sends the next row of a batch."""
        total = row + 1 if finish else False
        message = records([{"id": row}], import_id=self._import_id, batch_id=batch_id, offset=row, finish=total)
        await self._caller.upload([message])

    async def look_back(self) -> None:
        """Asks since when batches wait."""
        self.since = await waiting_since(self._database, self.since)

    async def claim(self, duration: timedelta = LEASE) -> tuple[str, leases.Lease] | None:
        """The batch whose turn it is."""
        lease = await leases.lease_claim(self._database, duration, (), self.since)
        if lease is None:
            return None
        found = await batches.batch_get_many(self._database, [lease.batch_seq])
        return found[lease.batch_seq].batch_id, lease

    async def process(self) -> str:
        """Claims a batch, settles a chunk of it and gives it back; which one that was."""
        claimed = await self.claim()
        assert claimed is not None
        batch_id, lease = claimed
        async with self._database.transaction() as connection:
            assert await leases.lease_settle_chunk(connection, lease, Counts(received=1, created=1), 0, 0)
        await leases.lease_release(self._database, lease)
        return batch_id


@pytest.fixture
async def waiting(database: Database, database_url: str) -> AsyncIterator[Waiting]:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    async with running_app(database_url, workers=0) as app, Caller(f"127.0.0.1:{app.port}", key) as caller:
        yield Waiting(caller, database, await caller.create())


async def test_a_batch_that_gets_something_to_process_waits_since_then(waiting: Waiting) -> None:
    await waiting.append("a")
    assert await waiting.process() == "a"
    await waiting.look_back()
    assert await waiting.claim() is None
    await waiting.append("a", 1)
    assert await waiting.process() == "a"


async def test_a_batch_that_still_has_something_to_process_keeps_its_place(waiting: Waiting) -> None:
    await waiting.append("a")
    await waiting.append("b")
    await waiting.append("a", 1)
    assert [await waiting.process() for _ in range(3)] == ["a", "b", "a"]


async def test_a_batch_that_waits_for_another_is_not_passed_over(waiting: Waiting) -> None:
    await waiting.append("a", finish=True)
    await waiting.append("b", finish=True)
    for batch_id in ("a", "b"):
        await waiting.look_back()
        assert await waiting.process() == batch_id
    await waiting.look_back()
    assert await waiting.claim() is None


async def test_a_batch_whose_lease_has_run_out_or_was_given_back_is_found(waiting: Waiting, database: Database) -> None:
    await waiting.append("a")
    assert await waiting.claim(SOON) is not None
    await waiting.look_back()
    claimed = await waiting.claim()
    assert claimed is not None
    await waiting.look_back()
    await leases.lease_release(database, claimed[1])
    assert await waiting.process() == "a"


async def test_a_batch_that_was_not_yet_to_be_seen_is_found_by_looking_back(
    waiting: Waiting, database: Database, database_url: str
) -> None:
    """Its upload had begun before the look back, and was committed after it."""
    await waiting.append("a")
    assert await waiting.process() == "a"
    slow = await asyncpg.connect(database_url)
    async with slow.transaction():
        await slow.execute("UPDATE batch SET chunks_received = chunks_received + 1, lease_until = clock_timestamp()")
        careful = await leases.lease_waiting_since(database, None)
        await waiting.look_back()
    await slow.close()
    # Only if transactions were over at once would it be passed over, until somebody looks back to the beginning.
    assert await waiting.claim() is None
    for since in (careful, await waiting_since(database)):
        waiting.since = since
        assert await waiting.claim(SOON) is not None
