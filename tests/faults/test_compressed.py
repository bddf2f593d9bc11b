"""Nothing lost, nothing twice, where a few compressed bytes hold many records: the offset alone does not tell them."""

import asyncio
import gzip
import json
import tempfile
from pathlib import Path

import grpc
import pytest

from ingot.v1 import batch_pb2, stage_pb2
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, reason_of
from tests.conftest import running_app
from tests.faults.postgres_proxy import postgres_proxy
from tests.faults.processes import server_process
from tests.faults.test_database import trying

ROWS = 100_000
FORMAT = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON, compression=batch_pb2.COMPRESSION_GZIP)


def packed_rows(rows: int = ROWS) -> bytes:
    return gzip.compress(b"".join(json.dumps({"id": row, "v": "x" * 100}).encode() + b"\n" for row in range(rows)))


def upload_of(import_id: str, packed: bytes, start: int = 0, piece: int = 1 << 20) -> list[Upload]:
    """The rest of a file from an offset on, finish included."""
    first = Upload(import_id=import_id, batch_id="b", format=FORMAT)
    parts = [Upload(data=packed[at : at + piece], offset=at) for at in range(start, len(packed), piece)]
    return [first, *parts, Upload(finish=batch_pb2.Finish(total=len(packed)))]


async def some_records_accepted(caller: Caller, import_id: str) -> None:
    """Returns when the first chunk is committed."""
    while True:
        try:
            if (await caller.batch(import_id)).upload.accepted:
                return
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
        await asyncio.sleep(0.005)


async def expect_exactly_once(caller: Caller, import_id: str, database: Database) -> None:
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS)
    assert await database.fetch("SELECT FROM compressed_part") == []


async def test_lost_answers_to_commits_of_chunks_that_share_an_offset(
    caller: Caller, database_url: str, database: Database
) -> None:
    packed = packed_rows()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            postgres_proxy(Path(folder), database_url) as (proxy, proxied_url),
            running_app(proxied_url, workers=0) as app,
            Caller(f"127.0.0.1:{app.port}", caller.key) as beyond,
        ):
            import_id = await beyond.create()
            uploading = asyncio.ensure_future(trying(beyond.upload, upload_of(import_id, packed)))
            await some_records_accepted(caller, import_id)
            accepted = 0
            while not uploading.done():
                batch = await caller.batch(import_id)
                # One answer at a time: a commit whose repetition fails as well has not been resolved.
                if batch.upload.accepted > accepted:
                    proxy.swallow_commits, accepted = 1, batch.upload.accepted
            assert (await uploading).upload.accepted == ROWS
            assert proxy.swallowed >= 3
            await expect_exactly_once(caller, import_id, database)


async def test_what_a_stopped_server_left_of_a_message_goes_on_in_two_streams_at_once(
    caller: Caller, database_url: str, database: Database
) -> None:
    packed = packed_rows()
    import_id = await caller.create()
    async with running_app(database_url, workers=0) as app:
        async with Caller(f"127.0.0.1:{app.port}", caller.key) as elsewhere:
            uploading = asyncio.ensure_future(elsewhere.upload(upload_of(import_id, packed)))
            await some_records_accepted(caller, import_id)
            await app.stop()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await uploading
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert reason_of(refused.value).metadata["committed_offset"] == str(len(packed))
    assert 0 < (await caller.batch(import_id)).upload.accepted < ROWS
    rest = [Upload(import_id=import_id, batch_id="b", finish=batch_pb2.Finish(total=len(packed)))]
    async with running_app(database_url, workers=0) as app:
        async with Caller(f"127.0.0.1:{app.port}", caller.key) as elsewhere:
            outcomes = await asyncio.gather(caller.upload(rest), elsewhere.upload(rest), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, grpc.aio.AioRpcError):
            assert reason_of(outcome).reason in ("UPLOAD_CONFLICT", "BATCH_FINISHED")
    assert (await trying(caller.upload, rest)).finished
    await expect_exactly_once(caller, import_id, database)


@pytest.mark.parametrize("piece", [1_000, 1 << 20])
async def test_a_server_killed_during_a_compressed_upload_loses_nothing_and_counts_nothing_twice(
    caller: Caller, database_url: str, database: Database, piece: int
) -> None:
    packed = packed_rows()
    import_id = await caller.create()
    async with server_process(database_url=database_url, lease_seconds=1) as server:
        async with Caller(server.address, caller.key) as elsewhere:
            uploading = asyncio.ensure_future(elsewhere.upload(upload_of(import_id, packed, piece=piece)))
            await some_records_accepted(caller, import_id)
            server.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await uploading
    batch = await caller.batch(import_id)
    assert batch.upload.accepted < ROWS
    await caller.upload(upload_of(import_id, packed, batch.committed_offset))
    await expect_exactly_once(caller, import_id, database)
