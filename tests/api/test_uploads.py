"""Exactly once: offsets, finish, resuming, and what is sent again."""

import asyncio
import json
from typing import Any

import grpc
import pytest

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as isv
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, reason_of, records
from tests.conftest import running_app
from tests.faults.staging import stop_at

NDJSON = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
KLINGON = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON, encoding="klingon")


@pytest.mark.parametrize("number", [1, 2, 4_999, 5_000, 5_001, 12_345])
async def test_every_record_arrives_whatever_their_number(caller: Caller, number: int) -> None:
    import_id = await caller.create()
    rows = [{"id": row, "v": f"värde {row}"} for row in range(number)]
    messages = [
        records(rows[start : start + 700], import_id=import_id, batch_id="b", offset=start)
        for start in range(0, number, 700)
    ]
    batch = await caller.upload([*messages, Upload(finish=batch_pb2.Finish(total=number))])
    assert (batch.committed_offset, batch.total, batch.finished) == (number, number, True)
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert ended.counts == stage_pb2.RecordCounts(received=number, created=number)
    assert sorted(await caller.table(), key=lambda row: row["id"]) == rows


async def test_the_end_of_the_stream_is_not_the_end_of_the_batch(caller: Caller) -> None:
    import_id = await caller.create()
    batch = await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    assert (batch.finished, batch.committed_offset, batch.status) == (False, 1, batch_pb2.BATCH_STATUS_UPLOADING)


async def test_a_cancelled_stream_never_finishes_a_batch(caller: Caller) -> None:
    import_id = await caller.create()
    for round_number in range(30):
        batch_id = f"b{round_number}"
        call = caller.batches.UploadBatch()
        for start in range(round_number % 4):
            await call.write(records([{"id": start}], import_id=import_id, batch_id=batch_id, offset=start))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    listed = await caller.get(import_id)
    assert listed.state == import_pb2.IMPORT_STATE_RECEIVING
    for round_number in range(30):
        try:
            batch = await caller.batch(import_id, f"b{round_number}")
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
        else:
            assert not batch.finished
            assert batch.committed_offset <= round_number % 4


async def test_an_upload_goes_on_where_it_stopped_and_drops_what_is_repeated(caller: Caller) -> None:
    import_id = await caller.create()
    rows = [{"id": row} for row in range(100)]
    await caller.upload([records(rows[:40], import_id=import_id, batch_id="b")])
    batch = await caller.upload(
        [records(rows[20:], import_id=import_id, batch_id="b", offset=20, finish=100)],
    )
    assert batch.finished
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=100, created=100)


async def test_a_gap_is_refused_with_the_expected_offset_and_nothing_before_it_is_lost(caller: Caller) -> None:
    import_id = await caller.create()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload(
            [
                records([{"id": 1}], import_id=import_id, batch_id="b", offset=0),
                records([{"id": 3}], offset=2),
            ]
        )
    assert refused.value.code() == grpc.StatusCode.OUT_OF_RANGE
    info = reason_of(refused.value)
    assert info.reason == "OFFSET_GAP"
    assert (info.metadata["expected_offset"], info.metadata["committed_offset"]) == ("1", "1")
    assert (await caller.batch(import_id)).committed_offset == 1


@pytest.mark.parametrize("total", [0, 1, 3])
async def test_a_finish_with_another_total_is_refused_and_the_batch_stays_open(caller: Caller, total: int) -> None:
    import_id = await caller.create()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([records([{"id": 1}, {"id": 2}], import_id=import_id, batch_id="b", finish=total)])
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    info = reason_of(refused.value)
    assert info.reason == "TOTAL_MISMATCH"
    assert (info.metadata["received"], info.metadata["total"]) == ("2", str(total))
    batch = await caller.batch(import_id)
    assert (batch.finished, batch.committed_offset) == (False, 2)
    assert (await caller.upload([Upload(import_id=import_id, batch_id="b", finish=batch_pb2.Finish(total=2))])).finished


async def test_a_finished_batch_can_be_sent_again_and_takes_nothing_more(caller: Caller) -> None:
    import_id = await caller.create()
    whole = records([{"id": 1}, {"id": 2}], import_id=import_id, batch_id="b", finish=True)
    first = await caller.upload([whole])
    ended = await caller.finish(import_id)
    again = await caller.upload([whole])
    assert (again.finished, again.total) == (first.finished, first.total)
    assert await caller.get(import_id) == ended
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([records([{"id": 3}], import_id=import_id, batch_id="b", offset=2)])
    assert reason_of(refused.value).reason == "BATCH_FINISHED"


@pytest.mark.parametrize("as_file", [False, True])
async def test_other_content_under_the_same_batch_id_is_refused(caller: Caller, as_file: bool) -> None:
    import_id = await caller.create()

    def message(name: str) -> Upload:
        if as_file:
            data = json.dumps({"id": 1, "name": name}).encode() + b"\n"
            return Upload(
                import_id=import_id, batch_id="b", format=NDJSON, data=data, finish=batch_pb2.Finish(total=len(data))
            )
        return records([{"id": 1, "name": name}], import_id=import_id, batch_id="b", finish=True)

    await caller.upload([message("Ada")])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([message("Eve")])
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(refused.value).reason == "CONTENT_DIFFERS"
    await caller.finish(import_id)
    assert await caller.table() == [{"id": 1, "name": "Ada"}]


async def test_the_same_batch_on_two_servers_at_once_is_counted_once(caller: Caller, database_url: str) -> None:
    async with running_app(database_url) as other, Caller(f"127.0.0.1:{other.port}", caller.key) as second:
        for number in range(20):
            import_id = await caller.create(f"t{number}")
            rows = [{"id": row} for row in range(50)]

            def messages(import_id: str = import_id, rows: list[Any] = rows) -> list[Upload]:
                return [
                    records(rows[:25], import_id=import_id, batch_id="b"),
                    records(rows[25:], offset=25, finish=50),
                ]

            answers = await asyncio.gather(caller.upload(messages()), second.upload(messages()), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, grpc.aio.AioRpcError):
                    assert answer.code() in (grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION)
            assert (await caller.upload(messages())).finished
            ended = await second.finish(import_id)
            assert ended.counts == stage_pb2.RecordCounts(received=50, created=50)


@pytest.mark.parametrize("is_other", [True, False])
async def test_of_two_who_append_at_the_same_place_at_once_one_is_refused_unless_they_send_the_same(
    caller: Caller, database: Database, database_url: str, is_other: bool
) -> None:
    names = ["Ada", "Eve" if is_other else "Ada"]
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with running_app(database_url) as other, Caller(f"127.0.0.1:{other.port}", caller.key) as second:
        import_id = await caller.create()
        await caller.upload([Upload(import_id=import_id, batch_id="b")])
        messages = [
            records([{"id": 1, "name": name}], import_id=import_id, batch_id="b", finish=True) for name in names
        ]
        async with stop_at(database_url, "SELECT FROM batch FOR UPDATE"):
            uploads = [
                asyncio.create_task(one.upload([sent])) for one, sent in zip((caller, second), messages, strict=True)
            ]
            while len(await database.fetch(waiting)) < 2:
                pass
        answers = await asyncio.gather(*uploads, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [reason_of(error).reason for error in refused] == ["BATCH_FINISHED"] * is_other
    taken = [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, batch_pb2.Batch)]
    assert (await caller.finish(import_id)).counts == stage_pb2.RecordCounts(received=1, created=1)
    assert await caller.table() == [{"id": 1, "name": taken[0]}]


async def test_a_file_goes_on_at_a_byte_on_another_server(caller: Caller, database_url: str) -> None:
    data = b"".join(
        json.dumps({"id": row, "text": "å" * 30}, ensure_ascii=False).encode() + b"\n" for row in range(500)
    )
    import_id = await caller.create()
    await caller.upload([Upload(import_id=import_id, batch_id="b", format=NDJSON, data=data[:10_001])])
    committed = (await caller.batch(import_id)).committed_offset
    assert 0 < committed <= 10_001
    async with running_app(database_url) as other, Caller(f"127.0.0.1:{other.port}", caller.key) as second:
        batch = await second.upload(
            [
                Upload(import_id=import_id, batch_id="b", offset=committed, data=data[committed:]),
                Upload(finish=batch_pb2.Finish(total=len(data))),
            ]
        )
        assert (batch.committed_offset, batch.total) == (len(data), len(data))
        ended = await second.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=500, created=500)


async def test_several_batches_run_in_parallel(caller: Caller) -> None:
    import_id = await caller.create()
    await asyncio.gather(
        *(
            caller.upload(
                [
                    records(
                        [{"id": f"{part}-{row}"} for row in range(200)],
                        import_id=import_id,
                        batch_id=f"b{part}",
                        finish=True,
                    )
                ]
            )
            for part in range(5)
        )
    )
    ended = await caller.finish(import_id)
    assert (ended.batch_count, ended.counts.created) == (5, 1000)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Upload(batch_id="b"), "import_id"),
        (Upload(import_id="1"), "batch_id"),
        (Upload(import_id="1", batch_id="no blanks"), "batch_id"),
        (Upload(import_id="1", batch_id="b", data=b"{}"), "format"),
        (Upload(import_id="1", batch_id="b", format=batch_pb2.DataFormat(), data=b"{}"), "format.type"),
        (
            Upload(import_id="1", batch_id="b", format=KLINGON),
            "format.encoding",
        ),
        (Upload(import_id="1", batch_id="b", expected_total=-1), "expected_total"),
        (records([{}], import_id="1", batch_id="b", offset=-1), "offset"),
        (records([{}], import_id="1", batch_id="b", format=NDJSON, data=b"{}"), "data"),
    ],
)
async def test_a_wrong_message_is_refused_and_the_field_named(caller: Caller, message: Upload, field: str) -> None:
    assert await caller.create() == "1"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([message])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.value.details() or "").startswith(field)


async def test_later_messages_may_repeat_what_the_first_says(caller: Caller) -> None:
    import_id = await caller.create()
    whole = Upload(import_id=import_id, batch_id="b", format=NDJSON, expected_total=19)
    parts = [Upload(data=b'{"id": 1}\n'), Upload(data=b'{"id": 2}', finish=batch_pb2.Finish(total=19))]
    for part in parts:
        part.MergeFrom(whole)
    await caller.upload(parts)
    assert (await caller.finish(import_id)).counts.created == 2


@pytest.mark.parametrize(
    "other",
    [
        Upload(import_id="2"),
        Upload(batch_id="c"),
        Upload(format=batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV)),
        Upload(expected_total=0),
    ],
    ids=["import_id", "batch_id", "format", "expected_total"],
)
async def test_later_messages_may_not_say_otherwise(caller: Caller, other: Upload) -> None:
    import_id = await caller.create()
    first = Upload(import_id=import_id, batch_id="b", format=NDJSON, expected_total=18, data=b'{"id": 1}\n')
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([first, other])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    (field,) = [field.name for field, _ in other.ListFields()]
    assert (refused.value.details() or "").startswith(field)


async def test_a_stream_without_messages_is_refused(caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_batch_carries_either_records_or_data(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.upload([Upload(import_id=import_id, batch_id="b", offset=1, data=b"{}")])
    assert "this batch carries records" in (refused.value.details() or "")


@pytest.mark.parametrize("as_file", [False, True])
async def test_a_batch_without_a_record_is_a_failure(caller: Caller, as_file: bool) -> None:
    import_id = await caller.create()
    first = Upload(import_id=import_id, batch_id="b", finish=batch_pb2.Finish(total=0))
    if as_file:
        first.format.CopyFrom(NDJSON)
    batch = await caller.upload([first])
    assert batch.upload.state == stage_pb2.STAGE_STATE_FAILURE
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert ended.state_message == "The upload held no record."
    assert [error.code for error in await caller.errors(import_id)] == [
        record_error_pb2.RECORD_ERROR_CODE_EMPTY_PAYLOAD
    ]


async def test_run_import_does_it_all_in_one_call_and_can_be_repeated(caller: Caller) -> None:
    def messages() -> list[isv.RunImportRequest]:
        one = isv.RunImportRequest(spec=import_pb2.ImportSpec(table="things", key_fields=["id"]), request_id="r")
        two = isv.RunImportRequest(offset=0, finish=batch_pb2.Finish(total=2))
        for row in (b'{"id": 1}', b'{"id": 2}'):
            two.records.add(json=row)
        return [one, two]

    first = (await caller.imports.RunImport(iter(messages()))).import_job
    ended = await caller.ended(first.import_id)
    assert (ended.state, ended.counts.created) == (import_pb2.IMPORT_STATE_SUCCEEDED, 2)
    again = (await caller.imports.RunImport(iter(messages()))).import_job
    assert again == ended


async def test_run_import_without_finish_leaves_the_import_open(caller: Caller) -> None:
    message = isv.RunImportRequest(spec=import_pb2.ImportSpec(table="things", key_fields=["id"]))
    message.records.add(json=b'{"id": 1}')
    call = caller.imports.RunImport(iter([message]))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert reason_of(refused.value).reason == "BATCH_UNFINISHED"
    import_id = str(dict(await call.initial_metadata())["ingot-import-id"])
    assert (await caller.get(import_id)).state == import_pb2.IMPORT_STATE_RECEIVING
    await caller.upload([Upload(import_id=import_id, batch_id="main", finish=batch_pb2.Finish(total=1))])
    assert (await caller.finish(import_id)).counts.created == 1


async def test_what_is_acknowledged_is_in_the_log(caller: Caller, database: Database) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    rows = await database.fetch("SELECT start_offset, end_offset, record_count FROM chunk")
    assert [tuple(row) for row in rows] == [(0, 1, 1)]
