"""Contacts that are created from columns are those that are created from rows."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.tables import Rules
from ingot_server.pipeline.creating import strangers
from ingot_server.pipeline.validation import Validator

CONTACTS = Validator(Rules(kind="CONTACTS"))
NUMBERS = st.lists(st.integers(0, 10_000), min_size=12, max_size=30, unique=True)


def contact(number: int, names: list[str], odd: dict[int, Any]) -> dict[str, Any]:
    made = {
        "id": f"\\{number}\t",
        "email": f"C{number}@example.org",
        "phone": f"+4670{number:07}",
        "name": f"{number}\t\\",
        "points": number,
    }
    return {name: odd.get(number * 10 + place, made[name]) for place, name in enumerate(names)}


@settings(max_examples=300, deadline=None)
@given(
    numbers=NUMBERS,
    names=st.permutations(["id", "email", "phone", "name", "points"]).flatmap(
        lambda names: st.integers(1, 5).map(lambda number: names[:number])
    ),
    odd=st.lists(st.sampled_from([None, None, "", "x", "same@example.org", "+15555555555"]), max_size=4),
)
def test_columns_and_rows_create_the_same(numbers: list[int], names: list[str], odd: list[Any]) -> None:
    places = {numbers[at] * 10 + at % len(names): value for at, value in enumerate(odd)}
    texts = [json.dumps(contact(number, names, places)).encode() for number in numbers]
    by_columns, by_rows = (CONTACTS.read(texts, range(len(texts))) for _ in range(2))
    by_rows.take_rows()
    found, expected = strangers(by_columns, 1, 2), strangers(by_rows, 1, 2)
    assert (found is None) == (expected is None)
    if found and expected:
        assert found.new == expected.new
        assert found.new.number == sum(not row.is_faulty for row in by_rows.rows)
        assert sorted(found.keys) == sorted(expected.keys)


def test_contacts_with_an_identifier_in_common_are_no_strangers() -> None:
    texts = [json.dumps(contact(number, ["email", "phone"], {})).encode() for number in range(20)]
    assert strangers(CONTACTS.read(texts, range(20)), 1, 2)
    for other in (
        {"email": "c7@example.org"},
        {"id": 9, "phone": "+46700000007"},
        {"email": "c7@example.org", "id": []},
    ):
        both = [*texts, json.dumps(other).encode()]
        assert strangers(CONTACTS.read(both, range(21)), 1, 2) is None
