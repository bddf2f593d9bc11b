"""PHONE: numbers of any numbering plan, as E.164.

`numbering_plans` knows in a microsecond or two of most good numbers what `phonenumbers` would say of them. The library
itself needs more than 20 us, and decides about all others.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import phonenumbers
from phonenumbers import (
    REGION_CODE_FOR_NON_GEO_ENTITY,
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    ValidationResult,
)

from ingot_server.domain.fields import Reading
from ingot_server.pipeline.values.numbering_plans import calling_code, plan, region_of_country
from ingot_server.pipeline.values.outcomes import PADDED_CHARACTERS_MAX, Doubtful, Reader, unreadable

_CHARACTERS_MAX = 50
# Behind the + and a calling code.
_HEAD_END = 4
# What may stand between digits: blanks, hyphens and dashes, full stops, slashes and brackets.
_BETWEEN = " \u00a0\u2009\u202f-\u2010\u2011\u2012\u2013\u2014\u2212./()"
_NOTHING = str.maketrans("", "", _BETWEEN)
_DIGITS = re.compile(r"[0-9]{2,20}")

_EXPECTED = "a phone number such as +46701234567, without letters and extensions"
_EXPECTED_COUNTRY = (
    "a phone number with its country code such as +46701234567, or a default country for numbers without one"
)
_EXPECTED_TEXT = "a phone number as a text such as '+46701234567', as a number loses its zeros"


def phone_countries(e164s: Sequence[str]) -> Sequence[str | None]:
    """The regions of numbers that have been read."""
    regions = _common_regions(tuple(e164s))
    if regions is None or REGION_CODE_FOR_NON_GEO_ENTITY in regions:
        return list(map(phone_country, e164s))
    return regions


def phone_country(e164: str) -> str | None:
    """The region of a number that has been read, alpha-2; None if it has none, as those with +800."""
    digits = e164[1:]
    if not (code := calling_code(digits)) or e164[0] != "+":
        return None
    main, number = plan(code).main, digits[len(code) :]
    if main.is_common(e164):
        region: str | None = main.name
    elif not main.has_prefix(number):
        return plan(code).region(number)
    else:
        parsed = _parsed(e164, None)
        region = phonenumbers.region_code_for_number(parsed) if parsed else None
    return None if region == REGION_CODE_FOR_NON_GEO_ENTITY else region


def phone_column(texts: Sequence[str]) -> Sequence[str] | None:
    """Texts as numbers, all at once in half the time; None if one of them needs a closer look."""
    return None if _common_regions(tuple(texts)) is None else texts


def phone_reader(reading: Reading) -> Reader:
    """Reads numbers with a country code, and those without one if the reading names a country."""
    home = region_of_country(reading.country.upper())
    home_plan = plan(home.calling_code) if home else None
    expected_at_home = f"{_EXPECTED}, or one of {home.name}" if home else _EXPECTED
    is_digits = _DIGITS.fullmatch

    def read(value: object) -> object:
        if type(value) is not str:
            raise unreadable(_EXPECTED_TEXT, value)
        return value if _is_common(value) else read_rarer(value)

    def read_rarer(value: str) -> object:
        text = value.strip() if len(value) <= PADDED_CHARACTERS_MAX else ""
        if len(text) > _CHARACTERS_MAX:
            raise unreadable(_EXPECTED, value)
        digits = text.translate(_NOTHING)
        is_international = True
        if digits[:1] == "+":
            digits = digits[1:]
        elif digits[:2] == "00":
            digits = digits[2:]
        else:
            is_international = False
        if not is_digits(digits):
            raise unreadable(_EXPECTED, value)
        if is_international:
            code = calling_code(digits)
            if code and plan(code).is_surely_valid(digits[len(code) :]):
                return f"+{digits}"
            found = _by_library(f"+{digits}", None)
        elif home and home_plan:
            number = home.significant(digits)
            if number and home_plan.is_surely_valid(number):
                return f"+{home.calling_code}{number}"
            found = _by_library(digits, home.name)
        else:
            raise unreadable(_EXPECTED_COUNTRY, value)
        if found is None:
            raise unreadable(_EXPECTED if is_international else expected_at_home, value)
        return found

    return read


def _is_common(text: str) -> bool:
    code = calling_code(text[1:])
    return bool(code) and plan(code).main.is_common(text)


# What has just been read as numbers is asked for its countries next.
@lru_cache(maxsize=1)
def _common_regions(texts: tuple[str, ...]) -> Sequence[str] | None:
    """The regions of numbers in E.164, each the main one of its calling code; None if one needs a closer look."""
    heads = [text[1:_HEAD_END] for text in texts]
    regions = {head: plan(code).main for head in set(heads) if (code := calling_code(head))}
    if len(regions) < len(set(heads)):
        return None
    # Numbers of one length that begin with the same digits must match the same pattern.
    alike: dict[tuple[str, int], list[str]] = {}
    if len(regions) == 1 and len(set(map(len, texts))) == 1:
        alike[heads[0], len(texts[0])] = list(texts)
    else:
        for head, text in zip(heads, texts, strict=True):
            alike.setdefault((head, len(text)), []).append(text)
    if not all(all(map(regions[head].common(length), group)) for (head, length), group in alike.items()):
        return None
    return [regions[head].name for head in heads]


def _by_library(digits: str, country: str | None) -> str | Doubtful | None:
    """The number as E.164, with a doubt if its plan has no such number; None if no number can look like that."""
    number = _parsed(digits, country)
    if number is None:
        return None
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    again = _parsed(e164, None)
    # A number with a prefix too many could lose it when it is read again.
    if again is None or phonenumbers.format_number(again, PhoneNumberFormat.E164) != e164:
        return None
    if phonenumbers.is_valid_number(again):
        return e164
    if phonenumbers.is_possible_number_with_reason(again) != ValidationResult.IS_POSSIBLE:
        return None
    return Doubtful(e164, f"there is no phone number {e164} in the numbering plan of its country")


def _parsed(text: str, country: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, country)
    except NumberParseException:
        return None
