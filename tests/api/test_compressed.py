"""Compressed uploads: cut anywhere, gone on with anywhere, exactly once; and files that are not what they say."""

import gzip
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as isv
from ingot_server.pipeline.libzstd import zstd
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, reason_of
from tests.conftest import running_app

MIB = 1 << 20
GZIP, ZSTD = batch_pb2.COMPRESSION_GZIP, batch_pb2.COMPRESSION_ZSTD
PACK: dict[int, Callable[[bytes], bytes]] = {GZIP: gzip.compress, ZSTD: zstd.compress}
NDJSON, CSV, ARRAY = batch_pb2.FILE_TYPE_NDJSON, batch_pb2.FILE_TYPE_CSV, batch_pb2.FILE_TYPE_JSON_ARRAY
BOTH = pytest.mark.parametrize("compression", [GZIP, ZSTD], ids=["gzip", "zstd"])
TYPES = pytest.mark.parametrize("type", [NDJSON, CSV, ARRAY], ids=["ndjson", "csv", "array"])

SMALL: dict[int, bytes] = {
    NDJSON: b'{"id":"1","v":"\xc3\xa5"}\n{"id":"2","v":"b"}\n{"id":"3","v":"c"}',
    CSV: b'id,v\n1,\xc3\xa5\n2,b\n3,"c"\n',
    ARRAY: b'[{"id":"1","v":"\xc3\xa5"},\n{"id":"2","v":"b"},{"id":"3","v":"c"}]\n',
}
SMALL_ROWS = [{"id": "1", "v": "å"}, {"id": "2", "v": "b"}, {"id": "3", "v": "c"}]


def file_of(type: int, rows: list[dict[str, str]]) -> bytes:
    if type == CSV:
        return "".join(["id,v\n", *(f"{row['id']},{row['v']}\n" for row in rows)]).encode()
    lines = [json.dumps(row).encode() for row in rows]
    return b"[" + b",\n".join(lines) + b"]" if type == ARRAY else b"".join(line + b"\n" for line in lines)


def rows_of(number: int) -> list[dict[str, str]]:
    """Rows that compress to about a third."""
    return [{"id": f"{row:07}", "v": os.urandom(8).hex()} for row in range(number)]


def format_of(type: int, compression: int, **options: Any) -> batch_pb2.DataFormat:
    return batch_pb2.DataFormat(
        type=batch_pb2.FileType.ValueType(type), compression=batch_pb2.Compression.ValueType(compression), **options
    )


def part(
    import_id: str, format: batch_pb2.DataFormat, packed: bytes, start: int, end: int, batch_id: str = "b"
) -> list[Upload]:
    """One stream that sends a part of a file."""
    first = Upload(import_id=import_id, batch_id=batch_id, format=format)
    return [first, *(Upload(data=packed[at : min(end, at + 65_536)], offset=at) for at in range(start, end, 65_536))]


def end_of(packed: bytes) -> Upload:
    return Upload(finish=batch_pb2.Finish(total=len(packed)))


async def stored_bytes(database: Database) -> int:
    row = await database.fetchrow("SELECT coalesce(sum(length(content)), 0) AS bytes FROM compressed_part")
    assert row is not None
    return int(row["bytes"])


@asynccontextmanager
async def second_server(caller: Caller, database_url: str) -> AsyncIterator[Caller]:
    async with running_app(database_url) as app:
        async with Caller(f"127.0.0.1:{app.port}", caller.key) as elsewhere:
            yield elsewhere


async def only_error(caller: Caller, import_id: str) -> record_error_pb2.RecordError:
    (error,) = await caller.errors(import_id)
    assert error.code == record_error_pb2.RECORD_ERROR_CODE_UNREADABLE_REST
    return error


@BOTH
@TYPES
@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
async def test_each_format_cut_into_pieces(
    caller: Caller, database: Database, compression: int, type: int, piece: int
) -> None:
    packed = PACK[compression](SMALL[type])
    ended = await caller.run_file(packed, format_of(type, compression), piece=piece)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert ended.counts == stage_pb2.RecordCounts(received=3, created=3)
    assert await caller.table() == SMALL_ROWS
    batch = await caller.batch(ended.import_id)
    assert (batch.committed_offset, batch.total, batch.unit) == (len(packed), len(packed), batch_pb2.OFFSET_UNIT_BYTES)
    assert batch.format.compression == compression
    assert await stored_bytes(database) == 0


@BOTH
@TYPES
async def test_a_file_cut_at_any_byte_and_gone_on_with_on_another_server(
    caller: Caller, database_url: str, compression: int, type: int
) -> None:
    packed, format = PACK[compression](SMALL[type]), format_of(type, compression)
    import_id = await caller.create()
    async with second_server(caller, database_url) as elsewhere:
        for cut in range(1, len(packed)):
            begun = await caller.upload(part(import_id, format, packed, 0, cut, f"b{cut}"))
            assert (begun.committed_offset, begun.finished) == (cut, False)
            batch = await elsewhere.upload(
                [*part(import_id, format, packed, cut, len(packed), f"b{cut}"), end_of(packed)]
            )
            assert (batch.upload.accepted, batch.upload.rejected) == (3, 0)
    ended = await caller.finish(import_id)
    assert (ended.counts.received, ended.counts.rejected) == (3 * (len(packed) - 1), 0)
    assert await caller.table() == SMALL_ROWS


@BOTH
@TYPES
async def test_one_stream_for_each_byte(caller: Caller, compression: int, type: int) -> None:
    packed, format = PACK[compression](SMALL[type]), format_of(type, compression)
    import_id = await caller.create()
    for at in range(len(packed)):
        await caller.upload(part(import_id, format, packed, at, at + 1))
    await caller.upload([Upload(import_id=import_id, batch_id="b"), end_of(packed)])
    assert (await caller.finish(import_id)).counts == stage_pb2.RecordCounts(received=3, created=3)
    assert await caller.table() == SMALL_ROWS


@BOTH
@TYPES
async def test_a_large_file_gone_on_with_again_and_again_is_imported_once(
    caller: Caller, database: Database, database_url: str, compression: int, type: int
) -> None:
    rows = rows_of(30_000)
    packed, format = PACK[compression](file_of(type, rows)), format_of(type, compression)
    import_id = await caller.create()
    async with second_server(caller, database_url) as elsewhere:
        at = 0
        for number, end in enumerate([1_000, 200_000, 200_001, len(packed) - 3]):
            batch = await [caller, elsewhere][number % 2].upload(part(import_id, format, packed, at, end))
            at = batch.committed_offset
            assert at == end
            assert await stored_bytes(database) == end
        await elsewhere.upload([*part(import_id, format, packed, at, len(packed)), end_of(packed)])
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=30_000, created=30_000)
    assert await caller.table() == rows
    assert await stored_bytes(database) == 0


@BOTH
async def test_other_encodings_and_line_numbers_are_as_in_plain_files(caller: Caller, compression: int) -> None:
    text = 'id,v\n1,"Ærø\nlines"\n2\n3,Ærø\n'
    for encoding in ("utf-16", "latin-1"):
        packed = PACK[compression](text.encode(encoding))
        ended = await caller.run_file(packed, format_of(CSV, compression, encoding=encoding), piece=5)
        (error,) = await caller.errors(ended.import_id)
        assert (error.index, error.line, error.code) == (1, 4, record_error_pb2.RECORD_ERROR_CODE_CELL_COUNT)
        assert await caller.table() == [{"id": "1", "v": "Ærø\nlines"}, {"id": "3", "v": "Ærø"}]


@BOTH
async def test_what_is_sent_again_is_dropped_and_anything_else_refused(caller: Caller, compression: int) -> None:
    rows = rows_of(20_000)
    packed, format = PACK[compression](file_of(NDJSON, rows)), format_of(NDJSON, compression)
    import_id = await caller.create()
    half = len(packed) // 2
    await caller.upload(part(import_id, format, packed, 0, half))
    await caller.upload(part(import_id, format, packed, half // 2, half))
    other = bytearray(packed)
    other[half - 10] ^= 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([*part(import_id, format, bytes(other), 0, len(packed)), end_of(packed)])
    assert reason_of(refused.value).reason == "CONTENT_DIFFERS"
    assert (await caller.batch(import_id)).committed_offset == half
    whole = [*part(import_id, format, packed, 0, len(packed)), end_of(packed)]
    assert (await caller.upload(whole)).finished
    assert (await caller.upload(whole)).finished
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=20_000, created=20_000)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload(part(import_id, format, packed + b"more", len(packed), len(packed) + 4))
    assert reason_of(refused.value).reason == "BATCH_FINISHED"


@BOTH
async def test_several_chunks_that_came_out_of_one_message_are_compared_when_it_is_sent_again(
    caller: Caller, database: Database, compression: int
) -> None:
    rows = [{"id": f"{row:06}", "v": "v" * 100} for row in range(40_000)]
    packed, format = PACK[compression](file_of(NDJSON, rows)), format_of(NDJSON, compression)
    assert len(packed) < 400_000
    import_id = await caller.create()
    message = Upload(data=packed[:-20], offset=0)
    await caller.upload([Upload(import_id=import_id, batch_id="b", format=format), message])
    row = await database.fetchrow(
        "SELECT count(*) AS chunks, count(*) FILTER (WHERE start_offset = end_offset) AS without_content FROM chunk"
    )
    assert row is not None
    assert row["chunks"] > 5
    assert row["without_content"] >= row["chunks"] - 2
    other = packed[:100] + b"other" + packed[105:]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload(part(import_id, format, other, 0, len(packed)))
    assert reason_of(refused.value).reason == "CONTENT_DIFFERS"
    await caller.upload([*part(import_id, format, packed, 0, len(packed)), end_of(packed)])
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=40_000, created=40_000)
    assert await caller.table() == rows


@BOTH
async def test_several_members_are_one_file(caller: Caller, compression: int) -> None:
    pack = PACK[compression]
    packed = pack(b'{"id":1}\n{"i') + pack(b"") + pack(b'd":2}\n') + (bytes(1_000) if compression == GZIP else b"")
    ended = await caller.run_file(packed, format_of(NDJSON, compression), piece=3)
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=2)


@BOTH
@pytest.mark.parametrize("nothing", [True, False])
async def test_an_empty_file_is_as_a_plain_one(caller: Caller, compression: int, nothing: bool) -> None:
    packed = b"" if nothing else PACK[compression](b"")
    ended = await caller.run_file(packed, format_of(NDJSON, compression))
    (error,) = await caller.errors(ended.import_id)
    assert error.code == record_error_pb2.RECORD_ERROR_CODE_EMPTY_PAYLOAD
    assert ended.state == import_pb2.IMPORT_STATE_FAILED


@BOTH
@TYPES
async def test_a_file_that_is_cut_off_keeps_what_came_before(caller: Caller, compression: int, type: int) -> None:
    rows = rows_of(10_000)
    packed = PACK[compression](file_of(type, rows))
    ended = await caller.run_file(packed[:-200], format_of(type, compression))
    error = await only_error(caller, ended.import_id)
    assert "ends too early" in error.message
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert error.index == ended.counts.created
    assert error.line == error.index + (2 if type == CSV else 1)
    assert await caller.table() == rows[: error.index]
    assert ended.counts == stage_pb2.RecordCounts(received=error.index + 1, created=error.index, rejected=1)


@BOTH
@TYPES
async def test_a_damaged_file_keeps_what_came_before_and_ignores_what_comes_after(
    caller: Caller, database: Database, compression: int, type: int
) -> None:
    rows = rows_of(30_000)
    packed = bytearray(PACK[compression](file_of(type, rows)))
    packed[len(packed) // 2 :] = os.urandom(len(packed) // 2 + 1)[: len(packed) - len(packed) // 2]
    packed += bytes(MIB)
    format = format_of(type, compression)
    import_id = await caller.create()
    cut = len(packed) - 100_000
    await caller.upload(part(import_id, format, bytes(packed), 0, cut))
    assert await stored_bytes(database) < cut - MIB // 2
    await caller.upload([*part(import_id, format, bytes(packed), cut, len(packed)), end_of(bytes(packed))])
    ended = await caller.finish(import_id)
    codes = [error.code for error in await caller.errors(import_id)]
    assert codes.count(record_error_pb2.RECORD_ERROR_CODE_UNREADABLE_REST) == 1
    assert ended.counts.created > 10_000
    assert (await caller.batch(import_id)).committed_offset == len(packed)


@BOTH
async def test_a_file_that_is_not_compressed_is_one_reject(caller: Caller, compression: int) -> None:
    ended = await caller.run_file(SMALL[NDJSON], format_of(NDJSON, compression), piece=10)
    error = await only_error(caller, ended.import_id)
    assert (error.index, error.line) == (0, 1)
    assert "does not begin like it" in error.message
    assert ended.state == import_pb2.IMPORT_STATE_FAILED


def memory_peak_bytes() -> int:
    """The largest size that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_memory_peak() -> None:
    """Makes the size of now the largest, where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@BOTH
@pytest.mark.parametrize("plain", ["zeros", "records"])
async def test_a_bomb_is_one_reject_and_takes_little_memory(caller: Caller, compression: int, plain: str) -> None:
    unit = bytes(MIB) if plain == "zeros" else (b'{"id":1,"v":"' + b"v" * 1_000_000 + b'"}\n')
    packed = PACK[compression](unit * 50) * 20
    forget_memory_peak()
    before = memory_peak_bytes()
    ended = await caller.run_file(packed, format_of(NDJSON, compression), piece=1 << 20)
    assert memory_peak_bytes() - before < 60 * MIB
    errors = await caller.errors(ended.import_id)
    assert "200 times its size" in errors[-1].message
    assert errors[-1].code == record_error_pb2.RECORD_ERROR_CODE_UNREADABLE_REST
    assert errors[-1].index + 1 == ended.counts.received < 100
    assert ended.counts.rejected == len(errors)


@BOTH
async def test_a_message_that_holds_a_hundred_chunks_takes_little_memory(caller: Caller, compression: int) -> None:
    rows = 30_000
    plain = b"".join(b'{"id":"%06d","v":"%b"}\n' % (row, os.urandom(15).hex().encode() * 100) for row in range(rows))
    packed = PACK[compression](plain)
    assert len(plain) > 80 * MIB
    assert len(packed) < 4 * MIB
    del plain
    forget_memory_peak()
    before = memory_peak_bytes()
    import_id = await caller.create()
    batch = await caller.upload_file(import_id, packed, format_of(NDJSON, compression), piece=4 * MIB)
    assert memory_peak_bytes() - before < 60 * MIB
    assert batch.upload.accepted == rows


@BOTH
async def test_run_import_takes_compressed_files(caller: Caller, compression: int) -> None:
    packed = PACK[compression](SMALL[CSV])
    spec = import_pb2.ImportSpec(table="things", key_fields=["id"])
    messages = [
        isv.RunImportRequest(spec=spec, format=format_of(CSV, compression), data=packed[:9]),
        isv.RunImportRequest(data=packed[9:], finish=batch_pb2.Finish(total=len(packed))),
    ]
    answer = await caller.imports.RunImport(iter(messages))
    assert (await caller.ended(answer.import_job.import_id)).counts == stage_pb2.RecordCounts(received=3, created=3)


async def test_the_compression_of_a_batch_does_not_change(caller: Caller) -> None:
    import_id = await caller.create()
    packed = gzip.compress(SMALL[NDJSON])
    await caller.upload(part(import_id, format_of(NDJSON, GZIP), packed, 0, 10))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload(part(import_id, format_of(NDJSON, batch_pb2.COMPRESSION_NONE), packed, 10, 20))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("format", "field", "words"),
    [
        (batch_pb2.DataFormat(type=CSV, compression=9), "format.compression", "COMPRESSION_GZIP"),  # type: ignore[arg-type]
        (batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_EXCEL), "format.type", "ReferenceBatch"),
        (batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_PARQUET), "format.type", "Ingot's client"),
        (batch_pb2.DataFormat(type=CSV, sheet="first"), "format.sheet", "only for Excel"),
    ],
)
async def test_formats_that_no_upload_can_have_are_refused(
    caller: Caller, format: batch_pb2.DataFormat, field: str, words: str
) -> None:
    import_id = await caller.create()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([Upload(import_id=import_id, batch_id="b", format=format, data=b"x")])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(refused.value.details())
    assert words in str(refused.value.details())
