from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Unreadable, reader
from ingot_server.pipeline.values.locales import group_signs, spelling

LOCALES = ["en", "de", "sv", "fr", "de-CH", "en-IN", "hi", "es-MX", "pt-PT", "tok"]
NO_TEXT: list[Any] = [True, False, [], [1], {}, {"a": 1}]


def integer(value: object, locale: str = "") -> object:
    return reader(FieldType.INTEGER, Reading(locale=locale))(value)


def number(value: object, locale: str = "") -> object:
    return reader(FieldType.NUMBER, Reading(locale=locale))(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(
            (0, 0),
            (-5, -5),
            (10**30 - 1, 10**30 - 1),
            (Decimal("1.0"), 1),
            (Decimal("1e3"), 1000),
            (Decimal("-0.0"), 0),
        ),
        *((Decimal("0e500"), 0), (Decimal("1e29"), 10**29), (Decimal("1200e-2"), 12), (Decimal("1." + "0" * 4_000), 1)),
        *(
            ("0", 0),
            ("-0", 0),
            ("17", 17),
            ("-17", -17),
            (" 17\n", 17),
            ("9" * 30, 10**30 - 1),
            ("-" + "9" * 30, 1 - 10**30),
        ),
    ],
)
def test_an_integer_is_a_whole_number_of_any_writing(value: object, expected: int) -> None:
    found = integer(value)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize(
    "value",
    [
        *(
            "+1",
            "01",
            "-01",
            "1.0",
            "1e3",
            "1_000",
            "1,000",
            "1 000",
            "0x1f",
            "１２",
            "٣",
            "--1",
            "- 1",
            "1-",
            "",
            " ",
            "a",
        ),
        *("9" * 31, Decimal("1.5"), Decimal("1e30"), Decimal("1e-5"), Decimal("9" * 31), 10**30, -(10**30)),
        *(
            Decimal("NaN"),
            Decimal("sNaN"),
            Decimal("-Infinity"),
            Decimal("1." + "0" * 4_000 + "1"),
            Decimal("1e999999"),
        ),
        *NO_TEXT,
    ],
)
def test_what_is_not_whole_or_not_plain_is_no_integer(value: object) -> None:
    with pytest.raises(Unreadable, match="expected an integer of at most 30 digits such as 1500, got "):
        integer(value)


@pytest.mark.parametrize(
    ("locale", "value", "expected"),
    [
        *(("en", "1,500", 1500), ("en", "-1,234,567", -1234567), ("de", "1.500", 1500), ("de", "1500", 1500)),
        *(("sv", "1 500", 1500), ("sv", "1\u00a0500\u00a0000", 1500000), ("fr", "1\u202f500", 1500), ("fr", "0", 0)),
        *(("de-CH", "1'500", 1500), ("de-CH", "1’500", 1500), ("en-IN", "12,34,567", 1234567), ("hi", "1,234", 1234)),
    ],
)
def test_an_integer_may_be_grouped_as_its_locale_does(locale: str, value: str, expected: int) -> None:
    assert integer(value, locale) == expected


@pytest.mark.parametrize(
    ("locale", "value"),
    [
        *(
            ("de", "1.5"),
            ("de", "1,5"),
            ("de", "1,500"),
            ("de", "15.00"),
            ("de", "1.5000"),
            ("de", "0.500"),
            ("de", ".500"),
        ),
        *(
            ("en", "1.500"),
            ("en", "1,500,00"),
            ("en", "12,34,567"),
            ("en", "1,,500"),
            ("en", "1500,000"),
            ("en", "1,500000"),
        ),
        *(("sv", "1 500\u00a0000"), ("sv", "1  500"), ("sv", "1\t500"), ("de-CH", "1'500’000"), ("de-CH", "1,500")),
        *(("en-IN", "123,456"), ("en-IN", "1,23"), ("en-IN", "1,234,567"), ("hi", "1,2,345"), ("en", "٣")),
    ],
)
def test_a_group_sign_in_the_wrong_place_is_refused(locale: str, value: str) -> None:
    with pytest.raises(Unreadable, match=r"expected an integer of at most 30 digits such as 1.?500 "):
        integer(value, locale)


@pytest.mark.parametrize("locale", ["", "de"])
@pytest.mark.parametrize("value", [0, -5, 10**39, Decimal("1.50"), Decimal("1e-300"), Decimal("-0.0")])
def test_a_number_of_json_stays_as_it_is(value: object, locale: str) -> None:
    assert number(value, locale) is value


@pytest.mark.parametrize("value", [10**40, -(10**40), Decimal("1." + "1" * 40), Decimal("0." + "1" * 41)])
def test_a_number_of_json_has_no_more_digits_than_one_of_text(value: object) -> None:
    with pytest.raises(Unreadable):
        number(value)


@pytest.mark.parametrize(
    ("locale", "value", "digits"),
    [
        *(("", "1.50", "1.50"), ("", "-0.5", "-0.5"), ("", " 7 ", "7"), ("", "0", "0"), ("", "9" * 40, "9" * 40)),
        *(("", "-0." + "1" * 39, "-0." + "1" * 39), ("en", "1,500.25", "1500.25"), ("en", "1500.25", "1500.25")),
        *(("de", "1,50", "1.50"), ("de", "1.500", "1500"), ("de", "1.500,5", "1500.5"), ("de", "-0,5", "-0.5")),
        *(("sv", "1 234,5", "1234.5"), ("de-CH", "1'234.5", "1234.5"), ("en-IN", "12,34,567.00", "1234567.00")),
        *(("fr", "1\u00a0234\u00a0567,8", "1234567.8"), ("es-MX", "1,000.5", "1000.5"), ("es", "1.000,5", "1000.5")),
        ("de", ".".join(["1", *["000"] * 13]), "1" + "000" * 13),
    ],
)
def test_a_number_keeps_the_digits_it_is_written_with(locale: str, value: str, digits: str) -> None:
    found = number(value, locale)
    assert type(found) is Decimal
    assert str(found) == digits


@pytest.mark.parametrize(
    ("locale", "value"),
    [
        *(
            ("", "1,5"),
            ("", "1e3"),
            ("", "1E3"),
            ("", "nan"),
            ("", "NaN"),
            ("", "inf"),
            ("", "-Infinity"),
            ("", "0x10"),
        ),
        *(
            ("", "1_000"),
            ("", "1."),
            ("", ".5"),
            ("", "+1"),
            ("", "01"),
            ("", "1 000"),
            ("", "1.2.3"),
            ("", "１"),
            ("", "-"),
        ),
        *(
            ("", "9" * 41),
            ("", "0." + "1" * 40),
            ("", "$5"),
            ("", "5 kr"),
            ("", "5%"),
            ("", "(5)"),
            ("", "−5"),
            ("", "½"),
        ),
        *(
            ("de", "1.5"),
            ("de", "1.50"),
            ("de", "1,500.25"),
            ("de", "1,5e3"),
            ("de", "5 €"),
            ("de", ",5"),
            ("de", "5,"),
        ),
        *(("de", "1.500,1.500"), ("sv", "1.5"), ("sv", "1,234 5"), ("en", "1,5"), ("en", "1.5,000"), ("en", "$1,500")),
        *(("en-IN", "123,456.0"), ("fr", "1 234\u202f567,8"), ("de", "0.500"), ("de", "00,5"), ("de", "1 500")),
        *[("", value) for value in [*NO_TEXT, Decimal("NaN"), Decimal("Infinity")]],
    ],
)
def test_a_number_of_another_writing_is_refused(locale: str, value: object) -> None:
    with pytest.raises(Unreadable, match=r"expected a number of at most 40 digits such as 1.?500.25\b"):
        number(value, locale)


def test_the_message_shows_the_writing_of_the_locale() -> None:
    with pytest.raises(Unreadable) as caught:
        number("1.5", "de-AT")
    assert caught.value.message == "expected a number of at most 40 digits such as 1.500,25 (de-AT), got '1.5'"


@settings(max_examples=500)
@given(
    locale=st.sampled_from(LOCALES),
    whole=st.integers(0, 10**25),
    decimals=st.text("0123456789", max_size=9),
    sign=st.sampled_from(["", "-"]),
    data=st.data(),
)
def test_what_a_locale_writes_is_read_as_what_it_wrote(
    locale: str, whole: int, decimals: str, sign: str, data: st.DataObject
) -> None:
    writing = spelling(locale)
    group = data.draw(st.sampled_from(["", *group_signs(writing)]))
    rest = str(whole)
    groups: list[str] = []
    while len(rest) > (size := writing.others if groups else writing.last):
        groups.insert(0, rest[-size:])
        rest = rest[:-size]
    grouped = sign + group.join([rest, *groups])
    assert integer(grouped, locale) == int(f"{sign}{whole}")
    text = f"{grouped}{writing.decimal}{decimals}" if decimals else grouped
    assert str(number(text, locale)) == (f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}")


@settings(max_examples=1_000)
@given(locale=st.sampled_from(["", *LOCALES]), text=st.text("0123456789.,' \u00a0\u202f’-e+", max_size=12))
def test_no_text_is_read_as_two_numbers(locale: str, text: str) -> None:
    """Whatever is read has the text's own digits, and its decimals follow the decimal sign of the locale."""
    try:
        found = str(number(text, locale))
    except Unreadable:
        return
    decimal = spelling(locale).decimal if locale else "."
    whole, _, decimals = text.strip().partition(decimal)
    digits = "".join(character for character in whole if character in "-0123456789")
    assert found == (f"{digits}.{decimals}" if decimals else digits)
