"""Productsup: batches of the Stream API (seed 003), sentence by sentence.

Not about Ingot:
* "You can access this API endpoint upon request only ... reach out to your Client Success Manager"
* "This information about the batches response does not include everything ... take a look at the Open API Spec as
  well"
* "data.attributes.stages.upload" as a path in JSON:API: the stages are fields of `Batch`
* "How is this guide?"
"""

import json
from itertools import pairwise
from typing import Any

import pytest

from ingot.v1 import batch_pb2, field_pb2, import_pb2, record_error_pb2, stage_pb2
from ingot.v1 import batch_service_pb2 as bs
from ingot.v1 import import_service_pb2 as im
from tests.calling import Caller, Upload, records
from tests.pipeline.hosting import Host, cut_after, hosting, status
from tests.seeds.conftest import faults, file_imported, imported, keys, retried, staged

NDJSON = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
ARRAY = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_JSON_ARRAY)
SUCCESS, WARNING, FAILURE = (
    stage_pb2.STAGE_STATE_SUCCESS,
    stage_pb2.STAGE_STATE_WARNING,
    stage_pb2.STAGE_STATE_FAILURE,
)
GOOD = {"id": "1", "name": "Mug", "price": 9.9}
NO_ID = {"name": "Mug"}
NO_PRICE = {"id": "2", "price": "cheap"}
LINE_BYTES = 2_097_152


async def products(caller: Caller, *rows: Any) -> batch_pb2.Batch:
    """The batch of an import of products that has ended."""
    ended = await imported(caller, rows, "products", kind="PRODUCTS")
    return await caller.batch(ended.import_id)


async def test_track_the_processing_status_using_batch_ids(caller: Caller) -> None:
    """Track the processing status of product data uploads using batch IDs."""
    import_id = await caller.create("products", (), kind="PRODUCTS")
    await caller.upload([records([GOOD], import_id=import_id, batch_id="b", finish=True)])
    updates = caller.batches.WatchBatch(bs.WatchBatchRequest(import_id=import_id, batch_id="b"))
    assert [update.batch.status async for update in updates][-1] == batch_pb2.BATCH_STATUS_PROCESSED


async def test_sending_is_answered_with_a_status_and_a_batch_id(caller: Caller) -> None:
    """Once you send product data to the API, it responds with a status and a batch identifier or Batch ID."""
    import_id = await caller.create("products", (), kind="PRODUCTS")
    batch = await caller.upload([records([GOOD], import_id=import_id, batch_id="2026-11-20", finish=True)])
    assert (batch.import_id, batch.batch_id, batch.counts.received) == (import_id, "2026-11-20", 1)
    assert batch.status in (batch_pb2.BATCH_STATUS_UPLOADED, batch_pb2.BATCH_STATUS_PROCESSED)


async def test_the_batch_id_tells_of_a_specific_payload(caller: Caller) -> None:
    """Use the Batch ID to check the processing status of a specific payload."""
    import_id = await caller.create("products", (), kind="PRODUCTS")
    await caller.upload([records([GOOD], import_id=import_id, batch_id="right", finish=True)])
    await caller.upload([records([NO_ID], import_id=import_id, batch_id="wrong", finish=True)])
    await caller.finish(import_id)
    assert (await caller.batch(import_id, "right")).status == batch_pb2.BATCH_STATUS_PROCESSED
    assert (await caller.batch(import_id, "wrong")).status == batch_pb2.BATCH_STATUS_FAILED
    assert [error.index for error in await caller.errors(import_id, batch_id="wrong")] == [0]
    assert await caller.errors(import_id, batch_id="right") == []


async def test_a_chunked_stream(caller: Caller) -> None:
    """Example using a chunked stream: sent in pieces, while what was sent before is already being processed."""
    import_id = await caller.create("products", (), kind="PRODUCTS")
    data = b"".join(b'{"id": "%d"}\n' % number for number in range(1000))
    sent = await caller.upload([Upload(import_id=import_id, batch_id="b", format=NDJSON, data=data[:5001])])
    async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
        if update.import_job.counts.created:
            assert update.import_job.state == import_pb2.IMPORT_STATE_RECEIVING
            break
    # The last line is not complete yet: it is sent again from its beginning.
    assert sent.committed_offset == data[:5001].rindex(b"\n") + 1
    rest = Upload(import_id=import_id, batch_id="b", data=data[sent.committed_offset :], offset=sent.committed_offset)
    rest.finish.total = len(data)
    await caller.upload([rest])
    assert (await caller.finish(import_id)).counts.created == 1000


@pytest.mark.parametrize("rows", [[GOOD], [GOOD, NO_ID]])
async def test_status_uploaded(unprocessed: Caller, rows: list[Any]) -> None:
    """Uploaded: when products were fully or partially uploaded to a stream."""
    import_id = await unprocessed.create("products", (), kind="PRODUCTS")
    batch = await unprocessed.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    assert batch.status == batch_pb2.BATCH_STATUS_UPLOADED
    assert batch.upload.state == (SUCCESS if len(rows) == 1 else WARNING)
    assert batch.processing.state == stage_pb2.STAGE_STATE_PENDING


@pytest.mark.parametrize("rows", [[GOOD], [GOOD, NO_ID], [GOOD, NO_PRICE], [GOOD, NO_ID, NO_PRICE]])
async def test_status_processed(caller: Caller, rows: list[Any]) -> None:
    """Processed: when products were fully or partially processed and imported to a site."""
    batch = await products(caller, *rows)
    assert batch.status == batch_pb2.BATCH_STATUS_PROCESSED
    assert await keys(caller, "products") == ["1"]


@pytest.mark.parametrize("rows", [[NO_ID, {}], [NO_PRICE], [NO_ID, NO_PRICE]])
async def test_status_failed(caller: Caller, rows: list[Any]) -> None:
    """Failed: when all products from a batch were invalid either during upload or processing stage."""
    batch = await products(caller, *rows)
    assert batch.status == batch_pb2.BATCH_STATUS_FAILED
    assert batch.counts.rejected == len(rows)
    assert await keys(caller, "products") == []


@pytest.mark.parametrize(
    ("rows", "upload", "processing"),
    [
        ([GOOD], SUCCESS, SUCCESS),
        ([GOOD, NO_ID], WARNING, SUCCESS),
        ([GOOD, NO_PRICE], SUCCESS, WARNING),
        ([GOOD, NO_ID, NO_PRICE], WARNING, WARNING),
        ([NO_PRICE], SUCCESS, FAILURE),
        ([NO_ID, NO_PRICE], WARNING, FAILURE),
        ([NO_ID], FAILURE, FAILURE),
    ],
)
async def test_two_stages_with_one_of_three_statuses(
    caller: Caller,
    rows: list[Any],
    upload: stage_pb2.StageState.ValueType,
    processing: stage_pb2.StageState.ValueType,
) -> None:
    """Each batch transits through 2 stages: success, warning (at least 1 invalid product), failure (all invalid)."""
    batch = await products(caller, *rows)
    assert batch.upload.state == upload
    assert batch.processing.state == processing


async def test_a_product_that_is_imported_with_doubt_is_not_invalid(caller: Caller) -> None:
    """Success: no invalid products were encountered: a warning of a single value does not change that."""
    reading = field_pb2.ReadingOptions(time_zone="Europe/Stockholm")
    # At this moment clocks were put forward.
    rows = [{"id": "1", "created_at": "2026-03-29 02:30"}]
    ended = await imported(caller, rows, "products", kind="PRODUCTS", reading=reading)
    assert (ended.state, ended.processing.state) == (import_pb2.IMPORT_STATE_SUCCEEDED, SUCCESS)
    (group,) = ended.processing.error_groups
    assert (group.code, group.field, group.count) == (
        record_error_pb2.RECORD_ERROR_CODE_DOUBTFUL_VALUE,
        "created_at",
        1,
    )
    assert group.severity == record_error_pb2.ERROR_SEVERITY_WARNING
    assert await keys(caller, "products") == ["1"]


async def test_a_partial_upload_is_accepted(caller: Caller) -> None:
    """A batch which contains some invalid products: accepts it as a partial upload and responds with a 202 Accepted."""
    import_id = await caller.create("products", (), kind="PRODUCTS")
    batch = await caller.upload([records([GOOD, NO_ID, b"{"], import_id=import_id, batch_id="b", finish=True)])
    assert (batch.finished, batch.upload.state) == (True, WARNING)
    assert (await caller.finish(import_id)).counts == stage_pb2.RecordCounts(received=3, created=1, rejected=2)


async def test_the_upload_stage_tells_status_numbers_and_unique_errors(caller: Caller) -> None:
    """The status of the upload stage, a number of successfully uploaded products, details of how many invalid ..."""
    rows = [GOOD, NO_ID, {"id": "9", "name": "Cup"}, {"name": "Cup"}, {}, {"name": "Jug"}]
    batch = await products(caller, *rows)
    assert batch.upload.state == WARNING
    assert (batch.upload.accepted, batch.upload.rejected) == (2, 4)
    assert [(group.code, group.field, group.count) for group in batch.upload.error_groups] == [
        (record_error_pb2.RECORD_ERROR_CODE_MISSING_KEY, "id", 3),
        (record_error_pb2.RECORD_ERROR_CODE_EMPTY_RECORD, "", 1),
    ]


async def test_unique_error_messages_come_with_raw_example_data(caller: Caller) -> None:
    """A list of unique error messages captured with example raw product data."""
    batch = await products(caller, GOOD, NO_ID, {"name": "Cup"}, {})
    examples = [(group.example.index, json.loads(group.example.raw)) for group in batch.upload.error_groups]
    assert examples == [(1, NO_ID), (3, {})]
    assert all(group.example.message for group in batch.upload.error_groups)
    assert len({group.example.message for group in batch.upload.error_groups}) == 2


async def test_errors_of_both_stages_are_told_apart(caller: Caller) -> None:
    """Each stage: a number of products, a number of errors encountered, and a list of unique error messages."""
    data = b"\n".join(
        [
            b"{}",
            b" ",
            b'{"name": "Mug"}',
            b'{"id": "' + b"x" * LINE_BYTES + b'"}',
            b'{"id": "1", "name": "two\x01words"}',
            b'{"id": "1" "name": "Mug"}',
            b'{"id": "2", "price": "cheap"}',
            b'{"id": "3", "price": "dear"}',
            b'{"id": "4", "link": "nowhere"}',
            b'{"id": "5", "price": "9.90"}',
        ]
    )
    ended = await file_imported(caller, data, "products", NDJSON, kind="PRODUCTS")
    batch = await caller.batch(ended.import_id)
    assert (batch.upload.state, batch.upload.accepted, batch.upload.rejected) == (WARNING, 4, 6)
    assert (batch.processing.state, batch.processing.accepted, batch.processing.rejected) == (WARNING, 1, 3)
    assert {(int(group.code), group.count) for group in batch.upload.error_groups} == {
        (1100, 1),
        (1101, 1),
        (1102, 1),
        (1103, 1),
        (1104, 1),
        (1105, 1),
    }
    assert {(int(group.code), group.field, group.count) for group in batch.processing.error_groups} == {
        (1002, "price", 2),
        (1002, "url", 1),
    }
    for stage, name in (
        (batch.upload, record_error_pb2.ERROR_STAGE_UPLOAD),
        (batch.processing, record_error_pb2.ERROR_STAGE_PROCESSING),
    ):
        examples = [group.example for group in stage.error_groups]
        assert {example.stage for example in examples} == {name}
        assert len({example.message for example in examples}) == len(examples)
        for example in examples:
            assert example.raw_truncated == (example.code == record_error_pb2.RECORD_ERROR_CODE_RECORD_TOO_LARGE)
            assert example.raw[:8] == data.split(b"\n")[example.index][:8].decode()
    assert ended.upload.error_groups == batch.upload.error_groups
    assert ended.processing.error_groups == batch.processing.error_groups


async def test_a_batch_that_is_staged_shows_both_stages_before_it_is_imported(caller: Caller) -> None:
    """When you run an import process, the processing stage gets updated: here it can be looked at before."""
    waiting = await staged(caller, [GOOD, NO_ID, NO_PRICE], "products", kind="PRODUCTS")
    batch = await caller.batch(waiting.import_id)
    assert (batch.upload.accepted, batch.upload.rejected) == (2, 1)
    assert (batch.processing.accepted, batch.processing.rejected) == (1, 1)
    assert await keys(caller, "products") == []
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=waiting.import_id))
    await caller.ended(waiting.import_id)
    after = await caller.batch(waiting.import_id)
    assert (after.status, after.upload, after.processing) == (
        batch_pb2.BATCH_STATUS_PROCESSED,
        batch.upload,
        batch.processing,
    )
    assert await keys(caller, "products") == ["1"]


async def test_what_a_batch_has_rejected_is_tried_again_under_its_id(caller: Caller) -> None:
    """Use the Batch ID to check the processing status of a specific payload: also of its second try."""
    import_id = await caller.create("purchases", (), kind="ORDERS")
    order = {"id": "o-1", "email": "ada@example.org"}
    for batch_id, rows in (("early", [order, {"id": "o-2"}, {}]), ("wrong", [NO_ID])):
        await caller.upload([records(rows, import_id=import_id, batch_id=batch_id, finish=True)])
    await caller.finish(import_id)
    await imported(caller, [{"email": "ada@example.org"}], "customers", kind="CONTACTS")
    again = await retried(caller, import_id)
    early = await caller.batch(again.import_id, "early")
    # What was faulty as it was sent, such as `{}`, is not tried again.
    assert early.counts == stage_pb2.RecordCounts(received=2, created=1, rejected=1)
    assert (early.upload.state, early.processing.state) == (SUCCESS, WARNING)
    assert await keys(caller, "purchases") == ["o-1"]


async def test_the_processing_stage_is_updated_when_an_import_runs(caller: Caller) -> None:
    """When you run an import process, stages.processing gets updated with the status, numbers, and unique errors."""
    rows = [GOOD, NO_PRICE, {"id": "3", "price": "dear"}, {"id": "4", "link": "nowhere"}, {"id": "5"}]
    import_id = await caller.create("products", (), kind="PRODUCTS")
    before = await caller.upload([records(rows[:1], import_id=import_id, batch_id="b")])
    assert before.processing.accepted + before.processing.rejected <= 1
    await caller.upload([records(rows[1:], import_id=import_id, batch_id="b", offset=1, finish=5)])
    await caller.finish(import_id)
    stage = (await caller.batch(import_id)).processing
    assert stage.state == WARNING
    assert (stage.accepted, stage.rejected) == (2, 3)
    assert [(group.code, group.field, group.count) for group in stage.error_groups] == [
        (record_error_pb2.RECORD_ERROR_CODE_INVALID_VALUE, "price", 2),
        (record_error_pb2.RECORD_ERROR_CODE_INVALID_VALUE, "url", 1),
    ]
    assert json.loads(stage.error_groups[0].example.raw) == NO_PRICE


async def test_an_import_sums_up_its_batches(caller: Caller) -> None:
    """Each stage can be found with one of 3 statuses: for the import as a whole it is the sum of its batches."""
    import_id = await caller.create("products", (), kind="PRODUCTS")
    await caller.upload([records([GOOD], import_id=import_id, batch_id="a", finish=True)])
    await caller.upload([records([NO_ID], import_id=import_id, batch_id="b", finish=True)])
    ended = await caller.finish(import_id)
    assert (ended.upload.state, ended.upload.accepted, ended.upload.rejected) == (WARNING, 1, 1)
    assert (ended.state, ended.batch_count) == (import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED, 2)


async def chunked(caller: Caller, data: bytes) -> tuple[import_pb2.Import, list[tuple[int, int, str]]]:
    """What became of a payload of NDJSON, and its errors."""
    ended = await file_imported(caller, data, "products", NDJSON, kind="PRODUCTS")
    return ended, await faults(caller, ended.import_id, stage=record_error_pb2.ERROR_STAGE_UPLOAD)


@pytest.mark.parametrize("data", [b"{}", b'{"id": "", "name": null}', b'{"id": null, "name": "", "price": ""}'])
async def test_empty_product_attributes(caller: Caller, data: bytes) -> None:
    """Empty Product Attributes: when sending a product where all attributes are empty. --data-raw '{}'."""
    ended, errors = await chunked(caller, data)
    assert errors == [(0, 1100, "")]
    assert ended.state == import_pb2.IMPORT_STATE_FAILED


async def test_empty_payload_line(caller: Caller) -> None:
    """Empty Payload line: when sending an empty line. --data-raw ' '."""
    ended, errors = await chunked(caller, b" ")
    assert errors == [(0, 1101, "")]
    assert ended.state == import_pb2.IMPORT_STATE_FAILED


async def test_empty_line_between_others(caller: Caller) -> None:
    """Empty Payload line: when sending an empty line, among others that are imported."""
    ended, errors = await chunked(caller, b'{"id": "1"}\n\n{"id": "2"}\n \t\n{"id": "3"}\n')
    assert errors == [(1, 1101, ""), (3, 1101, "")]
    assert ended.counts.created == 3


async def test_missing_id_attribute(caller: Caller) -> None:
    """Missing "id" attribute: when the id attribute is not found in the product details."""
    ended, errors = await chunked(caller, b'{"name": "Mug"}\n{"id": "", "name": "Cup"}\n{"id": "3"}\n')
    assert errors == [(0, 1102, "id"), (1, 1102, "id")]
    assert ended.counts.created == 1


async def test_product_payload_is_too_large(caller: Caller) -> None:
    """Product payload is too large: max line length is 2097152 bytes."""
    frame = b'{"id": "%d", "description": ""}'

    def line(number: int, length: int) -> bytes:
        start = frame % number
        return start[:-2] + b"x" * (length - len(start)) + start[-2:] + b"\n"

    data = line(1, LINE_BYTES) + line(2, LINE_BYTES + 1) + line(3, LINE_BYTES - 1)
    assert [len(text) for text in data.splitlines()] == [LINE_BYTES, LINE_BYTES + 1, LINE_BYTES - 1]
    ended, errors = await chunked(caller, data)
    assert errors == [(1, 1103, "")]
    assert ended.counts == stage_pb2.RecordCounts(received=3, created=2, rejected=1)
    assert len(json.dumps((await caller.table("products"))[0])) >= LINE_BYTES - 10


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"id": "1", "name": "two\x01words"}', 1104),
        (b'{"id": "1", "name": "two\twords"}', 1104),
        (b'{"id": "1", "name": "two\x00words"}', 1104),
        # Productsup reports this one as a control character; here it is what it is.
        (b'{"id": "1", name": "two words"}', 1105),
        (b'{"id": "1", "name": "two \xff words"}', 1107),
    ],
)
async def test_control_character_error_possibly_incorrectly_encoded(caller: Caller, line: bytes, code: int) -> None:
    """Control character error: when there is an error in data coding like missing an open quote."""
    ended, errors = await chunked(caller, line + b'\n{"id": "2"}\n')
    assert errors == [(0, code, "")]
    assert ended.counts.created == 1


@pytest.mark.parametrize(
    "line", [b'{"id": "1" "name": "Mug"}', b'{"id": "1", "name": "Mug"', b'{"id": "1", "name": Mug}', b'{"id": 1,}']
)
async def test_syntax_error(caller: Caller, line: bytes) -> None:
    """Syntax error: when missing a comma between attributes for example."""
    ended, errors = await chunked(caller, line + b'\n{"id": "2"}\n')
    assert errors == [(0, 1105, "")]
    assert ended.counts.created == 1


async def test_empty_payload(caller: Caller) -> None:
    """Empty Payload: when the payload is empty. --data-raw ''."""
    ended, errors = await chunked(caller, b"")
    assert errors == [(0, 1106, "")]
    assert (ended.state, ended.counts.received) == (import_pb2.IMPORT_STATE_FAILED, 0)


async def referenced(
    caller: Caller, host: Host, format: batch_pb2.DataFormat = ARRAY, **spec: Any
) -> tuple[import_pb2.Import, batch_pb2.Batch]:
    """What became of a payload that the server has fetched, and of its batch."""
    import_id = await caller.create("products", (), kind="PRODUCTS", **spec)
    request = bs.ReferenceBatchRequest(import_id=import_id, batch_id="b", uri=f"{host.url}?token=secret", format=format)
    assert (await caller.batches.ReferenceBatch(request)).batch.uri == host.url
    ended = await caller.finish(import_id)
    return ended, await caller.batch(import_id)


async def test_a_referenced_stream(fetching: Caller) -> None:
    """A referenced stream: what is sent is the address, and the server fetches the payload by itself."""
    async with hosting(json.dumps([GOOD, {"id": "2"}]).encode()) as host:
        ended, batch = await referenced(fetching, host)
    assert (ended.state, ended.counts.created) == (import_pb2.IMPORT_STATE_SUCCEEDED, 2)
    assert (batch.status, batch.upload.state, batch.processing.state) == (
        batch_pb2.BATCH_STATUS_PROCESSED,
        SUCCESS,
        SUCCESS,
    )
    assert host.queries == [{"token": "secret"}]
    assert await keys(fetching, "products") == ["1", "2"]


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b'[{"id": "1"}, {"name": "Mug"}, {}, {"id": 1 "name": "Mug"}, {"id": "2", "price": "cheap"}]', ARRAY),
        (b'{"id": "1"}\n{"name": "Mug"}\n{}\n{"id": 1 "name": "Mug"}\n{"id": "2", "price": "cheap"}', NDJSON),
    ],
)
async def test_a_referenced_stream_does_not_validate_products_on_upload(
    fetching: Caller, data: bytes, format: batch_pb2.DataFormat
) -> None:
    """A referenced stream does not validate products on upload: whatever is wrong with them is told by processing."""
    async with hosting(data) as host:
        ended, batch = await referenced(fetching, host, format)
    assert (batch.upload.state, batch.upload.accepted, batch.upload.rejected) == (SUCCESS, 5, 0)
    assert not batch.upload.error_groups
    assert (batch.processing.state, batch.processing.accepted, batch.processing.rejected) == (WARNING, 1, 4)
    assert {(int(group.code), group.field) for group in batch.processing.error_groups} == {
        (1102, "id"),
        (1100, ""),
        (1105, ""),
        (1002, "price"),
    }
    assert all(group.example.raw for group in batch.processing.error_groups)
    assert (ended.upload.state, ended.processing.state) == (SUCCESS, WARNING)
    found = await faults(fetching, ended.import_id, stage=record_error_pb2.ERROR_STAGE_PROCESSING)
    assert found == [(1, 1102, "id"), (2, 1100, ""), (3, 1105, ""), (4, 1002, "price")]


@pytest.mark.parametrize(
    "data", [b'[{"id": "1"}, {"name": "Mug"}]', b"[{}]", b"[]", b'[{"id": "1", "price": "cheap"}]']
)
async def test_an_upload_of_a_referenced_stream_is_a_success_or_a_failure(fetching: Caller, data: bytes) -> None:
    """Will always indicate that an upload was either a success or failure: and never a warning, at any moment."""
    import_id = await fetching.create("products", (), kind="PRODUCTS")
    async with hosting(data) as host:
        request = bs.ReferenceBatchRequest(import_id=import_id, batch_id="b", uri=host.url, format=ARRAY)
        await fetching.batches.ReferenceBatch(request)
        updates = fetching.batches.WatchBatch(bs.WatchBatchRequest(import_id=import_id, batch_id="b"))
        seen = [update.batch.upload async for update in updates]
    assert all(stage.rejected == 0 for stage in seen if stage.accepted)
    assert WARNING not in {stage.state for stage in seen}
    assert seen[-1].state in (SUCCESS, FAILURE)
    for earlier, later in pairwise(seen):
        assert later.accepted >= earlier.accepted


async def test_an_upload_that_could_not_be_fetched_is_a_failure(fetching: Caller) -> None:
    """A referenced stream will always indicate that an upload was either a success or failure: and says why."""
    async with hosting(b"[]", status(404)) as host:
        ended, batch = await referenced(fetching, host)
    assert (batch.status, batch.upload.state) == (batch_pb2.BATCH_STATUS_FAILED, FAILURE)
    assert "404" in batch.status_message
    assert "secret" not in batch.status_message
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert ended.state_message


async def test_a_failed_upload_does_not_take_the_others_with_it(fetching: Caller) -> None:
    """Use the Batch ID to check the status of a specific payload: one that could not be fetched is told for itself."""
    import_id = await fetching.create("products", (), kind="PRODUCTS")
    async with hosting(json.dumps([GOOD]).encode(), status(403)) as host:
        for batch_id in ("forbidden", "fetched"):
            request = bs.ReferenceBatchRequest(import_id=import_id, batch_id=batch_id, uri=host.url, format=ARRAY)
            await fetching.batches.ReferenceBatch(request)
            updates = fetching.batches.WatchBatch(bs.WatchBatchRequest(import_id=import_id, batch_id=batch_id))
            async for _ in updates:
                pass
        await fetching.upload([records([{"id": "2"}], import_id=import_id, batch_id="chunked", finish=True)])
        ended = await fetching.finish(import_id)
    assert (ended.state, ended.counts.created) == (import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED, 2)
    states = [(await fetching.batch(import_id, name)).upload.state for name in ("forbidden", "fetched", "chunked")]
    assert states == [FAILURE, SUCCESS, SUCCESS]
    assert await keys(fetching, "products") == ["1", "2"]


async def test_a_referenced_stream_survives_a_lost_connection(fetching: Caller) -> None:
    """A referenced stream: a connection that is lost in the middle costs nothing, and no product comes twice."""
    data = json.dumps([{"id": str(number)} for number in range(20_000)]).encode()
    async with hosting(data, cut_after(150_000)) as host:
        ended, batch = await referenced(fetching, host)
    assert ended.counts == stage_pb2.RecordCounts(received=20_000, created=20_000)
    assert (batch.total, batch.committed_offset) == (len(data), len(data))
    assert len(host.asked) == 2


async def test_a_referenced_stream_with_the_same_batch_id_again(fetching: Caller) -> None:
    """Use the Batch ID to check the processing status of a specific payload: sent again it is the same batch."""
    import_id = await fetching.create("products", (), kind="PRODUCTS")
    async with hosting(json.dumps([GOOD]).encode()) as host:
        request = bs.ReferenceBatchRequest(import_id=import_id, batch_id="b", uri=host.url, format=ARRAY)
        for _ in range(2):
            await fetching.batches.ReferenceBatch(request)
        assert (await fetching.finish(import_id)).counts.received == 1
    assert len(host.asked) == 1


@pytest.mark.parametrize("by", ["upload", "reference"])
@pytest.mark.parametrize(
    ("data", "code", "received"), [(b"[{ }]", 1100, 1), (b"[]", 1106, 0), (b"[ ]", 1106, 0), (b"", 1106, 0)]
)
async def test_empty_payload_of_referenced_type(
    fetching: Caller, by: str, data: bytes, code: int, received: int
) -> None:
    """Empty Payload of Referenced type, examples 1 to 4: '[{ }]', '[]', '[ ]', ''."""
    if by == "upload":
        ended = await file_imported(fetching, data, "products", ARRAY, kind="PRODUCTS")
    else:
        async with hosting(data) as host:
            ended, _ = await referenced(fetching, host)
    assert await faults(fetching, ended.import_id) == [(0, code, "")]
    assert (ended.state, ended.counts.received) == (import_pb2.IMPORT_STATE_FAILED, received)
    batch = await fetching.batch(ended.import_id)
    assert (batch.status, batch.upload.state) == (batch_pb2.BATCH_STATUS_FAILED, FAILURE)
