"""What contacts do."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.contact_reference import CONTACT_FIELDS, CONTACT_NAMES, contact_of
from ingot_server.pipeline.kinds.kind import DERIVED, Kind, Record

_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number")


def _normal(value: Any) -> Any:
    """A JSON value in which numbers that are equal are written alike, as PostgreSQL compares them."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and value.adjusted() < 100 else value.normalize()
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {name: _normal(item) for name, item in value.items()}
    return value


def _key_parts(event: Record) -> Sequence[str]:
    if event.get("id"):
        return (event["id"],)
    # Two events of one contact, name and moment are the same if they say the same: what is sent twice counts once.
    parameters = _SORTED.encode(_normal(event.get("parameters") or {}))
    contact = event[DERIVED]["contact_table"], event[DERIVED]["contact"]
    return (*contact, event["name"], event["time"], hashlib.sha256(parameters).hexdigest()[:16])


KIND = Kind(
    name="EVENTS",
    description=(
        "What contacts do: a `name`, a `time`, a contact, by `contact_id`, `email` or `phone`, that must exist, "
        "and `parameters` of any sort. An event is identified by its `id`, or else by contact, name, time and "
        "parameters together, so that one that is sent twice is there once. Derived are `contact`, the contact's "
        "key, and `contact_table`."
    ),
    identity=("contact_table", "contact", "name", "time", "parameters"),
    key_parts=_key_parts,
    refers_to=("CONTACTS",),
    references=contact_of,
    needs_one_of=CONTACT_NAMES,
    fields=(
        Field("id", FieldType.IDENTIFIER, "Its number.", aliases=("event_id",)),
        Field("name", FieldType.TEXT, "What was done.", required=True, aliases=("event", "event_name", "action")),
        Field(
            "time",
            FieldType.TIMESTAMP,
            "When it was done.",
            required=True,
            aliases=("timestamp", "occurred_at", "date"),
        ),
        *CONTACT_FIELDS,
        Field("parameters", FieldType.OBJECT, "Whatever else there is to say.", aliases=("params", "properties")),
    ),
)
