"""Filters and orders over gRPC: by all names of a field, with hints, and within their time."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from ingot.v1 import field_pb2, record_pb2, table_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from ingot_server.pipeline import exporting
from ingot_server.storage import records
from ingot_server.storage.database import Database
from tests.calling import Caller, reason_of

MANUAL = Path(__file__).parents[2] / "docs" / "filters.md"


async def write(caller: Caller, table: str, *rows: object, kind: str = "", **fields: Any) -> None:
    texts = [record_pb2.Record(json=json.dumps(row).encode()) for row in rows]
    answer = await caller.records.WriteRecords(pb.WriteRecordsRequest(table=table, kind=kind, records=texts, **fields))
    assert not answer.errors


async def listed(caller: Caller, table: str, filter: str = "", order_by: str = "") -> list[str]:
    """The keys of the records, which an export has in the same order."""
    answer = await caller.records.ListRecords(pb.ListRecordsRequest(table=table, filter=filter, order_by=order_by))
    request = pb.ExportRecordsRequest(table=table, filter=filter, order_by=order_by)
    lines = "".join([piece.lines async for piece in caller.records.ExportRecords(request)]).splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(record.json) for record in answer.records]
    return [record.key for record in answer.records]


async def refusal(caller: Caller, table: str, filter: str = "", order_by: str = "") -> str:
    """Why such a list is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.records.ListRecords(pb.ListRecordsRequest(table=table, filter=filter, order_by=order_by))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return str(refused.value.details())


@pytest.fixture
async def people(caller: Caller) -> Caller:
    """Somebody with two contacts: the first is greater in all."""
    await write(
        caller,
        "people",
        {
            "id": "1",
            "email": "Bob@example.org",
            "first_name": "Bob",
            "birth_date": "2000-01-02",
            "points": 10,
            "country": "SE",
            "address": {"postcode": "01234"},
        },
        {
            "id": "2",
            "email": "ada@example.com",
            "first_name": "Ada",
            "birth_date": "2000-01-01",
            "points": 9,
            "country": "NO",
        },
        kind="CONTACTS",
    )
    return caller


@pytest.mark.parametrize(
    ("filter", "keys"),
    [
        ("_email = bob@EXAMPLE.org", ["id=1"]),
        ("firstName = Ada", ["id=2"]),
        ("_firstName != Ada", ["id=1"]),
        ("birthday = 2000-01-01", ["id=2"]),
        ("dateOfBirth > 2000-01-01", ["id=1"]),
        ("_points >= 9.5", ["id=1"]),
        ("custom_id = 2", ["id=2"]),
        ("countryCode = SE OR _country_code = NO", ["id=1", "id=2"]),
        ("'_first_name' = Ada", ["id=2"]),
        ('email = "Bob*"', ["id=1"]),
        ("_email:ADA@E*", ["id=2"]),
        ("country = s*", ["id=1"]),
        ("first_name = b*", []),
        ("derived.email_domain = example.org", ["id=1"]),
        ('_key = "id=2"', ["id=2"]),
        ("_key = id*", ["id=1", "id=2"]),
        ("address.postcode = '01234'", ["id=1"]),
        ("emial:*", []),
    ],
)
async def test_filter_finds_by_every_name(people: Caller, filter: str, keys: list[str]) -> None:
    assert await listed(people, "people", filter) == keys


@pytest.mark.parametrize("order", ["_points", "firstName", "birthday", "_email", "derived.email_domain", "_key desc"])
async def test_order_is_by_every_name(people: Caller, order: str) -> None:
    assert await listed(people, "people", order_by=order) == ["id=2", "id=1"]


@pytest.mark.parametrize("filter", MANUAL.read_text(encoding="utf-8").split("```")[1].strip().splitlines())
async def test_examples_of_the_manual_are_read(people: Caller, filter: str) -> None:
    await listed(people, "people", filter)


async def test_a_day_is_its_first_moment(caller: Caller) -> None:
    seen = field_pb2.Field(name="seen", type=field_pb2.FIELD_TYPE_TIMESTAMP)
    await caller.tables.CreateTable(
        ts.CreateTableRequest(table=table_pb2.Table(table="t", key_fields=["id"], fields=[seen]))
    )
    times = ["2026-01-01T23:59:59.999Z", "2026-01-02T00:00:00Z", "2026-01-02T00:00:01Z"]
    await write(caller, "t", *({"id": time, "seen": time} for time in times))
    assert await listed(caller, "t", "seen < 2026-01-02") == times[:1]
    assert await listed(caller, "t", "seen >= 2026-01-02") == times[1:]
    assert await listed(caller, "t", "_update_time >= 2026-01-02") == times
    assert await listed(caller, "t", "_update_time < 2026-01-02") == []


async def test_names_within_lists_are_known_too(caller: Caller) -> None:
    await write(caller, "stock", {"id": "p"}, kind="PRODUCTS")
    await write(caller, "people", {"id": "1"}, kind="CONTACTS")
    order = {"contact_id": "1", "items": [{"price": 2, "name": "x"}], "currency": "EUR"}
    items = [{"price": 2, "productId": "p"}]
    await write(caller, "orders", {**order, "id": "a"}, {**order, "id": "b", "items": items}, kind="ORDERS")
    assert await listed(caller, "orders", "_items.productId:p") == ["b"]
    assert await listed(caller, "orders", "items.product_id:p") == ["b"]
    assert await listed(caller, "orders", "items:productId") == ["b"]
    assert await listed(caller, "orders", "derived.total >= 2", "derived.total desc") == ["b", "a"]


async def test_declared_aliases_are_names(caller: Caller) -> None:
    field = field_pb2.Field(name="shoe", type=field_pb2.FIELD_TYPE_NUMBER, aliases=["size", "_key"])
    await caller.tables.CreateTable(
        ts.CreateTableRequest(table=table_pb2.Table(table="t", key_fields=["id"], fields=[field]))
    )
    await write(caller, "t", {"id": "1", "size": 9}, {"id": "2", "shoe": 10})
    assert await listed(caller, "t", "size < 10") == ["1"]
    assert await listed(caller, "t", order_by="size desc") == ["2", "1"]
    assert await listed(caller, "t", "_key = 1") == ["1"]
    assert await listed(caller, "t", "'_key' = 10") == ["2"]


async def test_field_that_no_record_can_have_is_refused(caller: Caller) -> None:
    await caller.tables.CreateTable(
        ts.CreateTableRequest(
            table=table_pb2.Table(
                table="t",
                key_fields=["number"],
                fields=[field_pb2.Field(name="email", type=field_pb2.FIELD_TYPE_EMAIL)],
                unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT,
            )
        )
    )
    await write(caller, "t", {"number": "1", "email": "a@example.org"})
    assert await listed(caller, "t", "number = '1' AND email:* AND _import_id = null AND derived.x = null") == ["1"]
    assert await listed(caller, "t", order_by="number") == ["1"]
    assert "at character 10: the table has no field `emial`" in await refusal(caller, "t", "email:* -emial:*")
    assert "the table has no field `emial`" in await refusal(caller, "t", order_by="emial")


@pytest.mark.parametrize(
    ("filter", "hint"),
    [
        ("country in (SE, NO)", "country = SE OR country = NO"),
        ("first_name LIKE 'A%'", 'first_name = "Ad*"'),
        ("tags[0] = vip", "`tags:value`"),
        ("city = New York", 'city = "New York"'),
    ],
)
async def test_refusal_leads_to_the_right_spelling(people: Caller, filter: str, hint: str) -> None:
    message = await refusal(people, "people", filter)
    assert message.startswith("filter: at character")
    assert hint in message


async def test_filter_that_takes_too_long_is_refused(
    people: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE_SECONDS_MAX", 0.2)
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE record")
        # Not before: a call begins at once.
        export = people.records.ExportRecords(pb.ExportRecordsRequest(table="people", order_by="points"))
        with pytest.raises(grpc.aio.AioRpcError) as cut:
            await export.read()
        monkeypatch.setattr(records, "record_page", partial(records.record_page, seconds_max=0.1))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await people.records.ListRecords(pb.ListRecordsRequest(table="people", filter="points > 1"))
    for error, seconds in ((cut.value, "0.2"), (refused.value, "0.1")):
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert (reason_of(error).reason, reason_of(error).metadata) == ("FILTER_TOO_SLOW", {"seconds": seconds})
        assert "narrow the filter, or declare the field as indexed" in str(error.details())


async def test_export_in_order_comes_in_pieces_that_fit(
    caller: Caller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = field_pb2.Field(name="n", type=field_pb2.FIELD_TYPE_INTEGER)
    await caller.tables.CreateTable(
        ts.CreateTableRequest(table=table_pb2.Table(table="t", key_fields=["id"], fields=[field]))
    )
    await write(caller, "t", {"id": "0"})
    await database.execute(
        """
        INSERT INTO record (table_id, writer, create_time, update_time, rewritten, key, data)
        SELECT table_id, 1, now(), now(), false, at::text,
            jsonb_build_object('id', at::text, 'n', at * 7919 % 3000, 'x', repeat('é', 500))
        FROM record, generate_series(1, 2999) AS at"""
    )
    # Some pages, and their last pieces are smaller.
    monkeypatch.setattr(exporting, "SORTED_PAGE_RECORDS", 1_700)
    for order, names in (("n desc", range(2999, 0, -1)), ("", None)):
        request = pb.ExportRecordsRequest(table="t", order_by=order)
        pieces = [piece.lines async for piece in caller.records.ExportRecords(request)]
        assert all(piece.endswith("\n") and len(piece.encode()) <= 1_048_576 for piece in pieces)
        found = [json.loads(line) for line in "".join(pieces).splitlines()]
        assert len(found) == 3_000
        if names is not None:
            assert [record.get("n") for record in found] == [*names, None]
