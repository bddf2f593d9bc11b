"""What is refused leaves nothing behind, says what was expected, and hurts nobody else."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from grpc import aio

from ingot.v1 import batch_pb2, import_pb2, record_pb2, stage_pb2
from ingot.v1 import batch_service_pb2 as bs
from ingot.v1 import import_service_pb2 as pb
from ingot.v1 import record_service_pb2 as rs
from ingot.v1 import table_service_pb2 as ts
from ingot_server.pipeline.libzstd import zstd
from ingot_server.rpc.paging import page_token
from ingot_server.rpc.structures import record_texts
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, details_of, reason_of, records

NDJSON = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
LINES = b'{"id": 1}\n{"id": 2}\n'


async def refusal(call: Any) -> aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return refused.value


async def test_a_total_beyond_reason_is_refused(caller: Caller) -> None:
    import_id = await caller.create()
    first = Upload(import_id=import_id, batch_id="b", expected_total=2**63 - 1)
    assert (await refusal(caller.upload([first]))).code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_import_that_cannot_be_read_stops_no_other_watcher(caller: Caller, database: Database) -> None:
    poisoned, healthy = await caller.create(), await caller.create()
    for batch_id in ("a", "b"):
        await caller.upload([records([{"id": 1}], import_id=poisoned, batch_id=batch_id)])
    await database.fetch("UPDATE batch SET expected_total = 9223372036854775807")
    await caller.get(poisoned)
    await caller.upload([records([{"id": 2}], import_id=healthy, batch_id="b", finish=True)])
    assert (await caller.finish(healthy)).state == import_pb2.IMPORT_STATE_SUCCEEDED


@pytest.mark.parametrize("name", ["k" * 256, "ü" * 128, "a\0b"])
async def test_a_key_field_that_no_index_could_hold_is_refused(caller: Caller, name: str) -> None:
    refused = await refusal(caller.create(key_fields=[name]))
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_record_that_names_endless_key_fields_is_an_error_like_others(caller: Caller) -> None:
    ended = await caller.run([{"keys": ["k" * 9000], "k" * 9000: 1}, {"keys": ["id"], "id": 1}], key_fields=())
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=1, rejected=1)


async def test_a_refused_request_id_leaves_no_table_and_names_no_keys(caller: Caller) -> None:
    await caller.create("a", request_id="x")
    await caller.create("keyless", [])
    await refusal(caller.create("new", request_id="x"))
    await refusal(caller.create("keyless", ["oops"], request_id="x"))
    listed = (await caller.tables.ListTables(ts.ListTablesRequest())).tables
    assert [(table.table, list(table.key_fields)) for table in listed] == [("a", ["id"]), ("keyless", [])]


async def test_a_run_with_a_wrong_format_leaves_no_import(caller: Caller) -> None:
    message = pb.RunImportRequest(spec=import_pb2.ImportSpec(table="t"), format=batch_pb2.DataFormat(), data=b"x")
    assert (await refusal(caller.imports.RunImport(iter([message])))).code() == grpc.StatusCode.INVALID_ARGUMENT
    assert not (await caller.imports.ListImports(pb.ListImportsRequest())).imports


WITHOUT_FORMAT = pb.RunImportRequest(data=b"x")


@pytest.mark.parametrize("message", [WITHOUT_FORMAT, pb.RunImportRequest(offset=-1), pb.RunImportRequest(offset=5)])
async def test_a_run_that_is_refused_before_anything_is_kept_is_cancelled(
    caller: Caller, message: pb.RunImportRequest
) -> None:
    message.spec.table = "t"
    refused = await refusal(caller.imports.RunImport(iter([message])))
    assert reason_of(refused).reason in ("INVALID_REQUEST", "OFFSET_GAP")
    (left,) = (await caller.imports.ListImports(pb.ListImportsRequest())).imports
    assert left.state == import_pb2.IMPORT_STATE_CANCELLED


async def test_a_run_that_is_refused_later_or_can_be_repeated_stays_open(caller: Caller) -> None:
    spec = import_pb2.ImportSpec(table="t", key_fields=["id"])
    kept = pb.RunImportRequest(spec=spec, records=[record_pb2.Record(json=b'{"id": 1}')])
    await refusal(caller.imports.RunImport(iter([kept, pb.RunImportRequest(finish=batch_pb2.Finish(total=2))])))
    await refusal(caller.imports.RunImport(iter([pb.RunImportRequest(spec=spec, data=b"x", request_id="r")])))
    states = {found.state for found in (await caller.imports.ListImports(pb.ListImportsRequest())).imports}
    assert states == {import_pb2.IMPORT_STATE_RECEIVING}


@pytest.mark.parametrize("piece", [1, 5, 1_000])
@pytest.mark.parametrize(
    ("content", "type", "field", "expected"),
    [
        (gzip.compress(LINES, mtime=0), "NDJSON", "compression", "gzip"),
        (gzip.compress(LINES, mtime=0), "CSV", "compression", "gzip"),
        (zstd.compress(LINES), "JSON_ARRAY", "compression", "zstd"),
        (b"PK\x03\x04" + bytes(100), "CSV", "type", "Excel"),
        (b"PAR1\x15" + bytes(100), "NDJSON", "type", "Parquet"),
        (LINES.decode().encode("utf-16"), "NDJSON", "encoding", "utf-16"),
        ("id,name\n1,2\n".encode("utf-32"), "CSV", "encoding", "utf-32"),
    ],
    ids=["gzip", "gzip as CSV", "zstd", "workbook", "Parquet", "UTF-16", "UTF-32"],
)
async def test_a_file_that_begins_as_something_else_is_refused_and_may_be_sent_as_what_it_is(
    caller: Caller, content: bytes, type: str, field: str, expected: str, piece: int
) -> None:
    import_id = await caller.create()
    format = batch_pb2.DataFormat(type=batch_pb2.FileType.Value(f"FILE_TYPE_{type}"))
    pieces = [content[at : at + piece] for at in range(0, len(content), piece)]
    first = Upload(import_id=import_id, batch_id="b", format=format, data=pieces[0])
    refused = await refusal(caller.upload([first, *(Upload(data=data) for data in pieces[1:])]))
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"format.{field}: expected {expected}" in (refused.details() or "")
    finish = batch_pb2.Finish(total=len(LINES))
    await caller.upload([Upload(import_id=import_id, batch_id="b", format=NDJSON, data=LINES, finish=finish)])
    assert (await caller.finish(import_id)).counts == stage_pb2.RecordCounts(received=2, created=2)


async def test_what_begins_as_something_else_only_later_costs_a_record(caller: Caller) -> None:
    ended = await caller.run_file(b'{"id": 1}\n' + gzip.compress(b"", mtime=0).replace(b"\n", b"") + b"\n", NDJSON)
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=1, rejected=1)


@pytest.mark.parametrize("first", [Upload(data=b"x"), Upload(format=NDJSON, data=b"x", offset=5)])
async def test_a_first_message_that_is_refused_leaves_no_batch(caller: Caller, first: Upload) -> None:
    import_id = await caller.create()
    first.import_id, first.batch_id = import_id, "typo"
    await refusal(caller.upload([first]))
    assert not (await caller.batches.ListBatches(bs.ListBatchesRequest(import_id=import_id))).batches


async def test_a_table_that_nobody_used_can_be_keyed_anew(caller: Caller) -> None:
    failed = await caller.run([{"id": 1}], key_fields=("typo",))
    assert failed.state == import_pb2.IMPORT_STATE_FAILED
    assert (await caller.run([{"id": 1}])).state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert reason_of(await refusal(caller.create(key_fields=["typo"]))).reason == "KEY_FIELDS_DIFFER"


async def test_a_table_with_an_import_under_way_keeps_its_keys(caller: Caller) -> None:
    await caller.create(key_fields=["a"])
    assert reason_of(await refusal(caller.create(key_fields=["b"]))).reason == "KEY_FIELDS_DIFFER"


@pytest.mark.parametrize("length", [200, 20_000])
async def test_long_values_do_not_destroy_the_error(caller: Caller, length: int) -> None:
    for call in (
        caller.get("9" * length),
        caller.create("t" * length),
        caller.create(key_fields=["k" * length, "k" * length]),
        caller.records.GetRecord(rs.GetRecordRequest(table="t", key="k" * (length + 1024))),
        caller.imports.ListImports(pb.ListImportsRequest(page_token="W" * length)),
    ):
        refused = await refusal(call)
        assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert details_of(refused)


@pytest.mark.parametrize("text", ["a\0", "\ud800"])
async def test_a_token_that_postgresql_does_not_hold_is_a_clear_error(caller: Caller, text: str) -> None:
    refused = await refusal(caller.tables.ListTables(ts.ListTablesRequest(page_token=page_token(text))))
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token" in (refused.details() or "")


async def test_bytes_that_are_no_message_are_a_clear_error(caller: Caller) -> None:
    call: Any = caller.channel.unary_unary("/ingot.v1.ImportService/GetImport")
    refused = await refusal(call(b"\xff\xff", metadata=[("x-api-key", caller.key)]))
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused).reason == "INVALID_REQUEST"


async def test_a_text_that_is_no_utf8_is_named_as_the_reason(caller: Caller) -> None:
    call: Any = caller.channel.unary_unary("/ingot.v1.ImportService/GetImport")
    refused = await refusal(call(b"\x0a\x01\xff", metadata=[("x-api-key", caller.key)]))
    assert "valid UTF-8" in (refused.details() or "")


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("import_id", Upload(import_id="2")),
        ("batch_id", Upload(batch_id="c")),
        ("format", Upload(format=batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV))),
        ("expected_total", Upload(expected_total=9)),
        ("spec", pb.RunImportRequest(spec=import_pb2.ImportSpec(table="other"))),
        ("request_id", pb.RunImportRequest(request_id="r")),
    ],
)
async def test_what_the_first_message_says_of_the_whole_may_be_repeated_and_not_changed(
    caller: Caller, name: str, changed: Any
) -> None:
    first: Any
    call: Any
    if isinstance(changed, Upload):
        first = Upload(import_id=await caller.create(), batch_id="b", format=NDJSON, expected_total=2)
        call = caller.batches.UploadBatch
    else:
        spec = import_pb2.ImportSpec(table="things", key_fields=["id"])
        first = pb.RunImportRequest(spec=spec, format=NDJSON, expected_total=2)
        call = caller.imports.RunImport
    again, end = type(first)(), type(first)(finish=batch_pb2.Finish(total=18))
    again.CopyFrom(first)
    first.data, again.data = b'{"id":1}\n', b'{"id":2}\n'
    assert name in str(await refusal(call(iter([first, changed, end]))))
    await call(iter([first, again, end]))


async def test_garbage_in_the_middle_of_a_stream_loses_nothing_before_it(caller: Caller) -> None:
    import_id = await caller.create()
    good = records([{"id": row} for row in range(1000)], import_id=import_id, batch_id="b")
    call: Any = caller.channel.stream_unary("/ingot.v1.BatchService/UploadBatch")
    stream = call(iter([good.SerializeToString(), b"\xff\xff"]), metadata=[("x-api-key", caller.key)])
    refused = await refusal(stream)
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused).metadata["committed_offset"] == "1000"


async def test_a_call_whose_commit_failed_never_says_ok(caller: Caller, database_url: str) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": -1}], import_id=import_id, batch_id="b")])
    rival = await asyncpg.connect(database_url)
    overtaking = rival.transaction()
    await overtaking.start()
    await rival.execute("UPDATE batch SET committed_offset = 7")

    blocked = asyncio.Event()

    async def stream() -> AsyncIterator[Upload]:
        yield Upload(import_id=import_id, batch_id="b", offset=1)
        yield records([{"id": row} for row in range(5000)], offset=1)
        while not await rival.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        # The full chunk's commit waits for the rival; this is pending behind it when the stream ends.
        yield records([{"id": row} for row in range(5000, 5100)])
        blocked.set()

    call = asyncio.ensure_future(caller.batches.UploadBatch(stream()))
    await blocked.wait()
    await asyncio.wait({call}, timeout=0.5)
    await overtaking.commit()
    assert (await refusal(call)).code() == grpc.StatusCode.ABORTED
    await rival.close()


async def test_a_structure_gives_the_same_text_whatever_the_order_of_its_fields() -> None:
    one, other = record_pb2.Record(), record_pb2.Record()
    one.struct.update({"a": 1, "b": {"x": 1, "y": 2}})
    other.struct.update({"b": {"y": 2, "x": 1}, "a": 1})
    assert await record_texts([one]) == await record_texts([other]) == [b'{"a":1,"b":{"x":1,"y":2}}']


async def test_whether_records_need_their_own_keys_does_not_depend_on_time(caller: Caller) -> None:
    import_id = await caller.create(key_fields=())
    await caller.upload([records([{"keys": ["id"], "id": 1}], import_id=import_id, batch_id="b")])
    async for update in caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id)):
        if update.import_job.counts.created:
            break
    # The table knows its key by now; the import did not when it was made.
    await caller.upload([records([{"id": 2}], import_id=import_id, batch_id="b", offset=1, finish=2)])
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=1, rejected=1)


async def test_a_watcher_sees_the_error_of_an_empty_batch(caller: Caller) -> None:
    import_id = await caller.create()
    states: Any = caller.imports.WatchImport(pb.WatchImportRequest(import_id=import_id))
    await states.read()
    await caller.upload([records([{"v": 1}], import_id=import_id, batch_id="a", finish=True)])
    await caller.upload([Upload(import_id=import_id, batch_id="b", finish=batch_pb2.Finish(total=0))])
    await caller.imports.FinishImport(pb.FinishImportRequest(import_id=import_id))
    last = None
    while (update := await states.read()) is not aio.EOF:
        last = update.import_job
    assert last == await caller.get(import_id)
