"""What becomes of records whose key is there already, in the table or earlier in the same import.

The rule: records are applied one by one in their order. So the outcome must not depend on how the upload was cut into
chunks, which depends on time.
"""

import random
from typing import Any

import pytest

from ingot.v1 import stage_pb2
from ingot_server.storage.records import FEW_RECORDS
from tests.calling import Caller, records


class Model:
    """The rule, in plain Python."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Any, int]] = {}

    def run(self, number: int, rows: list[Any]) -> stage_pb2.RecordCounts:
        counts = stage_pb2.RecordCounts(received=len(rows))
        for row in rows:
            held = self.rows.get(row["id"])
            if held is None:
                counts.created += 1
            elif held[0] == row:
                counts.unchanged += 1
                continue
            elif held[1] == number:
                counts.superseded += 1
            else:
                counts.updated += 1
            self.rows[row["id"]] = (row, number)
        return counts


@pytest.mark.parametrize("seed", range(12))
async def test_counts_and_table_equal_the_model_wherever_chunks_are_cut(caller: Caller, seed: int) -> None:
    chance = random.Random(seed)
    model = Model()
    for number in range(4):
        rows = [{"id": f"k{chance.randrange(25)}", "v": chance.randrange(3)} for _ in range(chance.choice([1, 10, 60]))]
        expected = model.run(number, rows)
        import_id = await caller.create()
        start = 0
        while start < len(rows):
            # Each call ends with a commit, so each makes a chunk.
            end = start + chance.randint(1, len(rows))
            part = rows[start:end]
            await caller.upload(
                [
                    records(
                        part,
                        import_id=import_id,
                        batch_id="b",
                        offset=start,
                        finish=len(rows) if end >= len(rows) else False,
                    )
                ]
            )
            start = end
        ended = await caller.finish(import_id)
        assert ended.counts == expected
        assert {row["id"]: row for row in await caller.table()} == {key: row for key, (row, _) in model.rows.items()}


async def test_one_key_for_all_records_of_a_large_import(caller: Caller) -> None:
    ended = await caller.run([{"id": 1, "v": row} for row in range(20_000)])
    assert ended.counts == stage_pb2.RecordCounts(received=20_000, created=1, superseded=19_999)
    assert await caller.table() == [{"id": 1, "v": 19_999}]


async def test_equal_is_what_the_database_holds_equal(caller: Caller) -> None:
    await caller.run([b'{"id": 1, "a": 1.0, "b": "\\u00e5"}'])
    ended = await caller.run([b'{ "b": "\xc3\xa5", "a": 1.00, "id": 1 }'])
    assert ended.counts == stage_pb2.RecordCounts(received=1, unchanged=1)
    ended = await caller.run([b'{"id": 1, "a": true, "b": "\\u00e5"}'])
    assert ended.counts == stage_pb2.RecordCounts(received=1, updated=1)


async def test_a_later_batch_supersedes_an_earlier_one(caller: Caller) -> None:
    import_id = await caller.create()
    await caller.upload([records([{"id": 1, "v": "first"}], import_id=import_id, batch_id="a", finish=True)])
    async for update in caller.imports.WatchImport(_watch(import_id)):
        if update.import_job.counts.created:
            break
    await caller.upload([records([{"id": 1, "v": "second"}], import_id=import_id, batch_id="b", finish=True)])
    ended = await caller.finish(import_id)
    assert ended.counts == stage_pb2.RecordCounts(received=2, created=1, superseded=1)
    assert await caller.table() == [{"id": 1, "v": "second"}]


def _watch(import_id: str) -> Any:
    from ingot.v1.import_service_pb2 import WatchImportRequest

    return WatchImportRequest(import_id=import_id)


@pytest.mark.parametrize("number", [FEW_RECORDS, FEW_RECORDS + 1])
async def test_few_and_many_have_the_same_outcome(caller: Caller, number: int) -> None:
    table = f"sized_{number}"
    rows = [{"id": row, "v": 1} for row in range(number)]
    assert (await caller.run(rows, table=table)).counts == stage_pb2.RecordCounts(received=number, created=number)
    assert (await caller.run(rows, table=table)).counts == stage_pb2.RecordCounts(received=number, unchanged=number)
    mixed = [{"id": row, "v": row % 2} for row in range(1, number)] + [{"id": number, "v": 2}]
    expected = stage_pb2.RecordCounts(
        received=number, created=1, updated=(number - 1) // 2, unchanged=number - 1 - (number - 1) // 2
    )
    assert (await caller.run(mixed, table=table)).counts == expected
