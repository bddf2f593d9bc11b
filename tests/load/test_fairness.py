"""Accounts take turns: what one has queued does not delay another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ingot.v1 import import_pb2
from ingot.v1 import import_service_pb2 as im
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.pipeline import turn, worker
from ingot_server.pipeline.rotation import ACCOUNTS_MAX, Rotation
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.conftest import running_app
from tests.faults.staging import commit, stage, stop_at

MUCH = 20
SERVED = """
    SELECT account.name
    FROM chunk
    JOIN batch USING (batch_seq)
    JOIN import USING (import_id)
    JOIN account USING (account_id)
    WHERE done_time IS NOT NULL
    ORDER BY done_time
"""


@asynccontextmanager
async def two_accounts(
    database_url: str, database: Database, **settings: object
) -> AsyncIterator[tuple[Caller, Caller]]:
    """Callers of one server: of an account that has much to do, and of one that has little."""
    keys = [(await create_key(database, name, list(SCOPES), "test", None)).text for name in ("large", "small")]
    async with running_app(database_url, **settings) as app:
        async with Caller(f"127.0.0.1:{app.port}", keys[0]) as large, Caller(f"127.0.0.1:{app.port}", keys[1]) as small:
            yield large, small


async def served(database: Database, chunks: int) -> list[str]:
    """The accounts whose chunks were processed, in this order, as soon as there are so many."""
    rows: list[asyncpg.Record] = []
    while len(rows) < chunks:
        await asyncio.sleep(0.02)
        rows = await database.fetch(SERVED)
    return [row["name"] for row in rows]


async def test_an_account_with_much_queued_has_one_turn_before_another_has_its_first(
    database_url: str, database: Database
) -> None:
    async with two_accounts(database_url, database, workers=0) as (large, small):
        for number in range(2):
            import_id = await large.create(f"t{number}")
            for batch in range(MUCH // 2):
                row = {"id": batch}
                await large.upload([records([row], import_id=import_id, batch_id=f"b{batch}", finish=True)])
        waiting = await small.create()
        await small.upload([records([{"id": 1}], import_id=waiting, batch_id="b", finish=True)])
        async with running_app(database_url, workers=1):
            await small.finish(waiting)
            order = await served(database, MUCH + 1)
    assert order.index("small") == 1


async def test_a_long_batch_is_interrupted_for_the_batch_of_another_account(
    database_url: str, database: Database
) -> None:
    chunks = turn.TURN_CHUNKS + 4
    async with two_accounts(database_url, database, workers=0) as (large, small):
        import_id = await large.create()
        # Each upload commits a chunk of its own.
        for number in range(chunks):
            await large.upload([records([{"id": number}], import_id=import_id, batch_id="b", offset=number)])
        waiting = await small.create()
        await small.upload([records([{"id": 1}], import_id=waiting, batch_id="b", finish=True)])
        async with running_app(database_url, workers=1):
            order = await served(database, chunks + 1)
    assert order.index("small") == turn.TURN_CHUNKS


async def test_slow_chunks_end_a_turn_early(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every chunk takes longer than a turn of no time at all, and there is some progress nevertheless."""
    monkeypatch.setattr(turn, "TURN_SECONDS", 0)
    async with two_accounts(database_url, database, workers=0) as (large, small):
        import_id = await large.create()
        for number in range(4):
            await large.upload([records([{"id": number}], import_id=import_id, batch_id="b", offset=number)])
        waiting = await small.create()
        await small.upload([records([{"id": 1}], import_id=waiting, batch_id="b", finish=True)])
        async with running_app(database_url, workers=1):
            order = await served(database, 5)
    assert order.index("small") == 1


async def test_a_small_commit_does_not_wait_for_large_ones(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do more of these than others leave room for: the large ones of the account are stopped until the end."""
    large_records = 12
    monkeypatch.setattr(worker, "COMMITS", (None, None, large_records - 1))
    async with two_accounts(database_url, database) as (large, small):
        rows = [{"id": "stop", "n": 1}, *({"id": row, "n": 1} for row in range(1, large_records))]
        tables = [f"t{number}" for number in range(3)]
        for table in tables:
            await large.run([{"id": "stop", "n": 0}], table)
        imports = [await stage(large, rows, table) for table in tables]
        little = await stage(small, [{"id": 1}])
        async with stop_at(database_url) as stop:
            for import_id in imports:
                await commit(large, import_id)
            await stop.reached(2)
            await commit(small, little)
            assert (await small.ended(little)).state == import_pb2.IMPORT_STATE_SUCCEEDED
            found = await large.imports.ListImports(im.ListImportsRequest(states=[import_pb2.IMPORT_STATE_PROCESSING]))
            assert len(found.imports) == 3
        for import_id in imports:
            assert (await large.ended(import_id)).state == import_pb2.IMPORT_STATE_SUCCEEDED


def test_whoever_was_served_longest_ago_comes_first_and_the_order_has_a_bound() -> None:
    rotation = Rotation()
    for account in (1, 2, 3, 1):
        rotation.note(account)
    assert rotation.accounts == [2, 3, 1]
    for account in range(ACCOUNTS_MAX + 10):
        rotation.note(account)
    assert rotation.accounts == list(range(10, ACCOUNTS_MAX + 10))
