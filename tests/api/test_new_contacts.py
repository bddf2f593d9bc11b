"""New contacts are created in a way of their own, and many are looked up at once, and it makes no difference."""

import random
from typing import Any

import pytest

from ingot.v1 import stage_pb2, table_pb2, table_service_pb2
from ingot_server.storage.database import Database
from tests.api.test_kinds import run, write
from tests.calling import Caller

STRANGERS = 150
"""So many that they are looked up all at once."""
FEW = 20


async def contents(database: Database, table: str) -> tuple[list[Any], list[Any]]:
    """The records and the identifiers of a table, with their keys."""
    of_table = "JOIN record_table USING (table_id) WHERE name = $1 ORDER BY 1"
    records = await database.fetch(f"SELECT key, data FROM record {of_table}", table)
    identifiers = await database.fetch(f"SELECT identifier, key FROM record_identifier {of_table}", table)
    return list(map(tuple, records)), list(map(tuple, identifiers))


def strangers(first: int = 0) -> list[dict[str, Any]]:
    return [{"id": n, "email": f"c{n}@example.org", "phone": f"+4670{n:07}"} for n in range(first, first + STRANGERS)]


def relatives(chance: random.Random, number: int) -> list[dict[str, Any]]:
    """Contacts that have identifiers in common, leave some out, and give some up."""
    return [
        {
            name: chance.choice([value, value, value, None])
            for name, value in (
                ("id", f"r{chance.randrange(12)}"),
                ("email", f"r{chance.randrange(12)}@example.org"),
                ("phone", chance.choice(["+46701740605", "+46701740606", "nonsense"])),
            )
            if chance.random() < 0.6
        }
        | {"name": f"{chance.randrange(3)}"}
        for _ in range(number)
    ]


@pytest.mark.parametrize("seed", range(6))
async def test_to_import_many_contacts_is_to_write_them_few_by_few(
    caller: Caller, database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    for number in range(3):
        rows = strangers(number * STRANGERS // 2) + relatives(chance, seed * 10)
        chance.shuffle(rows)
        done, errors = await run(caller, "many", *rows, kind="CONTACTS")
        told: list[Any] = []
        counts = stage_pb2.RecordCounts()
        for at in range(0, len(rows), FEW):
            answer = await write(caller, "few", *rows[at : at + FEW], kind="CONTACTS")
            told += [(at + error.index, error.code, error.field, error.message, error.key) for error in answer.errors]
            for name in ("created", "updated", "unchanged", "superseded", "rejected"):
                setattr(counts, name, getattr(counts, name) + getattr(answer.counts, name))
        assert [(error.index, error.code, error.field, error.message, error.key) for error in errors] == told
        assert (done.counts.created, done.counts.unchanged, done.counts.rejected) == (
            counts.created,
            counts.unchanged,
            counts.rejected,
        )
        assert done.counts.updated + done.counts.superseded == counts.updated + counts.superseded
        assert await contents(database, "many") == await contents(database, "few")


@pytest.mark.parametrize("known", [{"id": 7}, {"email": "c7@example.org"}, {"phone": "+46700000007"}])
async def test_one_known_identifier_among_new_ones_finds_its_contact(caller: Caller, known: dict[str, Any]) -> None:
    await write(caller, "people", known, kind="CONTACTS")
    done, _ = await run(caller, "people", *strangers(), kind="CONTACTS")
    assert done.counts == stage_pb2.RecordCounts(received=STRANGERS, created=STRANGERS - 1, updated=1)
    assert len(await caller.table("people")) == STRANGERS


async def test_an_identifier_that_has_moved_is_known_though_its_key_is_free(caller: Caller) -> None:
    await write(caller, "people", {"email": "old@example.org"}, kind="CONTACTS")
    await write(caller, "people", {"id": 7, "email": "old@example.org"})
    done, _ = await run(caller, "people", *strangers(), kind="CONTACTS")
    assert done.counts == stage_pb2.RecordCounts(received=STRANGERS, created=STRANGERS - 1, updated=1)


async def test_a_blocked_contact_among_new_ones_is_rejected(caller: Caller) -> None:
    kinds = table_pb2.BlockedValueType
    values = [
        table_pb2.BlockedValue(type=kinds.BLOCKED_VALUE_TYPE_EMAIL, value="c7@example.org"),
        table_pb2.BlockedValue(type=kinds.BLOCKED_VALUE_TYPE_EMAIL, value="nobody@example.org"),
    ]
    await caller.tables.BlockValues(table_service_pb2.BlockValuesRequest(values=values))
    done, errors = await run(caller, "people", *strangers(), {"id": "odd", "tags": "x"}, kind="CONTACTS")
    assert done.counts == stage_pb2.RecordCounts(received=STRANGERS + 1, created=STRANGERS, rejected=1)
    assert [(error.index, error.field, error.key) for error in errors] == [(7, "email", "id=7")]
    again, _ = await run(caller, "people", *strangers(STRANGERS), kind="CONTACTS")
    assert again.counts == stage_pb2.RecordCounts(received=STRANGERS, created=STRANGERS)


async def test_a_faulty_contact_beside_new_ones_is_told_with_the_record_that_it_means(caller: Caller) -> None:
    await write(caller, "people", {"email": "old@example.org"}, kind="CONTACTS")
    faulty = [
        {"email": "old@example.org", "points": "x"},
        {"email": "new@example.org", "points": "x"},
        {"phone": "x"},
    ]
    done, errors = await run(caller, "people", *strangers(), *faulty, kind="CONTACTS")
    assert done.counts == stage_pb2.RecordCounts(received=STRANGERS + 3, created=STRANGERS, rejected=3)
    assert [error.key for error in errors] == ["email=old@example.org", "email=new@example.org", ""]
