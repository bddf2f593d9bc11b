"""Records that are read together come out as if each was read alone."""

import json
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.fields import Field, FieldType, Reading, UnknownFields
from ingot_server.domain.tables import Rules
from ingot_server.pipeline import exact_json
from ingot_server.pipeline.validation import Row, Validator
from ingot_server.pipeline.values import read_column, reader

TOGETHER = 12
READINGS = (Reading(), Reading(country="SE", time_zone="Europe/Stockholm", locale="de"))

GOOD: dict[str, list[Any]] = {
    "id": ["a1", 7, " x "],
    "email": ["ada@example.org", "Ada@Example.ORG ", "ada@åäö.se"],
    "phone": ["+46701740605", "0046 70-174 06 05", "070-174 06 05", "+15555555555", "+441534456789"],
    "mobile": ["+46701740605", "+14155552671"],
    "name": ["Ada", " Ada ", ""],
    "country": ["SE", "swe", "se "],
    "language": ["sv", "en-us", "SV"],
    "points": [1, 1.50, "17", "1.500,5", 10**39, True],
    "birth_date": ["1815-12-10", " 1815-12-10 "],
    "created_at": ["2026-01-01T00:00:00Z", "2026-01-01T00:00", "2026-10-25T02:30:00"],
    "own": [True, "true", False],
    "number": [1, "1", 1.0],
    "needed": ["x", "y"],
    "any": [1, "x", []],
    "other": [1, None, {"a": [1]}, "x"],
    "derived": [{"email_domain": "wrong"}],
    "Post-Code": ["1", 22],
    "tags": [["a"], "b"],
}
BAD: list[Any] = [None, "", " ", 5, "nonsense", [], {}, True, "x" * 300, 10**40, 1.5]
RULES = Rules(
    kind="CONTACTS",
    fields=(
        Field("own", FieldType.BOOLEAN),
        Field("number", FieldType.INTEGER),
        Field("needed", FieldType.TEXT, required=True),
        Field("any", default=5),
    ),
)
VALIDATORS = [
    Validator(replace(rules, reading=reading))
    for rules in (
        RULES,
        replace(RULES, fields=RULES.fields[:2], unknown_fields=UnknownFields.REJECT),
        Rules(kind="CONTACTS"),
    )
    for reading in READINGS
]

NAMES = st.lists(st.sampled_from(list(GOOD)), min_size=1, max_size=6, unique=True)


@st.composite
def similar(draw: st.DrawFn) -> list[bytes]:
    """Records with the same fields, most of them good."""
    names = draw(NAMES) + draw(st.sampled_from([[], ["needed", "any"], ["any", "needed"]]))
    names = list(dict.fromkeys(names))
    values = [st.one_of(*[st.sampled_from(GOOD[name])] * 5, st.sampled_from(BAD)) for name in names]
    rows = draw(st.lists(st.tuples(*values), min_size=TOGETHER, max_size=TOGETHER))
    return [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False).encode() for row in rows]


def told(row: Row) -> dict[str, Any]:
    """A row as it can be compared: with no more order among fields and addresses than JSON has."""
    found = msgspec.structs.asdict(row)
    # As texts, because 1 and 1.0 are equal.
    for name, record in (("record", row.record), ("text", exact_json.decode(row.text or b"{}"))):
        found[name] = repr(sorted(record.items()))
    found["faults"] = sorted(map(repr, row.faults))
    return found | {"addresses": sorted(row.addresses), "unread": set(row.unread)}


@settings(max_examples=400, deadline=None)
@given(texts=similar(), validator=st.sampled_from(VALIDATORS))
def test_records_of_one_shape_are_read_as_each_alone(texts: list[bytes], validator: Validator) -> None:
    alone = [row for position, text in enumerate(texts) for row in validator.read([text], [position]).take_rows()]
    together = validator.read(texts, range(len(texts))).take_rows()
    assert list(map(told, together)) == list(map(told, alone))


@settings(max_examples=400, deadline=None)
@given(
    type_=st.sampled_from(FieldType),
    column=st.lists(st.sampled_from([value for values in GOOD.values() for value in values] + BAD), min_size=1),
    reading=st.sampled_from(READINGS),
)
def test_a_column_is_read_as_each_of_its_values(type_: FieldType, column: list[Any], reading: Reading) -> None:
    for values in (column, column[:1]):
        found = read_column(type_, values)
        if found is not None:
            assert list(map(repr, found)) == [repr(reader(type_, reading)(value)) for value in values]
            assert None not in values
            assert "" not in values
