"""Fields: what a value of a record may be, and how it is read."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FIELDS_MAX = 200
"""How many fields a table may declare, nested ones included."""
FIELD_DEPTH_MAX = 4
FIELD_NAME_BYTES_MAX = 63
ALIASES_MAX = 10
INDEXED_MAX = 8
"""How many fields of a table may be indexed: each index costs every write a little."""
ALLOWED_MAX = 1_000
PATTERN_CHARACTERS_MAX = 1_000


class FieldType(StrEnum):
    """What the values of a field are; the API explains each."""

    ANY = "ANY"
    TEXT = "TEXT"
    IDENTIFIER = "IDENTIFIER"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    URL = "URL"
    BOOLEAN = "BOOLEAN"
    INTEGER = "INTEGER"
    NUMBER = "NUMBER"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    COUNTRY = "COUNTRY"
    CURRENCY = "CURRENCY"
    LANGUAGE = "LANGUAGE"
    OBJECT = "OBJECT"

    @property
    def is_text(self) -> bool:
        """Whether a value that has been read is a string."""
        return self not in _NO_TEXTS


_NO_TEXTS = (FieldType.ANY, FieldType.BOOLEAN, FieldType.INTEGER, FieldType.NUMBER, FieldType.OBJECT)


class UnknownFields(StrEnum):
    """What becomes of a field that neither the kind nor the table knows."""

    KEEP = "KEEP"
    REJECT = "REJECT"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record, of a kind or declared by a table."""

    name: str
    type: FieldType = FieldType.ANY
    description: str = ""
    required: bool = False
    """A record without a value for it is rejected."""
    many: bool = False
    """The value is a list, each of whose elements is of the type."""
    aliases: tuple[str, ...] = ()
    """Other names under which the value may come; it is stored under `name`."""
    pattern: str = ""
    """What the whole text must match; empty for anything."""
    allowed: tuple[str, ...] = ()
    """The only values there are, in the spelling in which they are stored; empty for any."""
    default: Any = None
    """The JSON value for records that have none; None for no default."""
    indexed: bool = False
    fields: tuple["Field", ...] = ()
    """The fields of an OBJECT; other fields follow the rule for unknown ones. Empty: anything."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How values are read that say too little about themselves. Empty: they are refused, but for the time zone."""

    country: str = ""
    """For phone numbers without a country: ISO 3166-1 alpha-2."""
    time_zone: str = ""
    """For times without an offset: an IANA name; UTC if empty."""
    locale: str = ""
    """For numbers written as text: a language tag such as `de` or `en-IN`. Empty: digits with a decimal point only."""

    def over(self, other: "Reading") -> "Reading":
        """These, and where they are empty those of `other`."""
        return Reading(self.country or other.country, self.time_zone or other.time_zone, self.locale or other.locale)


NO_READING = Reading()
"""Nothing but what values say themselves."""
