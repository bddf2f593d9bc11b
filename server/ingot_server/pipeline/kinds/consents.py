"""What contacts have agreed to."""

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.contact_reference import CONTACT_FIELDS, CONTACT_NAMES, contact_of
from ingot_server.pipeline.kinds.kind import Kind

KIND = Kind(
    name="CONSENTS",
    description=(
        "What contacts have agreed to, or not. A consent is identified by its contact, `channel` and `purpose`: "
        "one that comes later takes the place of one that came before, whatever their `time`, and however the "
        "contact was named. Derived are `contact`, the contact's key, and `contact_table`."
    ),
    identity=("contact_table", "contact", "channel", "purpose"),
    refers_to=("CONTACTS",),
    references=contact_of,
    needs_one_of=CONTACT_NAMES,
    fields=(
        *CONTACT_FIELDS,
        Field(
            "channel",
            FieldType.TEXT,
            "How the contact may be addressed.",
            required=True,
            allowed=("email", "sms", "phone", "push", "post"),
        ),
        Field("purpose", FieldType.TEXT, "What it is for, as in `newsletter`; none if it is for anything."),
        Field(
            "granted",
            FieldType.BOOLEAN,
            "Whether the contact has agreed.",
            required=True,
            aliases=("consent", "consented"),
        ),
        Field("time", FieldType.TIMESTAMP, "When the contact said so.", aliases=("timestamp", "consented_at")),
        Field("source", FieldType.TEXT, "Where the contact said so."),
    ),
)
