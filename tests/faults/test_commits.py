"""All or nothing, and once: commits that are killed, stopped, cut off, taken over or cancelled half-way."""

import signal
import tempfile
from pathlib import Path

import pytest

from ingot.v1 import import_pb2
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller
from tests.conftest import running_app
from tests.faults.postgres_proxy import postgres_proxy
from tests.faults.processes import server_process
from tests.faults.staging import begin, commit, expect_committed_once, expect_nothing_written, stage, stop_at


@pytest.fixture
async def key(database: Database) -> str:
    return (await create_key(database, "acme", list(SCOPES), "test", None)).text


async def test_a_server_killed_during_a_commit_has_written_nothing_and_another_commits(
    database_url: str, key: str
) -> None:
    async with server_process(database_url=database_url, lease_seconds=1) as first:
        async with Caller(first.address, key) as caller:
            import_id = await begin(caller)
            async with stop_at(database_url) as stop:
                await commit(caller, import_id)
                await stop.reached()
                first.kill()
                await first.ended()
                async with server_process(database_url=database_url, workers=0) as idle:
                    async with Caller(idle.address, key) as looking:
                        await expect_nothing_written(looking)
                        found = await looking.get(import_id)
                        assert found.state == import_pb2.IMPORT_STATE_PROCESSING
    async with server_process(database_url=database_url, lease_seconds=1) as second:
        async with Caller(second.address, key) as caller:
            await expect_committed_once(caller, import_id)


async def test_a_server_that_is_asked_to_stop_drops_its_commit_at_once(database_url: str, key: str) -> None:
    """The record that the commit waits for is not let go before the server has ended."""
    async with server_process(database_url=database_url, shutdown_grace_seconds=1, lease_seconds=3600) as first:
        async with Caller(first.address, key) as caller:
            import_id = await begin(caller)
            async with stop_at(database_url) as stop:
                await commit(caller, import_id)
                await stop.reached()
                first.process.send_signal(signal.SIGTERM)
                assert await first.ended() == 0
    # Not an hour later: it was given back.
    async with server_process(database_url=database_url) as second, Caller(second.address, key) as caller:
        await expect_committed_once(caller, import_id)


async def test_a_commit_whose_connection_is_cut_begins_anew(caller: Caller, database_url: str) -> None:
    import_id = await begin(caller)
    async with stop_at(database_url) as stop:
        await commit(caller, import_id)
        for _ in range(3):
            await stop.reached()
            await stop.terminate()
        await stop.reached()
        await expect_nothing_written(caller)
    await expect_committed_once(caller, import_id)


async def test_a_commit_whose_answer_is_lost_has_happened_once(database_url: str, key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with postgres_proxy(Path(folder), database_url) as (proxy, proxied_url):
            async with running_app(proxied_url) as app, running_app(database_url, workers=0) as idle:
                async with Caller(f"127.0.0.1:{idle.port}", key) as caller:
                    async with Caller(f"127.0.0.1:{app.port}", key) as beyond:
                        import_id = await begin(beyond)
                    async with stop_at(database_url) as stop:
                        await commit(caller, import_id)
                        await stop.reached()
                        # A chore of the server may come first.
                        proxy.swallow_commits = 3
                    await expect_committed_once(caller, import_id)
                    assert proxy.swallowed


async def test_a_commit_that_is_cancelled_stops_where_it_is_and_leaves_nothing(
    caller: Caller, database_url: str
) -> None:
    """The record that the commit waits for is not let go before the import is cancelled."""
    import_id = await begin(caller)
    async with stop_at(database_url) as stop:
        await commit(caller, import_id)
        await stop.reached()
        ended = await caller.ended_by_cancel(import_id)
        assert ended.state == import_pb2.IMPORT_STATE_CANCELLED
        assert "Nothing was written" in ended.state_message
        counts = ended.counts
        assert (counts.received, counts.rejected + counts.pending, counts.rejected) == (counts.received, 12_002, 1)
    await expect_nothing_written(caller)


async def test_a_frozen_commit_is_taken_over_and_writes_nothing_when_it_wakes(database_url: str, key: str) -> None:
    async with server_process(database_url=database_url, lease_seconds=1) as first:
        async with Caller(first.address, key) as caller:
            import_id = await begin(caller)
            async with stop_at(database_url) as stop:
                await commit(caller, import_id)
                await stop.reached()
                first.freeze()
        # What it was waiting for has come, and PostgreSQL cuts it off: it was idle within its transaction.
        async with server_process(database_url=database_url, lease_seconds=1) as second:
            async with Caller(second.address, key) as caller:
                await expect_committed_once(caller, import_id)
                first.thaw()
                async with Caller(first.address, key) as awake:
                    assert await awake.get(import_id) == await caller.get(import_id)
                    await awake.run([{"id": "after"}], "others")
                await expect_committed_once(caller, import_id)


async def test_an_import_can_be_made_while_a_commit_names_the_key_fields_of_its_table(
    caller: Caller, database_url: str
) -> None:
    """What a commit has locked of the table is in the way of nobody who only refers to it."""
    import_id = await stage(caller, [{"keys": ["id"], "id": 1}], key_fields=())
    async with stop_at(database_url, "LOCK TABLE record IN SHARE MODE") as stop:
        await commit(caller, import_id)
        await stop.reached()
        await caller.create("things", ())
        await stop.reached()
    assert (await caller.ended(import_id)).counts.created == 1
