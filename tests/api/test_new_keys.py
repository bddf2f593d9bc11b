"""Records whose keys are all new are written in a way of their own, and it makes no difference."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingot.v1 import stage_pb2
from ingot_server.storage import records as stored
from ingot_server.storage.database import Database
from ingot_server.storage.keyed_records import KeyedRecords
from tests.calling import Caller, records

CHUNK = 5_000


async def imported(caller: Caller, rows: list[Any], table: str = "things") -> stage_pb2.RecordCounts:
    """What became of rows."""
    import_id = await caller.create(table)
    parts = [records(rows[at : at + CHUNK], import_id=import_id, batch_id="b") for at in range(0, len(rows), CHUNK)]
    parts[-1].finish.total = len(rows)
    await caller.upload(parts)
    return (await caller.finish(import_id)).counts


async def test_imports_that_make_the_same_new_keys_at_the_same_time_lose_nothing(caller: Caller) -> None:
    writers, keys = 4, 3 * CHUNK
    # In different orders, so that whoever did not sort them would wait in a circle.
    rows = [
        [{"id": key, "writer": writer} for key in sorted(range(keys), key=lambda key: (key * (writer * 2 + 1)) % keys)]
        for writer in range(writers)
    ]
    found = await asyncio.gather(*(imported(caller, part) for part in rows))
    assert all(counts.rejected == counts.pending == 0 and counts.received == keys for counts in found)
    assert sum(counts.created for counts in found) == keys
    assert sum(counts.updated for counts in found) == (writers - 1) * keys
    table = await caller.table()
    assert sorted(row["id"] for row in table) == list(range(keys))


@pytest.mark.parametrize("known", [0, CHUNK // 2, CHUNK - 1])
async def test_one_known_key_among_new_ones_is_updated(caller: Caller, known: int) -> None:
    await imported(caller, [{"id": f"{known:05}", "value": "old"}])
    rows = [{"id": f"{key:05}", "value": "new"} for key in range(2 * CHUNK)]
    counts = await imported(caller, rows)
    assert counts == stage_pb2.RecordCounts(received=2 * CHUNK, created=2 * CHUNK - 1, updated=1)
    assert await caller.table() == rows


async def test_keys_that_come_twice_in_a_new_table_are_superseded(caller: Caller) -> None:
    rows = [{"id": key % CHUNK, "value": key} for key in range(CHUNK + 1)]
    counts = await imported(caller, rows)
    assert counts == stage_pb2.RecordCounts(received=CHUNK + 1, created=CHUNK, superseded=1)


KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(KEYS, values, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.dictionaries(KEYS, VALUES, min_size=1, max_size=20), white=st.sampled_from(["", " ", "\t", "\r", "\\"]))
async def test_new_records_are_stored_as_they_are(database: Database, rows: dict[str, Any], white: str) -> None:
    texts = {
        key: json.dumps({"value": value, "white": white}, ensure_ascii=False).replace(": ", f":{white.strip(chr(92))}")
        for key, value in rows.items()
    }
    async with database.rehearsal() as connection:
        given = KeyedRecords(list(texts), [text.encode() for text in texts.values()])
        assert await stored.record_create(connection, stored.new_records(1, 2, given)) is not None
        found = await connection.fetch("SELECT key, data, writer, rewritten FROM record WHERE table_id = 1")
        assert {row["key"]: json.loads(row["data"]) for row in found} == {
            key: json.loads(text) for key, text in texts.items()
        }
        assert {(row["writer"], row["rewritten"]) for row in found} == {(2, False)}
        mixed = KeyedRecords(["new", given.keys[0]], [b"{}", b"{}"])
        assert await stored.record_create(connection, stored.new_records(1, 2, mixed)) is None
        assert await connection.fetchval("SELECT count(*) FROM record WHERE table_id = 1") == len(rows)
