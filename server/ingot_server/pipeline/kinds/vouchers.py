"""Codes that are worth something, in voucher sets."""

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.contact_reference import CONTACT_FIELDS, contact_of
from ingot_server.pipeline.kinds.kind import Kind
from ingot_server.pipeline.kinds.periods import ends_after_start

KIND = Kind(
    name="VOUCHERS",
    description=(
        "Codes that are worth something. A voucher is identified by its `voucher_set` and its `code`. If it names "
        "a contact, by `contact_id`, `email` or `phone`, the contact must exist. Derived are `contact`, the "
        "contact's key, and `contact_table`."
    ),
    identity=("voucher_set", "code"),
    refers_to=("CONTACTS",),
    references=contact_of,
    check=ends_after_start("starts_at", "expires_at"),
    fields=(
        Field(
            "voucher_set",
            FieldType.IDENTIFIER,
            "The set it belongs to.",
            required=True,
            aliases=("set", "set_id", "voucher_set_id"),
        ),
        Field("code", FieldType.IDENTIFIER, "What its owner has to say.", required=True, aliases=("voucher_code",)),
        *CONTACT_FIELDS,
        Field("value", FieldType.NUMBER, "What it is worth: an amount, or a percentage."),
        Field("type", FieldType.TEXT, "What the value is, in the sender's words."),
        Field("currency", FieldType.CURRENCY, "The currency of an amount, as ISO 4217."),
        Field("starts_at", FieldType.TIMESTAMP, "From when on it can be used.", aliases=("valid_from",)),
        Field(
            "expires_at", FieldType.TIMESTAMP, "Until when it can be used.", aliases=("valid_until", "expiration_date")
        ),
        Field("max_uses", FieldType.INTEGER, "How often it can be used."),
        Field("used", FieldType.BOOLEAN, "Whether it has been used.", aliases=("redeemed",)),
        Field("used_at", FieldType.TIMESTAMP, "When it was used.", aliases=("redeemed_at",)),
    ),
)
