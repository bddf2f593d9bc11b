"""COUNTRY, CURRENCY and LANGUAGE: the codes of ISO and BCP 47, never names."""

import re

from ingot_server.domain.fields import Reading
from ingot_server.pipeline.values.codes_data import COUNTRIES, CURRENCIES, LANGUAGES, SCRIPTS
from ingot_server.pipeline.values.outcomes import PADDED_CHARACTERS_MAX, Reader, unreadable

ALPHA_2 = frozenset(COUNTRIES.values())
_COUNTRIES = COUNTRIES | {alpha_2: alpha_2 for alpha_2 in ALPHA_2}
COMMON_LANGUAGES = frozenset(code for code in LANGUAGES.values() if len(code) == 2)
_CODE_CHARACTERS = 3
_TAG_CHARACTERS_MAX = 11
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:[-_](?P<script>[a-z]{4}))?(?:[-_](?P<region>[a-z]{2}|[0-9]{3}))?",
    re.IGNORECASE | re.ASCII,
)


def is_country(code: str) -> bool:
    """Whether this is an ISO 3166-1 alpha-2 code, in capitals."""
    return code in ALPHA_2


def country_reader(_: Reading) -> Reader:
    """Reads ISO 3166-1 alpha-2 and alpha-3, as alpha-2."""

    def read(value: object) -> str:
        if type(value) is str and (found := _COUNTRIES.get(value) or _COUNTRIES.get(_capitals(value))):
            return found
        raise unreadable("a country code of ISO 3166-1 such as SE", value)

    return read


def currency_reader(_: Reading) -> Reader:
    """Reads the letter codes of ISO 4217."""

    def read(value: object) -> str:
        if type(value) is str:
            if value in CURRENCIES:
                return value
            code = _capitals(value)
            if code in CURRENCIES:
                return code
        raise unreadable("a currency code of ISO 4217 such as SEK", value)

    return read


def language_reader(_: Reading) -> Reader:
    """Reads a language tag: a language, perhaps its script, perhaps a region."""

    def read(value: object) -> str:
        if type(value) is str:
            if value in COMMON_LANGUAGES:
                return value
            if tag := _tag(value):
                return tag
        raise unreadable("a language tag of BCP 47 such as sv or en-US", value)

    return read


def _capitals(text: str) -> str:
    """The text as codes are written; empty if it is too long for one, or has other letters than they have."""
    code = text.strip() if len(text) <= PADDED_CHARACTERS_MAX else ""
    # Capitals of other letters can be codes: those of ß are SS, which is South Sudan.
    return code.upper() if len(code) <= _CODE_CHARACTERS and code.isascii() else ""


def _tag(text: str) -> str:
    tag = text.strip() if len(text) <= PADDED_CHARACTERS_MAX else ""
    found = _TAG.fullmatch(tag) if len(tag) <= _TAG_CHARACTERS_MAX else None
    if not found:
        return ""
    language, script, region = found.groups("")
    language, script, region = LANGUAGES.get(language.lower(), ""), script.title(), region.upper()
    is_known = language and (not script or script in SCRIPTS)
    if not is_known or not (not region or region in ALPHA_2 or region.isdigit()):
        return ""
    return "-".join(filter(None, (language, script, region)))
