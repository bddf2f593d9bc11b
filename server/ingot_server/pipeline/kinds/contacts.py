"""People: customers, members, subscribers."""

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.kind import Derived, Kind
from ingot_server.pipeline.values import email_domains, phone_countries

KIND = Kind(
    name="CONTACTS",
    description=(
        "People: customers, members, subscribers. A contact is one record whether it comes with its `id`, its "
        "`email` or its `phone`; it needs at least one of them. The strongest that a record comes with decides "
        "which contact it is, in this order; a weaker one finds the contact if nobody has the stronger one and "
        "the contact has no other value for it. Identifiers that a record does not mention stay with the contact; "
        "null takes one away. Derived are `email_domain` and `phone_country`."
    ),
    identifiers=("id", "email", "phone"),
    needs_one_of=("id", "email", "phone"),
    fields=(
        Field("id", FieldType.IDENTIFIER, "The sender's own id of the contact.", aliases=("custom_id", "contact_id")),
        Field("email", FieldType.EMAIL, "The e-mail address."),
        Field("phone", FieldType.PHONE, "The phone number.", aliases=("phone_number", "mobile")),
        Field("name", FieldType.TEXT, "The whole name."),
        Field("first_name", FieldType.TEXT, "The given name."),
        Field("last_name", FieldType.TEXT, "The family name.", aliases=("surname",)),
        Field("birth_date", FieldType.DATE, "The day of birth.", aliases=("birthday", "date_of_birth")),
        Field("gender", FieldType.TEXT, "The gender, in the sender's words."),
        Field("language", FieldType.LANGUAGE, "The language to address the contact in.", aliases=("locale",)),
        Field("street", FieldType.TEXT, "Street and number."),
        Field("postal_code", FieldType.IDENTIFIER, "The postal code.", aliases=("zip", "zip_code")),
        Field("city", FieldType.TEXT, "The city."),
        Field("country", FieldType.COUNTRY, "The country, as ISO 3166-1.", aliases=("country_code",)),
        Field("company", FieldType.TEXT, "The company the contact works for."),
        Field("points", FieldType.NUMBER, "Points of a loyalty scheme."),
        Field("tags", FieldType.TEXT, "Words to find the contact by.", many=True),
        Field("created_at", FieldType.TIMESTAMP, "When the sender first knew the contact."),
        Field("updated_at", FieldType.TIMESTAMP, "When the sender last changed the contact."),
    ),
    derived=(
        Derived("email_domain", "email", email_domains),
        Derived("phone_country", "phone", phone_countries),
    ),
)
