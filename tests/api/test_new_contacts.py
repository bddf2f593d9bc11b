"""New contacts are created in a way of their own, known ones recognised all at once, and it makes no difference."""

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


def neighbours(chance: random.Random, changes: float) -> list[dict[str, Any]]:
    """Contacts that come again and again, each with the identifiers that it has, but for a few."""
    rows: list[dict[str, Any]] = []
    for n in range(STRANGERS):
        row: dict[str, Any] = {"id": f"n{n}", "email": f"n{n}@example.org", "phone": f"+4673{n:07}"}
        for name in [[], ["id"], ["phone"], ["id", "phone"]][n % 4]:
            # Two shapes of those without.
            row = {**row, name: None} if n % 3 else {key: value for key, value in row.items() if key != name}
        if chance.random() < changes:
            other = chance.randrange(STRANGERS)
            change = {
                "id": chance.choice([f"n{n}", f"n{other}", None]),
                "email": chance.choice([f"n{other}@example.org", f"c{other}@example.org", f"new{n}@example.org", ""]),
                "phone": chance.choice([f"+4673{other:07}", f"+4670{other:07}", f"+4676{n:07}", "nonsense"]),
            }
            name = chance.choice(list(change))
            row |= {name: change[name]}
            if chance.random() < 0.3:
                del row[chance.choice(list(row))]
        rows.append({**row, "name": f"{chance.randrange(2)}"})
    return rows


def again(chance: random.Random, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some contacts once more, with their fields in another order."""
    return [dict(reversed({**row, "name": "again"}.items())) for row in chance.sample(rows, STRANGERS // 3)]


async def expect_the_same(caller: Caller, database: Database, rows: list[dict[str, Any]]) -> stage_pb2.RecordCounts:
    """What becomes of many rows in an import is what becomes of a few at a time, in a table of their own."""
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
    found: stage_pb2.RecordCounts = done.counts
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_to_import_many_contacts_is_to_write_them_few_by_few(
    caller: Caller, database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    for number in range(3):
        rows = strangers(number * STRANGERS // 2) + relatives(chance, seed * 10)
        chance.shuffle(rows)
        await expect_the_same(caller, database, rows)


@pytest.mark.parametrize("seed", range(8))
async def test_known_contacts_are_recognised_as_if_they_were_written_few_by_few(
    caller: Caller, database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    await expect_the_same(caller, database, strangers())
    for changes in (0, 0, 0.02, 0.02, 0.3, 0.02):
        rows = neighbours(chance, changes) + relatives(chance, seed % 3 * 2)
        if not changes and seed % 2:
            rows += again(chance, rows)
        chance.shuffle(rows)
        counts = await expect_the_same(caller, database, rows)
    assert counts.unchanged > STRANGERS / 10


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


@pytest.mark.parametrize(
    ("place", "change", "outcome"),
    [
        (0, {"phone": "+46709999999"}, {"updated": 1}),
        (0, {"email": "outside@example.org"}, {"rejected": 1}),
        (7, {"id": "outside"}, {"rejected": 1}),
        (7, {"id": 7_000}, {"rejected": 1}),
        (7, {"name": "Grace"}, {"updated": 1}),
    ],
)
async def test_one_contact_that_changes_among_known_ones_is_the_only_one_that_does(
    caller: Caller, database: Database, place: int, change: dict[str, Any], outcome: dict[str, int]
) -> None:
    await write(caller, "people", {"id": "outside", "email": "outside@example.org"}, kind="CONTACTS")
    await run(caller, "people", *strangers())
    before, _ = await contents(database, "people")
    rows = strangers()
    rows[place] |= change
    done, _ = await run(caller, "people", *rows)
    assert done.counts == stage_pb2.RecordCounts(received=STRANGERS, unchanged=STRANGERS - 1, **outcome)
    after, _ = await contents(database, "people")
    changed = [key for (key, data), (_, data_before) in zip(after, before, strict=True) if data != data_before]
    assert changed == ([f"id={place}"] if "updated" in outcome else [])


async def test_a_blocked_contact_among_known_ones_is_rejected(caller: Caller) -> None:
    await run(caller, "people", *strangers(), kind="CONTACTS")
    kind = table_pb2.BlockedValueType.BLOCKED_VALUE_TYPE_PHONE
    values = [table_pb2.BlockedValue(type=kind, value="+46700000007")]
    await caller.tables.BlockValues(table_service_pb2.BlockValuesRequest(values=values))
    done, errors = await run(caller, "people", *strangers())
    assert done.counts == stage_pb2.RecordCounts(received=STRANGERS, unchanged=STRANGERS - 1, rejected=1)
    assert [(error.index, error.field, error.key) for error in errors] == [(7, "phone", "id=7")]


async def test_a_faulty_contact_beside_known_ones_is_told_with_the_record_that_it_means(caller: Caller) -> None:
    await run(caller, "people", *strangers(), kind="CONTACTS")
    rows = strangers()
    rows[7] = {"email": "c7@example.org", "points": "x"}
    done, errors = await run(caller, "people", *rows)
    assert done.counts == stage_pb2.RecordCounts(received=STRANGERS, unchanged=STRANGERS - 1, rejected=1)
    assert [(error.index, error.key) for error in errors] == [(7, "id=7")]
