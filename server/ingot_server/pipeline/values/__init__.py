"""Reads a JSON value as what its field is: strictly, and in one spelling.

    "Ada@Example.ORG"  EMAIL   -> "ada@example.org"
    "070-123 45 67"    PHONE   -> "+46701234567"     if the reading names SE
    "1.500,50"         NUMBER  -> 1500.50            if the reading names de
    "yes"              BOOLEAN -> Unreadable

What could mean two things is refused, or accepted with a doubt that is told; nothing is guessed. A value that has been
read reads as itself again. `reader` chooses once per import and field; what it returns is called for every value, has
a short way for the common spellings, and takes no more than milliseconds for the worst ones. Everything here is pure.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values.booleans import boolean_reader
from ingot_server.pipeline.values.codes import country_reader, currency_reader, is_country, language_reader
from ingot_server.pipeline.values.email import email_domains, email_reader
from ingot_server.pipeline.values.locales import is_locale
from ingot_server.pipeline.values.moments import date_reader, is_time_zone, timestamp_reader
from ingot_server.pipeline.values.numbers import integer_reader, number_reader
from ingot_server.pipeline.values.outcomes import Doubtful, Reader, Unreadable, shown, unreadable
from ingot_server.pipeline.values.phone import phone_countries, phone_reader
from ingot_server.pipeline.values.plain import read_column
from ingot_server.pipeline.values.texts import identifier_reader, text_reader, url_reader

__all__ = [
    "Doubtful",
    "Reader",
    "Unreadable",
    "email_domains",
    "is_country",
    "is_locale",
    "is_time_zone",
    "normal_text",
    "phone_countries",
    "read_column",
    "reader",
    "shown",
]


def reader(type: FieldType, reading: Reading) -> Reader:
    """The function that reads one JSON value as a value of this type.

    Raises ValueError if the reading names a locale or a time zone that there is not.
    """
    return _READERS[type](reading)


def normal_text(type: FieldType, reading: Reading, text: str) -> str:
    """The text of the normal form of a value that is written as a text, whatever doubt there is. Raises Unreadable."""
    read = reader(type, reading)(text)
    return str(read.value if isinstance(read, Doubtful) else read)


def _any_reader(_: Reading) -> Reader:
    return lambda value: value


def _object_reader(_: Reading) -> Reader:
    def read(value: object) -> object:
        if type(value) is dict:
            return value
        raise unreadable('an object such as {"city": "Lund"}', value)

    return read


_READERS: Mapping[FieldType, Callable[[Reading], Reader]] = MappingProxyType(
    {
        FieldType.ANY: _any_reader,
        FieldType.TEXT: text_reader,
        FieldType.IDENTIFIER: identifier_reader,
        FieldType.EMAIL: email_reader,
        FieldType.PHONE: phone_reader,
        FieldType.URL: url_reader,
        FieldType.BOOLEAN: boolean_reader,
        FieldType.INTEGER: integer_reader,
        FieldType.NUMBER: number_reader,
        FieldType.DATE: date_reader,
        FieldType.TIMESTAMP: timestamp_reader,
        FieldType.COUNTRY: country_reader,
        FieldType.CURRENCY: currency_reader,
        FieldType.LANGUAGE: language_reader,
        FieldType.OBJECT: _object_reader,
    }
)
