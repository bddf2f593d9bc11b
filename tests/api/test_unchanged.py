"""Records that the table holds just as they are are only looked at, and it makes no difference."""

import asyncio
from typing import Any

import pytest

from ingot.v1 import import_pb2, record_service_pb2, stage_pb2, write_mode_pb2
from tests.calling import Caller, records

CHUNK = 5_000
OLD = {"id": "a", "value": 1, "size": "small"}
NEW = {"id": "a", "value": 2, "size": "small"}


async def imported(caller: Caller, *rows: Any, **spec: Any) -> stage_pb2.RecordCounts:
    """What became of rows: as they were sent, if they are bytes."""
    import_id = await caller.create(**spec)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        await caller.upload([records(part, import_id=import_id, batch_id=f"{start}", finish=True)])
    return (await caller.finish(import_id)).counts


async def write(caller: Caller, *rows: Any, mode: "write_mode_pb2.WriteMode.ValueType") -> None:
    request = record_service_pb2.WriteRecordsRequest(table="things", key_fields=["id"], mode=mode)
    request.records.extend(records(rows).records)
    await caller.records.WriteRecords(request)


async def test_the_same_again_is_unchanged_and_what_differs_is_updated(caller: Caller) -> None:
    rows = [{"id": f"{key:05}", "value": "old"} for key in range(2 * CHUNK)]
    assert await imported(caller, *rows) == stage_pb2.RecordCounts(received=2 * CHUNK, created=2 * CHUNK)
    assert await imported(caller, *rows) == stage_pb2.RecordCounts(received=2 * CHUNK, unchanged=2 * CHUNK)
    for row in rows[::7]:
        row["value"] = "new"
    rows += [{"id": "more", "value": "new"}]
    updated = len(rows[:-1:7])
    expected = stage_pb2.RecordCounts(received=2 * CHUNK + 1, created=1, updated=updated, unchanged=2 * CHUNK - updated)
    assert await imported(caller, *rows) == expected
    assert await caller.table() == rows


async def test_the_same_in_other_words_is_unchanged_too(caller: Caller) -> None:
    await imported(caller, b'{"id":"a","value":1,"size":"small"}')
    counts = await imported(caller, b'{"size": "small", "id": "a", "value": 1.0}')
    assert counts == stage_pb2.RecordCounts(received=1, unchanged=1)


async def test_a_key_that_comes_twice_is_no_reason_to_pass_over_it(caller: Caller) -> None:
    await imported(caller, OLD)
    counts = await imported(caller, OLD, NEW, OLD)
    assert counts == stage_pb2.RecordCounts(received=3, unchanged=1, updated=1, superseded=1)
    # What was written last was the third record, in a way of its own; it is known all the same.
    assert await imported(caller, OLD) == stage_pb2.RecordCounts(received=1, unchanged=1)
    assert await imported(caller, NEW) == stage_pb2.RecordCounts(received=1, updated=1)


MODES = write_mode_pb2.WriteMode


@pytest.mark.parametrize("mode", [MODES.WRITE_MODE_REPLACE, MODES.WRITE_MODE_MERGE, MODES.WRITE_MODE_FILL_EMPTY])
@pytest.mark.parametrize("directly", [False, True])
async def test_what_somebody_has_changed_meanwhile_is_not_taken_for_unchanged(
    caller: Caller, mode: "write_mode_pb2.WriteMode.ValueType", directly: bool
) -> None:
    old = {"id": "a", "value": 1, "size": None}
    changed = {"id": "a", "value": 1, "size": "large"}
    await imported(caller, old)
    if directly:
        await write(caller, changed, mode=mode)
    else:
        await imported(caller, changed, mode=mode)
    assert await caller.table() == [changed]
    assert await imported(caller, old) == stage_pb2.RecordCounts(received=1, updated=1)
    assert await caller.table() == [old]


async def test_what_was_deleted_meanwhile_is_created(caller: Caller) -> None:
    await imported(caller, OLD)
    await imported(caller, {"id": "a"}, mode=MODES.WRITE_MODE_DELETE)
    assert await imported(caller, OLD) == stage_pb2.RecordCounts(received=1, created=1)
    assert await caller.table() == [OLD]


async def test_a_full_replacement_names_what_it_finds_unchanged(caller: Caller) -> None:
    await imported(caller, OLD, {"id": "b"}, {"id": "c"}, {"id": "d"})
    counts = await imported(caller, OLD, {"id": "b"}, {"id": "c"}, reconcile=import_pb2.Reconcile(max_deleted_ratio=1))
    assert counts == stage_pb2.RecordCounts(received=3, unchanged=3)
    assert [row["id"] for row in await caller.table()] == ["a", "b", "c"]


async def test_of_two_imports_at_once_one_is_the_last_for_each_record(caller: Caller) -> None:
    rows = {value: [{"id": f"{key:05}", "value": value} for key in range(CHUNK)] for value in ("one", "two")}
    await imported(caller, *rows["one"])
    counts = await asyncio.gather(*(imported(caller, *part) for part in rows.values()))
    assert all(found.unchanged + found.updated == found.received == CHUNK for found in counts)
    one, two = counts
    # Each record was "one", and is "two" unless it was updated back.
    assert two.updated == CHUNK
    assert sum(row["value"] == "two" for row in await caller.table()) == CHUNK - one.updated
