"""Values that may not occur in the records of an account."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ingot_server.domain.fields import FieldType


class BlockedType(StrEnum):
    """What a blocked value is."""

    DOMAIN = "DOMAIN"
    EMAIL = "EMAIL"
    PHONE = "PHONE"


@dataclass(frozen=True, slots=True)
class BlockedValue:
    """A value, in its normal form, that may not occur."""

    type: BlockedType
    value: str
    create_time: datetime


def blockable(type_: FieldType, value: str) -> Iterator[tuple[BlockedType, str]]:
    """All that must not be blocked for an e-mail address or a phone number to be accepted."""
    if type_ is FieldType.PHONE:
        yield BlockedType.PHONE, value
        return
    yield BlockedType.EMAIL, value
    domain = value.rpartition("@")[2]
    while domain:
        yield BlockedType.DOMAIN, domain
        domain = domain.partition(".")[2]
