"""What contacts do."""

import hashlib
from collections.abc import Sequence

import msgspec

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.contact_reference import CONTACT_FIELDS, CONTACT_NAMES, contact_of
from ingot_server.pipeline.kinds.kind import DERIVED, Kind, Record

_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number")


def _key_parts(event: Record) -> Sequence[str]:
    if event.get("id"):
        return (event["id"],)
    # Two events of one contact, name and moment are the same if they say the same: what is sent twice counts once.
    parameters = _SORTED.encode(event.get("parameters") or {})
    return (event[DERIVED]["contact"], event["name"], event["time"], hashlib.sha256(parameters).hexdigest()[:16])


KIND = Kind(
    name="EVENTS",
    description=(
        "What contacts do: a `name`, a `time`, a contact, by `contact_id`, `email` or `phone`, that must exist, "
        "and `parameters` of any sort. An event is identified by its `id`, or else by contact, name, time and "
        "parameters together, so that one that is sent twice is there once. Derived is `contact`, the contact's "
        "key."
    ),
    identity=("contact", "name", "time", "parameters"),
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
