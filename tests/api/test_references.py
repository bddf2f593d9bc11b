"""Files that the server fetches by itself: every format, how their faults are told, and what is refused."""

import asyncio
import gzip
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, stage_pb2
from ingot.v1 import batch_service_pb2 as bs
from ingot.v1 import import_service_pb2 as im
from ingot_server.access import create_key
from ingot_server.app import App
from ingot_server.domain.api_keys import SCOPES
from ingot_server.pipeline.libzstd import zstd
from ingot_server.storage.database import Database
from tests.calling import Caller, reason_of, records
from tests.conftest import running_app
from tests.pipeline.hosting import Hold, cut_after, hosting, redirect, stall_after, status, then_change

ROWS = [{"id": str(number), "name": f"name {number}"} for number in range(3)]
CSV = b"id,name\n" + b"".join(f"{row['id']},{row['name']}\n".encode() for row in ROWS)
NDJSON = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
ARRAY = json.dumps(ROWS).encode()
MANY = b"".join(b'{"id": %07d}\n' % (1_000_000 + number) for number in range(40_000))
PENDING, SUCCESS, WARNING, FAILURE = (
    stage_pb2.STAGE_STATE_PENDING,
    stage_pb2.STAGE_STATE_SUCCESS,
    stage_pb2.STAGE_STATE_WARNING,
    stage_pb2.STAGE_STATE_FAILURE,
)
SUCCEEDED, PARTIALLY_SUCCEEDED, FAILED, CANCELLED = (
    import_pb2.IMPORT_STATE_SUCCEEDED,
    import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED,
    import_pb2.IMPORT_STATE_FAILED,
    import_pb2.IMPORT_STATE_CANCELLED,
)
SECRET = "sig-5d41402abc4b2a76"


@pytest.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[App]:
    """A server that reads from this machine, and files below a folder of the test."""
    async with running_app(database_url, reference_private_networks=True, reference_folders=str(tmp_path)) as app:
        yield app


async def refer(caller: Caller, import_id: str, uri: str, *, batch_id: str = "b", **format: Any) -> batch_pb2.Batch:
    request = bs.ReferenceBatchRequest(
        import_id=import_id, batch_id=batch_id, uri=uri, format=batch_pb2.DataFormat(**format)
    )
    return (await caller.batches.ReferenceBatch(request)).batch


async def referenced(caller: Caller, *uris: str, **spec: Any) -> import_pb2.Import:
    """An import of files that has ended; the batches are `b`, `b1` and so on."""
    format = spec.pop("format", {})
    import_id = await caller.create(**spec)
    for number, uri in enumerate(uris):
        await refer(caller, import_id, uri, batch_id=f"b{number or ''}", **format)
    return await caller.finish(import_id)


async def batch_when(caller: Caller, import_id: str, wanted: Any, batch_id: str = "b") -> batch_pb2.Batch:
    """The batch as soon as it is as wanted."""
    async for update in caller.batches.WatchBatch(bs.WatchBatchRequest(import_id=import_id, batch_id=batch_id)):
        if wanted(update.batch):
            return update.batch
    raise AssertionError("the batch ended otherwise")


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


def workbook(*rows: list[Any], sheet: str = "Sheet") -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    assert book.active is not None
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


XLSX = workbook(["id", "name"], *([row["id"], row["name"]] for row in ROWS))


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("people.csv", CSV, {}),
        ("people.tsv", CSV.replace(b",", b"\t"), {}),
        ("people.ndjson", NDJSON, {}),
        ("people.jsonl", NDJSON, {}),
        ("people.json", ARRAY, {}),
        ("people.xlsx", XLSX, {}),
        ("people.parquet", parquet(ROWS), {}),
        ("people.csv.gz", gzip.compress(CSV, mtime=0), {}),
        ("people.json.gz", gzip.compress(ARRAY, mtime=0), {}),
        ("people.ndjson.zst", zstd.compress(NDJSON), {}),
        ("export", gzip.compress(CSV, mtime=0), {"type": "FILE_TYPE_CSV", "compression": "COMPRESSION_GZIP"}),
        ("people.txt", zstd.compress(CSV), {"type": "FILE_TYPE_CSV", "compression": "COMPRESSION_ZSTD"}),
        ("people.csv.gz", CSV, {"compression": "COMPRESSION_NONE"}),
        ("people.csv", CSV.decode().encode("utf-16"), {"encoding": "utf-16"}),
        ("people.bin", XLSX, {"type": "FILE_TYPE_EXCEL"}),
    ],
)
async def test_every_format_is_fetched_by_its_name_or_as_is_said(
    caller: Caller, name: str, content: bytes, format: dict[str, Any]
) -> None:
    async with hosting(content) as host:
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/{name}", format=format)
    assert ended.counts == stage_pb2.RecordCounts(received=3, created=3)
    assert (ended.state, ended.upload.state, ended.processing.state) == (SUCCEEDED, SUCCESS, SUCCESS)
    assert await caller.table() == ROWS
    batch = await caller.batch(ended.import_id)
    assert (batch.status, batch.upload.state) == (batch_pb2.BATCH_STATUS_PROCESSED, SUCCESS)
    assert (batch.finished, batch.status_message, batch.uri) == (True, "", f"http://127.0.0.1:{host.port}/{name}")
    assert batch.total == batch.committed_offset == (3 if batch.unit == batch_pb2.OFFSET_UNIT_RECORDS else len(content))


async def test_a_file_of_this_machine_is_read_below_a_folder_that_is_allowed(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "people.csv.gz").write_bytes(gzip.compress(CSV, mtime=0))
    ended = await referenced(caller, f"file://{tmp_path}/people.csv.gz")
    assert (ended.state, ended.counts.created) == (SUCCEEDED, 3)


@pytest.mark.parametrize(
    ("name", "coding", "content"),
    [
        ("people.csv", "gzip", gzip.compress(CSV, mtime=0)),
        ("people.csv.gz", "gzip", gzip.compress(CSV, mtime=0)),
        ("people.ndjson", "zstd", zstd.compress(NDJSON)),
        ("people.csv", "aws-chunked, GZIP", gzip.compress(CSV, mtime=0)),
        ("people.csv", "identity", CSV),
    ],
)
async def test_a_file_that_its_source_calls_packed_is_unpacked(
    caller: Caller, name: str, coding: str, content: bytes
) -> None:
    async with hosting(content) as host:
        host.headers["Content-Encoding"] = coding
        uri = f"http://127.0.0.1:{host.port}/{name}"
        ended = await referenced(caller, uri)
        # The call is the same as before, though the batch knows more of its file.
        again = await refer(caller, ended.import_id, uri)
    assert (ended.state, ended.counts.created) == (SUCCEEDED, 3)
    assert again == await caller.batch(ended.import_id)


@pytest.mark.parametrize(
    ("name", "coding"), [("people.csv", "br"), ("people.csv.zst", "gzip"), ("people.xlsx", "gzip")]
)
async def test_a_file_that_is_packed_in_another_way_is_not_read(caller: Caller, name: str, coding: str) -> None:
    async with hosting(CSV) as host:
        host.headers["Content-Encoding"] = coding
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/{name}")
    batch = await caller.batch(ended.import_id)
    assert (ended.state, batch.upload.state) == (FAILED, FAILURE)
    assert f"Content-Encoding: {coding}" in batch.status_message


async def test_faults_in_records_count_in_the_processing_stage_everywhere(caller: Caller) -> None:
    content = b'{"id": 1}\n{"id": \n\n{"name": "nobody"}\n{}\n{"id": 2, "n": 1}\n'
    async with hosting(content) as host:
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/people.ndjson")
    batch = await caller.batch(ended.import_id)
    assert ended.state == PARTIALLY_SUCCEEDED
    assert ended.counts == batch.counts == stage_pb2.RecordCounts(received=6, created=2, rejected=4)
    for stages in (ended, batch):
        assert (stages.upload.state, stages.upload.accepted, stages.upload.rejected) == (SUCCESS, 6, 0)
        assert (stages.processing.state, stages.processing.accepted, stages.processing.rejected) == (WARNING, 2, 4)
        assert not stages.upload.error_groups
        assert sum(group.count for group in stages.processing.error_groups) == 4
        assert {group.stage for group in stages.processing.error_groups} == {record_error_pb2.ERROR_STAGE_PROCESSING}
    listed = await caller.errors(ended.import_id)
    assert [error.index for error in listed] == [1, 2, 3, 4]
    assert {error.stage for error in listed} == {record_error_pb2.ERROR_STAGE_PROCESSING}
    assert await caller.errors(ended.import_id, stage=record_error_pb2.ERROR_STAGE_PROCESSING) == listed
    assert await caller.errors(ended.import_id, stage=record_error_pb2.ERROR_STAGE_UPLOAD) == []
    request = im.ExportImportErrorsRequest(import_id=ended.import_id)
    exported = "".join([piece.lines async for piece in caller.imports.ExportImportErrors(request)])
    assert [json.loads(line)["stage"] for line in exported.splitlines()] == ["PROCESSING"] * 4
    rejects = im.ExportImportRejectsRequest(import_id=ended.import_id)
    exported = "".join([piece.lines async for piece in caller.imports.ExportImportRejects(rejects)])
    assert [json.loads(line)["ingot:index"] for line in exported.splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"[{}]", b"[]", b"[ ]", b""])
async def test_empty_payloads_fail_the_upload(caller: Caller, content: bytes) -> None:
    async with hosting(content) as host:
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/people.json")
    batch = await caller.batch(ended.import_id)
    assert (ended.state, batch.status) == (FAILED, batch_pb2.BATCH_STATUS_FAILED)
    assert (batch.upload.state, ended.upload.state) == (FAILURE, FAILURE)
    assert ended.state_message


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("people.csv.gz", CSV, "not gzip"),
        ("people.csv.gz", gzip.compress(CSV, mtime=0)[:-4], "cut off"),
        ("people.csv.zst", gzip.compress(CSV, mtime=0), "not Zstandard"),
        ("people.xlsx", CSV, "cannot be read as an Excel workbook"),
        ("people.xlsx", workbook(["id", "id"], [1, 2]), "both named"),
        ("people.parquet", CSV, "cannot be read as Parquet"),
    ],
)
async def test_a_file_that_is_not_what_its_name_says_fails_the_upload(
    caller: Caller, name: str, content: bytes, why: str
) -> None:
    async with hosting(content) as host:
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/{name}")
    batch = await caller.batch(ended.import_id)
    assert (batch.upload.state, batch.status) == (FAILURE, batch_pb2.BATCH_STATUS_FAILED)
    assert why in batch.status_message
    assert "reference the file again" in batch.status_message
    assert "fetched" not in batch.status_message
    assert "could not be fetched or read" in ended.state_message


async def test_what_a_damaged_file_holds_before_the_damage_is_imported(caller: Caller, database: Database) -> None:
    half = len(MANY) // 2
    async with hosting(gzip.compress(MANY[:half]) + b"damage" + gzip.compress(MANY[half:])) as host:
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/people.ndjson.gz")
    batch = await caller.batch(ended.import_id)
    assert (ended.state, batch.upload.state) == (PARTIALLY_SUCCEEDED, FAILURE)
    assert ended.counts == stage_pb2.RecordCounts(received=20_000, created=20_000)
    assert len(await caller.table()) == 20_000
    assert (await database.fetchrow("SELECT count(*) FROM compressed_part"))["count"] == 0  # type: ignore[index]


@pytest.mark.parametrize("knows_length", [True, False])
async def test_a_file_that_has_to_be_copied_may_not_be_too_large(
    database_url: str, database: Database, knows_length: bool
) -> None:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    settings = {"reference_private_networks": True, "reference_copy_bytes_max": len(XLSX) - 1}
    async with (
        running_app(database_url, **settings) as app,
        Caller(f"127.0.0.1:{app.port}", key) as caller,
        hosting(XLSX) as host,
    ):
        host.knows_length = knows_length
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/people.xlsx")
        said = (await caller.batch(ended.import_id)).status_message
        assert said.startswith("The file could not be read: it has more than")
        assert "has to be copied" in said
    assert ended.state == FAILED


@pytest.mark.parametrize(
    ("sheet", "why"), [("second", ""), ("third", "has no sheet 'third': it has 'second'")], ids=["there", "missing"]
)
async def test_a_sheet_is_chosen_by_its_name(caller: Caller, sheet: str, why: str) -> None:
    async with hosting(workbook(["id"], [1], sheet="second")) as host:
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/people.xlsx", format={"sheet": sheet})
    assert why in (await caller.batch(ended.import_id)).status_message
    assert ended.counts.created == (0 if why else 1)


async def test_a_file_whose_name_does_not_say_that_it_is_packed_fails_with_what_it_is(caller: Caller) -> None:
    async with hosting(gzip.compress(CSV)) as host:
        ended = await referenced(caller, host.url)
    said = (await caller.batch(ended.import_id)).status_message
    assert said.startswith("The file could not be read: format.compression: expected gzip: the file is compressed with")
    assert ended.counts.received == 0


async def test_a_missing_file_fails_its_batch_and_not_the_others(caller: Caller) -> None:
    async with hosting(CSV, status(404)) as missing, hosting(CSV) as host:
        import_id = await caller.create()
        await refer(caller, import_id, missing.url, batch_id="missing")
        await batch_when(caller, import_id, lambda batch: batch.finished, "missing")
        await refer(caller, import_id, host.url, batch_id="there")
        ended = await caller.finish(import_id)
    batch = await caller.batch(import_id, "missing")
    assert batch.status_message == (
        "The file could not be fetched: HTTP 404 Not Found. When that is mended, reference the file again, as another"
        " batch, or in another import if this one is finished."
    )
    assert (batch.status, batch.upload.state) == (batch_pb2.BATCH_STATUS_FAILED, FAILURE)
    assert (ended.state, ended.counts.created) == (PARTIALLY_SUCCEEDED, 3)
    assert "status_message" in ended.state_message


async def test_nothing_is_deleted_for_a_file_that_could_not_be_fetched(caller: Caller) -> None:
    await caller.run([{"id": number} for number in range(4)])
    async with hosting(b'{"id": 0}\n') as host, hosting(b"", status(404)) as missing:
        for staged in (False, True):
            import_id = await caller.create(reconcile=import_pb2.Reconcile(max_deleted_ratio=1), staged=staged)
            await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson", batch_id="there")
            await refer(caller, import_id, f"http://127.0.0.1:{missing.port}/b.ndjson", batch_id="missing")
            missing.behaviours.append(status(404))
            if staged:
                await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
                async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
                    if update.import_job.state == import_pb2.IMPORT_STATE_AWAITING_COMMIT:
                        break
                await caller.imports.CommitImport(im.CommitImportRequest(import_id=import_id))
                ended = await caller.ended(import_id)
            else:
                ended = await caller.finish(import_id)
            assert (ended.state, ended.removed) == (PARTIALLY_SUCCEEDED, 0)
            assert "Nothing is deleted" in ended.state_message
    assert len(await caller.table()) == 4


async def test_the_commit_keeps_the_faults_that_were_found_while_reading(caller: Caller) -> None:
    async with hosting(b'{"id": 1}\n{"id":\n') as host:
        import_id = await caller.create(staged=True)
        await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson")
        await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
        async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
            if update.import_job.state == import_pb2.IMPORT_STATE_AWAITING_COMMIT:
                break
        trial = await caller.get(import_id)
        await caller.imports.CommitImport(im.CommitImportRequest(import_id=import_id))
        ended = await caller.ended(import_id)
    assert trial.counts == ended.counts == stage_pb2.RecordCounts(received=2, created=1, rejected=1)
    assert trial.processing.error_groups == ended.processing.error_groups
    assert [error.index for error in await caller.errors(import_id)] == [1]


async def test_a_rehearsal_stores_nothing_of_a_fetched_file(caller: Caller) -> None:
    async with hosting(CSV) as host:
        ended = await referenced(caller, host.url, validate_only=True)
    assert (ended.state, ended.counts.created) == (SUCCEEDED, 3)
    assert reason_of(await refused(caller.table())).reason == "TABLE_NOT_FOUND"


async def test_the_same_call_again_changes_nothing_and_another_uri_is_refused(caller: Caller) -> None:
    async with hosting(CSV) as host:
        import_id = await caller.create()
        await refer(caller, import_id, f"{host.url}?token=1")
        await refer(caller, import_id, f"{host.url}?token=1")
        ended = await caller.finish(import_id)
        assert await refer(caller, import_id, f"{host.url}?token=1") == await caller.batch(import_id)
        for uri, format in [
            (f"{host.url}?token=2", {}),
            (f"{host.url}x.csv?token=1", {}),
            (f"{host.url}?token=1", {"encoding": "latin-1"}),
        ]:
            assert reason_of(await refused(refer(caller, import_id, uri, **format))).reason == "CONTENT_DIFFERS"
        assert reason_of(await refused(refer(caller, import_id, host.url, batch_id="new"))).reason == "IMPORT_STATE"
        assert len(host.asked) == 1
    assert ended.counts.received == 3


async def test_a_batch_is_either_uploaded_or_fetched(caller: Caller) -> None:
    async with hosting(CSV) as host:
        import_id = await caller.create()
        await refer(caller, import_id, host.url, batch_id="fetched")
        await caller.upload([records(ROWS, import_id=import_id, batch_id="sent", finish=True)])
        sent = caller.upload([records(ROWS, import_id=import_id, batch_id="fetched", finish=True)])
        assert "fetches this batch by itself" in str((await refused(sent)).details())
        assert reason_of(await refused(refer(caller, import_id, host.url, batch_id="sent"))).reason == "CONTENT_DIFFERS"
        await caller.finish(import_id)


async def test_an_import_may_be_finished_while_its_file_comes_and_progress_has_a_percentage(caller: Caller) -> None:
    hold = Hold(len(MANY) // 2)
    async with hosting(MANY, hold) as host:
        import_id = await caller.create()
        await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson")
        await hold.reached.wait()
        await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
        seen = []
        async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
            job = update.import_job
            seen.append(job.state)
            if not hold.go_on.is_set() and job.upload.percent > 40:
                assert job.upload.percent <= 50
                batch = await caller.batch(import_id)
                assert (batch.total, batch.finished) == (len(MANY), False)
                hold.go_on.set()
    assert set(seen) == {import_pb2.IMPORT_STATE_PROCESSING, SUCCEEDED}
    assert (job.upload.percent, job.processing.percent, job.counts.created) == (100, 100, 40_000)


async def test_cancelling_ends_the_connection_although_nothing_comes(caller: Caller) -> None:
    hold = Hold(len(MANY) // 2)
    async with hosting(MANY, hold) as host:
        import_id = await caller.create()
        await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson?{SECRET}")
        await batch_when(caller, import_id, lambda batch: batch.committed_offset > 0)
        ended = await caller.ended_by_cancel(import_id)
        await hold.gone.wait()
    assert ended.state == CANCELLED
    counts = ended.counts
    assert counts.received == counts.created + counts.pending
    assert (await caller.batch(import_id)).status == batch_pb2.BATCH_STATUS_CANCELLED


async def test_a_lost_connection_is_gone_on_with(caller: Caller) -> None:
    async with hosting(MANY, cut_after(300_000), status(503, Retry_After="0"), cut_after(100_000)) as host:
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/a.ndjson")
    assert (ended.state, ended.counts.created) == (SUCCEEDED, 40_000)
    assert len(host.asked) == 4


async def test_a_file_that_changes_meanwhile_is_not_mixed(caller: Caller) -> None:
    hold = Hold(len(MANY) // 2, cut=True)
    async with hosting(MANY, then_change(hold, MANY[::-1])) as host:
        import_id = await caller.create()
        await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson")
        await batch_when(caller, import_id, lambda batch: batch.committed_offset > 0)
        hold.go_on.set()
        ended = await caller.finish(import_id)
    batch = await caller.batch(import_id)
    assert batch.status_message == (
        "The file changed while it was read. When nobody writes it any more, reference the file again, as another"
        " batch, or in another import if this one is finished."
    )
    assert ended.state == PARTIALLY_SUCCEEDED
    assert ended.counts.created == ended.counts.received < 40_000


async def test_a_source_that_stalls_is_asked_again(database_url: str, database: Database) -> None:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    async with (
        running_app(database_url, reference_private_networks=True, reference_stall_seconds=0.1) as app,
        Caller(f"127.0.0.1:{app.port}", key) as caller,
        hosting(MANY, stall_after(300_000)) as host,
    ):
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/a.ndjson")
        assert (ended.state, ended.counts.created) == (SUCCEEDED, 40_000)
        assert host.ranges[1].startswith("bytes=")


async def test_a_file_that_never_ends_is_given_up_and_what_came_stays(database_url: str, database: Database) -> None:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    hold = Hold(len(MANY) // 2)
    async with (
        running_app(database_url, reference_private_networks=True, reference_hours_max=2 / 3600) as app,
        Caller(f"127.0.0.1:{app.port}", key) as caller,
        hosting(MANY, hold) as host,
    ):
        ended = await referenced(caller, f"http://127.0.0.1:{host.port}/a.ndjson")
        await hold.gone.wait()
        assert "not through after" in (await caller.batch(ended.import_id)).status_message
    assert ended.state == PARTIALLY_SUCCEEDED
    assert 0 < ended.counts.created == ended.counts.received


async def test_an_account_with_nothing_under_way_waits_for_none_that_has_much(
    database_url: str, database: Database
) -> None:
    keys = [(await create_key(database, name, list(SCOPES), "test", None)).text for name in ("busy", "quiet")]
    holds = [Hold(10) for _ in range(4)]
    async with (
        running_app(database_url, reference_private_networks=True, fetchers=3) as app,
        Caller(f"127.0.0.1:{app.port}", keys[0]) as busy,
        Caller(f"127.0.0.1:{app.port}", keys[1]) as quiet,
        hosting(MANY, *holds[:3]) as host,
        hosting(MANY, holds[3]) as other,
    ):
        import_id = await busy.create()
        for number in range(3):
            await refer(busy, import_id, f"http://127.0.0.1:{host.port}/a.ndjson", batch_id=f"b{number}")
        await asyncio.gather(holds[0].reached.wait(), holds[1].reached.wait())
        waiting = await busy.batch(import_id, "b2")
        assert waiting.upload.state == PENDING
        quiet_import = await quiet.create()
        await refer(quiet, quiet_import, f"http://127.0.0.1:{other.port}/a.ndjson")
        # The last fetcher was kept for it; nobody has to be done first.
        await holds[3].reached.wait()
        assert len(host.asked) == 2
        for hold in holds:
            hold.go_on.set()
        await busy.finish(import_id)
        await quiet.finish(quiet_import)


async def test_a_few_accounts_whose_sources_are_slow_keep_no_other_waiting(
    database_url: str, database: Database
) -> None:
    shares = {"first": 6, "second": 4, "third": 3, "fourth": 2}
    slow = [Hold(10) for _ in range(sum(shares.values()))]
    async with (
        running_app(database_url, reference_private_networks=True, fetchers=16) as app,
        AsyncExitStack() as stack,
    ):

        async def caller_of(account: str) -> Caller:
            key = (await create_key(database, account, list(SCOPES), "test", None)).text
            return await stack.enter_async_context(Caller(f"127.0.0.1:{app.port}", key))

        host = await stack.enter_async_context(hosting(MANY, *slow))
        begun = 0
        for account, share in shares.items():
            caller = await caller_of(account)
            import_id = await caller.create()
            for number in range(16):
                await refer(caller, import_id, f"http://127.0.0.1:{host.port}/a.ndjson", batch_id=f"b{number}")
            await asyncio.gather(*(hold.reached.wait() for hold in slow[begun : begun + share]))
            begun += share
        quick = await stack.enter_async_context(hosting(MANY))
        ended = await referenced(await caller_of("fifth"), f"http://127.0.0.1:{quick.port}/a.ndjson")
        assert (ended.state, ended.counts.created) == (SUCCEEDED, 40_000)
        assert len(host.asked) == begun


async def test_two_servers_fetch_a_file_once(server: App, caller: Caller, database_url: str) -> None:
    async with running_app(database_url, reference_private_networks=True), hosting(MANY) as host:
        import_id = await caller.create()
        for number in range(6):
            uri = f"http://127.0.0.1:{host.port}/{number}.ndjson"
            await refer(caller, import_id, uri, batch_id=f"b{number}")
        ended = await caller.finish(import_id)
        assert len(host.asked) == 6
    assert ended.counts.received == 6 * 40_000
    assert ended.counts.created == 40_000


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "the URI is empty"),
        ("people.csv", "absolute URI"),
        ("ftp://example.org/people.csv", "use https, http, s3 or file"),
        ("http://127.0.0.1/people.csv", "no public address"),
        ("http://[::1]/people.csv", "no public address"),
        ("http://169.254.169.254/people.csv", "no public address"),
        ("http://localhost/people.csv", "no public address"),
        ("https://user:word@example.org/people.csv", "credentials"),
        ("https://example.org/people.csv#part", "fragment"),
        ("file:///etc/people.csv", "no folder is allowed"),
        ("s3://bucket/people.csv", "this bucket"),
        (f"https://example.org/{'x' * 2048}.csv", "at most 2,048"),
    ],
)
async def test_by_default_only_public_hosts_are_read(database_url: str, database: Database, uri: str, why: str) -> None:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    async with running_app(database_url) as app, Caller(f"127.0.0.1:{app.port}", key) as caller:
        import_id = await caller.create()
        error = await refused(refer(caller, import_id, f"{uri}?{SECRET}" if "//e" in uri and "#" not in uri else uri))
        assert reason_of(error).reason == "INVALID_REQUEST"
        assert why in str(error.details())
        assert SECRET not in str(error)
        assert not (await caller.batches.ListBatches(bs.ListBatchesRequest(import_id=import_id))).batches


async def test_a_redirect_to_another_scheme_is_not_followed(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_bytes(CSV)
    async with hosting(CSV, redirect(f"file://{tmp_path}/people.csv?{SECRET}")) as host:
        ended = await referenced(caller, host.url)
    batch = await caller.batch(ended.import_id)
    assert "which is not HTTP" in batch.status_message
    assert SECRET not in batch.status_message


async def test_a_file_outside_of_the_folder_is_not_read(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    import_id = await caller.create()
    for path, why in (("/etc/people.csv", "does not read files there"), (f"{tmp_path}/../people.csv", "`..`")):
        assert why in str((await refused(refer(caller, import_id, f"file://{path}"))).details())
    ended = await referenced(caller, f"file://{tmp_path}/link.csv")
    assert "does not read files there" in (await caller.batch(ended.import_id)).status_message


async def test_the_query_of_a_uri_is_told_to_nobody_and_forgotten_when_it_is_not_needed(
    caller: Caller, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hold = Hold(10)
    async with hosting(CSV, cut_after(5), status(503), hold) as host, hosting(b"", status(403)) as closed:
        import_id = await caller.create()
        told = [await refer(caller, import_id, f"{host.url}?{SECRET}")]
        await refer(caller, import_id, f"{closed.url}?{SECRET}", batch_id="closed")
        await hold.reached.wait()
        assert SECRET in await dump(database_url)
        stopped = await caller.create("others")
        stuck = Hold(10)
        host.behaviours.append(stuck)
        await refer(caller, stopped, f"{host.url}?{SECRET}")
        await stuck.reached.wait()
        await caller.ended_by_cancel(stopped)
        hold.go_on.set()
        ended = await caller.finish(import_id)
        told += [await caller.batch(import_id), await caller.batch(import_id, "closed"), await caller.batch(stopped)]
        assert host.queries[-1] == {SECRET: ""}
    assert ended.counts.created == 3
    assert SECRET not in await dump(database_url)
    assert SECRET not in f"{told} {ended}"
    assert SECRET not in "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records if ours(record))


def ours(record: logging.LogRecord) -> bool:
    """Whether the server has logged it; the tests' own HTTP server does too."""
    return not record.name.startswith("aiohttp.") or record.name == "aiohttp.client"


async def dump(database_url: str) -> str:
    """All that the database holds of batches and imports, as text."""
    connection = await asyncpg.connect(database_url)
    try:
        texts = [
            row[0]
            for table in ("batch", "import", "record_error", "error_group", "chunk")
            for row in await connection.fetch(f"SELECT t::text FROM {table} AS t")
        ]
        return "\n".join(texts)
    finally:
        await connection.close()
