"""Kinds: contacts that are one record however they come, and records that refer to others."""

import json
from typing import Any

import grpc
import pytest

from ingot.v1 import field_pb2, import_pb2, record_error_pb2, record_pb2, stage_pb2, table_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from tests.calling import Caller, reason_of, records

Code = record_error_pb2.RecordErrorCode


def codes_of(errors: Any) -> list[tuple[int, int, str]]:
    return [(error.index, error.code, error.field) for error in errors]


async def write(caller: Caller, table: str, *rows: object, kind: str = "", **fields: Any) -> pb.WriteRecordsResponse:
    texts = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    return await caller.records.WriteRecords(
        pb.WriteRecordsRequest(
            table=table, kind=kind, records=[record_pb2.Record(json=text) for text in texts], **fields
        )
    )


async def run(caller: Caller, table: str, *rows: object, kind: str = "", **spec: Any) -> tuple[Any, list[Any]]:
    import_id = await caller.create(table, (), kind=kind, **spec)
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    done = await caller.finish(import_id)
    return done, await caller.errors(import_id)


async def get(caller: Caller, table: str, key: str) -> tuple[str, Any]:
    found = (await caller.records.GetRecord(pb.GetRecordRequest(table=table, key=key))).record
    return found.key, json.loads(found.json)


async def test_a_contact_is_one_record_whether_it_comes_by_id_email_or_phone(caller: Caller) -> None:
    done, errors = await run(
        caller,
        "people",
        {"id": 1, "email": "Ada@Example.org ", "phone": "+46 70-174 06 05", "name": "Ada"},
        {"email": "ada@example.org", "name": "Ada L."},
        {"phone": "0046701740605", "name": "Ada Lovelace"},
        {"id": "1", "name": "A. Lovelace"},
        kind="CONTACTS",
    )
    assert errors == []
    assert done.counts == stage_pb2.RecordCounts(received=4, created=1, superseded=3)
    assert await caller.table("people") == [
        {
            "id": "1",
            "email": "ada@example.org",
            "phone": "+46701740605",
            "name": "A. Lovelace",
            "derived": {"email_domain": "example.org", "phone_country": "SE"},
        }
    ]
    for key in ("id:1", "email:ada@example.org", "email: ADA@example.org", "phone:+46701740605"):
        assert (await get(caller, "people", key))[0] == "id=1"


async def test_a_key_stays_when_the_identifiers_change(caller: Caller) -> None:
    await write(caller, "people", {"email": "a@example.org"}, kind="CONTACTS")
    await write(caller, "people", {"email": "a@example.org", "id": 7})
    await write(caller, "people", {"id": 7, "email": "b@example.org"})
    key, record = await get(caller, "people", "email:b@example.org")
    assert (key, record["id"]) == ("email=a@example.org", "7")
    # The address is free, and the key that was made of it is not; nobody who asks by address gets the wrong contact.
    answer = await write(caller, "people", {"email": "a@example.org", "name": "another"})
    assert answer.counts.created == 1
    assert [row.get("name") for row in await caller.table("people")] == [None, "another"]
    listed = await caller.records.ListRecords(pb.ListRecordsRequest(table="people"))
    assert [found.key for found in listed.records] == ["email=a@example.org", "email=a@example.org~2"]


async def test_a_key_and_an_identifier_are_never_mistaken_for_each_other(caller: Caller) -> None:
    await write(caller, "people", {"email": "a@example.org", "id": 7}, kind="CONTACTS")
    await write(caller, "people", {"id": 7, "email": "b@example.org"})
    await write(caller, "people", {"email": "a@example.org", "name": "another"})
    gone = await caller.records.DeleteRecords(pb.DeleteRecordsRequest(table="people", keys=["email:a@example.org"]))
    assert gone.deleted == 1
    assert [row["id"] for row in await caller.table("people")] == ["7"]


async def test_null_takes_an_identifier_away_and_silence_keeps_it(caller: Caller) -> None:
    await write(caller, "people", {"id": 1, "email": "a@example.org", "phone": "+46701740605"}, kind="CONTACTS")
    await write(caller, "people", {"id": 1, "phone": None})
    assert await caller.table("people") == [
        {"id": "1", "email": "a@example.org", "phone": None, "derived": {"email_domain": "example.org"}}
    ]
    answer = await write(caller, "people", {"id": 2, "phone": "+46701740605"})
    assert answer.counts.created == 1


async def test_identifiers_of_two_contacts_are_a_conflict(caller: Caller) -> None:
    await write(
        caller, "people", {"id": 1, "email": "a@example.org"}, {"id": 2, "phone": "+46701740605"}, kind="CONTACTS"
    )
    done, errors = await run(
        caller,
        "people",
        {"email": "a@example.org", "phone": "+46701740605"},
        {"id": 3, "email": "a@example.org"},
        {"id": 1, "email": "new@example.org"},
        {"id": 4, "phone": "+46701740606"},
        {"id": 5, "email": "a@example.org"},
    )
    assert codes_of(errors) == [
        (0, Code.RECORD_ERROR_CODE_CONFLICTING_IDENTIFIERS, "phone"),
        (1, Code.RECORD_ERROR_CODE_CONFLICTING_IDENTIFIERS, "email"),
    ]
    assert "id=1" in errors[0].message
    assert "id=2" in errors[0].message
    assert (done.counts.updated, done.counts.created, done.counts.rejected) == (1, 2, 2)
    assert (await get(caller, "people", "email:a@example.org"))[0] == "id=5"


async def test_a_deleted_contact_gives_its_identifiers_back(caller: Caller) -> None:
    await write(caller, "people", {"id": 1, "email": "a@example.org"}, kind="CONTACTS")
    gone = await caller.records.DeleteRecords(pb.DeleteRecordsRequest(table="people", keys=["email:a@example.org"]))
    assert gone.deleted == 1
    answer = await write(caller, "people", {"id": 2, "email": "a@example.org"})
    assert answer.counts.created == 1


async def test_all_errors_of_a_record_are_told_each_with_its_field(caller: Caller) -> None:
    await write(caller, "people", {"id": 1}, kind="CONTACTS")
    _, errors = await run(
        caller,
        "orders",
        {
            "contact_id": 9,
            "total": "1_000",
            "currency": "EURO",
            "time": "1700000000",
            "items": [{"price": "nan", "package_id": "p1"}, {"ticket_bundle_id": 5}],
            "packages": [{"name": "no id"}],
        },
        kind="ORDERS",
    )
    assert sorted((error.field, error.code) for error in errors) == [
        ("contact_id", Code.RECORD_ERROR_CODE_CONTACT_NOT_FOUND),
        ("currency", Code.RECORD_ERROR_CODE_INVALID_VALUE),
        ("id", Code.RECORD_ERROR_CODE_TOO_LITTLE_INFORMATION),
        ("items[0].package_id", Code.RECORD_ERROR_CODE_PACKAGE_NOT_FOUND),
        ("items[0].price", Code.RECORD_ERROR_CODE_INVALID_VALUE),
        ("items[1].ticket_bundle_id", Code.RECORD_ERROR_CODE_TICKET_BUNDLE_NOT_FOUND),
        ("packages[0].id", Code.RECORD_ERROR_CODE_TOO_LITTLE_INFORMATION),
        ("time", Code.RECORD_ERROR_CODE_INVALID_VALUE),
        ("total", Code.RECORD_ERROR_CODE_INVALID_VALUE),
    ]
    assert all(error.raw.startswith('{"contact_id": 9') for error in errors)


@pytest.mark.parametrize("mode", ["REPLACE", "MERGE"])
async def test_a_rejected_record_is_told_by_its_key_if_it_has_what_makes_it(caller: Caller, mode: str) -> None:
    fields = {"kind": "ORDERS", "mode": f"WRITE_MODE_{mode}"}
    answer = await write(caller, "orders", {"id": "o7", "total": "x"}, {"total": "x"}, {"id": "o8"}, **fields)
    assert {(error.index, error.key) for error in answer.errors} == {(0, "o7"), (1, ""), (2, "o8")}
    _, errors = await run(caller, "orders", {"id": "o9", "total": "x"}, kind="ORDERS")
    assert {error.key for error in errors} == {"o9"}


async def test_an_order_finds_its_contact_and_derives_its_total(caller: Caller) -> None:
    await write(caller, "people", {"id": 1, "email": "a@example.org"}, kind="CONTACTS")
    await write(caller, "bundles", {"id": "b1"}, kind="TICKET_BUNDLES")
    done, errors = await run(
        caller,
        "orders",
        {
            "orderId": 5,
            "email": "A@example.org",
            "shipping": "4.90",
            "items": [{"price": 10.05, "quantity": 2, "packageId": "p"}, {"price": 1, "ticketBundleId": "b1"}],
            "packages": {"id": "p"},
        },
        kind="ORDERS",
    )
    assert (errors, done.counts.created) == ([], 1)
    key, order = await get(caller, "orders", "5")
    assert (key, order["derived"]) == ("5", {"contact": "id=1", "contact_table": "people", "total": 26.00})
    assert order["packages"] == [{"id": "p"}]


async def test_a_consent_is_one_record_however_its_contact_is_named(caller: Caller) -> None:
    await write(caller, "people", {"id": 1, "email": "a@example.org"}, kind="CONTACTS")
    row = {"channel": "EMAIL", "purpose": "newsletter"}
    done, errors = await run(
        caller,
        "consents",
        {**row, "email": "a@example.org", "granted": True},
        {**row, "contact_id": 1, "granted": "false"},
        kind="CONSENTS",
    )
    assert errors == []
    assert (done.counts.created, done.counts.superseded) == (1, 1)
    key, consent = await get(caller, "consents", '["people","id=1","email","newsletter"]')
    assert (consent["granted"], consent["channel"], key) == (False, "email", '["people","id=1","email","newsletter"]')


async def test_an_event_that_is_sent_twice_is_there_once(caller: Caller) -> None:
    await write(caller, "people", {"id": 1}, kind="CONTACTS")
    event = {"name": "page.visit", "time": "2026-11-20T10:00:00+01:00", "contact_id": 1}
    done, errors = await run(
        caller,
        "events",
        {**event, "parameters": {"a": 1, "b": 2}},
        {**event, "params": {"b": 2, "a": 1}, "time": "2026-11-20 09:00"},
        {**event, "parameters": {"a": 2}},
        kind="EVENTS",
    )
    assert errors == []
    assert (done.counts.created, done.counts.unchanged) == (2, 1)


async def test_what_was_derived_is_not_taken_from_what_is_sent(caller: Caller) -> None:
    await write(caller, "people", {"id": 1, "derived": {"email_domain": "evil"}}, kind="CONTACTS")
    assert await caller.table("people") == [{"id": "1"}]


async def test_doubt_is_a_warning_and_the_record_is_imported(caller: Caller) -> None:
    done, errors = await run(
        caller, "people", {"id": 1, "phone": "+46 8 12"}, {"id": 2, "phone": "+4670999999"}, kind="CONTACTS"
    )
    assert done.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    assert [(error.index, error.severity) for error in errors] == [
        (0, record_error_pb2.ERROR_SEVERITY_ERROR),
        (1, record_error_pb2.ERROR_SEVERITY_WARNING),
    ]
    assert [(group.code, group.severity, group.count) for group in done.processing.error_groups] == [
        (Code.RECORD_ERROR_CODE_INVALID_VALUE, record_error_pb2.ERROR_SEVERITY_ERROR, 1),
        (Code.RECORD_ERROR_CODE_DOUBTFUL_VALUE, record_error_pb2.ERROR_SEVERITY_WARNING, 1),
    ]
    assert (await get(caller, "people", "id:2"))[1]["phone"] == "+4670999999"


async def test_an_import_reads_values_as_it_says(caller: Caller) -> None:
    done, errors = await run(
        caller,
        "people",
        {"id": 1, "phone": "070-174 06 05", "points": "1 234,5", "created_at": "2026-07-01 12:00"},
        kind="CONTACTS",
        reading=field_pb2.ReadingOptions(country="SE", time_zone="Europe/Stockholm", locale="sv"),
    )
    assert (errors, done.kind, done.reading.country) == ([], "CONTACTS", "SE")
    assert (await caller.table("people"))[0] == {
        "id": "1",
        "phone": "+46701740605",
        "points": 1234.5,
        "created_at": "2026-07-01T10:00:00Z",
        "derived": {"phone_country": "SE"},
    }


async def test_an_unknown_kind_is_refused_and_the_known_ones_are_named(caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.create("people", (), kind="contacts")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "CONTACTS" in (refused.value.details() or "")


async def test_another_kind_than_the_tables_is_refused(caller: Caller) -> None:
    await write(caller, "people", {"id": 1}, kind="CONTACTS")
    for call in (caller.create("people", (), kind="ORDERS"), caller.create("people", ("id",))):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(refused.value).reason in ("KIND_DIFFERS", "KEY_FIELDS_DIFFER")
    with pytest.raises(grpc.aio.AioRpcError) as wrong:
        await caller.create("others", ("id",), kind="CONTACTS")
    assert wrong.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_every_kind_is_described(caller: Caller) -> None:
    kinds = {kind.kind: kind for kind in (await caller.tables.ListKinds(ts.ListKindsRequest())).kinds}
    assert set(kinds) >= {
        "CONSENTS",
        "CONTACTS",
        "EVENTS",
        "GENERIC",
        "ORDERS",
        "PRODUCTS",
        "PROMOTIONS",
        "TICKET_BUNDLES",
        "VOUCHERS",
    }
    assert list(kinds["CONTACTS"].identifiers) == ["id", "email", "phone"]
    assert all(kind.description and all(field.description for field in kind.fields) for kind in kinds.values())


async def test_contacts_that_come_in_parallel_batches_are_still_one(caller: Caller) -> None:
    import_id = await caller.create("people", (), kind="CONTACTS")
    for number in range(4):
        rows = [{"email": f"c{row}@example.org", "name": f"{number}"} for row in range(500)]
        await caller.upload([records(rows, import_id=import_id, batch_id=f"b{number}", finish=True)])
    done = await caller.finish(import_id)
    assert done.counts == stage_pb2.RecordCounts(received=2000, created=500, superseded=1500)
    assert len(await caller.table("people")) == 500


async def test_a_key_that_comes_free_within_a_chunk_is_still_taken(caller: Caller) -> None:
    await write(caller, "people", {"email": "a@example.org"}, kind="CONTACTS")
    await write(caller, "people", {"id": 1, "email": "a@example.org"})
    await write(caller, "people", {"id": 1, "email": "b@example.org"})
    await write(caller, "people", {"id": 9})
    await write(caller, "people", {"id": 9, "email": "a@example.org"})
    await write(caller, "people", {"id": 9, "email": "c@example.org"}, {"email": "a@example.org", "name": "third"})
    assert (await get(caller, "people", "id:1"))[1]["email"] == "b@example.org"
    assert (await get(caller, "people", "email:a@example.org"))[1]["name"] == "third"
    assert len(await caller.table("people")) == 3


async def test_identifiers_of_different_contacts_are_told_apart_even_if_all_are_known(caller: Caller) -> None:
    phone = "+46701740605"
    await write(caller, "people", {"id": 1, "email": "a@example.org"}, kind="CONTACTS")
    await write(caller, "people", {"id": 2, "email": "b@example.org", "phone": phone})
    rows = [{"email": "a@example.org", "id": None}, {"id": 1, "email": "b@example.org", "phone": phone}]
    answer = await write(caller, "people", *rows)
    assert codes_of(answer.errors) == [(1, Code.RECORD_ERROR_CODE_CONFLICTING_IDENTIFIERS, "email")]
    assert (await get(caller, "people", "email:b@example.org"))[1]["id"] == "2"


async def test_many_warnings_hide_no_error(caller: Caller) -> None:
    many = field_pb2.Field(name="phones", type=field_pb2.FIELD_TYPE_PHONE, many=True)
    table = table_pb2.Table(table="people", kind="CONTACTS", fields=[many])
    await caller.tables.CreateTable(ts.CreateTableRequest(table=table))
    doubtful = [f"+4670{number:06}" for number in range(999_880, 1_000_000)]
    answer = await write(caller, "people", {"id": 1, "phones": doubtful, "birth_date": "garbage"})
    assert codes_of(answer.errors) == [(0, Code.RECORD_ERROR_CODE_INVALID_VALUE, "birth_date")]


async def test_the_strongest_name_decides_in_which_table_a_contact_is_found(caller: Caller) -> None:
    await write(caller, "old", {"id": "Z1", "email": "z@example.org"}, kind="CONTACTS")
    await write(caller, "new", {"id": "Z2", "email": "z@example.org"}, kind="CONTACTS")
    answer = await write(caller, "orders", {"id": 1, "contact_id": "Z2", "email": "z@example.org"}, kind="ORDERS")
    assert list(answer.errors) == []
    assert (await get(caller, "orders", "1"))[1]["derived"] == {"contact": "id=Z2", "contact_table": "new"}
    rows = [{"contact_id": id_, "channel": "sms", "granted": id_ == "Z1"} for id_ in ("Z1", "Z2")]
    assert (await write(caller, "consents", *rows, kind="CONSENTS")).counts.created == 2


async def test_an_empty_cell_is_no_list(caller: Caller) -> None:
    tags = field_pb2.Field(name="colours", type=field_pb2.FIELD_TYPE_TEXT, many=True)
    await caller.tables.CreateTable(
        ts.CreateTableRequest(table=table_pb2.Table(table="t", key_fields=["id"], fields=[tags]))
    )
    await caller.run(
        [{"id": 1, "colours": ""}, {"id": 2, "colours": "red,blue"}, {"id": 3, "colours": ["", "red"]}], "t"
    )
    assert await caller.table("t") == [
        {"id": 1},
        {"id": 2, "colours": ["red,blue"]},
        {"id": 3, "colours": ["", "red"]},
    ]


async def test_names_of_a_kinds_fields_are_known_as_people_write_them(caller: Caller) -> None:
    rows = [{"ID": 1, "E-Mail": "a@example.org", "First Name": "Ada", "POSTAL_CODE": 1, "_birthDate": "1815-12-10"}]
    assert (await write(caller, "people", *rows, kind="CONTACTS")).counts.created == 1
    (row,) = await caller.table("people")
    assert set(row) == {"id", "email", "first_name", "postal_code", "birth_date", "derived"}


async def test_equal_parameters_of_an_event_are_equal_however_numbers_are_written(caller: Caller) -> None:
    await write(caller, "people", {"id": 1}, kind="CONTACTS")
    event = {"name": "n", "time": "2026-01-01T00:00Z", "contact_id": 1}
    rows = [{**event, "parameters": {"x": [1, 100]}}, {**event, "parameters": {"x": [1.0, 1e2]}}]
    answer = await write(caller, "events", *rows, kind="EVENTS")
    assert (answer.counts.created, answer.counts.unchanged) == (1, 1)


async def test_a_field_that_cannot_be_read_under_one_of_its_names_identifies_nobody(caller: Caller) -> None:
    await write(caller, "people", {"id": 1}, {"id": 2, "email": "b@example.org"}, kind="CONTACTS")
    for row in ({"_id": {}, "id": 1, "email": "b@example.org"}, {"id": 1, "_id": {}, "email": "b@example.org"}):
        answer = await write(caller, "people", row)
        assert codes_of(answer.errors) == [(0, Code.RECORD_ERROR_CODE_INVALID_VALUE, "id")]


async def test_a_numbered_key_that_is_taken_is_not_given_again_within_a_chunk(caller: Caller) -> None:
    a, b = "a@example.org", "b@example.org"
    await write(caller, "people", {"email": a}, kind="CONTACTS")
    await write(caller, "people", {"id": 1, "email": a})
    await write(caller, "people", {"id": 1, "email": b})
    await write(caller, "people", {"email": a, "name": "second"})
    await write(caller, "people", {"id": 2, "email": a})
    await write(caller, "people", {"id": 2, "email": "c@example.org"})
    await write(caller, "people", {"id": 1, "email": a})
    # The first contact has the plain key, the second `~2`; the address comes free and goes to a third.
    answer = await write(caller, "people", {"id": 1, "email": "d@example.org"}, {"email": a, "name": "third"})
    assert (answer.counts.created, answer.counts.updated) == (1, 1)
    assert (await get(caller, "people", "id:2"))[1]["email"] == "c@example.org"
    assert (await get(caller, "people", f"email:{a}"))[0] == f"email={a}~3"
    assert len(await caller.table("people")) == 3
