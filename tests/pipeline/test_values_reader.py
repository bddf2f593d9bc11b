import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Doubtful, Reader, Unreadable, reader

READINGS = [
    Reading(),
    Reading(country="SE", time_zone="Europe/Stockholm", locale="sv"),
    Reading(country="US", time_zone="America/New_York", locale="en-IN"),
    Reading(country="AR", time_zone="Africa/Monrovia", locale="de-CH"),
]
TYPES = list(FieldType)
EVERY_READER = [(type_, reader(type_, reading)) for type_ in TYPES for reading in READINGS]

# Neither NUL nor lone surrogates come.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PIECES = st.sampled_from(
    [
        *(
            "2026-03-29",
            "T",
            "02:30",
            ":00",
            ".5",
            "Z",
            "+02:00",
            "@",
            "a",
            "example.org",
            "xn--",
            "http://",
            "[::1]",
            "/",
        ),
        *("+46", "0046", "070", "123", ",", ".", "'", "\u00a0", " ", "-", "0", "1", "E5", "sv", "SE", "ß", "İ", "true"),
    ]
)
STRINGS = st.text(CHARACTERS, min_size=1, max_size=60) | st.lists(PIECES, min_size=1, max_size=8).map("".join)
NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.booleans()
VALUES = st.recursive(
    STRINGS | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=5,
)


def read(read_value: Reader, value: object) -> object:
    """The value without its doubt; Unreadable as a value."""
    try:
        found = read_value(value)
    except Unreadable as unreadable:
        return unreadable
    return found.value if isinstance(found, Doubtful) else found


@settings(max_examples=1_500, deadline=None)
@given(value=VALUES)
@example(value="\u0085")
@example(value="＋４６７０１２３４５６７")
@example(value="a@İ.org")
@example(value="ẞ@ẞ.org")
@example(value='"a"@example.org')
@example(value="0001-01-01T00:00:00+14:00")
@example(value="0001-01-01T00:00:00")
@example(value="9999-12-31T23:59:59")
@example(value="http://İ.org")
@example(value="http://[::1%eth0]/")
@example(value=Decimal("1e400"))
@example(value=10**5_000)
@example(value=[10**5_000])
def test_nothing_but_unreadable_is_raised_and_what_was_read_reads_as_itself(value: object) -> None:
    for type_, read_value in EVERY_READER:
        found = read(read_value, value)
        if isinstance(found, Unreadable):
            assert found.message.startswith("expected "), type_
            assert "got " in found.message
            assert len(found.message) < 350
        else:
            again = read_value(found)
            assert (again.value if isinstance(again, Doubtful) else again) == found, type_
            assert type(found) is type(read(read_value, found))
            assert type(found) in (str, int, Decimal, bool, list, dict)


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("piece", ["a", "1", "0", "+", ".", "a@", "@", " ", "é", "\u00a0", "1.", "1,", "a.", "-", "İ"])
@pytest.mark.parametrize("start", ["", "a@", "http://", "+46", "1"])
def test_a_huge_text_takes_milliseconds(type_: FieldType, piece: str, start: str) -> None:
    # 2 MiB is the most that comes; the others are about as long as each type allows.
    for size in (2_097_152, 2_048, 254, 50):
        text = start + piece * (size // len(piece.encode()) - len(start))
        for reading in READINGS[:2]:
            read_value = reader(type_, reading)
            read(read_value, start + piece)
            took = []
            for _ in range(3):
                began = time.thread_time()
                read(read_value, text)
                took.append(time.thread_time() - began)
            # One of three, as the machine may be busy.
            assert min(took) < 0.05


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        *((FieldType.IDENTIFIER, "a"), (FieldType.EMAIL, "ada@example.org"), (FieldType.PHONE, "+46701234567")),
        *((FieldType.URL, "https://example.org"), (FieldType.BOOLEAN, "true"), (FieldType.INTEGER, "5")),
        *((FieldType.NUMBER, "1.5"), (FieldType.DATE, "2026-03-31"), (FieldType.TIMESTAMP, "2026-03-31T13:05:00Z")),
        *((FieldType.COUNTRY, "SE"), (FieldType.CURRENCY, "SEK"), (FieldType.LANGUAGE, "sv")),
    ],
)
def test_blanks_at_the_ends_are_no_part_of_a_value_unless_there_are_thousands(type_: FieldType, value: str) -> None:
    read_value = reader(type_, Reading())
    for blank in (" ", "\u00a0", "\t\r\n"):
        assert read_value(f"{blank}{value}{blank * 500}") == read_value(value)
        assert isinstance(read(read_value, f"{value}{blank * 4_096}"), Unreadable)


@pytest.mark.parametrize(
    "value", ["", " ", "a", "a" * 3_000_000, 1, -(10**400), Decimal("1.5"), True, [], [[]] * 90_000, {"a": 1}]
)
def test_any_value_stays_as_it_is_where_anything_may_be(value: Any) -> None:
    assert reader(FieldType.ANY, Reading())(value) is value


def test_an_object_is_an_object() -> None:
    read_value = reader(FieldType.OBJECT, Reading())
    assert read_value({"a": 1}) == {"a": 1}
    assert read_value({}) == {}


@pytest.mark.parametrize("value", ["{}", 1, Decimal(1), True, [], [{}]])
def test_nothing_else_is_an_object(value: object) -> None:
    with pytest.raises(Unreadable, match="expected an object"):
        reader(FieldType.OBJECT, Reading())(value)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("foo", "got 'foo'"),
        ("it's", 'got "it\'s"'),
        (5, "got 5"),
        (True, "got true"),
        (False, "got false"),
        (Decimal("1.50"), "got 1.50"),
        ([1, 2], "got an array"),
        ({"a": 1}, "got an object"),
        pytest.param(10**4_500, "got an integer of over 100 digits", id="too long for str()"),
        ("x" * 5_000, f"got '{'x' * 99}..."),
        ("\u202e" * 5_000, "got '" + r"\u202e" * 16 + r"\u2..."),
    ],
)
def test_the_message_shows_what_was_got_cut_at_100_characters(value: object, got: str) -> None:
    with pytest.raises(Unreadable) as caught:
        reader(FieldType.DATE, Reading())(value)
    assert caught.value.message == f"expected a date such as 2026-03-31, {got}"
    assert str(caught.value) == caught.value.message


@pytest.mark.parametrize("type_", TYPES)
def test_what_msgspec_decodes_can_be_read(type_: FieldType) -> None:
    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    for text in ('"a"', "1", "-0", "1.0", "1e308", "1e-308", "123456789012345678901234567890", "true", "[]", "{}"):
        read(reader(type_, Reading()), decode(text))


@pytest.mark.parametrize(
    ("type_", "reading"),
    [
        (FieldType.NUMBER, Reading(locale="xx")),
        (FieldType.INTEGER, Reading(locale="xx")),
        (FieldType.TIMESTAMP, Reading(time_zone="Mars/Olympus")),
    ],
)
def test_a_reading_that_there_is_not_is_found_before_any_value(type_: FieldType, reading: Reading) -> None:
    with pytest.raises(ValueError, match="there is no"):
        reader(type_, reading)
