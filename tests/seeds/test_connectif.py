"""Connectif: API imports (seed 001), sentence by sentence.

Not about Ingot:
* "In this article, you'll learn ...", "This article is part of the guide to creating a custom integration", "Keep
  learning!", "Was this article helpful?"
* "If your integration is via a module, this tag will be added to your ecommerce platform automatically."
* steps 1 to 5, "Go to your Connectif account and go to the API Keys section" and so on, with their screenshots: keys
  are made with `ingot-server keys create`; what they permit is below
* "multipart/form-data HTTP POST request": Ingot speaks gRPC; that file and metadata go in one call is below
* the Node.js script as such; what it does step by step is below
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from ingot.v1 import batch_pb2, field_pb2, import_pb2, stage_pb2
from ingot.v1 import batch_service_pb2 as bs
from ingot.v1 import import_service_pb2 as im
from ingot_client import AsyncClient
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.settings import Settings
from ingot_server.storage.database import Database
from tests.calling import FINAL_STATES, Caller, details_of, reason_of, records
from tests.conftest import running_app
from tests.seeds.conftest import (
    ADA,
    DELETE,
    FILL_EMPTY,
    MERGE,
    SKIP_EXISTING,
    WRITING,
    declared,
    faults,
    file_imported,
    imported,
    keys,
    listed,
    record,
    staged,
    stored,
    succeeded,
)

CSV = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV)
CONTACTS = b"""\
_email,_name,_points
john@example.org,John,10
micheal@example.org,Michael,10
steve@example.org,Steve,20
mark@example.org,Mark,12
carl@example.org,Carl,10
"""
PRODUCTS = b"id,_name,_price\nmug,Mug,9.90\ncup,Cup,12\n"
VOUCHERS = b"_code,_voucherSetId,_expirationDate\nA1,spring,2027-01-01 00:00\nA2,spring,2027-01-01 00:00\n"


async def scoped(caller: Caller, database: Database, *scopes: str) -> Caller:
    """The same account with a key for only some of what can be done."""
    key = await create_key(database, "acme", list(scopes), "", None)
    return Caller(caller.address, key.text)


@pytest.mark.parametrize(
    ("data", "kind", "found"),
    [
        (CONTACTS, "CONTACTS", "email=john@example.org"),
        (PRODUCTS, "PRODUCTS", "mug"),
        (VOUCHERS, "VOUCHERS", '["spring","A1"]'),
    ],
)
async def test_bulk_imports_of_contacts_products_and_vouchers(
    caller: Caller, data: bytes, kind: str, found: str
) -> None:
    """Connectif allows you to automate bulk imports of contacts, products and vouchers."""
    ended = await file_imported(caller, data, "things", CSV, kind=kind)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED, await faults(caller, ended.import_id)
    assert found in await keys(caller, "things")


@pytest.mark.parametrize(("data", "kind"), [(CONTACTS, "CONTACTS"), (PRODUCTS, "PRODUCTS")])
async def test_periodical_synchronisation_of_all_or_a_large_part(caller: Caller, data: bytes, kind: str) -> None:
    """Automate periodically (daily, weekly, etc.) the synchronization of all or a large part of your contacts."""
    first = await file_imported(caller, data, "things", CSV, kind=kind)
    again = await file_imported(caller, data, "things", CSV, kind=kind)
    assert again.counts == stage_pb2.RecordCounts(received=first.counts.created, unchanged=first.counts.created)
    header, changed, *_ = data.splitlines()
    part = await file_imported(caller, header + b"\n" + changed[:-1] + b"7\n", "things", CSV, kind=kind)
    assert part.counts == stage_pb2.RecordCounts(received=1, updated=1)
    assert len(await keys(caller, "things")) == first.counts.created


async def test_vouchers_go_into_a_voucher_set(caller: Caller) -> None:
    """If you want to import vouchers to a voucher set: the same code may be in two."""
    rows = [{"code": "A1", "voucher_set": "spring"}, {"code": "A1", "set": "summer"}, {"code": "A2"}]
    ended = await imported(caller, rows, "vouchers", kind="VOUCHERS")
    assert await faults(caller, ended.import_id) == [(2, 1000, "voucher_set")]
    assert await keys(caller, "vouchers") == ['["spring","A1"]', '["summer","A1"]']
    assert await record(caller, "vouchers", '["summer","A1"]') == {"code": "A1", "voucher_set": "summer"}


async def test_purchase_events_are_covered_too(caller: Caller) -> None:
    """This API does not cover the import of purchase events: here it does, as orders and as events."""
    await file_imported(caller, CONTACTS, "contacts", CSV, kind="CONTACTS")
    purchase = {"id": "p-1", "email": "john@example.org", "items": [{"id": "mug", "price": 9.9, "quantity": 1}]}
    ended = await imported(caller, [purchase], "purchases", kind="ORDERS")
    assert ended.counts.created == 1, await faults(caller, ended.import_id)
    event = {"name": "purchase", "time": "2026-11-20T13:30:00Z", "email": "john@example.org"}
    ended = await imported(caller, [event], "events", kind="EVENTS")
    assert ended.counts.created == 1, await faults(caller, ended.import_id)


async def test_permission_to_read(caller: Caller, database: Database) -> None:
    """In the Imports section, enable the Read permission: it does not permit more."""
    ended = await imported(caller, [ADA, {}], "contacts", kind="CONTACTS")
    async with await scoped(caller, database, "imports:read") as reader:
        assert await reader.get(ended.import_id) == ended
        assert await listed(reader) == [ended.import_id]
        assert len(await reader.errors(ended.import_id)) == 1
        for call, scope in (
            (reader.create("contacts", ()), "imports:write"),
            (reader.imports.DeleteImport(im.DeleteImportRequest(import_id=ended.import_id)), "imports:delete"),
        ):
            with pytest.raises(aio.AioRpcError) as refused:
                await call
            assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
            assert reason_of(refused.value).metadata["scope"] == scope


async def test_permission_to_write(caller: Caller, database: Database) -> None:
    """In the Imports section, enable the Write permission: it does not permit more."""
    async with await scoped(caller, database, "imports:write") as writer:
        import_id = await writer.create("contacts", (), kind="CONTACTS")
        await writer.upload([records([ADA], import_id=import_id, batch_id="b", finish=True)])
        await writer.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
        assert (await caller.ended(import_id)).counts.created == 1
        for call, scope in (
            (writer.get(import_id), "imports:read"),
            (writer.imports.DeleteImport(im.DeleteImportRequest(import_id=import_id)), "imports:delete"),
        ):
            with pytest.raises(aio.AioRpcError) as refused:
                await call
            assert reason_of(refused.value).metadata["scope"] == scope


async def test_permission_to_delete(caller: Caller, database: Database) -> None:
    """In the Imports section, enable the Delete permission: it does not permit more."""
    ended = await imported(caller, [ADA], "contacts", kind="CONTACTS")
    async with await scoped(caller, database, "imports:delete") as deleter:
        for call, scope in (
            (deleter.get(ended.import_id), "imports:read"),
            (deleter.create("contacts", ()), "imports:write"),
        ):
            with pytest.raises(aio.AioRpcError) as refused:
                await call
            assert reason_of(refused.value).metadata["scope"] == scope
        await deleter.imports.DeleteImport(im.DeleteImportRequest(import_id=ended.import_id))
    assert await listed(caller) == []


async def test_one_request_sends_the_file_and_the_metadata(caller: Caller) -> None:
    """One request will send the CSV file and the different metadata (such as the delimiter, the import type, etc.)."""
    first = im.RunImportRequest(
        spec=import_pb2.ImportSpec(table="contacts", kind="CONTACTS"),
        format=batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV, csv=batch_pb2.CsvOptions(delimiter=",")),
        data=CONTACTS,
    )
    last = im.RunImportRequest(finish=batch_pb2.Finish(total=len(CONTACTS)))
    started = (await caller.imports.RunImport(iter([first, last]))).import_job
    ended = await caller.ended(started.import_id)
    assert (ended.kind, ended.counts.created) == ("CONTACTS", 5)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_the_delimiter(caller: Caller, delimiter: str) -> None:
    """The different metadata (such as the delimiter)."""
    form = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV, csv=batch_pb2.CsvOptions(delimiter=delimiter))
    data = CONTACTS.replace(b",", delimiter.encode())
    ended = await file_imported(caller, data, "contacts", form, kind="CONTACTS")
    assert ended.counts.created == 5
    assert (await record(caller, "contacts", "email:mark@example.org"))["points"] == 12


@pytest.mark.parametrize(
    ("type", "kind"), [("contacts", "CONTACTS"), ("products", "PRODUCTS"), ("coupons", "VOUCHERS")]
)
async def test_the_import_type_is_the_kind(caller: Caller, type: str, kind: str) -> None:
    """The import type, form.append('type', 'contacts'): one that is not known is refused before anything is sent."""
    assert (await caller.get(await caller.create(type, (), kind=kind))).kind == kind
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.create(type, (), kind="NO_SUCH_TYPE")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "spec.kind" in (refused.value.details() or "")
    assert kind in (refused.value.details() or "") + str(details_of(refused.value))


JOHN = {"email": "john@example.org", "name": "Johnny", "first_name": "John", "last_name": "", "points": 99}
"""A contact who was there before the file of the document."""


async def with_john(caller: Caller, data: bytes, mode: Any) -> tuple[stage_pb2.RecordCounts, dict[str, Any]]:
    """What an import of a file did, and what it made of John."""
    await imported(caller, [JOHN], "contacts", kind="CONTACTS")
    ended = await file_imported(caller, data, "contacts", CSV, mode=mode)
    found = await record(caller, "contacts", "email:john@example.org")
    found.pop("derived")
    return ended.counts, found


async def test_override_existing(caller: Caller) -> None:
    """form.append('overrideExisting', 'true'): what is given overrides, what is not stays: the mode MERGE."""
    counts, john = await with_john(caller, CONTACTS, MERGE)
    assert counts == stage_pb2.RecordCounts(received=5, created=4, updated=1)
    assert john == {**JOHN, "name": "John", "points": 10}


async def test_override_existing_with_an_empty_cell(caller: Caller) -> None:
    """form.append('overrideExisting', 'true'): an empty cell takes nothing away, but a text from a text."""
    counts, john = await with_john(caller, b"_email,_name,_points\njohn@example.org,,\n", MERGE)
    assert counts == stage_pb2.RecordCounts(received=1, updated=1)
    assert john == {**JOHN, "name": ""}
    data = b"id,size\n1,\n"
    await imported(caller, [{"id": 1, "size": "L", "color": "red"}], "shoes", key_fields=["id"])
    assert (await file_imported(caller, data, "shoes", CSV, mode=FILL_EMPTY)).counts.unchanged == 1
    assert (await file_imported(caller, data, "shoes", CSV, mode=MERGE)).counts.updated == 1
    assert await record(caller, "shoes", "1") == {"id": "1", "size": "", "color": "red"}


async def test_existing_contacts_are_not_overridden(caller: Caller) -> None:
    """form.append('overrideExisting', 'false'): who is there stays as he is, and is counted: the mode SKIP_EXISTING."""
    counts, john = await with_john(caller, CONTACTS, SKIP_EXISTING)
    assert counts == stage_pb2.RecordCounts(received=5, created=4, skipped=1)
    assert john == JOHN


async def test_update_only_empty_fields(caller: Caller) -> None:
    """form.append('updateOnlyEmptyFields', 'true'): only what is missing or empty is set: the mode FILL_EMPTY."""
    data = b"_email,_name,_last_name,_points,_country\njohn@example.org,John,Doe,10,se\nnew@example.org,New,,1,\n"
    counts, john = await with_john(caller, data, FILL_EMPTY)
    assert counts == stage_pb2.RecordCounts(received=2, created=1, updated=1)
    assert john == {**JOHN, "last_name": "Doe", "country": "SE"}


async def test_encoding_utf_8(caller: Caller) -> None:
    """Encoding UTF-8: every character survives, and a row that is in another encoding is rejected alone."""
    data = "\ufeff_email,_name\nå@exämple.org,Åsa 日本 😀\nb@example.org,".encode() + "Åsa\n".encode("latin-1")
    ended = await file_imported(caller, data, "contacts", CSV, kind="CONTACTS")
    assert await faults(caller, ended.import_id) == [(1, 1107, "")]
    (key,) = await keys(caller, "contacts")
    assert key == "email=å@exämple.org"
    assert (await record(caller, "contacts", key))["name"] == "Åsa 日本 😀"


async def test_the_first_row_contains_the_names_of_the_headers(caller: Caller) -> None:
    """The first row must contain the name of the headers of each field: it is not a record."""
    ended = await file_imported(caller, CONTACTS, "contacts", CSV, kind="CONTACTS")
    assert ended.counts.received == 5
    without = await file_imported(caller, b"_email,\na@example.org,A\n", "others", CSV, kind="CONTACTS")
    assert await faults(caller, without.import_id) == [(0, 1113, "")]
    only = await file_imported(caller, b"_email,_name\n", "others", CSV, kind="CONTACTS")
    assert await faults(caller, only.import_id) == [(0, 1106, "")]


async def test_the_headers_match_the_ids_of_the_contact_fields(caller: Caller) -> None:
    """The headers of the contact file must match the IDs of the Connectif Contact fields: unknown ones are told."""
    await declared(caller, "strict", kind="CONTACTS", unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
    data = b"_email,_shoe_size\njohn@example.org,44\n"
    ended = await file_imported(caller, data, "strict", CSV)
    assert await faults(caller, ended.import_id) == [(0, 1001, "_shoe_size")]
    # Unless the table says otherwise they are kept as they come.
    await file_imported(caller, data, "lenient", CSV, kind="CONTACTS")
    assert (await record(caller, "lenient", "email:john@example.org"))["_shoe_size"] == "44"


@pytest.mark.parametrize("header", ["first_name", "firstName", "_first_name", "_firstName"])
async def test_system_fields_are_known_by_every_spelling_of_their_ids(caller: Caller, header: str) -> None:
    """The headers must match the IDs of the fields: with `_` or without, in camelCase or not."""
    await declared(caller, "contacts", kind="CONTACTS", unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
    ended = await file_imported(caller, f"_email,{header}\njohn@example.org,John\n".encode(), "contacts", CSV)
    assert ended.counts.created == 1, await faults(caller, ended.import_id)
    assert (await record(caller, "contacts", "email:john@example.org"))["first_name"] == "John"


async def test_the_id_of_a_product_is_known_with_an_underscore_too(caller: Caller) -> None:
    """_email, _name and _points correspond to the identifiers of the system fields: `_id` is that of a product's id."""
    ended = await file_imported(caller, b"_id,_name\nmug,Mug\n", "products", CSV, kind="PRODUCTS")
    assert await faults(caller, ended.import_id) == []
    assert await record(caller, "products", "mug") == {"id": "mug", "name": "Mug"}


async def test_a_field_of_ones_own_is_declared(caller: Caller) -> None:
    """Contact fields, which you will find in your account: those beside the system fields are declared by the table."""
    size = field_pb2.Field(name="shoe_size", type=field_pb2.FIELD_TYPE_INTEGER, aliases=["_shoe_size"])
    await declared(caller, "contacts", kind="CONTACTS", fields=[size], unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
    await file_imported(caller, b"_email,_shoe_size\njohn@example.org,44\n", "contacts", CSV)
    assert (await record(caller, "contacts", "email:john@example.org"))["shoe_size"] == 44


async def test_the_csv_of_the_document(caller: Caller) -> None:
    """_email, _name and _points correspond to the identifiers of the Email, Name and Points system fields."""
    ended = await file_imported(caller, CONTACTS, "contacts", CSV, kind="CONTACTS")
    assert ended.counts == stage_pb2.RecordCounts(received=5, created=5)
    found = [await record(caller, "contacts", key) for key in await keys(caller, "contacts")]
    for contact in found:
        assert contact.pop("derived") == {"email_domain": "example.org"}
    assert found == [
        {"email": "carl@example.org", "name": "Carl", "points": 10},
        {"email": "john@example.org", "name": "John", "points": 10},
        {"email": "mark@example.org", "name": "Mark", "points": 12},
        {"email": "micheal@example.org", "name": "Michael", "points": 10},
        {"email": "steve@example.org", "name": "Steve", "points": 20},
    ]


async def test_the_script_reads_its_file_from_a_path_and_ends_when_it_is_finished(
    caller: Caller, tmp_path: Path
) -> None:
    """The script creates an import from a CSV file whose path is set by environment variable."""
    path = tmp_path / "contacts.csv"
    path.write_bytes(CONTACTS)
    async with AsyncClient(caller.address, caller.key) as ingot:
        done = await ingot.import_file("contacts", path, delimiter=",", kind="CONTACTS")
    assert (done.state, done.counts.created) == ("SUCCEEDED", 5)


async def test_the_authorization_header(caller: Caller) -> None:
    """'Authorization': `apiKey ${apiKey}`: here it is `Bearer`, or the header `x-api-key`."""
    request = im.ListImportsRequest()
    async with Caller(caller.address, None) as stranger:
        for metadata in ((("authorization", f"Bearer {caller.key}"),), (("x-api-key", caller.key or ""),)):
            await stranger.imports.ListImports(request, metadata=metadata)
        for metadata in ((("authorization", f"apiKey {caller.key}"),), (("x-api-key", "wrong"),)):
            with pytest.raises(aio.AioRpcError) as refused:
                await stranger.imports.ListImports(request, metadata=metadata)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_response_that_is_not_ok_says_why(caller: Caller) -> None:
    """if (!response.ok) console.error(response.status, await response.json()): a refused call says why."""
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.create("no dashes-please", (), kind="CONTACTS")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value).reason == "INVALID_REQUEST"
    assert "spec.table" in (refused.value.details() or "")


async def test_the_id_and_the_total(unprocessed: Caller) -> None:
    """const { id, total } = await response.json(): the total is known when all was received."""
    import_id = await unprocessed.create("contacts", (), kind="CONTACTS")
    await unprocessed.upload_file(import_id, CONTACTS, CSV)
    assert (await unprocessed.get(import_id)).counts.received == 5


@pytest.mark.parametrize("mode", [*WRITING, DELETE])
async def test_polling_tells_success_errors_and_status_until_it_is_finished(caller: Caller, mode: Any) -> None:
    """const { success, errors, status } = ...; completed success + errors of total; if (status === 'finished')."""
    await imported(caller, [JOHN], "contacts", kind="CONTACTS")
    import_id = await caller.create("contacts", (), mode=mode)
    await caller.upload_file(import_id, CONTACTS + b"nobody,Nobody,1\n", CSV)
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    while True:
        status = await caller.get(import_id)
        completed = succeeded(status.counts) + status.counts.rejected
        assert completed + status.counts.pending == 6
        if status.state in FINAL_STATES:
            break
    assert (succeeded(status.counts), status.counts.rejected) == (5, 1)
    assert status.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED


async def test_it_need_not_be_asked_every_two_seconds(caller: Caller) -> None:
    """It checks its status every two seconds and ends when the import status equals finished: here it is told."""
    import_id = await caller.create("contacts", (), kind="CONTACTS")
    updates: Any = caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id))
    assert (await updates.read()).import_job.state == import_pb2.IMPORT_STATE_RECEIVING
    await caller.upload_file(import_id, CONTACTS, CSV)
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    assert [update.import_job.state async for update in updates][-1] == import_pb2.IMPORT_STATE_SUCCEEDED


async def test_files_of_more_than_50_mb(caller: Caller) -> None:
    """The CSV files to import cannot exceed 50 MB in size: here they can, and 50 MB is no special size."""
    row = b"%d@example.org," + b"x" * 1_000_000 + b"\n"
    data = b"_email,_name\n" + b"".join(row % number for number in range(51))
    assert len(data) > 50_000_000
    ended = await file_imported(caller, data, "contacts", CSV, kind="CONTACTS")
    assert ended.counts == stage_pb2.RecordCounts(received=51, created=51)


@pytest.fixture
async def limited(database_url: str, database: Database) -> AsyncIterator[Caller]:
    """Somebody whose server has the limit that it has when nothing is set."""
    limit = Settings.model_fields["open_imports_max"].default
    async with running_app(database_url, open_imports_max=limit) as app:
        key = await create_key(database, "acme", list(SCOPES), "test", None)
        async with Caller(f"127.0.0.1:{app.port}", key.text) as caller:
            yield caller


async def test_at_most_10_imports_are_queued(limited: Caller) -> None:
    """A maximum of 10 imports can be queued at a time. We will have to wait for an import to complete."""
    queued = [await limited.create("contacts", (), kind="CONTACTS") for _ in range(10)]
    with pytest.raises(aio.AioRpcError) as refused:
        await limited.create("contacts", (), kind="CONTACTS")
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(refused.value).reason == "TOO_MANY_IMPORTS"
    assert reason_of(refused.value).metadata["limit"] == "10"
    assert reason_of(refused.value).metadata["import_id"] in queued
    details = {detail.TypeName() for detail in details_of(refused.value)}
    assert {"google.rpc.QuotaFailure", "google.rpc.RetryInfo"} <= details
    assert await listed(limited) == queued[::-1]

    await limited.upload_file(queued[4], CONTACTS, CSV)
    assert (await limited.finish(queued[4])).counts.created == 5
    assert await limited.create("contacts", (), kind="CONTACTS")
    with pytest.raises(aio.AioRpcError):
        await limited.create("contacts", (), kind="CONTACTS")


async def test_a_cancelled_import_makes_room_in_the_queue(limited: Caller) -> None:
    """We will have to wait for an import to complete before putting the next one in the queue: or cancel one."""
    queued = [await limited.create("contacts", (), kind="CONTACTS") for _ in range(10)]
    await limited.ended_by_cancel(queued[0])
    assert await limited.create("contacts", (), kind="CONTACTS")


async def test_an_import_that_awaits_its_commit_is_queued_too(limited: Caller) -> None:
    """A maximum of 10 imports can be queued at a time: who does not commit his does not get more."""
    waiting = [await staged(limited, [ADA], "contacts", kind="CONTACTS") for _ in range(10)]
    with pytest.raises(aio.AioRpcError) as refused:
        await limited.create("contacts", (), kind="CONTACTS")
    assert reason_of(refused.value).reason == "TOO_MANY_IMPORTS"
    await limited.imports.CommitImport(im.CommitImportRequest(import_id=waiting[0].import_id))
    assert (await limited.ended(waiting[0].import_id)).state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert await limited.create("contacts", (), kind="CONTACTS")


async def test_who_asks_again_for_a_queued_import_gets_it(limited: Caller) -> None:
    """Once this limit is reached we will have to wait: not with an import that is in the queue already."""
    spec: dict[str, Any] = {"kind": "CONTACTS", "request_id": "nightly"}
    first = await limited.create("contacts", (), **spec)
    for _ in range(9):
        await limited.create("contacts", (), kind="CONTACTS")
    assert await limited.create("contacts", (), **spec) == first


async def test_the_queue_is_the_accounts_and_rehearsals_have_their_own(limited: Caller, database: Database) -> None:
    """A maximum of 10 imports can be queued at a time: by all keys of an account together, and by no other account."""
    for _ in range(10):
        await limited.create("contacts", (), kind="CONTACTS")
    async with await scoped(limited, database, "imports:write") as colleague:
        with pytest.raises(aio.AioRpcError) as refused:
            await colleague.create("contacts", (), kind="CONTACTS")
        assert reason_of(refused.value).reason == "TOO_MANY_IMPORTS"
    for _ in range(10):
        await limited.create("contacts", (), kind="CONTACTS", validate_only=True)
    with pytest.raises(aio.AioRpcError) as refused:
        await limited.create("contacts", (), kind="CONTACTS", validate_only=True)
    assert reason_of(refused.value).reason == "TOO_MANY_IMPORTS"
    key = await create_key(database, "other", list(SCOPES), "", None)
    async with Caller(limited.address, key.text) as stranger:
        assert await stranger.create("contacts", (), kind="CONTACTS")


async def test_imports_made_in_any_way_are_in_one_list(caller: Caller) -> None:
    """Imports made via API and app are both available in the list of imports."""
    by_steps = (await imported(caller, [ADA], "contacts", kind="CONTACTS")).import_id
    message = im.RunImportRequest(spec=import_pb2.ImportSpec(table="contacts"), records=records([ADA]).records)
    message.finish.total = 1
    by_one_call = (await caller.imports.RunImport(iter([message]))).import_job.import_id
    async with AsyncClient(caller.address, caller.key) as ingot:
        by_client = (await ingot.import_records("contacts", [ADA])).import_id
    assert await listed(caller) == [by_client, by_one_call, by_steps]


async def test_the_list_is_the_same_for_all_callers_of_the_account(caller: Caller, database: Database) -> None:
    """Imports made via API and app are both available in the list: by whichever key, and to no other account."""
    mine = await imported(caller, [ADA], "contacts", kind="CONTACTS")
    async with await scoped(caller, database, "imports:read", "imports:write") as colleague:
        rehearsal = await colleague.create("contacts", (), validate_only=True, labels={"made-by": "app"})
        retry = await colleague.create("contacts", ())
        assert await listed(colleague) == await listed(caller) == [retry, rehearsal, mine.import_id]
        assert await colleague.get(mine.import_id) == mine
        assert await listed(caller, labels={"made-by": "app"}) == [rehearsal]
        assert await listed(caller, states=[import_pb2.IMPORT_STATE_RECEIVING]) == [retry, rehearsal]
    key = await create_key(database, "other", list(SCOPES), "", None)
    async with Caller(caller.address, key.text) as stranger:
        assert await listed(stranger) == []


async def refused_deletion(caller: Caller, import_id: str) -> str:
    """The state that the refusal to delete an import names."""
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.imports.DeleteImport(im.DeleteImportRequest(import_id=import_id))
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value).reason == "IMPORT_STATE"
    assert reason_of(refused.value).metadata["import_id"] == import_id
    state: str = reason_of(refused.value).metadata["state"]
    assert state in (refused.value.details() or "")
    return state


async def test_only_finished_and_failed_imports_can_be_deleted(caller: Caller) -> None:
    """It is possible to delete imports only in the finished or error states: these are all that are final."""
    finished = await imported(caller, [ADA], "contacts", kind="CONTACTS")
    partly = await imported(caller, [ADA, {}], "contacts", kind="CONTACTS")
    failed = await imported(caller, [{"name": "Nobody"}], "contacts", kind="CONTACTS")
    cancelled = await caller.ended_by_cancel(await caller.create("contacts", ()))
    everything = [finished, partly, failed, cancelled]
    assert sorted(ended.state for ended in everything) == sorted(FINAL_STATES)
    for ended in everything:
        await caller.imports.DeleteImport(im.DeleteImportRequest(import_id=ended.import_id))
    assert await listed(caller) == []
    assert json.loads((await stored(caller, "contacts", "id:1")).record.json)["name"] == "Ada"


async def test_a_queued_import_cannot_be_deleted(caller: Caller) -> None:
    """Can I delete a queued or in-progress import? Not while it is received, nor while it awaits its commit."""
    receiving = await caller.create("contacts", (), kind="CONTACTS")
    assert await refused_deletion(caller, receiving) == "RECEIVING"
    waiting = await staged(caller, [ADA], "contacts")
    assert await refused_deletion(caller, waiting.import_id) == "AWAITING_COMMIT"
    assert await listed(caller) == [waiting.import_id, receiving]
    for import_id in (receiving, waiting.import_id):
        await caller.ended_by_cancel(import_id)
        await caller.imports.DeleteImport(im.DeleteImportRequest(import_id=import_id))
    assert await listed(caller) == []


async def test_an_import_in_progress_cannot_be_deleted(unprocessed: Caller) -> None:
    """Can I delete a queued or in-progress import? Not before it is cancelled."""
    import_id = await unprocessed.create("contacts", (), kind="CONTACTS")
    await unprocessed.upload([records([ADA], import_id=import_id, batch_id="b", finish=True)])
    await unprocessed.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    assert await refused_deletion(unprocessed, import_id) == "PROCESSING"
    batch = await unprocessed.batches.GetBatch(bs.GetBatchRequest(import_id=import_id, batch_id="b"))
    assert batch.batch.finished
