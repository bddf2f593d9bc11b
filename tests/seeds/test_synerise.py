"""Synerise: Introduction to imports (seed 002), sentence by sentence.

Not about Ingot:
* "The Import module is a legacy solution. You should use Automation with Data Transformations instead."
* "The possibility to use AI module, prepare recommendations and adjust communication content", and the other business
  benefits as far as they are about what is done with the data later
* "Make sure your user permissions grants you access to import section in the application", "go to Settings >
  Imports", "Choose a type of import", "Choose an import method", the Progress tab and the pictures of progress bars:
  what they show is below
* "you need to verify your import and correct it in the Synerise application"
* "Thank you for helping improve out documentation", "Awesome!"
"""

import csv
import io
import json
from itertools import pairwise
from typing import Any

import grpc
import pytest
from grpc import aio

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.storage.database import Database
from tests.calling import Caller, reason_of, records
from tests.seeds.conftest import (
    ADA,
    MERGE,
    SKIP_EXISTING,
    faults,
    file_imported,
    imported,
    keys,
    record,
    retried,
    staged,
    stored,
)

TYPES = {
    "customers": ("CONTACTS", {"customId": "2", "email": "grace@example.org", "firstName": "Grace"}, "id=2"),
    "product feed": (
        "PRODUCTS",
        {"id": "mug", "title": "Mug", "link": "https://example.org/mug", "price": "9.90"},
        "mug",
    ),
    "transactional data": (
        "ORDERS",
        {"orderId": "o-1", "customerId": "1", "items": [{"sku": "mug", "price": 9.9, "quantity": 2}]},
        "o-1",
    ),
    "promotions": ("PROMOTIONS", {"id": "spring", "name": "Spring", "discount": 10}, "spring"),
    "vouchers": ("VOUCHERS", {"voucherSet": "spring", "code": "A1", "customerId": "1"}, '["spring","A1"]'),
    "custom events": (
        "EVENTS",
        {"id": "e-1", "action": "club.joined", "time": "2026-11-20T13:30:00Z", "clientId": 1, "params": {"level": 3}},
        "e-1",
    ),
}


@pytest.mark.parametrize("scope", TYPES)
async def test_the_scope_of_import_types(caller: Caller, scope: str) -> None:
    """The scope of import types covers: customers, product feed, transactional data, promotions, vouchers, events."""
    kind, row, key = TYPES[scope]
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    ended = await imported(caller, [row], "things", kind=kind)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED, await faults(caller, ended.import_id)
    assert (await stored(caller, "things", key)).record.import_id == ended.import_id


async def test_the_process_is_slightly_different_for_every_type(caller: Caller) -> None:
    """The process of importing data is slightly different for every type: the server tells how."""
    kinds = {kind.kind: kind for kind in (await caller.tables.ListKinds(ts.ListKindsRequest())).kinds}
    assert {kind for kind, _, _ in TYPES.values()} <= set(kinds)
    assert list(kinds["CONTACTS"].identifiers) == ["id", "email", "phone"]
    assert list(kinds["PRODUCTS"].key_fields) == ["id"]
    assert list(kinds["ORDERS"].references) == ["CONTACTS", "TICKET_BUNDLES"]
    assert list(kinds["EVENTS"].references) == ["CONTACTS"]
    assert all(kind.description for kind in kinds.values())


async def test_an_api_key_which_allows_this_kind_of_activity(caller: Caller, database: Database) -> None:
    """Have an API key which allows you for this kind of activity."""
    allowed = await create_key(database, "acme", ["imports:write"], "", None)
    other = await create_key(database, "acme", ["imports:read", "records:read", "records:write"], "", None)
    async with Caller(caller.address, allowed.text) as importer:
        assert await importer.create("customers", (), kind="CONTACTS")
    async with Caller(caller.address, other.text) as reader:
        with pytest.raises(aio.AioRpcError) as refused:
            await reader.create("customers", (), kind="CONTACTS")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(refused.value).metadata["scope"] == "imports:write"


@pytest.mark.parametrize(
    ("type", "data"),
    [
        (batch_pb2.FILE_TYPE_CSV, b"customId,firstName\n2,Grace\n"),
        (batch_pb2.FILE_TYPE_NDJSON, b'{"customId": 2, "firstName": "Grace"}\n'),
        (batch_pb2.FILE_TYPE_JSON_ARRAY, b'[{"customId": "2", "firstName": "Grace"}]'),
    ],
)
async def test_prepare_a_file_with_data_and_learn_about_the_import_methods(
    caller: Caller, type: batch_pb2.FileType.ValueType, data: bytes
) -> None:
    """Prepare a file with data. Learn about the import methods: whatever the file is, the record is the same."""
    await file_imported(caller, data, "customers", batch_pb2.DataFormat(type=type), kind="CONTACTS")
    await imported(caller, [{"id": 2, "first_name": "Grace"}], "others", kind="CONTACTS")
    assert await caller.table("customers") == await caller.table("others") == [{"id": "2", "first_name": "Grace"}]


@pytest.mark.parametrize(
    ("identifier", "key"),
    [
        ({"email": "ada@example.org"}, "email=ada@example.org"),
        ({"custom_id": 4711}, "id=4711"),
        ({"customId": "4711"}, "id=4711"),
    ],
)
async def test_customers_are_imported_and_updated_by_a_unique_identifier(
    caller: Caller, identifier: dict[str, Any], key: str
) -> None:
    """Import and update customers based on the unique identifier which can be an email or a custom ID."""
    first = await imported(caller, [{**identifier, "name": "Ada"}], "customers", kind="CONTACTS")
    assert first.counts.created == 1
    second = await imported(caller, [{**identifier, "name": "Ada Lovelace"}], "customers", kind="CONTACTS")
    assert second.counts.updated == 1
    assert await keys(caller, "customers") == [key]
    assert (await record(caller, "customers", key))["name"] == "Ada Lovelace"


@pytest.mark.parametrize("identifier", [{"email": "ada@example.org"}, {"custom_id": 4711}])
async def test_an_update_leaves_what_it_does_not_name(caller: Caller, identifier: dict[str, Any]) -> None:
    """Import and update customers based on the unique identifier: with the mode MERGE, by either of them."""
    whole = {"custom_id": 4711, "email": "ada@example.org", "name": "Ada", "points": 10, "tags": ["vip"]}
    await imported(caller, [whole], "customers", kind="CONTACTS")
    ended = await imported(caller, [{**identifier, "points": 11}, {"email": "b@example.org"}], "customers", mode=MERGE)
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=1, updated=1)
    found = await record(caller, "customers", "id:4711")
    assert found == {
        "id": "4711",
        "email": "ada@example.org",
        "name": "Ada",
        "points": 11,
        "tags": ["vip"],
        "derived": {"email_domain": "example.org"},
    }


async def test_an_update_of_one_identifier_by_the_other(caller: Caller) -> None:
    """Import and update customers: who moves to another address keeps all else, and the old one is free."""
    await imported(caller, [{"custom_id": 1, "email": "old@example.org", "name": "A"}], "customers", kind="CONTACTS")
    await imported(caller, [{"custom_id": 1, "email": "new@example.org"}], "customers", mode=MERGE)
    assert (await record(caller, "customers", "email:new@example.org"))["name"] == "A"
    ended = await imported(caller, [{"email": "old@example.org"}], "customers", mode=MERGE)
    assert ended.counts.created == 1


async def test_only_new_customers(caller: Caller) -> None:
    """Enlarging your customer database you gain in the external sources: who is known already is left alone."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    rows = [{"email": "ada@example.org", "name": "A. Lovelace"}, {"email": "grace@example.org", "name": "Grace"}]
    ended = await imported(caller, rows, "customers", mode=SKIP_EXISTING)
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=1, skipped=1)
    assert (await record(caller, "customers", "id:1"))["name"] == "Ada"


async def test_a_custom_id_such_as_a_unique_number_in_your_database(caller: Caller) -> None:
    """A custom ID (such as unique number in your database): it outlives a change of the email."""
    await imported(caller, [{"custom_id": 4711, "email": "old@example.org"}], "customers", kind="CONTACTS")
    await imported(caller, [{"custom_id": 4711, "email": "new@example.org"}], "customers", kind="CONTACTS")
    assert await keys(caller, "customers") == ["id=4711"]
    assert (await record(caller, "customers", "email:new@example.org"))["id"] == "4711"
    with pytest.raises(aio.AioRpcError) as refused:
        await stored(caller, "customers", "email:old@example.org")
    assert reason_of(refused.value).reason == "RECORD_NOT_FOUND"


async def test_a_customer_who_came_by_email_can_get_a_custom_id_later(caller: Caller) -> None:
    """The unique identifier which can be an email or a custom ID: both are the same customer, under the first key."""
    await imported(caller, [{"email": "ada@example.org"}], "customers", kind="CONTACTS")
    await imported(caller, [{"custom_id": 4711, "email": "ada@example.org"}], "customers", kind="CONTACTS")
    ended = await imported(caller, [{"custom_id": 4711, "name": "Ada"}], "customers", kind="CONTACTS")
    assert ended.counts.updated == 1
    assert await keys(caller, "customers") == ["email=ada@example.org"]
    found = await record(caller, "customers", "id:4711")
    assert (found["id"], found["email"], found["name"]) == ("4711", "ada@example.org", "Ada")


async def test_the_identifier_is_unique(caller: Caller) -> None:
    """Based on the unique identifier: two customers cannot have the same, and are not made one."""
    rows = [{"custom_id": 1, "email": "a@example.org"}, {"custom_id": 2, "email": "b@example.org"}]
    await imported(caller, rows, "customers", kind="CONTACTS")
    ended = await imported(caller, [{"custom_id": 1, "email": "b@example.org"}], "customers", kind="CONTACTS")
    assert await faults(caller, ended.import_id) == [(0, 1115, "email")]
    assert await keys(caller, "customers") == ["id=1", "id=2"]


async def test_the_database_is_enlarged_from_external_sources(caller: Caller) -> None:
    """Enlarging your customer database you gain in the external sources: who is known already is there once."""
    await imported(caller, [{"email": f"{number}@example.org"} for number in range(10)], "customers", kind="CONTACTS")
    source = [{"email": f"{number}@EXAMPLE.org"} for number in range(5, 15)]
    ended = await imported(caller, source, "customers", kind="CONTACTS")
    assert (ended.counts.created, ended.counts.unchanged) == (5, 5)
    assert len(await keys(caller, "customers")) == 15


async def test_past_and_current_promotions(caller: Caller) -> None:
    """Importing information about past and current promotions."""
    rows = [
        {"id": "past", "name": "Past", "startsAt": "2001-01-01T00:00Z", "endsAt": "2001-02-01T00:00Z"},
        {"id": "current", "name": "Current", "startsAt": "2001-01-01T00:00Z", "endsAt": "2999-01-01T00:00Z"},
        {"id": "never", "name": "Never", "startsAt": "2001-02-01T00:00Z", "endsAt": "2001-01-01T00:00Z"},
    ]
    ended = await imported(caller, rows, "promotions", kind="PROMOTIONS")
    assert await faults(caller, ended.import_id) == [(2, 1002, "ends_at")]
    assert await keys(caller, "promotions") == ["current", "past"]


async def test_a_promotion_is_prolonged_by_its_end_alone(caller: Caller) -> None:
    """Importing information about past and current promotions: an update must agree with what is there."""
    spring = {"id": "spring", "name": "Spring", "startsAt": "2001-01-01T00:00Z", "endsAt": "2001-02-01T00:00Z"}
    await imported(caller, [spring], "promotions", kind="PROMOTIONS")
    rows = [{"id": "spring", "endsAt": "2000-12-01T00:00Z"}, {"id": "spring", "endsAt": "2001-03-01T00:00Z"}]
    ended = await imported(caller, rows, "promotions", mode=MERGE)
    assert await faults(caller, ended.import_id) == [(0, 1002, "ends_at")]
    assert ended.counts.updated == 1
    found = await record(caller, "promotions", "spring")
    assert (found["name"], found["ends_at"]) == ("Spring", "2001-03-01T00:00:00Z")


async def test_activities_are_enriched_with_vouchers(caller: Caller) -> None:
    """Enriching your marketing activities with vouchers: a voucher finds the customer it is for."""
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    rows = [
        {"voucher_set": "s", "code": "A1", "email": "ada@example.org"},
        {"voucher_set": "s", "code": "A2"},
        {"voucher_set": "s", "code": "A3", "email": "nobody@example.org"},
    ]
    ended = await imported(caller, rows, "vouchers", kind="VOUCHERS")
    assert await faults(caller, ended.import_id) == [(2, 1010, "email")]
    assert (await record(caller, "vouchers", '["s","A1"]'))["derived"] == {
        "contact": "id=1",
        "contact_table": "customers",
    }


async def test_the_initial_part_is_the_same_for_all_types(caller: Caller) -> None:
    """The initial part of the process is the same for all import types: only the kind differs."""
    for kind, _, _ in TYPES.values():
        created = await caller.get(await caller.create(kind.lower(), (), kind=kind))
        assert (created.state, created.kind) == (import_pb2.IMPORT_STATE_RECEIVING, kind)


async def test_the_status_is_found_by_the_list_of_imports(caller: Caller) -> None:
    """Check the import status (click the import on the list of imports)."""
    ended = await imported(caller, [ADA, {"name": "Nobody"}], "customers", kind="CONTACTS")
    (found,) = (await caller.imports.ListImports(im.ListImportsRequest(table="customers"))).imports
    assert (found.import_id, found.state, found.counts) == (ended.import_id, ended.state, ended.counts)
    assert found.upload.state == stage_pb2.STAGE_STATE_SUCCESS
    assert found.processing.state == stage_pb2.STAGE_STATE_WARNING


async def test_two_stages_each_with_a_progress_bar(caller: Caller) -> None:
    """An import consists of 2 stages and the status of each stage is represented by a progress bar."""
    import_id = await caller.create("customers", (), kind="CONTACTS")
    updates: Any = caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id))
    seen = [(await updates.read()).import_job]
    half = records([{"id": "1"}, {"id": "2"}], import_id=import_id, batch_id="b", expected_total=4)
    await caller.upload([half])
    assert (await caller.get(import_id)).upload.percent == 50
    await caller.upload([records([{"id": "3"}, {"id": "4"}], import_id=import_id, batch_id="b", offset=2, finish=4)])
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    seen += [update.import_job async for update in updates]
    assert seen[0].upload.state == seen[0].processing.state == stage_pb2.STAGE_STATE_PENDING
    for earlier, later in pairwise(seen):
        assert later.upload.percent >= earlier.upload.percent
        assert later.processing.percent >= earlier.processing.percent
    assert (seen[-1].upload.percent, seen[-1].processing.percent) == (100, 100)
    assert seen[-1].upload.state == seen[-1].processing.state == stage_pb2.STAGE_STATE_SUCCESS


async def test_the_stages_of_several_files_add_up(caller: Caller) -> None:
    """The status of each stage is represented by a progress bar: one for all batches, and one for each of them."""
    import_id = await caller.create("customers", (), kind="CONTACTS")
    await caller.upload([records([{"id": "1"}, b"{"], import_id=import_id, batch_id="a", finish=True)])
    await caller.upload([records([{"id": "2"}], import_id=import_id, batch_id="b", expected_total=2)])
    upload = (await caller.get(import_id)).upload
    assert (upload.state, upload.percent) == (stage_pb2.STAGE_STATE_RUNNING, 75)
    assert (await caller.batch(import_id, "a")).upload.percent == 100
    assert (await caller.batch(import_id, "b")).upload.percent == 50
    last = records([{"id": "3", "email": "@"}], import_id=import_id, batch_id="b", offset=1, finish=2)
    await caller.upload([last])
    ended = await caller.finish(import_id)
    assert (ended.upload.state, ended.upload.accepted, ended.upload.rejected) == (stage_pb2.STAGE_STATE_WARNING, 3, 1)
    assert (ended.processing.state, ended.processing.accepted, ended.processing.rejected) == (
        stage_pb2.STAGE_STATE_WARNING,
        2,
        1,
    )
    assert (ended.upload.percent, ended.processing.percent) == (100, 100)


async def test_completed_successfully(caller: Caller) -> None:
    """An import completed successfully: the data you have just imported is available."""
    ended = await imported(caller, [{"id": "1"}, {"id": "2"}], "customers", kind="CONTACTS")
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert await keys(caller, "customers") == ["id=1", "id=2"]


async def test_completed_partially(caller: Caller) -> None:
    """An import completed partially: only a part of the imported data is available."""
    ended = await imported(caller, [{"id": "1"}, {"id": "2", "email": "@"}, b"{"], "customers", kind="CONTACTS")
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert (ended.counts.created, ended.counts.rejected) == (1, 2)
    assert await keys(caller, "customers") == ["id=1"]


@pytest.mark.parametrize("rows", [[b"{", b"["], [{"name": "a"}, {"name": "b"}], [b"{", {"name": "b"}]])
async def test_completed_with_errors(caller: Caller, rows: list[Any]) -> None:
    """An import completed with errors: the imported data is not available; detect the cause and repeat the process."""
    ended = await imported(caller, rows, "customers", kind="CONTACTS")
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert ended.state_message
    assert ended.counts.rejected == 2
    assert await keys(caller, "customers") == []
    assert len(await caller.errors(ended.import_id)) == 2
    again = await imported(caller, [{"id": "1"}, {"id": "2"}], "customers", kind="CONTACTS")
    assert again.state == import_pb2.IMPORT_STATE_SUCCEEDED


async def test_completed_with_errors_and_nothing_of_it_is_available(caller: Caller) -> None:
    """An import completed with errors. The imported data is not available: also not what was right, if so wished."""
    import_id = await caller.create("customers", (), kind="CONTACTS", staged=True, max_errors=0)
    await caller.upload([records([ADA, {"name": "Nobody"}], import_id=import_id, batch_id="b", finish=True)])
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert "max_errors" in ended.state_message
    assert ended.counts == stage_pb2.RecordCounts(received=2, rejected=1, pending=1)
    assert await faults(caller, ended.import_id) == [(1, 1000, "")]
    assert await keys(caller, "customers") == []


async def test_an_import_is_verified_before_it_is_available(caller: Caller) -> None:
    """You need to verify your import and correct it: before anybody sees the data, and then all of it is there."""
    waiting = await staged(caller, [ADA, {"id": "2", "email": "@"}], "customers", kind="CONTACTS")
    assert await faults(caller, waiting.import_id) == [(1, 1002, "email")]
    assert await keys(caller, "customers") == []
    assert await keys(caller, "customers", staged_import_id=waiting.import_id) == ["id=1"]
    ended = await caller.ended_by_cancel(waiting.import_id)
    assert ended.state == import_pb2.IMPORT_STATE_CANCELLED
    corrected = await staged(caller, [ADA, {"id": "2", "email": "two@example.org"}], "customers", kind="CONTACTS")
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=corrected.import_id))
    assert (await caller.ended(corrected.import_id)).state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert await keys(caller, "customers") == ["id=1", "id=2"]


async def test_the_cause_is_removed_and_the_process_repeated(caller: Caller) -> None:
    """You need to detect the cause of the errors and repeat the process again: with nothing sent a second time."""
    rows = [{"action": "club.joined", "time": "2026-11-20T13:30:00Z", "email": "ada@example.org"}]
    failed = await imported(caller, rows, "events", kind="EVENTS")
    assert failed.state == import_pb2.IMPORT_STATE_FAILED
    assert await faults(caller, failed.import_id) == [(0, 1010, "email")]
    await imported(caller, [ADA], "customers", kind="CONTACTS")
    again = await retried(caller, failed.import_id, "repeat-1")
    assert (again.state, again.counts.created) == (import_pb2.IMPORT_STATE_SUCCEEDED, 1)
    assert await retried(caller, failed.import_id, "repeat-1") == again
    with pytest.raises(aio.AioRpcError) as refused:
        await retried(caller, again.import_id)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value).reason == "NOTHING_TO_RETRY"


async def error_list(caller: Caller, import_id: str) -> list[dict[str, str]]:
    request = im.ExportImportErrorsRequest(import_id=import_id, format=im.ERROR_EXPORT_FORMAT_CSV)
    text = "".join([piece.lines async for piece in caller.imports.ExportImportErrors(request)])
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_the_error_list_is_csv(caller: Caller) -> None:
    """If your import failed, you can check the error logs by clicking the Error List (CSV) button."""
    ended = await imported(caller, [{"id": "1", "email": 'no, "really"'}], "customers", kind="CONTACTS")
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    (row,) = await error_list(caller, ended.import_id)
    assert " ".join(row) == "batch_id index line key stage severity code reason field message raw raw_truncated"
    assert (row["index"], row["code"], row["reason"]) == ("0", "1002", "INVALID_VALUE")
    assert (row["stage"], row["field"], row["key"]) == ("PROCESSING", "email", "id=1")
    assert json.loads(row["raw"]) == {"id": "1", "email": 'no, "really"'}
    assert row["message"]


async def test_the_error_list_concerns_both_stages(caller: Caller) -> None:
    """The error log in the file concerns only the first stage of the import: here it is of both, and says of which."""
    rows = [{}, {"name": "Nobody"}, b"{", {"id": "1", "country": "Atlantis"}, ADA]
    ended = await imported(caller, rows, "customers", kind="CONTACTS")
    assert [(row["index"], row["stage"], row["code"]) for row in await error_list(caller, ended.import_id)] == [
        ("0", "UPLOAD", "1100"),
        ("1", "PROCESSING", "1000"),
        ("2", "UPLOAD", "1105"),
        ("3", "PROCESSING", "1002"),
    ]
    first = await faults(caller, ended.import_id, stage=record_error_pb2.ERROR_STAGE_UPLOAD)
    assert first == [(0, 1100, ""), (2, 1105, "")]


async def test_the_error_list_can_be_opened_in_a_spreadsheet(caller: Caller) -> None:
    """Clicking the Error List (CSV) button: what was sent is not run as a formula, and lines within it stay in it."""
    rows = [b"=HYPERLINK(1)", {"id": "1", "email": "@two\nlines"}]
    ended = await imported(caller, rows, "customers", kind="CONTACTS")
    first, second = await error_list(caller, ended.import_id)
    assert first["raw"] == "'=HYPERLINK(1)"
    assert json.loads(second["raw"])["email"] == "@two\nlines"


async def test_the_error_list_is_there_before_the_import_is_complete(caller: Caller) -> None:
    """If your import failed, you can check the error logs: also while it is under way, and if it only validates."""
    import_id = await caller.create("customers", (), kind="CONTACTS", validate_only=True)
    await caller.upload([records([{}], import_id=import_id, batch_id="b")])
    assert [row["code"] for row in await error_list(caller, import_id)] == ["1100"]
    await caller.upload([records([{"name": "Nobody"}], import_id=import_id, batch_id="b", offset=1, finish=2)])
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert [row["code"] for row in await error_list(caller, import_id)] == ["1100", "1000"]


async def test_all_information_about_the_data_format(caller: Caller) -> None:
    """You can check all information about the data format in the API documentation: the server tells it too."""
    kinds = (await caller.tables.ListKinds(ts.ListKindsRequest())).kinds
    assert [kind.kind for kind in kinds] == sorted(kind.kind for kind in kinds)
    for kind in kinds:
        for field in kind.fields:
            assert field.name
            assert field.type
            assert field.description, f"{kind.kind}.{field.name}"
