"""An upload survives what happens on the way, and every record arrives once."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from grpc import StatusCode

from ingot.v1 import import_pb2
from ingot_client import (
    AsyncClient,
    ContentDiffers,
    ImportNotFound,
    InvalidRequest,
    Progress,
    SourceDiffers,
    TotalMismatch,
    Transient,
    Unreachable,
    UploadInterrupted,
)
from ingot_client._pieces import PIECE_BYTES, PIECE_RECORDS, Piece
from ingot_client._sources import StreamSource
from ingot_client._uploading import Upload
from tests.client.fake import Call, FakeServer

ROWS = [{"id": number, "text": "x" * 90} for number in range(25_500)]
TEXTS = [json.dumps(row, separators=(",", ":")).encode() for row in ROWS]
DATA = b"\n".join(TEXTS) + b"\n"


def sent_exactly_from_what_was_committed(fake: FakeServer) -> bool:
    return all(call.offsets[0] == call.committed_before for call in fake.calls if call.offsets)


FAULTS = {
    "nothing": [],
    "the first message is lost": [Call(drop_after=1, keep=0)],
    "dropped after two": [Call(drop_after=2)],
    "dropped, and some were not committed": [Call(drop_after=9, keep=4)],
    "dropped again and again": [Call(drop_after=3, keep=2) for _ in range(4)],
    "a gap": [Call(drop_after=3, code=StatusCode.OUT_OF_RANGE, reason="OFFSET_GAP")],
    "a conflict": [Call(drop_after=3, code=StatusCode.ABORTED, reason="UPLOAD_CONFLICT")],
    "the deadline": [Call(drop_after=3, code=StatusCode.DEADLINE_EXCEEDED, reason="")],
    "a reset stream": [Call(drop_after=3, code=StatusCode.INTERNAL, reason="")],
    "the reply is lost": [Call(lose_reply=True)],
    "the call ends early": [Call(answer_after=4)],
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_records_arrive_exactly_once(fake: FakeServer, ingot: AsyncClient, fault: str) -> None:
    fake.script.extend(replace(call, offsets=[]) for call in FAULTS[fault])

    done = await ingot.import_records("t", ROWS, key_fields=["id"])

    assert done.state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == TEXTS
    assert len(fake.calls) == len(FAULTS[fault]) + (fault != "the reply is lost")
    assert sent_exactly_from_what_was_committed(fake)


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
async def test_bytes_arrive_exactly_once(fake: FakeServer, ingot: AsyncClient, fault: str, seekable: bool) -> None:
    fake.script.extend(replace(call, offsets=[]) for call in FAULTS[fault])
    file = io.BytesIO(DATA)
    file.seekable = lambda: seekable  # type: ignore[method-assign]

    done = await ingot.import_file("t", file, type="ndjson")

    assert done.state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == DATA
    assert sent_exactly_from_what_was_committed(fake)


@pytest.mark.parametrize("count", [0, 1, 1_000, 1_001])
async def test_any_number_of_records_is_finished(fake: FakeServer, ingot: AsyncClient, count: int) -> None:
    done = await ingot.import_records("t", (row for row in ROWS[:count]))
    assert done.state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == TEXTS[:count]


async def test_restarted_server_is_found_again(fake: FakeServer, ingot: AsyncClient) -> None:
    async def rows() -> AsyncIterator[dict[str, object]]:
        for number, row in enumerate(ROWS):
            if number == 12_000:
                await fake.stop()
                await fake.start()
            yield row

    assert (await ingot.import_records("t", rows())).state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == TEXTS


async def test_source_waits_while_nothing_is_committed(fake: FakeServer, ingot: AsyncClient) -> None:
    taken = 0
    limit_bytes = 4 * PIECE_BYTES

    async def pieces() -> AsyncIterator[Piece]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield Piece(number, [b"x" * (PIECE_BYTES - 100)])

    fake.committing.clear()
    source = StreamSource(pieces(), "RECORDS", kept_bytes=limit_bytes)
    job = await ingot.create_import("t")
    upload = Upload(ingot._connection, job.import_id, "b", source, retry_timeout=20)
    running = asyncio.create_task(upload.run())
    async with fake.received:
        await fake.received.wait_for(lambda: fake.messages_received)
    while not source.full:  # noqa: ASYNC110 it sets no event
        await asyncio.sleep(0)
    # The first message waits in the server and the others on the way; the source has been asked for no more than the
    # limit and the one piece that crosses it.
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert taken <= 5, source._kept_bytes
    assert source.full

    fake.committing.set()
    assert (await running).finished
    assert taken == 40
    assert source._kept_bytes == 0


async def test_key_that_may_only_write_can_upload_more_than_is_kept(fake: FakeServer, ingot: AsyncClient) -> None:
    fake.readable = False

    async def pieces() -> AsyncIterator[Piece]:
        for number in range(10):
            yield Piece(number, [b"x" * PIECE_BYTES])

    job = await ingot.create_import("t")
    source = StreamSource(pieces(), "RECORDS", kept_bytes=2 * PIECE_BYTES)
    assert (await Upload(ingot._connection, job.import_id, "b", source, retry_timeout=20).run()).finished
    assert len(fake.batches["1", "b"].content) == 10
    assert len(fake.calls) > 1


async def test_giving_up_says_how_to_go_on(fake: FakeServer) -> None:
    fake.script.append(Call(drop_after=3))
    async with AsyncClient(f"127.0.0.1:{fake.port}", "k", retry_timeout=0) as ingot:
        with pytest.raises(UploadInterrupted, match="resume='1'") as stopped:
            await ingot.import_records("t", ROWS)
        committed = len(fake.batches["1", "main"].content)
        assert (stopped.value.import_id, stopped.value.batch_id) == ("1", "main")
        assert stopped.value.committed_offset <= committed

        done = await ingot.import_records("t", ROWS, resume="1")

    assert done.state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == TEXTS
    assert fake.calls[1].offsets[0] == committed


async def test_server_that_does_nothing_is_given_up(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingot_client._uploading.STATUS_SECONDS", 0.1)
    fake.committing.clear()
    async with AsyncClient(f"127.0.0.1:{fake.port}", "k", retry_timeout=0.1) as ingot:
        with pytest.raises(UploadInterrupted, match="was cut off"):
            await ingot.import_records("t", iter(ROWS[:10]))


async def test_short_import_asks_only_after_a_failure(
    fake: FakeServer, ingot: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingot_client._uploading.REATTACH_SECONDS", 3600)
    assert (await ingot.import_records("t", iter(ROWS[:2]))).state == "SUCCEEDED"
    assert fake.asked == []
    fake.script.append(Call(lose_reply=True))
    assert (await ingot.import_records("t", iter(ROWS[:2]))).state == "SUCCEEDED"
    assert fake.asked == ["get"]


async def test_what_fits_into_a_message_is_imported_by_one_call(
    fake: FakeServer, ingot: AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "two.ndjson"
    file.write_bytes(b"\n".join(TEXTS[:2]))
    seen: list[Progress] = []
    runs = (
        ingot.import_records("t", ROWS[:2], on_progress=seen.append),
        ingot.import_file("t", file, on_progress=seen.append),
    )
    for number, run in enumerate(runs, start=1):
        job = await run
        assert {moment.committed for moment in seen[-2:]} == {seen[-1].total}
        assert (job.state, job.already_ended) == ("SUCCEEDED", False)
        assert (fake.runs, fake.calls) == (number, [])
    assert fake.batches["1", "main"].content == TEXTS[:2]
    assert fake.batches["2", "main"].content == file.read_bytes()


async def test_what_may_not_fit_into_a_message_or_may_have_begun_is_imported_step_by_step(
    fake: FakeServer, ingot: AsyncClient
) -> None:
    await ingot.import_records("t", iter(ROWS[:2]))
    await ingot.import_records("t", ROWS[:2], request_id="nightly")
    await ingot.import_records("t", [{"id": number} for number in range(PIECE_RECORDS + 1)])
    await ingot.import_records("t", [{"id": number, "text": "x" * (PIECE_BYTES // 2)} for number in range(2)])
    assert fake.runs == 0


@pytest.mark.parametrize("breaks", ["before", "created", "after"])
async def test_an_import_by_one_call_that_breaks_goes_on_step_by_step(
    fake: FakeServer, ingot: AsyncClient, breaks: str
) -> None:
    fake.run_script.append(breaks)
    job = await ingot.import_records("t", ROWS[:2])
    assert (job.state, job.already_ended) == ("SUCCEEDED", False)
    assert list(fake.imports) == ["1"]
    assert fake.batches["1", "main"].content == TEXTS[:2]


async def test_an_import_by_one_call_that_hangs_goes_on_step_by_step_and_tells_its_id(
    fake: FakeServer, ingot: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingot_client._importing.AT_ONCE_SECONDS", 0.1)
    fake.committing.clear()
    told: list[tuple[str, str]] = []

    def tell(moment: Progress) -> None:
        told.append((moment.import_id, moment.state))
        fake.committing.set()

    job = await ingot.import_records("t", ROWS[:2], on_progress=tell)
    assert (job.state, told[0]) == ("SUCCEEDED", ("1", "RECEIVING"))
    assert fake.batches["1", "main"].content == TEXTS[:2]


async def test_same_request_id_goes_on(fake: FakeServer) -> None:
    fake.script.append(Call(drop_after=3))
    async with AsyncClient(f"127.0.0.1:{fake.port}", "k", retry_timeout=0) as ingot:
        with pytest.raises(UploadInterrupted):
            await ingot.import_records("t", ROWS, request_id="nightly")
        for _ in range(2):
            assert (await ingot.import_records("t", ROWS, request_id="nightly")).state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == TEXTS
    assert len(fake.imports) == 1


async def test_lost_answer_of_create_makes_no_second_import(fake: FakeServer, ingot: AsyncClient) -> None:
    fake.create_failures = 1
    await ingot.create_import("t")
    assert len(fake.imports) == 1


async def test_lost_answer_of_delete_is_no_error(fake: FakeServer, ingot: AsyncClient) -> None:
    job = await ingot.create_import("t")
    fake.delete_failures = 1
    await ingot.delete(job.import_id)
    assert not fake.imports
    with pytest.raises(ImportNotFound):
        await ingot.delete(job.import_id)


async def test_broken_watch_is_attached_again(fake: FakeServer, ingot: AsyncClient) -> None:
    fake.watch_failures = 2
    assert (await ingot.import_records("t", ROWS[:3])).state == "SUCCEEDED"


async def test_lost_server_is_told_while_an_import_is_followed(fake: FakeServer, ingot: AsyncClient) -> None:
    fake.watch_failures = 2
    seen: list[Progress] = []
    await ingot.import_records("t", iter(ROWS[:3]), on_progress=seen.append)
    assert [moment.trouble for moment in seen if moment.state == "PROCESSING"] == [
        *("", "shutting_down", "", "", "shutting_down", "", "")
    ]

    fake.imports["1"].state = import_pb2.IMPORT_STATE_PROCESSING
    fake.watch_failures = 1
    troubles: list[str] = []
    assert [job.state async for job in ingot.watch("1", on_trouble=troubles.append)][-1] == "SUCCEEDED"
    assert troubles == ["shutting_down", ""]


async def test_watch_raises_what_its_callback_raises(fake: FakeServer, ingot: AsyncClient) -> None:
    def callback(trouble: str) -> None:
        raise LookupError(trouble)

    await ingot.create_import("t")
    fake.watch_failures = 1
    with pytest.raises(LookupError, match="shutting_down"):
        async for _ in ingot.watch("1", on_trouble=callback):
            pass


async def test_import_that_had_ended_takes_only_what_may_be_the_same(fake: FakeServer, ingot: AsyncClient) -> None:
    assert not (await ingot.import_records("t", ROWS[:9], request_id="nightly")).already_ended
    again = await ingot.import_records("t", iter(ROWS[:5]), request_id="nightly")
    assert again.already_ended, "how many records an iterator holds nobody knows"
    assert (await ingot.import_records("t", ROWS[:9], resume="1")).already_ended
    with pytest.raises(SourceDiffers, match=r"request id 'nightly' was used for other data, in import 1: .* 9 records"):
        await ingot.import_records("t", ROWS[:8], request_id="nightly")
    with pytest.raises(SourceDiffers, match=r"import 1 was used for other data: it was begun with records"):
        await ingot.import_file("t", io.BytesIO(DATA), type="ndjson", resume="1")
    assert len(fake.calls) == 1


async def test_refused_upload_leaves_no_open_import(fake: FakeServer, ingot: AsyncClient) -> None:
    refusal = {"code": StatusCode.INVALID_ARGUMENT, "reason": "INVALID_REQUEST"}
    fake.script.append(Call(drop_after=1, keep=0, **refusal))  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        await ingot.import_records("t", ROWS)
    assert (await ingot.get_import("1")).state == "CANCELLED"

    for number, options in enumerate(({"request_id": "nightly"}, {}), start=2):
        fake.script.append(Call(drop_after=2, keep=number - 2, **refusal))  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest):
            await ingot.import_records("t", ROWS, **options)  # type: ignore[arg-type]
        assert (await ingot.get_import(str(number))).state == "RECEIVING", "it has a name, or records"


async def test_failing_source_cancels_the_import(fake: FakeServer, ingot: AsyncClient) -> None:
    cause = KeyError("row 3")

    def rows() -> Iterator[dict[str, int]]:
        yield {"id": 1}
        raise RuntimeError("the cursor broke") from cause

    with pytest.raises(RuntimeError, match="the cursor broke") as raised:
        await ingot.import_records("t", rows())
    assert raised.value.__cause__ is cause
    assert (await ingot.get_import("1")).state == "CANCELLED"
    assert not any(batch.finished for batch in fake.batches.values())


async def test_failing_source_leaves_a_named_import_open(fake: FakeServer, ingot: AsyncClient) -> None:
    async def rows() -> AsyncIterator[dict[str, int]]:
        yield {"id": 1}
        raise RuntimeError("the cursor broke")

    with pytest.raises(RuntimeError):
        await ingot.import_records("t", rows(), request_id="nightly")
    assert (await ingot.get_import("1")).state == "RECEIVING"


async def test_failing_callback_stops_the_import(fake: FakeServer, ingot: AsyncClient) -> None:
    def callback(progress: Progress) -> None:
        if progress.committed:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await ingot.import_records("t", ROWS, on_progress=callback)


async def test_shorter_file_is_not_taken_for_the_same(fake: FakeServer, ingot: AsyncClient, tmp_path: Path) -> None:
    fake.script.append(Call(drop_after=3, code=StatusCode.FAILED_PRECONDITION, reason="CONTENT_DIFFERS"))
    file = tmp_path / "data.ndjson"
    file.write_bytes(DATA)
    job = await ingot.create_import("t")
    with pytest.raises(ContentDiffers):
        await ingot.upload_file(job.import_id, "main", file)
    file.write_bytes(DATA[:100])
    with pytest.raises(SourceDiffers, match="100 bytes"):
        await ingot.import_file("t", file, resume=job.import_id)


async def test_refusal_is_told_even_if_a_write_fails_meanwhile(fake: FakeServer, ingot: AsyncClient) -> None:
    # grpc itself loses the status in about every third of these calls.
    for number in range(30):
        fake.script.append(Call(drop_after=2, code=StatusCode.FAILED_PRECONDITION, reason="CONTENT_DIFFERS"))
        job = await ingot.create_import("t", request_id=str(number))
        with pytest.raises(ContentDiffers):
            await ingot.upload_file(job.import_id, "b", io.BytesIO(DATA), type="ndjson")


async def test_source_that_ends_before_what_was_sent_is_refused(fake: FakeServer, ingot: AsyncClient) -> None:
    fake.script.append(Call(drop_after=3, code=StatusCode.FAILED_PRECONDITION, reason="CONTENT_DIFFERS"))
    job = await ingot.create_import("t")
    with pytest.raises(ContentDiffers):
        await ingot.upload_records(job.import_id, "main", ROWS)
    with pytest.raises(TotalMismatch):
        await ingot.upload_records(job.import_id, "main", iter(ROWS[:5]))
    assert not fake.batches["1", "main"].finished


async def test_progress_never_goes_back(fake: FakeServer, ingot: AsyncClient) -> None:
    fake.script.extend([Call(drop_after=5, keep=3), Call(drop_after=5, keep=3)])
    seen: list[Progress] = []
    await ingot.import_records("t", ROWS, on_progress=seen.append)
    committed = [progress.committed for progress in seen]
    assert committed == sorted(committed)
    assert committed[-1] == len(ROWS)
    assert any(progress.trouble for progress in seen)
    assert not seen[-1].trouble
    assert seen[0].import_id == "1"


async def test_unreachable_server_is_reported_soon() -> None:
    async with AsyncClient("127.0.0.1:1", "k") as ingot:
        async with asyncio.timeout(10):
            with pytest.raises(Unreachable, match=r"no Ingot server answers at 127\.0\.0\.1:1"):
                await ingot.upload_records("1", "b", ROWS)
            with pytest.raises(Transient):
                await anext(ingot.watch("1"))


async def test_every_call_carries_the_key(fake: FakeServer, ingot: AsyncClient) -> None:
    await ingot.create_import("t")
    assert fake.metadata[0]["authorization"] == "Bearer ingot_test_key"


async def test_cancelled_upload_can_go_on(fake: FakeServer, ingot: AsyncClient) -> None:
    reached = asyncio.Event()

    async def rows() -> AsyncIterator[dict[str, object]]:
        for number, row in enumerate(ROWS):
            if number == 20_000 and len(fake.calls) == 1:
                reached.set()
                await asyncio.Event().wait()
            yield row

    running = asyncio.create_task(ingot.import_records("t", rows()))
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await ingot.get_import("1")).state == "RECEIVING"
    assert (await ingot.import_records("t", ROWS, resume="1")).state == "SUCCEEDED"
    assert fake.batches["1", "main"].content == TEXTS
