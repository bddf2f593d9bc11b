"""What an account may ask of a server, and how it is told: the limit by name, and when to come again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode, aio

from ingot.v1 import batch_pb2, import_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as pb
from ingot_client import AsyncClient, TooManyRequests, _connection
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.api.test_references import MANY, refer, referenced
from tests.calling import Caller, Upload, details_of, reason_of, records
from tests.conftest import running_app
from tests.pipeline.hosting import hosting

CHUNK = 5_000


@asynccontextmanager
async def limited(database_url: str, database: Database, **settings: Any) -> AsyncIterator[tuple[Caller, Caller]]:
    """Two accounts on a server with limits."""
    keys = [(await create_key(database, name, list(SCOPES), "test", None)).text for name in ("acme", "other")]
    async with running_app(database_url, **settings) as app:
        async with Caller(f"127.0.0.1:{app.port}", keys[0]) as acme, Caller(f"127.0.0.1:{app.port}", keys[1]) as other:
            yield acme, other


def client_of(caller: Caller, **options: Any) -> AsyncClient:
    return AsyncClient(caller.address, api_key=caller.key, **options)


def expect_quota(error: aio.AioRpcError, reason: str, subject: str) -> float | None:
    """The error names the quota; in how many seconds there may be room again, if it says so."""
    assert error.code() == StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(error).reason == reason
    quota, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
    assert any(detail.Unpack(quota) for detail in details_of(error))
    assert [violation.subject for violation in quota.violations] == [subject]
    assert quota.violations[0].description == error.details()
    if not any(detail.Unpack(retry) for detail in details_of(error)):
        return None
    return float(retry.retry_delay.ToMilliseconds()) / 1000


async def test_an_account_has_so_many_streams_open_and_one_that_ends_makes_room(
    database_url: str, database: Database
) -> None:
    async with limited(database_url, database, open_streams_max=3) as (acme, other):
        import_id = await acme.create()
        silent, open_forever = asyncio.Event(), asyncio.Event()

        async def silently() -> AsyncIterator[Upload]:
            silent.set()
            await open_forever.wait()
            yield Upload()

        upload = acme.batches.UploadBatch(silently())
        await silent.wait()
        watches = [acme.imports.WatchImport(im.WatchImportRequest(import_id=import_id)) for _ in range(2)]
        for watch in watches:
            await watch.read()
        with pytest.raises(aio.AioRpcError) as refused:
            await acme.table()
        assert expect_quota(refused.value, "TOO_MANY_STREAMS", "streams") == 2
        assert reason_of(refused.value).metadata["limit"] == "3"
        # What does not stream is as welcome as ever, and so are others.
        assert (await acme.get(import_id)).state == import_pb2.IMPORT_STATE_RECEIVING
        await other.run([{"id": 1}])
        watches[0].cancel()
        # The server learns of it in a moment; the client asks again by itself.
        async with client_of(acme) as client:
            await client.import_records("more", [{"id": 1}], key_fields=["id"])
        upload.cancel()
        watches[1].cancel()


async def test_requests_beyond_the_rate_are_told_when_to_come_again(database_url: str, database: Database) -> None:
    async with limited(database_url, database, requests_per_second_max=0.001) as (acme, other):
        await acme.create()
        with pytest.raises(aio.AioRpcError) as refused:
            await acme.create()
        seconds = expect_quota(refused.value, "TOO_MANY_REQUESTS", "requests")
        assert seconds is not None
        assert 0 < seconds <= 1_000
        assert "0.001 requests a second" in (refused.value.details() or "")
        await other.create()
        async with client_of(acme) as client:
            with pytest.raises(TooManyRequests) as told:
                await client.create_import("things", key_fields=["id"])
        assert told.value.retry_after_seconds is not None
        assert told.value.retry_after_seconds > 0


async def test_a_server_that_has_never_answered_but_says_when_to_come_again_is_no_stranger(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connection, "STRANGER_SECONDS", 0)
    async with limited(database_url, database, requests_per_second_max=2) as (acme, _), client_of(acme) as client:
        for _ in range(2):
            await acme.create()
        await client.create_import("things", key_fields=["id"])


async def test_a_client_that_is_too_quick_is_slowed_down_and_gets_everything_done(
    database_url: str, database: Database
) -> None:
    async with limited(database_url, database, requests_per_second_max=50) as (acme, _), client_of(acme) as client:
        writing = (client.write_records("things", [{"id": row}], key_fields=["id"]) for row in range(120))
        written = await asyncio.gather(*writing)
        assert sum(answer.counts.created for answer in written) == 120


async def test_an_import_has_so_many_records_and_can_be_finished_with_them(
    database_url: str, database: Database
) -> None:
    async with limited(database_url, database, import_records_max=CHUNK + 1) as (acme, other):
        import_id = await acme.create()
        await acme.upload([records([{"id": 0}], import_id=import_id, batch_id="first", finish=True)])
        parts = [records([{"id": row} for row in range(CHUNK)], import_id=import_id, batch_id="b")]
        await acme.upload(parts)
        with pytest.raises(aio.AioRpcError) as refused:
            await acme.upload([*parts, records([{"id": "more"}], finish=CHUNK + 1)])
        assert expect_quota(refused.value, "IMPORT_TOO_LARGE", "import") is None
        facts = dict(reason_of(refused.value).metadata)
        assert (facts["quota"], facts["limit"], facts["committed_offset"]) == ("import_records", "5001", "5000")
        assert "5,001 records" in (refused.value.details() or "")
        end = Upload(import_id=import_id, batch_id="b", finish=batch_pb2.Finish(total=CHUNK))
        await acme.upload([end])
        ended = await acme.finish(import_id)
        assert ended.counts == stage_pb2.RecordCounts(received=CHUNK + 1, created=CHUNK, unchanged=1)
        assert (await acme.run([{"id": "more"}])).counts.created == 1
        assert (await other.run([{"id": 1}])).counts.created == 1


async def test_an_import_has_so_many_bytes_of_records_whatever_they_come_in(
    database_url: str, database: Database
) -> None:
    line = json.dumps({"id": 1, "v": "x" * 83}).encode()
    async with limited(database_url, database, import_bytes_max=100 * len(line)) as (acme, _):
        import_id = await acme.create()
        await acme.upload([records([line] * 99, import_id=import_id, batch_id="b", finish=True)])
        with pytest.raises(aio.AioRpcError) as refused:
            await acme.upload([records([line] * 2, import_id=import_id, batch_id="c", finish=True)])
        assert expect_quota(refused.value, "IMPORT_TOO_LARGE", "import") is None
        assert reason_of(refused.value).metadata["quota"] == "import_bytes"
        await acme.upload([records([line], import_id=import_id, batch_id="c", finish=True)])
        assert (await acme.finish(import_id)).counts.received == 100


async def test_an_import_has_so_many_batches_and_those_that_it_has_go_on(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingot_server.storage.batches.BATCHES_MAX", 2)
    import_id = await caller.create()
    for batch_id in ("a", "b"):
        await caller.upload([records([{"id": batch_id}], import_id=import_id, batch_id=batch_id)])
    further = (
        caller.upload([records([{"id": "c"}], import_id=import_id, batch_id="c")]),
        refer(caller, import_id, "https://example.org/c.csv", batch_id="c"),
    )
    for call in further:
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        assert expect_quota(refused.value, "IMPORT_TOO_LARGE", "import") is None
        facts = reason_of(refused.value).metadata
        assert (facts["quota"], facts["limit"], facts["import_id"]) == ("import_batches", "2", import_id)
    for batch_id in ("a", "b"):
        await caller.upload([records([{"id": 1}], import_id=import_id, batch_id=batch_id, offset=1, finish=2)])
    assert (await caller.finish(import_id)).counts.received == 4
    assert (await caller.run([{"id": "c"}])).counts.created == 1


async def test_what_waits_to_be_processed_has_a_limit_and_the_client_goes_on_when_there_is_room(
    database_url: str, database: Database
) -> None:
    async with limited(database_url, database, workers=0, queued_bytes_max=10_000) as (acme, other):
        # However large, what is alone gets through.
        large = await acme.create("large")
        await acme.upload([records([{"id": 1, "v": "x" * 20_000}], import_id=large, batch_id="b", finish=True)])
        import_id = await acme.create()
        with pytest.raises(aio.AioRpcError) as refused:
            await acme.upload([records([{"id": 1}], import_id=import_id, batch_id="b", finish=True)])
        assert expect_quota(refused.value, "QUEUE_FULL", "queued bytes") == 2
        facts = reason_of(refused.value).metadata
        assert (facts["limit"], facts["committed_offset"]) == ("10000", "0")
        assert int(facts["queued_bytes"]) > 20_000
        theirs = await other.create()
        await other.upload([records([{"id": 1}], import_id=theirs, batch_id="b", finish=True)])
        troubled = asyncio.Event()
        async with client_of(acme) as client:
            uploading = asyncio.create_task(
                client.import_records(
                    "more",
                    [{"id": 1}],
                    key_fields=["id"],
                    on_progress=lambda progress: troubled.set() if progress.trouble else None,
                )
            )
            await troubled.wait()
            async with running_app(database_url):
                job = await uploading
        assert job.counts.created == 1


async def test_a_silent_upload_is_ended_and_goes_on_at_its_offset(database_url: str, database: Database) -> None:
    async with limited(database_url, database, upload_idle_seconds=0.2) as (acme, _):
        import_id = await acme.create()
        never = asyncio.Event()

        async def slowly(*messages: Upload) -> AsyncIterator[Upload]:
            for message in messages:
                yield message
            await never.wait()

        with pytest.raises(aio.AioRpcError) as ended:
            await acme.batches.UploadBatch(slowly(records([{"id": 1}], import_id=import_id, batch_id="b")))
        assert ended.value.code() == StatusCode.ABORTED
        facts = reason_of(ended.value).metadata
        assert (reason_of(ended.value).reason, facts["committed_offset"], facts["seconds"]) == (
            "UPLOAD_IDLE",
            "1",
            "0.2",
        )
        await acme.upload([records([{"id": 2}], import_id=import_id, batch_id="b", offset=1, finish=2)])
        assert (await acme.finish(import_id)).counts.created == 2
        # Who says nothing at all is not kept either.
        with pytest.raises(aio.AioRpcError) as ended:
            await acme.batches.UploadBatch(slowly())
        assert reason_of(ended.value).reason == "UPLOAD_IDLE"


async def test_a_client_whose_source_is_slow_goes_on_after_the_end_of_its_stream(
    database_url: str, database: Database
) -> None:
    """The server has room for two streams: the client's watch, and the upload or, when that has ended, ours."""
    async with limited(database_url, database, upload_idle_seconds=0.2, open_streams_max=2) as (acme, _):

        async def room() -> None:
            while True:
                try:
                    await anext(aiter(acme.records.ExportRecords(pb.ExportRecordsRequest(table="there"))), None)
                except aio.AioRpcError as refused:
                    assert reason_of(refused).reason == "TOO_MANY_STREAMS"
                else:
                    return

        async def source() -> AsyncIterator[dict[str, int]]:
            for row in range(3):
                yield {"id": row}
                if row == 1:
                    uploading.set()
                    await room()

        uploading = asyncio.Event()
        await acme.run([{"id": 1}], "there")
        async with client_of(acme) as client:
            job = await client.import_records("things", source(), key_fields=["id"])
        assert uploading.is_set()
        assert job.counts.created == 3


async def test_a_file_that_the_server_fetches_fails_where_it_is_too_large(
    database_url: str, database: Database
) -> None:
    settings = {"import_records_max": 30_000, "reference_private_networks": True}
    async with limited(database_url, database, **settings) as (acme, _), hosting(MANY) as host:
        ended = await referenced(acme, f"http://127.0.0.1:{host.port}/a.ndjson")
        batch = await acme.batch(ended.import_id)
    assert batch.status == batch_pb2.BATCH_STATUS_FAILED
    assert "may have 30,000 records" in batch.status_message
    assert 20_000 < ended.counts.received == ended.counts.created <= 30_000


async def test_a_file_that_the_server_fetches_waits_where_the_queue_is_full(
    database_url: str, database: Database
) -> None:
    # Who finds the queue full goes on when its lease has run out.
    settings = {"queued_bytes_max": 200_000, "reference_private_networks": True, "lease_seconds": 2}
    async with limited(database_url, database, **settings) as (acme, _), hosting(MANY) as host:
        ended = await referenced(acme, f"http://127.0.0.1:{host.port}/a.ndjson")
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert ended.counts.created == 40_000
