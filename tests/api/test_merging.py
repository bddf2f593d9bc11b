"""Merging at the edges: what is the same, what becomes too large, rules that have changed, records too many to hold."""

import json
from typing import Any

import pytest

from ingot.v1 import field_pb2, import_pb2, record_error_pb2, record_pb2, table_pb2, write_mode_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from ingot_server.domain.records import RECORD_BYTES_MAX
from ingot_server.storage import records as stored
from tests.api.test_life import done, numbers
from tests.calling import Caller

MERGE = write_mode_pb2.WRITE_MODE_MERGE
FILL_EMPTY = write_mode_pb2.WRITE_MODE_FILL_EMPTY
SKIP_EXISTING = write_mode_pb2.WRITE_MODE_SKIP_EXISTING
DELETE = write_mode_pb2.WRITE_MODE_DELETE
VALUES = [
    (b"1", b"1.0", True),
    (b"1", b"10e-1", True),
    (b"0", b"-0.0", True),
    (b"1", b"true", False),
    (b"0", b"false", False),
    (b"1", b'"1"', False),
    (b"12345678901234567890.5", b"12345678901234567890.50", True),
    (b"12345678901234567890", b"12345678901234567891", False),
    (b'{"a": {"b": [1, {"c": 2}]}}', b'{"a":{"b":[1.0,{"c":2}]}}', True),
    (b'{"a": {"b": [1, {"c": 2}]}}', b'{"a": {"b": [1, {"c": true}]}}', False),
    (b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', True),
    (b'{"a": 1}', b'{"a": 1, "b": null}', False),
    (b"[1, 2]", b"[2, 1]", False),
    (b"[[]]", b"[{}]", False),
    (b'"\\u00e9"', '"é"'.encode(), True),
    (b'"\\u00e9"', b'"e\\u0301"', False),
]
"""Two values, and whether they are the same."""


async def write(caller: Caller, *rows: Any, **fields: Any) -> pb.WriteRecordsResponse:
    sent = [record_pb2.Record(json=row if isinstance(row, bytes) else json.dumps(row).encode()) for row in rows]
    return await caller.records.WriteRecords(
        pb.WriteRecordsRequest(table="things", key_fields=["id"], records=sent, **fields)
    )


@pytest.mark.parametrize("mode", [write_mode_pb2.WRITE_MODE_REPLACE, MERGE, FILL_EMPTY, SKIP_EXISTING])
async def test_modes_agree_with_postgresql_on_what_is_the_same(
    caller: Caller, mode: "write_mode_pb2.WriteMode.ValueType"
) -> None:
    """A second record of the same call, so that every mode compares it."""
    for number, (held, given, is_same) in enumerate(VALUES):
        rows = [b'{"id": %d, "v": %s}' % (number, value) for value in (held, given)]
        found = (await write(caller, *rows, mode=mode)).counts
        assert (found.created, found.unchanged, found.superseded) == (1, is_same, not is_same), (held, given)


async def test_objects_are_replaced_as_a_whole_by_what_is_merged(caller: Caller) -> None:
    await write(caller, {"id": 1, "address": {"city": "Lund", "zip": "1"}, "tags": ["a"]})
    await write(caller, {"id": 1, "address": {"city": "Umeå"}, "tags": ["b"]}, mode=MERGE)
    assert await caller.table() == [{"id": 1, "address": {"city": "Umeå"}, "tags": ["b"]}]
    await write(caller, {"id": 1, "address": {"zip": "2"}, "tags": []}, mode=FILL_EMPTY)
    assert await caller.table() == [{"id": 1, "address": {"city": "Umeå"}, "tags": ["b"]}]


@pytest.mark.parametrize("mode", [MERGE, FILL_EMPTY])
@pytest.mark.parametrize("declared", [False, True])
async def test_a_record_that_would_become_too_large_is_rejected_and_the_old_one_stays(
    caller: Caller, mode: "write_mode_pb2.WriteMode.ValueType", declared: bool
) -> None:
    if declared:
        await declare(caller, field_pb2.Field(name="n", type=field_pb2.FIELD_TYPE_INTEGER))
    half = "x" * (RECORD_BYTES_MAX // 2)
    await write(caller, {"id": 1, "a": half})
    found = await done(caller, [{"id": 1, "n": 1}, {"id": 1, "b": half}, {"id": 1, "c": 1}], mode=mode)
    assert numbers(found) == {"received": 3, "updated": 1, "superseded": 1, "rejected": 1}
    (error,) = await caller.errors(found.import_id)
    assert (error.index, error.code) == (1, record_error_pb2.RECORD_ERROR_CODE_RECORD_TOO_LARGE)
    assert await caller.table() == [{"id": 1, "a": half, "n": 1, "c": 1}]


async def declare(caller: Caller, *fields: field_pb2.Field, **settings: Any) -> None:
    table = table_pb2.Table(table="things", key_fields=["id"], fields=fields, **settings)
    await caller.tables.CreateTable(ts.CreateTableRequest(table=table))


async def redeclare(caller: Caller, *fields: field_pb2.Field) -> None:
    request = ts.UpdateTableRequest(table=table_pb2.Table(table="things", fields=fields))
    request.update_mask.paths.append("fields")
    await caller.tables.UpdateTable(request)


async def test_what_is_merged_must_make_a_whole_by_the_rules_of_today(caller: Caller) -> None:
    """A record that was stored by other rules is read anew, and what is wrong with it is told."""
    text, integer = field_pb2.FIELD_TYPE_TEXT, field_pb2.FIELD_TYPE_INTEGER
    await declare(caller, field_pb2.Field(name="n", type=text))
    await write(caller, {"id": 1, "n": "7"}, {"id": 2, "n": "seven"}, {"id": 3})
    await redeclare(
        caller,
        field_pb2.Field(name="n", type=integer),
        field_pb2.Field(name="size", type=text, required=True),
    )
    rows = [{"id": 1, "size": "S"}, {"id": 2, "size": "S"}, {"id": 2, "n": 2, "size": "S"}, {"id": 3, "n": 3}]
    found = await done(caller, rows, mode=MERGE)
    assert numbers(found) == {"received": 4, "updated": 2, "rejected": 2}
    assert [(error.index, error.field) for error in await caller.errors(found.import_id)] == [(1, "n"), (3, "size")]
    assert await caller.table() == [{"id": 1, "n": 7, "size": "S"}, {"id": 2, "n": 2, "size": "S"}, {"id": 3}]


@pytest.mark.parametrize("kind", ["plain", "declared", "contacts"])
async def test_records_too_large_to_be_held_together_are_taken_in_parts(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The outcome is the same, and so are the places of what was rejected."""
    table, keys = ("people", ()) if kind == "contacts" else ("things", ("id",))
    if kind == "declared":
        await declare(caller, field_pb2.Field(name="points", type=field_pb2.FIELD_TYPE_INTEGER))
    spec: dict[str, Any] = {"table": table, "key_fields": keys}
    if kind == "contacts":
        spec["kind"] = "CONTACTS"
    await done(caller, [{"id": f"{row}", "city": "x" * 200} for row in range(100)], **spec)
    held = 0
    hold = stored.record_hold

    async def counted(*arguments: Any) -> Any:
        nonlocal held
        held += 1
        return await hold(*arguments)

    monkeypatch.setattr(stored, "record_hold", counted)
    monkeypatch.setattr(stored, "HELD_BYTES_MAX", 3_000)
    rows: list[Any] = [{"id": f"{row % 120}", "points": row} for row in range(150)]
    rows[70]["points"] = rows[140]["points"] = "x" if kind != "plain" else 0
    found = await done(caller, rows, mode=MERGE, **spec)
    assert held > 10
    rejected = [70, 140] if kind != "plain" else []
    assert [error.index for error in await caller.errors(found.import_id)] == rejected
    # Of 120 keys a hundred were there, and thirty came twice.
    expected = {"received": 150, "created": 20, "updated": 100, "superseded": 30}
    if rejected:
        expected |= {"updated": 99, "superseded": 29, "rejected": 2}
    assert numbers(found) == expected
    stored_rows = {row["id"]: row for row in await caller.table(table)}
    assert [stored_rows[f"{row}"]["points"] for row in (0, 29, 30, 119)] == [120, 149, 30, 119]
    assert stored_rows["0"]["city"] == "x" * 200
    found = await done(caller, [{"id": f"{row}"} for row in range(130)], mode=DELETE, **spec)
    assert numbers(found) == {"received": 130, "deleted": 120, "unchanged": 10}
    assert found.state == import_pb2.IMPORT_STATE_SUCCEEDED
