"""Servers that die or stop while they fetch: another goes on at the same byte, and every record is there once."""

import asyncio
import fcntl
import gzip
import io
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow
import pyarrow.parquet
import pytest

from ingot.v1 import import_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as im
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.pipeline.allowances import Allowance
from ingot_server.pipeline.fetching import Fetcher, FetchRules
from ingot_server.pipeline.fetching.connections import NAMES_AT_ONCE
from ingot_server.pipeline.local_copies import local_copy, remove_abandoned_copies
from ingot_server.pipeline.receiving import ChunkLimits, Receiver
from ingot_server.pipeline.referencing import Fetching, FetchSettings
from ingot_server.storage import references
from ingot_server.storage.database import Database
from ingot_server.storage.references import FetchLease
from tests.api.test_references import batch_when, refer
from tests.calling import Caller
from tests.conftest import running_app
from tests.faults.processes import ServerProcess, server_process
from tests.pipeline.hosting import Hold, hosting

ROWS = 60_000
NDJSON = b"".join(b'{"id": %d, "text": "%s"}\n' % (number, os.urandom(8).hex().encode()) for number in range(ROWS))


def parquet() -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": list(range(ROWS))}), file, row_group_size=10_000)
    return file.getvalue()


@pytest.fixture
async def key(database: Database) -> str:
    return (await create_key(database, "acme", list(SCOPES), "test", None)).text


def fetching_process(database_url: str, **settings: Any) -> Any:
    return server_process(
        database_url=database_url, reference_private_networks=True, lease_seconds=1, log_format="json", **settings
    )


async def end(server: ServerProcess, how: str) -> None:
    if how == "killed":
        server.kill()
    else:
        server.process.send_signal(signal.SIGTERM)
    _, logs = await server.process.communicate()
    assert b'"ERROR"' not in logs


async def expect_each_once(caller: Caller, import_id: str) -> None:
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED, ended
    assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS)
    assert sorted(row["id"] for row in await caller.table()) == list(range(ROWS))


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.ndjson", NDJSON), ("a.ndjson.gz", gzip.compress(NDJSON, 1, mtime=0))]
)
async def test_another_server_goes_on_at_the_same_byte(
    database_url: str, key: str, how: str, name: str, content: bytes
) -> None:
    hold = Hold(len(content) * 2 // 3)
    async with hosting(content, hold) as host:
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            import_id = await caller.create()
            await refer(caller, import_id, f"http://127.0.0.1:{host.port}/{name}")
            await batch_when(caller, import_id, lambda batch: batch.counts.created > 10_000)
            await end(server, how)
        await hold.gone.wait()
        async with fetching_process(database_url, fetchers=0) as server, Caller(server.address, key) as caller:
            committed = (await caller.batch(import_id)).committed_offset
            assert 0 < committed < len(content)
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            await expect_each_once(caller, import_id)
        # One byte more than is needed, by which a file that has become shorter is noticed.
        assert host.ranges == ["", f"bytes={committed - 1}-"]


async def test_a_source_without_versions_is_read_again_and_compared(database_url: str, key: str) -> None:
    hold = Hold(len(NDJSON) * 2 // 3)
    async with hosting(NDJSON, hold) as host:
        host.etag = ""
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            ids = [await caller.create(), await caller.create("others")]
            for import_id in ids:
                await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson")
                await batch_when(caller, import_id, lambda batch: batch.counts.created > 10_000)
                host.behaviours.append(hold)
            await end(server, "killed")
        host.behaviours.clear()
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            await expect_each_once(caller, ids[0])
        assert set(host.ranges) == {""}


@pytest.mark.parametrize("content", [NDJSON[:1000], NDJSON.replace(b"text", b"TEXT")], ids=["shorter", "other"])
async def test_a_source_without_versions_that_has_changed_is_refused(
    database_url: str, key: str, content: bytes
) -> None:
    hold = Hold(len(NDJSON) * 2 // 3)
    async with hosting(NDJSON, hold) as host:
        host.etag = ""
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            import_id = await caller.create()
            await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson")
            await batch_when(caller, import_id, lambda batch: batch.counts.created > 10_000)
            await end(server, "killed")
        host.content = content
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            ended = await caller.finish(import_id)
            assert "changed while it was read" in (await caller.batch(import_id)).status_message
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert ended.counts.created == ended.counts.received < ROWS


STOP_CHUNKS = """
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$;
CREATE TRIGGER stop BEFORE INSERT ON chunk
FOR EACH ROW WHEN (NEW.start_offset >= 20000) EXECUTE FUNCTION wait_for_the_test();
"""


@pytest.mark.parametrize("etag", ['"1"', ""])
async def test_a_parquet_file_is_gone_on_with_at_the_same_record(database_url: str, key: str, etag: str) -> None:
    stopper = await asyncpg.connect(database_url)
    await stopper.execute(STOP_CHUNKS)
    await stopper.execute("SELECT pg_advisory_lock(42)")
    async with hosting(parquet()) as host:
        host.etag = etag
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            import_id = await caller.create()
            await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.parquet")
            batch = await batch_when(caller, import_id, lambda batch: batch.committed_offset > 0)
            assert batch.upload.percent < 100
            await end(server, "killed")
        await stopper.close()
        async with fetching_process(database_url) as server, Caller(server.address, key) as caller:
            await expect_each_once(caller, import_id)
        # Copied once more, because the copy was on the disk of the server that died.
        assert len(host.asked) == 2


async def test_a_server_that_hangs_is_taken_over_and_fetches_nothing_when_it_wakes(database_url: str, key: str) -> None:
    hold = Hold(len(NDJSON) * 2 // 3)
    async with (
        hosting(NDJSON, hold) as host,
        fetching_process(database_url) as first,
        fetching_process(database_url, fetchers=0) as second,
        Caller(second.address, key) as caller,
    ):
        import_id = await caller.create()
        await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson")
        await batch_when(caller, import_id, lambda batch: batch.counts.created > 10_000)
        first.freeze()
        async with fetching_process(database_url) as third:
            await expect_each_once(caller, import_id)
            first.thaw()
            await hold.gone.wait()
            assert (await caller.get(import_id)).counts.created == ROWS
            await end(third, "stopped")


async def test_the_query_is_not_in_the_logs_of_a_server(database_url: str, key: str) -> None:
    hold = Hold(100)
    async with hosting(NDJSON, hold) as host:
        async with (
            fetching_process(database_url, log_level="DEBUG", reference_stall_seconds=0.2) as server,
            Caller(server.address, key) as caller,
        ):
            import_id = await caller.create()
            await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson?sig=very-secret")
            await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.json?sig=very-secret", batch_id="array")
            await refer(caller, import_id, "http://127.0.0.1:1/a.json?sig=very-secret", batch_id="refused")
            await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
            await caller.ended(import_id)
            server.process.send_signal(signal.SIGTERM)
            _, logs = await server.process.communicate()
    assert b"reading a file is tried again" in logs
    assert b"very-secret" not in logs


async def test_names_that_nobody_answers_for_keep_no_import_waiting(
    database_url: str, database: Database, key: str, tmp_path: Path
) -> None:
    # More names than there are threads that compute; an account gets a third of the fetchers: see `referencing`.
    names = min((os.cpu_count() or 1) + 5, NAMES_AT_ONCE)
    other = (await create_key(database, "other", list(SCOPES), "test", None)).text
    async with server_process(database_url=database_url, fetchers=3 * names, slow_names=tmp_path) as server:
        async with Caller(server.address, key) as caller, Caller(server.address, other) as waiting:
            import_id = await caller.create()
            for number in range(names):
                await refer(caller, import_id, f"http://{number}.slow.example/a.ndjson", batch_id=f"b{number}")
            async with asyncio.timeout(60):
                while len(os.listdir(tmp_path)) < names:  # noqa: ASYNC110 - another process makes them
                    await asyncio.sleep(0.05)
                ended = await waiting.run([{"id": row} for row in range(1_000)])
            assert ended.counts.created == 1_000
            (tmp_path / "answer").touch()


async def test_names_that_nobody_waits_for_any_more_keep_no_import_waiting(
    database_url: str, database: Database, key: str, tmp_path: Path
) -> None:
    """Looking a name up cannot be ended: whoever cancels and begins anew holds one thread after the other."""
    other = (await create_key(database, "other", list(SCOPES), "test", None)).text
    async with server_process(database_url=database_url, slow_names=tmp_path) as server:
        async with Caller(server.address, key) as caller, Caller(server.address, other) as waiting:
            for number in range(NAMES_AT_ONCE):
                import_id = await caller.create()
                await refer(caller, import_id, f"http://{number}.slow.example/a.ndjson")
                while len(os.listdir(tmp_path)) <= number:  # noqa: ASYNC110 - another process makes them
                    await asyncio.sleep(0.05)
                await caller.imports.CancelImport(im.CancelImportRequest(import_id=import_id))
            # More than asyncio has threads; who asks for another name has to wait.
            import_id = await caller.create()
            await refer(caller, import_id, "http://further.slow.example/a.ndjson")
            ended = await waiting.run([{"id": row} for row in range(1_000)])
            assert ended.counts.created == 1_000
            assert len(os.listdir(tmp_path)) == NAMES_AT_ONCE
            (tmp_path / "answer").touch()


async def test_a_server_ends_although_it_waits_for_the_address_of_a_host(
    database_url: str, key: str, tmp_path: Path
) -> None:
    async with server_process(database_url=database_url, slow_names=tmp_path) as server:
        async with Caller(server.address, key) as caller:
            await refer(caller, await caller.create(), "http://a.slow.example/a.ndjson")
            while not os.listdir(tmp_path):  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await server.ended() == 0


async def test_each_server_gives_an_account_its_share_whatever_the_others_fetch(
    database_url: str, database: Database, key: str
) -> None:
    holds = [Hold(10) for _ in range(13)]
    servers = [running_app(database_url, reference_private_networks=True, fetchers=16) for _ in range(2)]
    async with (
        servers[0] as app,
        servers[1],
        Caller(f"127.0.0.1:{app.port}", key) as caller,
        hosting(b'{"id": 1}\n' * 10, *holds) as host,
    ):
        import_id = await caller.create()
        for number in range(20):
            await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson", batch_id=f"b{number}")
        await asyncio.gather(*(hold.reached.wait() for hold in holds[:12]))
        assert not holds[12].reached.is_set()
        await caller.imports.CancelImport(im.CancelImportRequest(import_id=import_id))


async def test_it_ends_although_something_to_fetch_comes_at_the_same_moment(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, claim = asyncio.Event(), references.reference_claim

    async def claim_and_tell(*arguments: Any) -> FetchLease | None:
        found = await claim(*arguments)
        looked.set()
        return found

    async def nothing(_import_id: int) -> None: ...

    monkeypatch.setattr(references, "reference_claim", claim_and_tell)
    receiver = Receiver(database, ChunkLimits(), Allowance(), 1, lambda: None)
    fetching = Fetching(database, receiver, Fetcher(FetchRules()), FetchSettings(), nothing)
    fetching.start()
    await looked.wait()
    # It waits for the next now.
    await asyncio.sleep(0)
    fetching.wake()
    async with asyncio.timeout(30):
        await fetching.stop()


def test_copies_that_a_killed_process_has_left_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "ingot-fetch-left"
    left.mkdir()
    (left / "people.xlsx").write_bytes(b"half")
    os.utime(left, (0, 0))
    (tmp_path / "other").mkdir()
    with local_copy("a b/../people.xlsx", ".xlsx") as copy:
        remove_abandoned_copies()
        assert not left.exists()
        assert Path(copy.name).exists()
        assert Path(copy.name).name == "a_b_.._people.xlsx"
        with pytest.raises(BlockingIOError):
            fcntl.flock(os.open(copy.name, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]
