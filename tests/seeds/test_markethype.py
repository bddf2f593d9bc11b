"""MarketHype: the Data Ingestion API (seed 000), sentence by sentence.

Not about Ingot:
* "one of the first things you need to do in order to properly take advantage of the application"
* "MarketHype provides a range of ready-made integrations for data ingestion from external sources"
* "curl -X 'GET' ... -H 'accept: application/json'": Ingot speaks gRPC; the header X-API-TOKEN is `x-api-key`, see
  below
* the icon of the notice
"""

import csv
import io
from typing import Any

import pytest
from grpc import aio

from ingot.v1 import batch_pb2, field_pb2, import_pb2, record_error_pb2, stage_pb2, table_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import import_service_pb2_grpc as im_grpc
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import FINAL_STATES, Caller, records
from tests.seeds.conftest import (
    ADA,
    DELETE,
    FILL_EMPTY,
    MERGE,
    REPLACE,
    SKIP_EXISTING,
    WRITING,
    blocked,
    declared,
    faults,
    file_imported,
    imported,
    keys,
    record,
    rejects,
    retried,
    staged,
    stored,
    succeeded,
    told,
    written,
)

ORDER = {"id": "o-1", "email": "ada@example.org"}
CONSENT = {"email": "ada@example.org", "channel": "email", "purpose": "newsletter", "granted": True}
SWEDEN = field_pb2.ReadingOptions(country="SE", time_zone="Europe/Stockholm")


async def test_customer_data_purchase_history_and_marketing_consents(caller: Caller) -> None:
    """Customer data, purchase history and marketing consents are all important."""
    for rows, table, kind in (
        ([ADA], "customers", "CONTACTS"),
        ([ORDER], "purchases", "ORDERS"),
        ([CONSENT], "consents", "CONSENTS"),
    ):
        ended = await imported(caller, rows, table, kind=kind)
        assert (ended.kind, ended.counts.created) == (kind, 1), await faults(caller, ended.import_id)
    assert await keys(caller, "customers") == ["id=1"]
    assert await keys(caller, "purchases") == ["o-1"]
    assert await keys(caller, "consents") == ['["customers","id=1","email","newsletter"]']


async def test_importing_is_an_asynchronous_operation(unprocessed: Caller) -> None:
    """Importing data is an asynchronous operation: it is taken without waiting for its processing."""
    import_id = await unprocessed.create("customers", (), kind="CONTACTS")
    batch = await unprocessed.upload([records([ADA], import_id=import_id, batch_id="b", finish=True)])
    assert (batch.finished, batch.counts) == (True, stage_pb2.RecordCounts(received=1, pending=1))
    answer = await unprocessed.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    assert answer.import_job.state == import_pb2.IMPORT_STATE_PROCESSING


async def test_whenever_you_send_data_an_import_process_will_be_started(caller: Caller) -> None:
    """Whenever you send data an import process will be started: in one call, if that is wanted."""
    message = im.RunImportRequest(
        spec=import_pb2.ImportSpec(table="customers", kind="CONTACTS"), records=records([ADA]).records
    )
    message.finish.total = 1
    started = (await caller.imports.RunImport(iter([message]))).import_job
    assert (await caller.ended(started.import_id)).counts.created == 1


@pytest.mark.parametrize(
    ("kind", "wrong", "fault"),
    [
        ("CONTACTS", {"id": "7", "email": "no address"}, (1002, "email")),
        ("ORDERS", {**ORDER, "total": "a lot"}, (1002, "total")),
        ("CONSENTS", {**CONSENT, "channel": "pigeon"}, (1002, "channel")),
    ],
)
async def test_the_import_process_validates(
    caller: Caller, kind: str, wrong: dict[str, Any], fault: tuple[int, str]
) -> None:
    """The import process will do several things: validation."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    ended = await imported(caller, [wrong], "checked", kind=kind)
    assert await faults(caller, ended.import_id) == [(0, *fault)]
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert await keys(caller, "checked") == []


async def test_the_import_process_normalises(caller: Caller) -> None:
    """The import process will do several things: normalization."""
    sent = {
        "customId": " 4711 ",
        "email": " Ada@Example.ORG ",
        "phone_number": "070-123 45 67",
        "firstName": "Ada",
        "birthday": "1815-12-10",
        "country": "swe",
        "language": "sv",
        "points": "12.50",
        "tags": "vip",
        "created_at": "2026-11-20 13:30",
        "city": None,
    }
    ended = await imported(caller, [sent], "customers", kind="CONTACTS", reading=SWEDEN)
    assert ended.counts.created == 1, await faults(caller, ended.import_id)
    found = await record(caller, "customers", "id:4711")
    found.pop("derived")
    assert found == {
        "id": "4711",
        "email": "ada@example.org",
        "phone": "+46701234567",
        "first_name": "Ada",
        "birth_date": "1815-12-10",
        "country": "SE",
        "language": "sv",
        "points": 12.5,
        "tags": ["vip"],
        "created_at": "2026-11-20T12:30:00Z",
        "city": None,
    }


async def test_the_import_process_extends_with_additional_data(caller: Caller) -> None:
    """The import process will do several things: extending it with additional data."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    assert (await record(caller, "customers", "id:1"))["derived"] == {
        "email_domain": "example.org",
        "phone_country": "SE",
    }
    items = [{"productId": "p", "price": "9.95", "quantity": 2}, {"productId": "q", "price": 5}]
    await imported(caller, [{**ORDER, "items": items, "shipping": 4, "discount": 3}], "purchases", kind="ORDERS")
    assert (await record(caller, "purchases", "o-1"))["derived"] == {
        "contact": "id=1",
        "contact_table": "customers",
        "total": 25.9,
    }


@pytest.mark.parametrize("name", [{"contactId": 1}, {"email": "ADA@example.org"}, {"phone": "+46 70 123 45 67"}])
async def test_the_import_process_maps_to_existing_data(caller: Caller, name: dict[str, Any]) -> None:
    """The import process will do several things: mapping it to existing data, however the contact is named."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    await imported(caller, [{"id": "o-1", **name}], "purchases", kind="ORDERS")
    assert (await record(caller, "purchases", "o-1"))["derived"]["contact"] == "id=1"
    consent = {"channel": "sms", "granted": False, **name}
    await imported(caller, [consent], "consents", kind="CONSENTS")
    assert (await record(caller, "consents", '["customers","id=1","sms",""]'))["derived"]["contact"] == "id=1"


@pytest.mark.parametrize("again", [{"id": 1}, {"email": "ada@example.org"}, {"phone": "+46701234567"}])
async def test_the_import_process_maps_a_contact_to_the_existing_one(caller: Caller, again: dict[str, Any]) -> None:
    """Mapping it to existing data: a contact is one record, by whichever of its identifiers it comes."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    ended = await imported(caller, [{**again, "name": "Ada Lovelace"}], "customers", kind="CONTACTS")
    assert (ended.counts.created, ended.counts.updated) == (0, 1), await faults(caller, ended.import_id)
    found = await record(caller, "customers", "email:ada@example.org")
    assert {name: found[name] for name in ADA} == {**ADA, "name": "Ada Lovelace"}
    assert await keys(caller, "customers") == ["id=1"]


async def test_the_import_process_indexes_for_filtering_and_segmentation(caller: Caller) -> None:
    """The import process will do several things: indexing it for filtering and segmentation."""
    await declared(
        caller,
        "customers",
        kind="CONTACTS",
        fields=[
            field_pb2.Field(name="country", type=field_pb2.FIELD_TYPE_COUNTRY, indexed=True),
            field_pb2.Field(name="points", type=field_pb2.FIELD_TYPE_NUMBER, indexed=True),
        ],
    )
    rows = [
        {"id": "a", "country": "SE", "points": 9, "tags": ["vip"]},
        {"id": "b", "country": "SE", "points": 10, "tags": ["vip", "new"]},
        {"id": "c", "country": "SE", "points": 100},
        {"id": "d", "country": "DK", "points": 50, "tags": ["vip"]},
    ]
    await imported(caller, rows, "customers", kind="CONTACTS")
    while True:
        table = (await caller.tables.GetTable(ts.GetTableRequest(table="customers"))).table
        if all(field.index_state == field_pb2.INDEX_STATE_READY for field in table.fields):
            break
    assert await keys(caller, "customers", filter="country = SE") == ["id=a", "id=b", "id=c"]
    assert await keys(caller, "customers", filter="country = SE AND points >= 10") == ["id=b", "id=c"]
    assert await keys(caller, "customers", filter="country = SE AND points >= 10 AND tags:vip") == ["id=b"]
    assert await keys(caller, "customers", order_by="points desc") == ["id=c", "id=d", "id=b", "id=a"]


async def test_each_import_process_is_assigned_an_id(caller: Caller) -> None:
    """Each import process is assigned an ID, which you can use later on to follow up on progress."""
    made = [await caller.create("customers", (), kind="CONTACTS") for _ in range(3)]
    assert len(set(made)) == 3
    assert all(import_id.isdecimal() for import_id in made)
    assert [(await caller.get(import_id)).import_id for import_id in made] == made


async def test_a_complete_report_with_status_counts_and_errors(caller: Caller) -> None:
    """A complete report: current status, success/error count, and a detailed list of any errors."""
    rows = [ADA, {"name": "Nobody"}, {"email": "@", "country": "Atlantis"}, {"id": "2"}]
    ended = await imported(caller, rows, "customers", kind="CONTACTS")
    report = await caller.get(ended.import_id)
    assert report.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert (succeeded(report.counts), report.counts.rejected) == (2, 2)
    assert sorted(await faults(caller, ended.import_id)) == [(1, 1000, ""), (2, 1002, "country"), (2, 1002, "email")]


async def test_several_faults_of_one_item_are_all_told_and_the_item_is_counted_once(caller: Caller) -> None:
    """A detailed list of any errors: not only the first of each item."""
    order = {"email": "nobody@example.org", "time": "x", "items": [{"packageId": "p", "ticketBundleId": "t"}]}
    ended = await imported(caller, [order], "purchases", kind="ORDERS")
    assert sorted(await faults(caller, ended.import_id)) == [
        (0, 1000, "id"),
        (0, 1002, "time"),
        (0, 1004, "items[0].package_id"),
        (0, 1005, "items[0].ticket_bundle_id"),
        (0, 1010, "email"),
    ]
    assert ended.counts == stage_pb2.RecordCounts(received=1, rejected=1)


async def test_the_status_is_called_with_the_key_in_a_header(caller: Caller) -> None:
    """To get the current status of that process, you would call the API with X-API-TOKEN: YOUR-API-TOKEN."""
    import_id = await caller.create("customers", (), kind="CONTACTS")
    async with aio.insecure_channel(caller.address) as channel:
        answer = await im_grpc.ImportServiceStub(channel).GetImport(
            im.GetImportRequest(import_id=import_id), metadata=(("x-api-key", caller.key or ""),)
        )
    assert answer.import_job.import_id == import_id


async def test_the_report_of_the_document(caller: Caller) -> None:
    """The JSON report: successCount 99, errorCount 1, errors [index 55, code 1000, "Too little information"]."""
    rows: list[dict[str, Any]] = [{"email": f"{number}@example.org"} for number in range(100)]
    rows[55] = {"name": "Nobody knows who"}
    ended = await imported(caller, rows, "customers", kind="CONTACTS")
    assert ended.state in FINAL_STATES
    assert ended.create_time.seconds > 0
    assert (succeeded(ended.counts), ended.counts.rejected) == (99, 1)
    (error,) = await caller.errors(ended.import_id)
    assert (error.index, error.code) == (55, record_error_pb2.RECORD_ERROR_CODE_TOO_LITTLE_INFORMATION)
    assert error.code == 1000
    assert error.message.startswith("Too little information")


async def test_the_report_is_always_up_to_date(caller: Caller) -> None:
    """The import report is always up to date and will reflect the current status of your import process."""
    import_id = await caller.create("customers", (), kind="CONTACTS")
    assert (await caller.get(import_id)).state == import_pb2.IMPORT_STATE_RECEIVING
    await caller.upload([records([ADA], import_id=import_id, batch_id="b", finish=True)])
    assert (await caller.get(import_id)).counts.received == 1
    ended = await caller.finish(import_id)
    assert await caller.get(import_id) == ended


async def test_status_created(unprocessed: Caller) -> None:
    """CREATED: we've received your data, but have not yet started processing it."""
    import_id = await unprocessed.create("customers", (), kind="CONTACTS")
    await unprocessed.upload([records([ADA], import_id=import_id, batch_id="b")])
    created = await unprocessed.get(import_id)
    assert created.state == import_pb2.IMPORT_STATE_RECEIVING
    assert created.processing.state == stage_pb2.STAGE_STATE_PENDING
    assert created.counts == stage_pb2.RecordCounts(received=1, pending=1)


async def test_status_started_with_counts_that_increment(caller: Caller) -> None:
    """STARTED: the report will be updated as we progress; the success and error count will increment."""
    import_id = await caller.create("customers", (), kind="CONTACTS")
    rows = [{"id": "1"}, {"name": "Nobody"}, {"id": "2"}, {"id": "3", "email": "@"}]
    seen = []
    for offset, row in enumerate(rows):
        await caller.upload([records([row], import_id=import_id, batch_id="b", offset=offset)])
        async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
            if update.import_job.counts.pending == 0 and update.import_job.counts.received == offset + 1:
                seen.append((succeeded(update.import_job.counts), update.import_job.counts.rejected))
                assert update.import_job.processing.state == stage_pb2.STAGE_STATE_RUNNING
                break
    assert seen == [(1, 0), (1, 1), (2, 1), (2, 2)]


async def test_status_finished_with_counts_that_match_the_number_of_items(caller: Caller) -> None:
    """FINISHED: the combined success and error count will match the number of items."""
    rows = [{"id": str(number)} if number % 7 else {"name": "Nobody"} for number in range(1000)]
    ended = await imported(caller, [*rows, {"id": "1"}], "customers", kind="CONTACTS")
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert (ended.counts.rejected, ended.counts.pending) == (143, 0)
    assert succeeded(ended.counts) + ended.counts.rejected == 1001


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        (REPLACE, {"created": 1, "updated": 1, "superseded": 1}),
        (MERGE, {"created": 1, "updated": 1, "superseded": 1}),
        (FILL_EMPTY, {"created": 1, "superseded": 1, "unchanged": 1}),
        (SKIP_EXISTING, {"created": 1, "superseded": 1, "skipped": 1}),
        (DELETE, {"deleted": 1, "unchanged": 2}),
    ],
)
async def test_the_counts_match_the_number_of_items_in_every_mode(
    caller: Caller, mode: Any, counts: dict[str, int]
) -> None:
    """When the import process receives status FINISHED that combined success and error count will match."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    rows = [{**ADA, "name": "Countess"}, {"id": "2", "name": "B"}, {"id": "2", "name": "C"}, {"name": "Nobody"}]
    ended = await imported(caller, rows, "customers", mode=mode)
    assert ended.counts == stage_pb2.RecordCounts(received=4, rejected=1, **counts)
    assert succeeded(ended.counts) + ended.counts.rejected == 4


async def test_status_finished_of_a_cancelled_import_tells_what_was_dropped(unprocessed: Caller) -> None:
    """FINISHED: we've processed all your data: all but what is pending, where it was cancelled before."""
    import_id = await unprocessed.create("customers", (), kind="CONTACTS")
    await unprocessed.upload([records([ADA, {}], import_id=import_id, batch_id="b", finish=True)])
    ended = await unprocessed.ended_by_cancel(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_CANCELLED
    assert ended.counts == stage_pb2.RecordCounts(received=2, rejected=1, pending=1)
    assert ended.state_message


async def test_started_becomes_finished_when_a_staged_import_is_committed(caller: Caller) -> None:
    """The import process have three statuses: one that awaits its commit is STARTED, with a report already."""
    waiting = await staged(caller, [ADA, {"name": "Nobody"}], "customers", kind="CONTACTS")
    assert waiting.counts == stage_pb2.RecordCounts(received=2, created=1, rejected=1)
    assert await faults(caller, waiting.import_id) == [(1, 1000, "")]
    assert not waiting.HasField("finish_time")
    assert await keys(caller, "customers") == []
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=waiting.import_id))
    ended = await caller.ended(waiting.import_id)
    assert (ended.state, ended.counts) == (import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED, waiting.counts)
    assert ended.HasField("finish_time")
    assert await keys(caller, "customers") == ["id=1"]


async def test_each_error_tells_which_item_caused_it_and_what_it_was(caller: Caller) -> None:
    """A more detailed error report, describing which item caused the error and what the error was."""
    ended = await imported(caller, [ADA, {"id": "2", "birth_date": "soon"}], "customers", kind="CONTACTS")
    (error,) = await caller.errors(ended.import_id)
    assert (error.index, error.batch_id, error.field, error.key) == (1, "b", "birth_date", "id=2")
    assert '"soon"' in error.raw
    assert "soon" in error.message


async def test_an_item_with_an_error_is_ignored_completely(caller: Caller) -> None:
    """An imported item that causes an error will be ignored completely during the import process."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    before = await stored(caller, "customers", "id:1")
    wrong = [
        {"id": "1", "email": "new@example.org", "name": "Changed", "country": "Atlantis"},
        {"id": "2", "email": "two@example.org", "birth_date": "soon"},
    ]
    ended = await imported(caller, wrong, "customers", kind="CONTACTS")
    assert (ended.counts.rejected, succeeded(ended.counts)) == (2, 0)
    assert await stored(caller, "customers", "id:1") == before
    assert await keys(caller, "customers") == ["id=1"]
    # Nor does anybody have the addresses that came with it.
    orders = [{"id": "o-1", "email": "new@example.org"}, {"id": "o-2", "email": "two@example.org"}]
    answer = await written(caller, orders, "purchases", kind="ORDERS")
    assert told(answer.errors) == [(0, 1010, "email"), (1, 1010, "email")]


async def test_an_order_with_one_wrong_item_is_ignored_completely(caller: Caller) -> None:
    """An imported item that causes an error will be ignored completely, also when only a part of it is wrong."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    order = {**ORDER, "items": [{"product_id": "p", "price": 1}, {"product_id": "q", "price": "free"}]}
    ended = await imported(caller, [order], "purchases", kind="ORDERS")
    assert await faults(caller, ended.import_id) == [(0, 1002, "items[1].price")]
    assert await keys(caller, "purchases") == []


@pytest.mark.parametrize("mode", WRITING)
async def test_an_item_with_an_error_is_ignored_completely_in_every_mode(caller: Caller, mode: Any) -> None:
    """An imported item that causes an error will be ignored completely: what was there stays as it was."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    before = await record(caller, "customers", "id:1")
    wrong = {"id": "1", "name": "Countess", "country": "Atlantis"}
    ended = await imported(caller, [wrong], "customers", mode=mode)
    assert await faults(caller, ended.import_id) == [(0, 1002, "country")]
    assert (ended.state, ended.counts.rejected) == (import_pb2.IMPORT_STATE_FAILED, 1)
    assert await record(caller, "customers", "id:1") == before


async def test_the_corrected_item_goes_into_a_new_import_process(caller: Caller) -> None:
    """Correct the described error and send the correct data as part of a new import process."""
    wrong = await imported(caller, [ADA, {"id": "2", "email": "two"}], "customers", kind="CONTACTS")
    assert await faults(caller, wrong.import_id) == [(1, 1002, "email")]
    right = await imported(caller, [{"id": "2", "email": "two@example.org"}], "customers", kind="CONTACTS")
    assert (right.state, right.counts.created) == (import_pb2.IMPORT_STATE_SUCCEEDED, 1)
    assert right.import_id != wrong.import_id
    assert await keys(caller, "customers") == ["id=1", "id=2"]


async def test_the_items_to_correct_come_as_a_file_with_what_is_wrong(caller: Caller) -> None:
    """Correct the described error and send the correct data as part of a new import process: only what was wrong."""
    rows = [ADA, {"id": "2", "email": "two", "name": "=Two"}, {"name": "Nobody"}, b'{"id": "4"']
    wrong = await imported(caller, rows, "customers", kind="CONTACTS")
    assert await faults(caller, wrong.import_id) == [(1, 1002, "email"), (2, 1000, ""), (3, 1105, "")]
    table = list(csv.reader(io.StringIO(await rejects(caller, wrong.import_id), newline="")))
    assert "'=Two" in table[1]
    table[1][table[0].index("email")] = "two@example.org"
    mended = io.StringIO(newline="")
    csv.writer(mended).writerows(table)
    form = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV)
    right = await file_imported(caller, mended.getvalue().encode(), "customers", form)
    assert right.counts == stage_pb2.RecordCounts(received=3, created=1, rejected=2)
    assert await record(caller, "customers", "id:2") == {
        "id": "2",
        "email": "two@example.org",
        "name": "=Two",
        "derived": {"email_domain": "example.org"},
    }


async def test_what_was_right_and_came_too_early_is_not_sent_again(caller: Caller) -> None:
    """Send the correct data as part of a new import process: data that was correct is kept, and is tried once more."""
    early = await imported(caller, [ORDER, {"id": "o-2", "email": "bob@example.org"}], "purchases", kind="ORDERS")
    assert await faults(caller, early.import_id) == [(0, 1010, "email"), (1, 1010, "email")]
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    again = await retried(caller, early.import_id)
    assert again.retry_of == early.import_id != again.import_id
    assert again.counts == stage_pb2.RecordCounts(received=2, created=1, rejected=1)
    assert await faults(caller, again.import_id) == [(1, 1010, "email")]
    assert await keys(caller, "purchases") == ["o-1"]


async def test_an_error_object_for_each_item_that_caused_an_error(caller: Caller) -> None:
    """The import report will contain an error object for each item that caused an error: index, code, message."""
    rows = [{"name": "a"}, ADA, {"name": "b"}, {"email": "c"}]
    ended = await imported(caller, rows, "customers", kind="CONTACTS")
    errors = await caller.errors(ended.import_id)
    assert told(errors) == [(0, 1000, ""), (2, 1000, ""), (3, 1002, "email")]
    assert all(error.message for error in errors)
    assert ended.counts.rejected == 3


async def test_the_first_item_has_index_0_and_the_second_1(caller: Caller) -> None:
    """The first item in the import process will have index 0, the second item will have index 1 and so on."""
    ended = await imported(caller, [{"name": str(number)} for number in range(12)], "customers", kind="CONTACTS")
    assert [error.index for error in await caller.errors(ended.import_id)] == list(range(12))


@pytest.mark.parametrize(
    ("kind", "poor", "field"),
    [
        ("CONTACTS", {"name": "Nobody"}, ""),
        ("CONTACTS", {"name": "Nobody", "email": None, "phone": ""}, ""),
        ("ORDERS", {"id": "o-1", "total": 5}, ""),
        ("ORDERS", {"email": "ada@example.org", "total": 5}, "id"),
        ("ORDERS", {**ORDER, "packages": [{"name": "no id"}]}, "packages[0].id"),
        ("CONSENTS", {"channel": "email", "granted": True}, ""),
        ("CONSENTS", {"email": "ada@example.org", "granted": True}, "channel"),
        ("CONSENTS", {"email": "ada@example.org", "channel": "email"}, "granted"),
        ("TICKET_BUNDLES", {"name": "Three days"}, "id"),
    ],
)
async def test_1000_too_little_information(caller: Caller, kind: str, poor: dict[str, Any], field: str) -> None:
    """1000: The input contained too little information to create a valid entity."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    ended = await imported(caller, [poor], "poor", kind=kind)
    assert await faults(caller, ended.import_id) == [(0, 1000, field)]


async def test_1001_unknown_custom_attribute(caller: Caller) -> None:
    """1001: The input contained unknown custom attribute(s)."""
    size = field_pb2.Field(name="shoe_size", type=field_pb2.FIELD_TYPE_INTEGER)
    await declared(caller, "customers", kind="CONTACTS", fields=[size], unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
    rows = [{"id": "1", "shoe_size": 38}, {"id": "2", "hat_size": 56, "glove_size": 8}]
    ended = await imported(caller, rows, "customers")
    assert sorted(await faults(caller, ended.import_id)) == [(1, 1001, "glove_size"), (1, 1001, "hat_size")]
    assert (await record(caller, "customers", "id:1"))["shoe_size"] == 38


@pytest.mark.parametrize(
    ("type", "wrong"),
    [
        (field_pb2.FIELD_TYPE_INTEGER, "large"),
        (field_pb2.FIELD_TYPE_INTEGER, 38.5),
        (field_pb2.FIELD_TYPE_TEXT, 38),
        (field_pb2.FIELD_TYPE_BOOLEAN, "perhaps"),
        (field_pb2.FIELD_TYPE_DATE, "2026-02-30"),
        (field_pb2.FIELD_TYPE_EMAIL, "nobody"),
        (field_pb2.FIELD_TYPE_OBJECT, [1]),
    ],
)
async def test_1001_custom_attribute_of_incorrect_type(
    caller: Caller, type: field_pb2.FieldType.ValueType, wrong: Any
) -> None:
    """1001: The custom attributes were of incorrect type."""
    await declared(caller, "customers", kind="CONTACTS", fields=[field_pb2.Field(name="custom", type=type)])
    ended = await imported(caller, [{"id": "1", "custom": wrong}], "customers")
    assert await faults(caller, ended.import_id) == [(0, 1001, "custom")]


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        ("CONTACTS", {"id": "2", "email": "ada at example.org"}, "email"),
        ("CONTACTS", {"id": "2", "phone": "call me"}, "phone"),
        ("CONTACTS", {"id": "2", "phone": "070-123 45 67"}, "phone"),
        ("CONTACTS", {"id": "2", "birth_date": "10.12.1815"}, "birth_date"),
        ("CONTACTS", {"id": "2", "country": "Atlantis"}, "country"),
        ("CONTACTS", {"id": "2", "points": "many"}, "points"),
        ("CONTACTS", {"id": ["2"]}, "id"),
        ("ORDERS", {**ORDER, "time": "last week"}, "time"),
        ("ORDERS", {**ORDER, "total": "12 kr"}, "total"),
        ("ORDERS", {**ORDER, "currency": "crowns"}, "currency"),
        ("ORDERS", {**ORDER, "items": [{"quantity": 1}, {"quantity": "two"}]}, "items[1].quantity"),
        ("CONSENTS", {**CONSENT, "granted": "maybe"}, "granted"),
        ("CONSENTS", {**CONSENT, "time": 5}, "time"),
    ],
)
async def test_1002_values_that_could_not_be_parsed(
    caller: Caller, kind: str, wrong: dict[str, Any], field: str
) -> None:
    """1002: The input contained values that couldn't be parsed to correct data type."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    ended = await imported(caller, [wrong], "wrong", kind=kind)
    assert await faults(caller, ended.import_id) == [(0, 1002, field)]


async def test_1003_blocked_emails_and_phone_numbers(caller: Caller) -> None:
    """1003: The emails or phone numbers values that are being blocked."""
    await blocked(caller, table_pb2.BLOCKED_VALUE_TYPE_EMAIL, "Spam@Example.org")
    await blocked(caller, table_pb2.BLOCKED_VALUE_TYPE_PHONE, "+46 70 123 45 67")
    await blocked(caller, table_pb2.BLOCKED_VALUE_TYPE_DOMAIN, "example.com")
    rows = [
        {"email": "spam@example.ORG"},
        {"id": "1", "phone": "+46701234567"},
        {"email": "ada@mail.example.com"},
        {"email": "ada@example.org"},
        {"email": "spam@example.org", "phone": "+46701234567"},
    ]
    ended = await imported(caller, rows, "customers", kind="CONTACTS")
    assert await faults(caller, ended.import_id) == [
        (0, 1003, "email"),
        (1, 1003, "phone"),
        (2, 1003, "email"),
        (4, 1003, "email"),
        (4, 1003, "phone"),
    ]
    assert await keys(caller, "customers") == ["email=ada@example.org"]


async def test_1003_by_specific_organization(caller: Caller, database: Database) -> None:
    """1003: Blocked by specific organization: others may have the same address."""
    await blocked(caller, table_pb2.BLOCKED_VALUE_TYPE_EMAIL, "ada@example.org")
    key = await create_key(database, "another", list(SCOPES), "", None)
    async with Caller(caller.address, key.text) as another:
        assert (await imported(another, [ADA], "customers", kind="CONTACTS")).counts.created == 1
    ended = await imported(caller, [ADA], "customers", kind="CONTACTS")
    assert await faults(caller, ended.import_id) == [(0, 1003, "email")]


async def test_1004_package_that_is_not_in_the_order(caller: Caller) -> None:
    """1004: An item with packageId but no package was found inside the same order with this id."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    rows = [
        {**ORDER, "packages": [{"id": "weekend"}], "items": [{"packageId": "weekend"}]},
        {**ORDER, "id": "o-2", "items": [{"packageId": "weekend"}]},
        {**ORDER, "id": "o-3", "packages": [{"id": "week"}], "items": [{"sku": "1"}, {"packageId": "weekend"}]},
    ]
    ended = await imported(caller, rows, "purchases", kind="ORDERS")
    assert await faults(caller, ended.import_id) == [(1, 1004, "items[0].package_id"), (2, 1004, "items[1].package_id")]
    assert await keys(caller, "purchases") == ["o-1"]


async def test_1005_ticket_bundle_that_does_not_exist(caller: Caller) -> None:
    """1005: An item with ticketBundleId but no ticket bundle exist within MarketHype nor within this Order."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    await imported(caller, [{"id": "known", "tickets": [{"name": "Day 1"}]}], "bundles", kind="TICKET_BUNDLES")
    rows = [
        {**ORDER, "items": [{"ticketBundleId": "known"}]},
        {**ORDER, "id": "o-2", "ticketBundles": [{"id": "own"}], "items": [{"ticketBundleId": "own"}]},
        {**ORDER, "id": "o-3", "items": [{"ticketBundleId": "own"}]},
        {**ORDER, "id": "o-4", "ticketBundles": [{"id": "own"}], "items": [{"sku": "1"}, {"ticketBundleId": "none"}]},
    ]
    ended = await imported(caller, rows, "purchases", kind="ORDERS")
    assert await faults(caller, ended.import_id) == [
        (2, 1005, "items[0].ticket_bundle_id"),
        (3, 1005, "items[1].ticket_bundle_id"),
    ]
    assert await keys(caller, "purchases") == ["o-1", "o-2"]


@pytest.mark.parametrize("kind", ["ORDERS", "CONSENTS", "EVENTS"])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ({"email": "nobody@example.org"}, "email"),
        ({"phone": "+46701234568"}, "phone"),
        ({"contact_id": "99"}, "contact_id"),
        ({"email": "nobody@example.org", "phone": "+46701234568"}, "email"),
    ],
)
async def test_1010_no_contact_found(caller: Caller, kind: str, name: dict[str, Any], field: str) -> None:
    """1010: The input referred to an email or phone that does not exist on any contact."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    rests: dict[str, dict[str, Any]] = {
        "ORDERS": {"id": "1"},
        "CONSENTS": {"channel": "email", "granted": True},
        "EVENTS": {"name": "login", "time": "2026-11-20T13:30:00Z"},
    }
    rest = rests[kind]
    ended = await imported(caller, [{**rest, **name}, {**rest, "email": "ada@example.org"}], "things", kind=kind)
    errors = await caller.errors(ended.import_id)
    assert told(errors) == [(0, 1010, field)]
    assert errors[0].message.startswith("No contact found")
    assert ended.counts.created == 1


async def test_1010_is_gone_when_the_contact_is_there(caller: Caller) -> None:
    """1010: On any contact: whatever table of contacts it is in, and however late it came."""
    ended = await imported(caller, [ORDER], "purchases", kind="ORDERS")
    assert await faults(caller, ended.import_id) == [(0, 1010, "email")]
    await imported(caller, [{"id": "9"}], "members", kind="CONTACTS")
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    assert (await imported(caller, [ORDER], "purchases", kind="ORDERS")).counts.created == 1
    assert (await record(caller, "purchases", "o-1"))["derived"]["contact"] == "id=1"
