"""How records name the contact they belong to: by its id, e-mail address or phone number."""

from collections.abc import Iterable

from ingot_server.domain.fields import Field, FieldType
from ingot_server.domain.records import ErrorCode
from ingot_server.pipeline.kinds.kind import Name, Record, Reference

CONTACT_FIELDS = (
    Field("contact_id", FieldType.IDENTIFIER, "The id of the contact.", aliases=("customer_id", "client_id")),
    Field("email", FieldType.EMAIL, "The e-mail address of the contact.", aliases=("contact_email", "customer_email")),
    Field("phone", FieldType.PHONE, "The phone number of the contact.", aliases=("contact_phone", "customer_phone")),
)
"""The fields with which a record names its contact; any of them will do."""

CONTACT_NAMES = tuple(field.name for field in CONTACT_FIELDS)
_IDENTIFIERS = {"contact_id": "id", "email": "email", "phone": "phone"}


def contact_of(record: Record) -> Iterable[Reference]:
    """The contact that a record names, if it names one."""
    names = tuple(
        Name(identifier, record[field], field) for field, identifier in _IDENTIFIERS.items() if record.get(field)
    )
    if names:
        yield Reference("CONTACTS", names, ErrorCode.CONTACT_NOT_FOUND, derived="contact")
