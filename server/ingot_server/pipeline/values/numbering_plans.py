"""Numbering plans: what the metadata of `phonenumbers` says of a number, with each pattern compiled once.

Everything here follows the library's own steps (the taking off of prefixes in `parse`, `region_code_for_number`,
`is_valid_number`), and gives up where these lead into rarer rules. What a plan needs is made when a number first needs
it; there are only as many plans as calling codes, and as many regions as the library has, so all of them are kept.
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import product

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    REGION_CODE_FOR_NON_GEO_ENTITY,
    SUPPORTED_REGIONS,
    PhoneMetadata,
    PhoneNumberDesc,
)

Match = Callable[[str], re.Match[str] | None]

_NEVER = "(?!)"
_NO_MATCH: Match = re.compile(_NEVER).fullmatch
_REGIONS = {str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}
_CODE_DIGITS_MAX = 3
# By the first digits of a number: those of a code, and what may follow while that are less than three.
_CODES = {
    code + "".join(more): code
    for code in _REGIONS
    for length in range(_CODE_DIGITS_MAX - len(code) + 1)
    for more in product("0123456789", repeat=length)
}


class Region:
    """The numbers of a country, without its calling code."""

    def __init__(self, name: str, metadata: PhoneMetadata) -> None:
        general = metadata.general_desc or PhoneNumberDesc()
        pattern = general.national_number_pattern or _NEVER
        self.name = name
        self.calling_code = str(metadata.country_code)
        self._metadata = metadata
        self._lengths = frozenset(general.possible_length)
        self._valid: dict[int, Match] = {}
        self._common: dict[int, Match] = {}
        self._shape = pattern
        self.has_shape = re.compile(pattern).fullmatch
        self.starts_abroad = re.compile(metadata.international_prefix or _NEVER).match
        self._prefix = re.compile(metadata.national_prefix_for_parsing or _NEVER).match
        is_plain = metadata.national_prefix == metadata.national_prefix_for_parsing
        self._plain_prefix = metadata.national_prefix or "" if is_plain else ""
        self.leading_digits = re.compile(metadata.leading_digits).match if metadata.leading_digits else None

    def is_valid(self, number: str) -> bool:
        """Whether the number is of a type which the country has."""
        digits = len(number)
        if digits not in self._valid:
            if digits not in self._lengths:
                return False
            self._valid[digits] = self._valid_of(digits)
        return self._valid[digits](number) is not None

    def is_common(self, e164: str) -> bool:
        """Whether a text is a valid number of the country in E.164, from which the library would take nothing off.

        Some that are will not be known; of a calling code that countries share, ask the main one only.
        """
        return self.common(len(e164))(e164) is not None

    def common(self, characters: int) -> Match:
        """What `is_common` asks of a text with so many characters."""
        common = self._common.get(characters)
        if common is None:
            digits = characters - len(self.calling_code) - 1
            if digits not in self._lengths:
                return _NO_MATCH
            common = self._common[characters] = self._common_of(digits)
        return common

    def _common_of(self, digits: int) -> Match:
        meta = self._metadata
        prefix, leading = meta.national_prefix_for_parsing or _NEVER, meta.leading_digits or ""
        # ASCII, because patterns of the library have classes for digits, and know of no others.
        return re.compile(
            rf"\+{self.calling_code}(?!{prefix})(?={leading})(?=(?:{self._shape})\Z)(?:{self._types_of(digits)})",
            re.ASCII,
        ).fullmatch

    def _valid_of(self, digits: int) -> Match:
        return re.compile(rf"(?=(?:{self._shape})\Z)(?:{self._types_of(digits)})").fullmatch

    def _types_of(self, digits: int) -> str:
        """What numbers of the country with so many digits look like, one type or another."""
        meta = self._metadata
        types = [meta.fixed_line, meta.toll_free, meta.premium_rate, meta.shared_cost, meta.voip]
        types += [meta.personal_number, meta.pager, meta.uan, meta.voicemail]
        if not meta.same_mobile_and_fixed_line_pattern:
            types.insert(0, meta.mobile)
        patterns = [type_.national_number_pattern for type_ in types if type_ and digits in type_.possible_length]
        return "|".join(filter(None, patterns)) or _NEVER

    def has_prefix(self, number: str) -> bool:
        """Whether the library might take something off the front of the number."""
        found = self._prefix(number)
        return found is not None and (found.end() > 0 or found.lastindex is not None)

    def significant(self, digits: str) -> str:
        """What the library makes of a number dialled within the country; empty if that is not simple to say."""
        if self.starts_abroad(digits):
            return ""
        number = digits
        if digits.startswith(self.calling_code):
            number = digits[len(self.calling_code) :]
            if self.has_shape(digits) or self.has_prefix(number):
                return ""
        elif self.has_prefix(digits):
            if not self._plain_prefix:
                return ""
            number = digits[len(self._plain_prefix) :]
        else:
            return number
        return number if len(number) in self._lengths and self.has_shape(number) else ""


class Plan:
    """The numbers of a calling code, which several countries may share."""

    def __init__(self, code: str) -> None:
        self._names = _REGIONS[code]
        self._is_shared = len(self._names) > 1
        if self._names[0] == REGION_CODE_FOR_NON_GEO_ENTITY:
            metadata = PhoneMetadata.metadata_for_nongeo_region(int(code))
            main = Region(REGION_CODE_FOR_NON_GEO_ENTITY, metadata) if metadata else None
        else:
            main = region_of_country(self._names[0])
        assert main is not None  # noqa: S101 - the library has metadata for the main region of each calling code
        self.main = main

    def is_surely_valid(self, number: str) -> bool:
        """Whether the number is valid, and is read as it is when it comes with its calling code."""
        if self.main.has_prefix(number):
            return False
        region = self._region(number)
        if region is None:
            return False
        # Shared numbers without leading digits were found by being valid.
        return (self._is_shared and region.leading_digits is None) or region.is_valid(number)

    def region(self, number: str) -> str | None:
        """The region of a number, alpha-2; None if it has none."""
        region = self._region(number)
        return None if region is None or region.name == REGION_CODE_FOR_NON_GEO_ENTITY else region.name

    def _region(self, number: str) -> Region | None:
        if not self._is_shared:
            return self.main
        for name in self._names:
            region = region_of_country(name)
            if region is None:
                continue
            if region.leading_digits is not None:
                if region.leading_digits(number):
                    return region
            elif region.is_valid(number):
                return region
        return None


def calling_code(digits: str) -> str:
    """The calling code with which these digits begin; empty if there is none."""
    return _CODES.get(digits[:_CODE_DIGITS_MAX], "")


@cache
def plan(code: str) -> Plan:
    """The plan of a calling code that there is."""
    return Plan(code)


@cache
def _region(country: str) -> Region | None:
    metadata = PhoneMetadata.metadata_for_region(country, None)
    return Region(country, metadata) if metadata else None


def region_of_country(country: str) -> Region | None:
    """The numbers of a country (alpha-2); None if the library knows none."""
    return _region(country) if country in SUPPORTED_REGIONS else None
