"""Tables: declared fields, the rules of their records, blocked values, changing and deleting them."""

import json
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2, json_format, struct_pb2
from google.rpc import error_details_pb2

from ingot.v1 import field_pb2, record_error_pb2, record_pb2, table_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from ingot_server.storage.database import Database
from tests.calling import Caller, details_of, reason_of, records

Code = record_error_pb2.RecordErrorCode
Field = field_pb2.Field


async def create(caller: Caller, table: str = "things", **settings: Any) -> table_pb2.Table:
    request = ts.CreateTableRequest(table=table_pb2.Table(table=table, **settings))
    return (await caller.tables.CreateTable(request)).table


async def update(caller: Caller, paths: list[str], table: str = "things", **settings: Any) -> table_pb2.Table:
    request = ts.UpdateTableRequest(
        table=table_pb2.Table(table=table, **settings), update_mask=field_mask_pb2.FieldMask(paths=paths)
    )
    return (await caller.tables.UpdateTable(request)).table


async def write(caller: Caller, *rows: object, table: str = "things", **fields: Any) -> pb.WriteRecordsResponse:
    texts = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    return await caller.records.WriteRecords(
        pb.WriteRecordsRequest(table=table, records=[record_pb2.Record(json=text) for text in texts], **fields)
    )


def faults(answer: pb.WriteRecordsResponse) -> list[tuple[int, int, str]]:
    return [(error.index, error.code, error.field) for error in answer.errors]


async def violations(call: Any) -> list[str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    for detail in details_of(refused.value):
        if detail.Unpack(bad):
            return [violation.field for violation in bad.field_violations]
    raise AssertionError("no BadRequest")


async def test_a_table_is_as_it_was_declared(caller: Caller) -> None:
    fields = [
        Field(name="id", type=field_pb2.FIELD_TYPE_IDENTIFIER, required=True),
        Field(name="size", type=field_pb2.FIELD_TYPE_TEXT, allowed_values=["S", "M"], aliases=["Size of it"]),
        Field(name="rate", type=field_pb2.FIELD_TYPE_NUMBER, default_value=struct_pb2.Value(number_value=2)),
    ]
    created = await create(
        caller,
        key_fields=["id"],
        fields=fields,
        unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT,
        reading=field_pb2.ReadingOptions(locale="de", country="de"),
    )
    found = (await caller.tables.GetTable(ts.GetTableRequest(table="things"))).table
    assert found == created
    assert list(found.fields) == fields
    assert (found.kind, found.reading.country) == ("GENERIC", "DE")
    with pytest.raises(grpc.aio.AioRpcError) as again:
        await create(caller)
    assert (again.value.code(), reason_of(again.value).reason) == (grpc.StatusCode.ALREADY_EXISTS, "TABLE_EXISTS")


async def test_declared_fields_are_read_as_their_types(caller: Caller) -> None:
    await create(
        caller,
        key_fields=["id"],
        fields=[
            Field(name="id", type=field_pb2.FIELD_TYPE_IDENTIFIER),
            Field(name="email", type=field_pb2.FIELD_TYPE_EMAIL, many=True, aliases=["mail"]),
            Field(name="amount", type=field_pb2.FIELD_TYPE_NUMBER),
            Field(name="code", type=field_pb2.FIELD_TYPE_TEXT, pattern="[A-Z]{2}[0-9]+"),
            Field(name="size", type=field_pb2.FIELD_TYPE_TEXT, allowed_values=["Small", "Large"]),
            Field(name="rate", type=field_pb2.FIELD_TYPE_INTEGER, default_value=struct_pb2.Value(number_value=2)),
            Field(name="needed", type=field_pb2.FIELD_TYPE_BOOLEAN, required=True),
        ],
    )
    answer = await write(
        caller,
        {
            "id": 1,
            "mail": " A@B.example",
            "amount": "1.50",
            "code": "AB1",
            "size": "small",
            "needed": "TRUE",
            "x": [1.10],
        },
        {"id": 2, "email": ["a@b.example", "nobody"], "amount": "1,5", "code": "AB1\n", "size": "huge"},
    )
    assert faults(answer) == [
        (1, Code.RECORD_ERROR_CODE_INVALID_CUSTOM_ATTRIBUTE, "email[1]"),
        (1, Code.RECORD_ERROR_CODE_INVALID_CUSTOM_ATTRIBUTE, "amount"),
        (1, Code.RECORD_ERROR_CODE_INVALID_VALUE, "code"),
        (1, Code.RECORD_ERROR_CODE_INVALID_VALUE, "size"),
        (1, Code.RECORD_ERROR_CODE_TOO_LITTLE_INFORMATION, "needed"),
    ]
    found = await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="1"))
    assert '"amount": 1.50' in found.record.json
    assert json.loads(found.record.json) == {
        "id": "1",
        "email": ["a@b.example"],
        "amount": 1.5,
        "code": "AB1",
        "size": "Small",
        "rate": 2,
        "needed": True,
        "x": [1.1],
    }


async def test_unknown_fields_are_kept_or_rejected_also_nested_ones(caller: Caller) -> None:
    fields = [
        Field(name="id"),
        Field(
            name="address",
            type=field_pb2.FIELD_TYPE_OBJECT,
            fields=[Field(name="city", type=field_pb2.FIELD_TYPE_TEXT)],
        ),
    ]
    await create(caller, key_fields=["id"], fields=fields)
    row = {"id": 1, "address": {"city": "Lund", "floor": 3}, "colour": "red"}
    assert faults(await write(caller, row)) == []
    await update(caller, ["unknown_fields"], unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
    assert faults(await write(caller, row)) == [
        (0, Code.RECORD_ERROR_CODE_INVALID_CUSTOM_ATTRIBUTE, "address.floor"),
        (0, Code.RECORD_ERROR_CODE_INVALID_CUSTOM_ATTRIBUTE, "colour"),
    ]


async def test_own_keys_are_no_unknown_field(caller: Caller) -> None:
    await create(caller, unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT, fields=[Field(name="id")])
    answer = await write(caller, {"keys": ["id"], "id": 1}, {"keys": ["id"], "id": 2, "more": 1})
    assert faults(answer) == [(1, Code.RECORD_ERROR_CODE_INVALID_CUSTOM_ATTRIBUTE, "more")]
    assert await caller.table() == [{"id": 1}]


async def test_a_declared_field_narrows_one_of_the_kind(caller: Caller) -> None:
    await create(
        caller,
        kind="CONTACTS",
        fields=[
            Field(name="name", type=field_pb2.FIELD_TYPE_TEXT, required=True, aliases=["Full name"]),
            Field(name="shoe_size", type=field_pb2.FIELD_TYPE_INTEGER),
        ],
    )
    answer = await write(caller, {"id": 1, "_name": "Ada"}, {"id": 2, "Full name": "Bo"}, {"id": 3, "shoe_size": "big"})
    assert faults(answer) == [
        (2, Code.RECORD_ERROR_CODE_INVALID_CUSTOM_ATTRIBUTE, "shoe_size"),
        (2, Code.RECORD_ERROR_CODE_TOO_LITTLE_INFORMATION, "name"),
    ]
    assert [row["name"] for row in await caller.table()] == ["Ada", "Bo"]


async def test_wrong_declarations_are_refused_with_each_place(caller: Caller) -> None:
    text = field_pb2.FIELD_TYPE_TEXT
    fields = [
        Field(name=""),
        Field(name="a", type=text, pattern="("),
        Field(name="b", type=field_pb2.FIELD_TYPE_NUMBER, pattern="x"),
        Field(name="c", type=text, many=True, indexed=True),
        Field(name="items[].sku"),
        Field(name="e", type=text, pattern="(a{1000}){1000}"),
        Field(name="f", type=text, allowed_values=["x", "x"]),
        Field(name="g", type=text, fields=[Field(name="h")]),
    ]
    assert await violations(create(caller, fields=fields)) == [
        "table.fields[0].name",
        "table.fields[1].pattern",
        "table.fields[2].type",
        "table.fields[3].indexed",
        "table.fields[4].name",
        "table.fields[5].pattern",
        "table.fields[6].allowed_values",
        "table.fields[7].fields",
    ]
    assert await violations(create(caller, fields=[Field(name="a"), Field(name="b", aliases=["a"])])) == [
        "table.fields"
    ]
    assert await violations(create(caller, kind="CONTACTS", fields=[Field(name="email", type=text)])) == [
        "table.fields[0].type"
    ]
    assert await violations(create(caller, kind="CONTACTS", fields=[Field(name="x", aliases=["_email"])])) == [
        "table.fields"
    ]
    assert await violations(
        create(caller, reading=field_pb2.ReadingOptions(country="XX", time_zone="../etc", locale="?"))
    ) == [
        "table.reading.country",
        "table.reading.time_zone",
        "table.reading.locale",
    ]
    assert await violations(create(caller, kind="nonsense", table="!")) == ["table.table", "table.kind"]
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await caller.tables.GetTable(ts.GetTableRequest(table="things"))
    assert missing.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("", Field(name="d", type=field_pb2.FIELD_TYPE_INTEGER, default_value=struct_pb2.Value(string_value="x"))),
        ("", Field(name="d", default_value=struct_pb2.Value(number_value=float("nan")))),
        ("", Field(name="d", default_value=struct_pb2.Value(string_value="x" * 501))),
        (
            "CONTACTS",
            Field(
                name="email",
                type=field_pb2.FIELD_TYPE_EMAIL,
                default_value=struct_pb2.Value(string_value="a@b.example"),
            ),
        ),
        (
            "CONSENTS",
            Field(name="channel", type=field_pb2.FIELD_TYPE_TEXT, default_value=struct_pb2.Value(string_value="fax")),
        ),
        (
            "ORDERS",
            Field(
                name="items",
                type=field_pb2.FIELD_TYPE_OBJECT,
                many=True,
                default_value=json_format.Parse('[{"price": "abc"}]', struct_pb2.Value()),
            ),
        ),
    ],
)
async def test_a_default_is_what_its_field_may_be(caller: Caller, kind: str, field: field_pb2.Field) -> None:
    assert await violations(create(caller, kind=kind, fields=[field])) == ["table.fields[0].default_value"]


async def test_a_default_may_have_decimals_and_is_blocked_like_any_value(caller: Caller) -> None:
    half = Field(name="rate", type=field_pb2.FIELD_TYPE_NUMBER, default_value=struct_pb2.Value(number_value=1.5))
    to = Field(name="to", type=field_pb2.FIELD_TYPE_EMAIL, default_value=struct_pb2.Value(string_value="a@b.example"))
    await create(caller, key_fields=["id"], fields=[half, to])
    assert faults(await write(caller, {"id": 1})) == []
    assert await caller.table() == [{"id": 1, "rate": 1.5, "to": "a@b.example"}]
    domain = table_pb2.BlockedValue(type=table_pb2.BLOCKED_VALUE_TYPE_DOMAIN, value="b.example")
    await caller.tables.BlockValues(ts.BlockValuesRequest(values=[domain]))
    assert faults(await write(caller, {"id": 2})) == [(0, Code.RECORD_ERROR_CODE_BLOCKED_VALUE, "to")]


async def test_a_key_field_is_no_unknown_field(caller: Caller) -> None:
    await create(caller, key_fields=["id"], unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT, fields=[Field(name="a")])
    assert faults(await write(caller, {"id": 1, "a": 2})) == []


async def test_a_key_field_is_named_as_it_is_stored(caller: Caller) -> None:
    assert await violations(create(caller, kind="PRODUCTS", key_fields=["ean"])) == ["table.key_fields"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.create("things", ("ean",), kind="PRODUCTS")
    assert "'gtin'" in (refused.value.details() or "")


async def test_a_field_that_is_declared_twice_is_refused(caller: Caller) -> None:
    twice = [Field(name="a", type=field_pb2.FIELD_TYPE_TEXT), Field(name="a", type=field_pb2.FIELD_TYPE_NUMBER)]
    assert await violations(create(caller, fields=twice)) == ["table.fields"]


async def test_a_declared_table_is_not_changed_in_passing(caller: Caller) -> None:
    await create(caller, key_fields=["id"])
    for use in ({"key_fields": ["x"]}, {"kind": "ORDERS"}):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await write(caller, {"x": 1}, **use)
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_many_violations_fit_into_an_answer(caller: Caller) -> None:
    fields = [Field(name=f"f{n}", type=field_pb2.FIELD_TYPE_TEXT, pattern="(" + "x" * 900) for n in range(12)]
    assert len(await violations(create(caller, fields=fields))) == 10


async def test_an_answer_of_many_errors_fits_into_a_message(caller: Caller) -> None:
    await create(caller, key_fields=["id"], unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
    bad = [{"id": row, **{f"field {number}": "x" * 60 for number in range(100)}} for row in range(50)]
    answer = await write(caller, {"id": "good"}, *bad)
    assert (answer.counts.created, answer.counts.rejected) == (1, 50)
    assert 0 < answer.ByteSize() < 4 * 1024 * 1024


async def test_a_pattern_cannot_blow_up(caller: Caller) -> None:
    await create(caller, key_fields=["id"], fields=[Field(name="v", type=field_pb2.FIELD_TYPE_TEXT, pattern="(a+)+b")])
    answer = await write(caller, {"id": 1, "v": "a" * 100_000}, {"id": 2, "v": "a" * 1000 + "b"})
    assert faults(answer) == [(0, Code.RECORD_ERROR_CODE_INVALID_VALUE, "v")]


async def test_only_what_the_mask_names_is_changed(caller: Caller) -> None:
    await create(caller, key_fields=["id"], fields=[Field(name="a")], reading=field_pb2.ReadingOptions(country="SE"))
    changed = await update(caller, ["reading"], reading=field_pb2.ReadingOptions(locale="sv"))
    assert (changed.reading.country, changed.reading.locale, [field.name for field in changed.fields]) == (
        "",
        "sv",
        ["a"],
    )
    assert changed.update_time.ToDatetime() > changed.create_time.ToDatetime()
    assert await violations(update(caller, [])) == ["update_mask"]
    assert await violations(update(caller, ["table"])) == ["update_mask"]


async def test_an_import_keeps_the_rules_that_it_began_with(caller: Caller) -> None:
    await create(caller, key_fields=["id"])
    before = await caller.create()
    await update(caller, ["fields"], fields=[Field(name="n", type=field_pb2.FIELD_TYPE_INTEGER)])
    after = await caller.create()
    for import_id, state in ((before, 4), (after, 6)):
        await caller.upload([records([{"id": import_id, "n": "x"}], import_id=import_id, batch_id="b", finish=True)])
        assert (await caller.finish(import_id)).state == state


async def test_key_fields_and_kind_change_only_while_nothing_depends_on_them(caller: Caller) -> None:
    await create(caller, key_fields=["id"])
    changed = await update(caller, ["kind", "key_fields"], kind="PRODUCTS", key_fields=["sku"])
    assert (changed.kind, list(changed.key_fields)) == ("PRODUCTS", ["sku"])
    assert await violations(update(caller, ["kind", "key_fields"], kind="CONTACTS", key_fields=["id"])) == [
        "table.key_fields"
    ]
    import_id = await caller.create(key_fields=())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await update(caller, ["kind"], kind="CONTACTS")
    assert reason_of(refused.value).reason == "TABLE_IN_USE"
    assert reason_of(refused.value).metadata["import_id"] == import_id
    await write(caller, {"sku": 1})
    await caller.ended_by_cancel(import_id)
    with pytest.raises(grpc.aio.AioRpcError) as held:
        await update(caller, ["key_fields"], key_fields=["id"])
    assert reason_of(held.value).reason == "TABLE_IN_USE"


async def test_a_deleted_table_is_gone_with_its_records_and_its_name_is_free(
    caller: Caller, database: Database
) -> None:
    import_id = await caller.create("people", (), kind="CONTACTS")
    rows = [{"email": f"c{row}@example.org"} for row in range(100)]
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=True)])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await caller.tables.DeleteTable(ts.DeleteTableRequest(table="people"))
    assert reason_of(refused.value).reason == "TABLE_IN_USE"
    await caller.finish(import_id)
    await caller.tables.DeleteTable(ts.DeleteTableRequest(table="people"))
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await caller.tables.DeleteTable(ts.DeleteTableRequest(table="people"))
    assert missing.value.code() == grpc.StatusCode.NOT_FOUND
    assert (await caller.get(import_id)).table == "people"
    answer = await write(caller, {"id": 1}, table="people", key_fields=["id"])
    assert answer.counts.created == 1
    while await database.fetch("SELECT FROM record_identifier"):
        pass
    assert len(await database.fetch("SELECT FROM record")) == 1
    assert len(await database.fetch("SELECT FROM record_table")) == 2


async def test_blocked_values_reject_records_of_all_tables_of_the_account(caller: Caller) -> None:
    kinds = table_pb2.BlockedValueType
    values = [
        table_pb2.BlockedValue(type=kinds.BLOCKED_VALUE_TYPE_EMAIL, value=" Spam@Example.org"),
        table_pb2.BlockedValue(type=kinds.BLOCKED_VALUE_TYPE_PHONE, value="0046 70 174 06 05"),
        table_pb2.BlockedValue(type=kinds.BLOCKED_VALUE_TYPE_DOMAIN, value="Bad.example"),
    ]
    assert (await caller.tables.BlockValues(ts.BlockValuesRequest(values=values))).blocked == 3
    assert (await caller.tables.BlockValues(ts.BlockValuesRequest(values=values))).blocked == 0
    listed = (await caller.tables.ListBlockedValues(ts.ListBlockedValuesRequest())).values
    assert [value.value for value in listed] == ["bad.example", "spam@example.org", "+46701740605"]
    answer = await write(
        caller,
        {"id": 1, "email": "SPAM@example.org", "phone": "+46701740605"},
        {"id": 2, "email": "x@mail.bad.example"},
        {"id": 3, "email": "x@notbad.example"},
        kind="CONTACTS",
    )
    blocked = Code.RECORD_ERROR_CODE_BLOCKED_VALUE
    assert faults(answer) == [(0, blocked, "email"), (0, blocked, "phone"), (1, blocked, "email")]
    removed = await caller.tables.UnblockValues(ts.UnblockValuesRequest(values=values[1:2]))
    assert removed.unblocked == 1
    wrong = [
        table_pb2.BlockedValue(value="x"),
        table_pb2.BlockedValue(type=kinds.BLOCKED_VALUE_TYPE_EMAIL, value="no address"),
    ]
    assert await violations(caller.tables.BlockValues(ts.BlockValuesRequest(values=wrong))) == [
        "values[0].type",
        "values[1].value",
    ]


async def test_an_indexed_field_gets_its_index_in_the_background(caller: Caller, database: Database) -> None:
    indexed = Field(name="city", type=field_pb2.FIELD_TYPE_TEXT, indexed=True)
    await create(caller, key_fields=["id"], fields=[indexed])
    await wait_until_ready(caller)
    rows = await database.fetch(
        "SELECT indexname FROM pg_indexes WHERE tablename = 'record' AND indexdef LIKE '%city%'"
    )
    assert len(rows) == 1
    await update(caller, ["fields"])
    while await database.fetch("SELECT FROM field_index"):
        pass
    assert not await database.fetch("SELECT FROM pg_indexes WHERE tablename = 'record' AND indexdef LIKE '%city%'")


async def wait_until_ready(caller: Caller) -> None:
    """Waits until the indexes of all fields can be used."""
    while True:
        table = (await caller.tables.GetTable(ts.GetTableRequest(table="things"))).table
        if all(field.index_state != field_pb2.INDEX_STATE_BUILDING for field in table.fields):
            return
