"""The life of an import: modes, rehearsals, staging, replacements, budgets, retries. Claims, one by one."""

import json
from typing import Any

import asyncpg
import pytest
from google.protobuf import field_mask_pb2
from grpc import aio

from ingot.v1 import field_pb2, import_pb2, record_pb2, record_service_pb2, stage_pb2, table_pb2, write_mode_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller, reason_of, records

MERGE = write_mode_pb2.WRITE_MODE_MERGE
FILL_EMPTY = write_mode_pb2.WRITE_MODE_FILL_EMPTY
SKIP_EXISTING = write_mode_pb2.WRITE_MODE_SKIP_EXISTING
DELETE = write_mode_pb2.WRITE_MODE_DELETE
AWAITING_COMMIT = import_pb2.IMPORT_STATE_AWAITING_COMMIT


async def done(caller: Caller, rows: list[Any], **spec: Any) -> import_pb2.Import:
    """An import of rows that has ended."""
    import_id = await caller.create(**spec)
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    return await caller.finish(import_id)


async def awaiting(caller: Caller, import_id: str) -> import_pb2.Import:
    """An import once it awaits its commit."""
    async for update in caller.imports.WatchImport(im.WatchImportRequest(import_id=import_id)):
        if update.import_job.state == AWAITING_COMMIT:
            return update.import_job
    raise AssertionError("it ended without awaiting a commit")


async def staged(caller: Caller, rows: list[Any], **spec: Any) -> import_pb2.Import:
    """A staged import of rows that awaits its commit."""
    import_id = await caller.create(staged=True, **spec)
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    return await awaiting(caller, import_id)


def numbers(found: import_pb2.Import) -> dict[str, int]:
    """The counts that are not zero."""
    return {field.name: value for field, value in found.counts.ListFields()}


async def test_merge_overrides_given_fields_and_keeps_others(caller: Caller) -> None:
    await done(caller, [{"id": 1, "a": 1, "b": 2}])
    found = await done(caller, [{"id": 1, "b": 3}, {"id": 2, "b": 4}, {"id": 1, "b": None}], mode=MERGE)
    assert numbers(found) == {"received": 3, "created": 1, "updated": 1, "superseded": 1}
    assert await caller.table() == [{"id": 1, "a": 1, "b": None}, {"id": 2, "b": 4}]


async def test_fill_empty_sets_only_what_is_missing_null_or_empty(caller: Caller) -> None:
    await done(caller, [{"id": 1, "a": 1, "b": "", "c": None, "d": []}])
    rows = [{"id": 1, "a": 9, "b": 9, "c": 9, "d": 9, "e": 9, "f": None}, {"id": 1, "a": 8, "b": 8}]
    found = await done(caller, rows, mode=FILL_EMPTY)
    assert numbers(found) == {"received": 2, "updated": 1, "superseded": 1}
    assert await caller.table() == [{"id": 1, "a": 1, "b": 8, "c": 9, "d": 9, "e": 9}]


async def test_skip_existing_leaves_records_as_they_are(caller: Caller) -> None:
    await done(caller, [{"id": 1, "a": 1}])
    rows = [{"id": 1, "a": 2}, {"id": 2, "a": 2}, {"id": 2, "a": 3}]
    found = await done(caller, rows, mode=SKIP_EXISTING)
    assert numbers(found) == {"received": 3, "created": 1, "superseded": 1, "skipped": 1}
    assert await caller.table() == [{"id": 1, "a": 1}, {"id": 2, "a": 3}]


async def test_delete_takes_records_away(caller: Caller) -> None:
    await done(caller, [{"id": 1}, {"id": 2}])
    found = await done(caller, [{"id": 1}, {"id": 1}, {"id": 3}], mode=DELETE)
    assert numbers(found) == {"received": 3, "deleted": 1, "unchanged": 2}
    assert await caller.table() == [{"id": 2}]


async def test_a_rehearsal_stores_nothing(caller: Caller) -> None:
    await done(caller, [{"id": 1, "a": 1}])
    found = await done(caller, [{"id": 1, "a": 2}, {"id": 2}, {}, {"id": 2, "a": 1}], validate_only=True)
    assert numbers(found) == {"received": 4, "created": 1, "updated": 1, "superseded": 1, "rejected": 1}
    assert found.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert await caller.table() == [{"id": 1, "a": 1}]


async def test_a_staged_import_is_seen_at_its_commit(caller: Caller) -> None:
    await done(caller, [{"id": 1, "a": 1}])
    found = await staged(caller, [{"id": 1, "a": 2}, {"id": 2}])
    assert numbers(found) == {"received": 2, "created": 1, "updated": 1}
    assert await caller.table() == [{"id": 1, "a": 1}]
    page = await caller.records.ListRecords(
        record_service_pb2.ListRecordsRequest(table="things", staged_import_id=found.import_id)
    )
    assert [record.key for record in page.records] == ["1", "2"]
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=found.import_id))
    ended = await caller.ended(found.import_id)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert numbers(ended) == {"received": 2, "created": 1, "updated": 1}
    assert await caller.table() == [{"id": 1, "a": 2}, {"id": 2}]


async def test_a_cancelled_staged_import_leaves_nothing(caller: Caller) -> None:
    found = await staged(caller, [{"id": 1}, {}])
    ended = await caller.ended_by_cancel(found.import_id)
    assert numbers(ended) == {"received": 2, "rejected": 1, "pending": 1}
    assert "Nothing was written" in ended.state_message
    assert await caller.table() == []


async def test_a_full_replacement_deletes_what_is_not_named(caller: Caller) -> None:
    await done(caller, [{"id": number} for number in range(10)])
    found = await done(caller, [{"id": number} for number in range(9)], reconcile=import_pb2.Reconcile())
    assert (found.removed, numbers(found)) == (1, {"received": 9, "unchanged": 9})
    assert len(await caller.table()) == 9


async def test_a_full_replacement_that_would_delete_too_much_fails(caller: Caller) -> None:
    await done(caller, [{"id": number} for number in range(10)])
    found = await done(caller, [{"id": number} for number in range(7)], reconcile=import_pb2.Reconcile())
    assert found.state == import_pb2.IMPORT_STATE_FAILED
    assert "max_deleted_ratio" in found.state_message
    assert numbers(found) == {"received": 7, "pending": 7}
    assert len(await caller.table()) == 10


@pytest.mark.parametrize("nameless", [{"a": 1}, [1]])
async def test_a_rejected_record_without_a_known_key_forbids_deletion(caller: Caller, nameless: Any) -> None:
    await done(caller, [{"id": number} for number in range(10)])
    rows = [*({"id": number} for number in range(9)), nameless]
    found = await done(caller, rows, reconcile=import_pb2.Reconcile())
    assert (found.state, found.removed) == (import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED, 0)
    assert "Nothing is deleted" in found.state_message
    assert len(await caller.table()) == 10


async def test_more_errors_than_allowed_fail_the_import(caller: Caller) -> None:
    found = await done(caller, [{"id": 1}, {}, {}], max_errors=1)
    assert found.state == import_pb2.IMPORT_STATE_FAILED
    assert "max_errors" in found.state_message
    found = await done(caller, [{"id": 2}, {}], max_errors=1)
    assert found.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED


async def test_a_larger_share_of_errors_than_allowed_fails_the_import(caller: Caller) -> None:
    found = await done(caller, [{"id": 1}, {}, {}], max_error_ratio=0.5)
    assert found.state == import_pb2.IMPORT_STATE_FAILED
    found = await done(caller, [{"id": 1}, {}], max_error_ratio=0.5)
    assert found.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED


async def test_what_was_missing_can_be_tried_again(caller: Caller) -> None:
    orders = {"table": "orders", "key_fields": (), "kind": "ORDERS"}
    rows = [{"id": 1, "email": "ada@example.org"}, {"id": 2, "email": "bob@example.org"}, [1]]
    found = await done(caller, rows, **orders)
    assert found.state == import_pb2.IMPORT_STATE_FAILED
    await done(caller, [{"email": "ada@example.org"}], table="people", key_fields=(), kind="CONTACTS")
    again = await caller.imports.RetryImport(im.RetryImportRequest(import_id=found.import_id, request_id="again"))
    ended = await caller.ended(again.import_job.import_id)
    assert numbers(ended) == {"received": 2, "created": 1, "rejected": 1}
    assert ended.retry_of == found.import_id
    same = await caller.imports.RetryImport(im.RetryImportRequest(import_id=found.import_id, request_id="again"))
    assert same.import_job.import_id == ended.import_id


async def test_contacts_merge_as_a_whole(caller: Caller) -> None:
    people = {"table": "people", "key_fields": (), "kind": "CONTACTS"}
    await done(caller, [{"id": "1", "email": "Ada@example.org", "city": "London"}], **people)
    found = await done(caller, [{"email": "ada@example.org", "phone": "+46701740605"}], mode=MERGE, **people)
    assert not await caller.errors(found.import_id)
    assert numbers(found) == {"received": 1, "updated": 1}
    (ada,) = await caller.table("people")
    assert (ada["id"], ada["city"], ada["phone"]) == ("1", "London", "+46701740605")
    assert ada["derived"] == {"email_domain": "example.org", "phone_country": "SE"}
    found = await done(caller, [{"phone": "+46701740605"}], mode=DELETE, **people)
    assert numbers(found) == {"received": 1, "deleted": 1}
    assert await caller.table("people") == []


async def test_staged_contacts_find_each_other(caller: Caller) -> None:
    people = {"table": "people", "key_fields": (), "kind": "CONTACTS"}
    await done(caller, [{"id": "1", "email": "ada@example.org"}], **people)
    rows = [{"email": "ada@example.org", "id": "2"}, {"email": "ada@example.org", "city": "Oslo"}, {"id": "3"}]
    found = await staged(caller, rows, mode=MERGE, **people)
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=found.import_id))
    ended = await caller.ended(found.import_id)
    assert numbers(ended) == numbers(found)
    assert ended.processing.state in (stage_pb2.STAGE_STATE_WARNING, stage_pb2.STAGE_STATE_SUCCESS)


async def make_strict(caller: Caller) -> None:
    """A table in which `n` is required, and `size` has a default."""
    fields = [
        field_pb2.Field(name="n", type=field_pb2.FIELD_TYPE_INTEGER, required=True),
        field_pb2.Field(name="size", type=field_pb2.FIELD_TYPE_TEXT, allowed_values=["S", "M"]),
    ]
    fields[1].default_value.string_value = "M"
    table = table_pb2.Table(table="strict", key_fields=["id"], fields=fields)
    await caller.tables.CreateTable(ts.CreateTableRequest(table=table))


async def test_a_default_that_an_import_has_stored_itself_is_overridden(caller: Caller) -> None:
    await make_strict(caller)
    found = await done(caller, [{"id": 3, "n": 1}, {"id": 3, "size": "S"}], table="strict", mode=FILL_EMPTY)
    assert numbers(found) == {"received": 2, "created": 1, "superseded": 1}
    assert await caller.table("strict") == [{"id": 3, "n": 1, "size": "S"}]


async def test_a_rejected_record_does_not_hide_the_record_that_it_names(caller: Caller) -> None:
    await make_strict(caller)
    await done(caller, [{"id": 1, "n": 1}], table="strict")
    import_id = await caller.create("strict", staged=True, reconcile=import_pb2.Reconcile())
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="a", finish=True)])
    await caller.upload([records([{"id": 1, "n": 2}], import_id=import_id, batch_id="b", finish=True)])
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    assert numbers(await awaiting(caller, import_id)) == {"received": 2, "rejected": 1, "updated": 1}


async def test_an_upload_to_an_import_that_is_gone_says_so(caller: Caller) -> None:
    ended = await caller.ended_by_cancel(await caller.create())
    await caller.imports.DeleteImport(im.DeleteImportRequest(import_id=ended.import_id))
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.upload([records([{"id": 1}], import_id=ended.import_id, batch_id="b", offset=1)])
    assert reason_of(refused.value).reason == "IMPORT_NOT_FOUND"


async def test_what_will_not_be_deleted_is_not_shown_as_deleted(caller: Caller) -> None:
    await done(caller, [{"id": 1}, {"id": 2}])
    found = await staged(caller, [{"id": 1}, [1]], reconcile=import_pb2.Reconcile(max_deleted_ratio=1))
    assert found.removed == 0
    request = record_service_pb2.ListRecordsRequest(
        table="things", staged_import_id=found.import_id, staged_part=record_service_pb2.STAGED_PART_DELETED
    )
    assert not (await caller.records.ListRecords(request)).records


@pytest.mark.parametrize("mode", [MERGE, FILL_EMPTY])
async def test_a_contact_without_identifiers_is_told_so_once(
    caller: Caller, mode: write_mode_pb2.WriteMode.ValueType
) -> None:
    found = await done(caller, [{"id": None, "name": "x"}], table="people", key_fields=(), kind="CONTACTS", mode=mode)
    assert len(await caller.errors(found.import_id)) == 1


@pytest.mark.parametrize("validate_only", [False, True])
async def test_in_a_call_too_each_record_names_its_own_keys(caller: Caller, validate_only: bool) -> None:
    rows = [{"id": 1}, {"keys": ["id"], "id": 2}, {"keys": ["email"], "email": "a"}]
    request = record_service_pb2.WriteRecordsRequest(
        table="things",
        records=[record_pb2.Record(json=json.dumps(row).encode()) for row in rows],
        validate_only=validate_only,
    )
    written = await caller.records.WriteRecords(request)
    assert (written.counts.created, written.counts.rejected) == (1, 2)
    assert [(error.index, error.code) for error in written.errors] == [(0, 1102), (2, 1002)]


@pytest.mark.parametrize("mode", [MERGE, FILL_EMPTY])
async def test_a_faulty_record_is_not_told_to_lack_what_the_table_has(
    caller: Caller, mode: write_mode_pb2.WriteMode.ValueType
) -> None:
    await make_strict(caller)
    await done(caller, [{"id": 2, "n": 1}], table="strict")
    found = await done(caller, [{"id": 2, "size": "XL"}], table="strict", mode=mode)
    assert [error.field for error in await caller.errors(found.import_id)] == ["size"]


async def test_many_waiting_batches_wait_for_one_each(caller: Caller, database: Database, database_url: str) -> None:
    await done(caller, [{"id": 0}])
    somebody = await asyncpg.connect(database_url)
    holding = somebody.transaction()
    await holding.start()
    await somebody.execute("SELECT FROM record FOR UPDATE")
    import_id = await caller.create()
    for number in range(30):
        rows = [{"id": 0, "number": number}]
        await caller.upload([records(rows, import_id=import_id, batch_id=f"b{number}", finish=True)])
    waiting = await database.fetch("SELECT cardinality(waits_for) AS number FROM batch WHERE batch_id <> 'b'")
    assert {row["number"] for row in waiting} == {0, 1}
    await holding.rollback()
    await somebody.close()
    ended = await caller.finish(import_id)
    assert numbers(ended) == {"received": 30, "updated": 1, "superseded": 29}
    assert await caller.table() == [{"id": 0, "number": 29}]


async def test_a_retry_keeps_the_order_of_batches(caller: Caller) -> None:
    consents: dict[str, Any] = {"table": "consents", "key_fields": (), "kind": "CONSENTS"}
    import_id = await caller.create(**consents)
    for number in range(8):
        row = {"email": "ada@example.org", "channel": "email", "granted": True, "source": f"{number}"}
        await caller.upload([records([row], import_id=import_id, batch_id=f"b{number}", finish=True)])
    await caller.finish(import_id)
    await done(caller, [{"email": "ada@example.org"}], table="people", key_fields=(), kind="CONTACTS")
    again = await caller.imports.RetryImport(im.RetryImportRequest(import_id=import_id))
    ended = await caller.ended(again.import_job.import_id)
    assert numbers(ended) == {"received": 8, "created": 1, "superseded": 7}
    (consent,) = await caller.table("consents")
    assert consent["source"] == "7"


async def test_who_may_not_delete_records_cannot_help_an_import_that_does(caller: Caller, database: Database) -> None:
    await done(caller, [{"id": 1}])
    scopes = [scope for scope in SCOPES if scope != "records:delete"]
    key = (await create_key(database, "acme", scopes, "test", None)).text
    import_id = await caller.create(mode=DELETE)
    async with Caller(caller.address, key) as other:
        for call in (
            other.upload([records([{"id": 1}], import_id=import_id, batch_id="b", finish=True)]),
            other.imports.FinishImport(im.FinishImportRequest(import_id=import_id)),
            other.create(mode=DELETE),
            other.create(reconcile=import_pb2.Reconcile()),
        ):
            with pytest.raises(aio.AioRpcError) as refused:
                await call
            assert reason_of(refused.value).metadata["scope"] == "records:delete"
        await other.create(mode=DELETE, validate_only=True)
        assert (await other.ended_by_cancel(import_id)).state == import_pb2.IMPORT_STATE_CANCELLED
    assert await caller.table() == [{"id": 1}]


async def test_a_rehearsal_of_a_table_that_is_not_there_shows_what_it_would_write(caller: Caller) -> None:
    import_id = await caller.create("nowhere", validate_only=True)
    await caller.upload([records([{"id": 1, "city": "Oslo"}, {"id": 2}], import_id=import_id, batch_id="b")])
    request = record_service_pb2.ListRecordsRequest(table="nowhere", staged_import_id=import_id, filter="city = Oslo")
    while not (page := await caller.records.ListRecords(request)).records:
        pass
    assert [record.key for record in page.records] == ["1"]


async def test_what_is_stored_of_unknown_fields_is_no_fault_of_what_is_merged(caller: Caller) -> None:
    await done(caller, [{"id": 1, "a": "x", "b": "y"}])
    table = table_pb2.Table(
        table="things",
        fields=[field_pb2.Field(name="a", type=field_pb2.FIELD_TYPE_TEXT)],
        unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT,
    )
    mask = field_mask_pb2.FieldMask(paths=["fields", "unknown_fields"])
    await caller.tables.UpdateTable(ts.UpdateTableRequest(table=table, update_mask=mask))
    found = await done(caller, [{"id": 1, "a": "z"}, {"id": 1, "c": "w"}], mode=MERGE)
    assert numbers(found) == {"received": 2, "updated": 1, "rejected": 1}
    assert await caller.table() == [{"id": 1, "a": "z", "b": "y"}]


async def test_what_is_derived_of_a_merged_contact_is_new_where_unknown_fields_are_rejected(caller: Caller) -> None:
    people: dict[str, Any] = {"table": "people", "key_fields": (), "kind": "CONTACTS"}
    table = table_pb2.Table(table="people", kind="CONTACTS", unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
    await caller.tables.CreateTable(ts.CreateTableRequest(table=table))
    await done(caller, [{"id": "1", "email": "ada@example.org"}], **people)
    found = await done(caller, [{"id": "1", "email": "ada@example.net"}], mode=MERGE, **people)
    assert numbers(found) == {"received": 1, "updated": 1}
    (ada,) = await caller.table("people")
    assert ada["derived"] == {"email_domain": "example.net"}
