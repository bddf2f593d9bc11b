"""INTEGER and NUMBER: JSON's own numbers, and numbers written as text, in JSON's way or that of a locale.

A text that a locale does not write in this way is refused, even where another locale would: 1.5 is no German number.
"""

import re
from collections.abc import Callable
from decimal import Decimal

from ingot_server.domain.fields import Reading
from ingot_server.pipeline.values.locales import group_signs, spelling
from ingot_server.pipeline.values.outcomes import PADDED_CHARACTERS_MAX, Reader, unreadable

INTEGER_DIGITS_MAX = 30
NUMBER_DIGITS_MAX = 40

INTEGER_END = 10**INTEGER_DIGITS_MAX
NUMBER_END = 10**NUMBER_DIGITS_MAX
# A sign, the decimal sign, and between any two digits a group sign.
_TEXT_CHARACTERS_MAX = 2 * NUMBER_DIGITS_MAX + 2
_WHOLE = r"(?:0|[1-9][0-9]*)"

Plain = Callable[[str], str]
"""The text of a number without group signs and with a decimal point; empty if it is none."""


def integer_reader(reading: Reading) -> Reader:
    """Reads whole numbers."""
    plain = _plain(reading.locale, with_decimals=False)
    expected = f"an integer of at most {INTEGER_DIGITS_MAX} digits such as {_example(reading.locale, '1{group}500')}"

    def read(value: object) -> int:
        if type(value) is int:
            if -INTEGER_END < value < INTEGER_END:
                return value
        elif type(value) is str:
            if (text := plain(value)) and _digits(text) <= INTEGER_DIGITS_MAX:
                return int(text)
        elif type(value) is Decimal and value.is_finite() and (not value or value.adjusted() < INTEGER_DIGITS_MAX):
            whole = value.to_integral_value()
            if whole == value:
                return int(whole)
        raise unreadable(expected, value)

    return read


def number_reader(reading: Reading) -> Reader:
    """Reads numbers, and keeps the digits they are written with."""
    plain = _plain(reading.locale, with_decimals=True)
    example = _example(reading.locale, "1{group}500{decimal}25")
    expected = f"a number of at most {NUMBER_DIGITS_MAX} digits such as {example}"

    def read(value: object) -> int | Decimal:
        if type(value) is int:
            if -NUMBER_END < value < NUMBER_END:
                return value
        elif type(value) is Decimal:
            # The sign, the point and the exponent take up to seven characters.
            if value.is_finite() and (len(str(value)) <= NUMBER_DIGITS_MAX or _digits_of(value) <= NUMBER_DIGITS_MAX):
                return value
        elif type(value) is str and (text := plain(value)) and _digits(text) <= NUMBER_DIGITS_MAX:
            return Decimal(text)
        raise unreadable(expected, value)

    return read


def _digits_of(value: Decimal) -> int:
    return len(value.as_tuple().digits)


def _plain(locale: str, *, with_decimals: bool) -> Plain:
    if not locale:
        matches = re.compile(rf"-?{_WHOLE}(?:\.[0-9]+)?" if with_decimals else rf"-?{_WHOLE}").fullmatch

        def plain(text: str) -> str:
            text = text.strip() if len(text) <= PADDED_CHARACTERS_MAX else ""
            return text if len(text) <= _TEXT_CHARACTERS_MAX and matches(text) else ""

        return plain

    decimal, _, last, others = found = spelling(locale)
    signs = f"[{re.escape(group_signs(found))}]"
    grouped = rf"[1-9][0-9]{{0,{others - 1}}}(?P<sign>{signs})(?:[0-9]{{{others}}}(?P=sign))*[0-9]{{{last}}}"
    decimals = rf"(?:{re.escape(decimal)}(?P<decimals>[0-9]+))?" if with_decimals else ""
    match = re.compile(rf"(?P<whole>-?(?:{grouped}|{_WHOLE})){decimals}").fullmatch

    def plain_of_locale(text: str) -> str:
        text = text.strip() if len(text) <= PADDED_CHARACTERS_MAX else ""
        parts = match(text) if len(text) <= _TEXT_CHARACTERS_MAX else None
        if not parts:
            return ""
        whole, sign = parts["whole"], parts["sign"]
        if sign:
            whole = whole.replace(sign, "")
        return f"{whole}.{parts['decimals']}" if with_decimals and parts["decimals"] else whole

    return plain_of_locale


def _digits(text: str) -> int:
    return len(text) - text.count("-") - text.count(".")


def _example(locale: str, form: str) -> str:
    if not locale:
        return form.format(group="", decimal=".")
    found = spelling(locale)
    return f"{form.format(group=found.group, decimal=found.decimal)} ({locale})"
