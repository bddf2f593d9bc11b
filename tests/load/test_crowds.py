"""Many, slow and hostile clients: the server's memory is bounded, and other accounts do not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as pb
from ingot_server.access import create_key
from ingot_server.app import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from ingot_server.domain.api_keys import SCOPES
from ingot_server.domain.records import RECORD_BYTES_MAX
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, reason_of, records
from tests.faults.processes import server_process
from tests.pipeline.test_checking import HOSTILE

MIB = 1 << 20
STREAMS = 1_000
UPLOADS = 200
READERS = 10


class Crowd:
    """A server process, somebody who burdens it, and somebody else."""

    def __init__(self, pid: int, crowd: Caller, other: Caller) -> None:
        self.crowd = crowd
        self.other = other
        self._status = Path(f"/proc/{pid}/status")
        self._before = 0

    async def settle(self) -> None:
        """Lets the server load what it needs for its work, and notes how much memory that is."""
        await self.expect_unharmed()
        self._before = self._memory_peak()

    async def expect_unharmed(self) -> None:
        """The other account writes, imports and watches to the end."""
        row = {"id": 1, "v": "x" * 1_000_000}
        assert (await self.other.run([row] * 4)).state == import_pb2.IMPORT_STATE_SUCCEEDED
        assert len(await self.other.table()) == 1

    def grown_mib(self) -> float:
        """By how much the peak of the server's memory has risen."""
        return (self._memory_peak() - self._before) / 1024

    def _memory_peak(self) -> int:
        lines = dict(line.split(":", 1) for line in self._status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0])


@asynccontextmanager
async def crowd_at(database_url: str, database: Database, **settings: Any) -> AsyncIterator[Crowd]:
    keys = [(await create_key(database, name, list(SCOPES), "test", None)).text for name in ("crowd", "other")]
    async with server_process(database_url=database_url, **settings) as server:
        async with Caller(server.address, keys[0]) as crowd, Caller(server.address, keys[1]) as other:
            made = Crowd(server.process.pid, crowd, other)
            await made.settle()
            yield made


async def test_a_thousand_idle_streams_take_little_and_one_more_is_refused(
    database_url: str, database: Database
) -> None:
    async with crowd_at(database_url, database, open_streams_max=STREAMS) as there:
        import_id = await there.crowd.create()
        never = asyncio.Event()

        async def silently(number: int) -> AsyncIterator[Upload]:
            yield records([{"id": number}], import_id=import_id, batch_id=f"b{number}")
            await never.wait()

        def watch() -> "aio.UnaryStreamCall[im.WatchImportRequest, im.WatchImportResponse]":
            return there.crowd.imports.WatchImport(im.WatchImportRequest(import_id=import_id))

        uploads = [there.crowd.batches.UploadBatch(silently(number)) for number in range(STREAMS // 2)]
        while (await there.crowd.get(import_id)).counts.received < len(uploads):
            pass
        watches = [watch() for _ in range(STREAMS - len(uploads))]
        await asyncio.gather(*(call.read() for call in watches))
        with pytest.raises(aio.AioRpcError) as refused:
            await watch().read()
        assert reason_of(refused.value).reason == "TOO_MANY_STREAMS"
        await there.expect_unharmed()
        assert there.grown_mib() < 100
        for call in (*uploads, *watches):
            call.cancel()


async def test_two_hundred_parallel_uploads_are_taken_with_a_bounded_memory(
    database_url: str, database: Database
) -> None:
    rows = 200
    async with crowd_at(database_url, database) as there:
        import_id = await there.crowd.create()

        async def upload(number: int) -> None:
            keys = range(number * rows, (number + 1) * rows)
            parts = [
                records([{"id": key, "v": "x" * 2_000} for key in keys[at : at + 50]]) for at in range(0, rows, 50)
            ]
            parts[0].import_id, parts[0].batch_id = import_id, f"b{number}"
            parts[-1].finish.total = rows
            await there.crowd.upload(parts)

        uploading = asyncio.gather(*map(upload, range(UPLOADS)))
        await there.expect_unharmed()
        await uploading
        ended = await there.crowd.finish(import_id)
        assert ended.counts.created == rows * UPLOADS
        # What is sent is some 80 MB; two chunks and a message for each stream would be 400 MiB of it.
        assert there.grown_mib() < 300


async def test_clients_that_never_read_hold_little_of_what_they_asked_for(
    database_url: str, database: Database
) -> None:
    """Ten times 30 MB, and the updates of an import."""
    async with crowd_at(database_url, database) as there:
        for part in range(5):
            await there.crowd.run([{"id": f"{part}-{row}", "v": "x" * 1_000_000} for row in range(6)])
        import_id = await there.crowd.create("others")
        await there.settle()
        exports = [there.crowd.records.ExportRecords(pb.ExportRecordsRequest(table="things")) for _ in range(READERS)]
        watches = [there.crowd.imports.WatchImport(im.WatchImportRequest(import_id=import_id)) for _ in range(READERS)]
        # Each has an answer: it is under way.
        await asyncio.gather(*(call.read() for call in exports), *(call.read() for call in watches))
        for number in range(20):
            await there.crowd.upload([records([{"id": number}], import_id=import_id, batch_id=f"b{number}")])
        await there.expect_unharmed()
        assert there.grown_mib() < 150
        # Who reads after all gets everything.
        received = 0
        while isinstance(piece := await exports[0].read(), pb.ExportRecordsResponse):
            received += len(piece.lines)
        assert received > 20 * MIB
        for export in exports:
            export.cancel()
        for watch in watches:
            watch.cancel()


async def test_an_upload_byte_by_byte_is_one_upload_and_nobody_waits_for_it(
    database_url: str, database: Database
) -> None:
    """Between two bytes somebody else's call is answered."""
    data = b'{"id": 1}\n{"id": 2}\n'
    async with crowd_at(database_url, database) as there:
        import_id = await there.crowd.create()

        async def slowly() -> AsyncIterator[Upload]:
            yield Upload(
                import_id=import_id, batch_id="b", format=batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
            )
            for sent in range(len(data)):
                yield Upload(data=data[sent : sent + 1])
                await there.other.records.GetRecord(pb.GetRecordRequest(table="things", key="1"))
            yield Upload(finish=batch_pb2.Finish(total=len(data)))

        await there.crowd.batches.UploadBatch(slowly())
        assert (await there.crowd.finish(import_id)).counts.created == 2


async def test_hostile_records_are_errors_beside_their_neighbours(database_url: str, database: Database) -> None:
    """Millions of brackets, escapes, NUL, surrogates, numbers and fields, each as large as a record may be."""
    async with crowd_at(database_url, database) as there:
        import_id = await there.crowd.create()
        for number, text in enumerate(HOSTILE.values()):
            rows = [{"id": f"before {number}"}, text, {"id": f"after {number}"}]
            await there.crowd.upload([records(rows, import_id=import_id, batch_id=f"b{number}", finish=True)])
        finishing = asyncio.create_task(there.crowd.finish(import_id))
        await there.expect_unharmed()
        ended = await finishing
        assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
        assert ended.counts.received == 3 * len(HOSTILE)
        kept = {row["id"] for row in await there.crowd.table() if isinstance(row["id"], str)}
        assert {f"{where} {number}" for where in ("before", "after") for number in range(len(HOSTILE))} <= kept
        assert {error.code for error in await there.crowd.errors(import_id)} >= {
            record_error_pb2.RECORD_ERROR_CODE_SYNTAX_ERROR,
            record_error_pb2.RECORD_ERROR_CODE_CONTROL_CHARACTER,
            record_error_pb2.RECORD_ERROR_CODE_INVALID_ENCODING,
            record_error_pb2.RECORD_ERROR_CODE_NUMBER_OUT_OF_RANGE,
            record_error_pb2.RECORD_ERROR_CODE_TOO_DEEP,
        }
        assert there.grown_mib() < 150


async def test_a_file_of_nothing_but_line_breaks_is_counted_line_by_line_and_nobody_waits_for_it(
    database_url: str, database: Database
) -> None:
    ndjson = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
    async with crowd_at(database_url, database, errors_limit=1_000) as there:
        importing = asyncio.create_task(there.crowd.run_file(b"\n" * MIB, ndjson))
        await there.expect_unharmed()
        ended = await importing
        assert ended.state == import_pb2.IMPORT_STATE_FAILED
        assert (ended.counts.received, ended.counts.rejected) == (MIB, MIB)
        assert [(group.code, group.count) for group in ended.upload.error_groups] == [
            (record_error_pb2.RECORD_ERROR_CODE_EMPTY_LINE, MIB)
        ]
        assert [error.line for error in await there.crowd.errors(ended.import_id)] == list(range(1, 1_001))
        assert there.grown_mib() < 60


async def test_a_record_of_one_byte_too_many_is_an_error_and_one_of_just_enough_is_not(
    database_url: str, database: Database
) -> None:
    async with crowd_at(database_url, database) as there:
        import_id = await there.crowd.create()
        for batch, letter in (("a", "x"), ("b", "y")):
            rows = [
                b'{"id":1,"v":"%b"}' % (letter.encode() * (RECORD_BYTES_MAX - len(b'{"id":1,"v":""}') + more))
                for more in (0, 1)
            ]
            await there.crowd.upload(
                [records([*rows, {"id": batch}], import_id=import_id, batch_id=batch, finish=True)]
            )
        ended = await there.crowd.finish(import_id)
        assert (ended.counts.created, ended.counts.rejected) == (3, 2)
        codes = {error.code for error in await there.crowd.errors(import_id)}
        assert codes == {record_error_pb2.RECORD_ERROR_CODE_RECORD_TOO_LARGE}


async def test_a_message_of_one_byte_too_many_ends_its_stream_alone(database_url: str, database: Database) -> None:
    async with crowd_at(database_url, database) as there:
        import_id = await there.crowd.create()
        first = Upload(import_id=import_id, batch_id="b", format=batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON))
        fits = Upload(data=b"x" * MESSAGE_BYTES_MAX)
        fits.data = fits.data[: 2 * MESSAGE_BYTES_MAX - fits.ByteSize()]
        assert fits.ByteSize() == MESSAGE_BYTES_MAX
        too_large = Upload(data=fits.data + b"x")
        with pytest.raises(aio.AioRpcError) as refused:
            await there.crowd.upload([first, fits, too_large])
        assert refused.value.code() == StatusCode.RESOURCE_EXHAUSTED
        assert f"{MESSAGE_BYTES_MAX + 1} vs. {MESSAGE_BYTES_MAX}" in (refused.value.details() or "")
        await there.expect_unharmed()


@pytest.mark.parametrize("number_of_entries", [1, 500])
async def test_metadata_bombs_are_refused_and_the_connection_goes_on(
    database_url: str, database: Database, number_of_entries: int
) -> None:
    async with crowd_at(database_url, database) as there:
        entry = "x" * (4 * METADATA_BYTES_MAX // number_of_entries)
        metadata = [(f"bomb-{number}", entry) for number in range(number_of_entries)]
        request = im.ListImportsRequest()
        with pytest.raises(aio.AioRpcError) as refused:
            await there.crowd.imports.ListImports(request, metadata=metadata)
        assert refused.value.code() == StatusCode.RESOURCE_EXHAUSTED
        assert "metadata" in (refused.value.details() or "")
        await there.crowd.imports.ListImports(request, metadata=[("large", "x" * (METADATA_BYTES_MAX // 2))])
        await there.expect_unharmed()


async def test_a_compressed_message_that_unpacks_to_too_much_takes_no_memory(
    database_url: str, database: Database
) -> None:
    async with crowd_at(database_url, database) as there:
        bomb = Upload(data=bytes(400 * MIB))
        for _ in range(3):
            with pytest.raises(aio.AioRpcError) as refused:
                await there.crowd.batches.UploadBatch(iter([bomb]), compression=grpc.Compression.Gzip)
            assert refused.value.code() == StatusCode.RESOURCE_EXHAUSTED
            assert "ecompressed message larger than max" in (refused.value.details() or "")
        await there.expect_unharmed()
        assert there.grown_mib() < 60
