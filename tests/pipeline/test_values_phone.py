import random

import phonenumbers
import pytest
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType, ValidationResult

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Doubtful, Unreadable, phone_countries, read_column, reader
from ingot_server.pipeline.values.phone import phone_country

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
FORMATS = [
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
]
MUTATIONS_PER_NUMBER = 12
COMMON = "+46701234567"


def phone(value: object, country: str = "") -> object:
    return reader(FieldType.PHONE, Reading(country=country))(value)


@pytest.mark.parametrize(
    "value",
    [
        *("+46701234567", " +46 70-123 45 67 ", "0046701234567", "00 46 70 123 45 67", "+46 (0)70-123 45 67"),
        *("(+46) 70 123 45 67", "+46.70.123.45.67", "+46/70/1234567", "+46\u00a070\u202f123\u201145–67"),
    ],
)
def test_a_number_with_its_country_code_is_read_anywhere(value: str) -> None:
    for country in ("", "SE", "US", "DE", "AQ"):
        assert phone(value, country) == "+46701234567"


@pytest.mark.parametrize(
    ("country", "value", "e164"),
    [
        *(
            ("SE", "070-123 45 67", "+46701234567"),
            ("SE", "08-123 456", "+468123456"),
            ("se", "0701234567", "+46701234567"),
        ),
        *(("US", "(415) 555-2671", "+14155552671"), ("US", "1-415-555-2671", "+14155552671")),
        *(("US", "011 46 70 123 45 67", "+46701234567"), ("CA", "204 234 5678", "+12042345678")),
        *(
            ("GB", "020 7946 0958", "+442079460958"),
            ("IT", "06 6982", "+39066982"),
            ("NO", "22 12 34 56", "+4722123456"),
        ),
        *(("AR", "011 15-2345-6789", "+5491123456789"), ("DE", "030/123456", "+4930123456")),
    ],
)
def test_a_number_without_a_country_is_of_the_default_one(country: str, value: str, e164: str) -> None:
    assert phone(value, country) == e164


@pytest.mark.parametrize("country", ["", "AQ"])
@pytest.mark.parametrize("value", ["070-123 45 67", "0701234567", "46701234567", "(415) 555-2671"])
def test_a_phone_without_country_needs_a_default(value: str, country: str) -> None:
    with pytest.raises(Unreadable, match=r"with its country code such as \+46701234567, or a default country for"):
        phone(value, country)


@pytest.mark.parametrize(
    "value",
    [
        *("+46701234567 ext. 12", "+46701234567;ext=12", "+46701234567x12", "+46701234567#12", "tel:+46701234567"),
        *("1-800-FLOWERS", "+1800FLOWERS", "+46 abc", "phone", "++46701234567", "46+701234567", "+46701234567+", "+"),
        *(
            "＋46701234567",
            "+４６701234567",
            "+46٧01234567",
            "+46701234567, +46701234568",
            "070~1234567",
            "  ",
            "-",
            "()",
        ),
        *(
            "+0701234567",
            "+999123456789",
            "+46",
            "+461",
            "+46123456789012345",
            "1" * 51,
            "+46 070 123 45 67 / 08-123456",
        ),
        *("+12530000", "0", "112"),
    ],
)
def test_what_no_phone_can_have_is_refused(value: str) -> None:
    with pytest.raises(Unreadable, match=r"expected a phone number such as \+46701234567, without letters and ext"):
        phone(value, "SE")


@pytest.mark.parametrize("value", [46701234567, 701234567, True, ["+46701234567"], {}])
def test_a_phone_number_is_a_text(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a phone number as a text"):
        phone(value, "SE")


@pytest.mark.parametrize(("value", "e164"), [("+1 555 555 5555", "+15555555555"), ("+46 71 123 45 67", "+46711234567")])
def test_a_number_that_its_plan_does_not_have_is_doubtful(value: str, e164: str) -> None:
    doubtful = Doubtful(e164, f"there is no phone number {e164} in the numbering plan of its country")
    assert phone(value) == phone(e164) == doubtful


def test_a_prefix_too_many_is_not_kept_as_part_of_the_number() -> None:
    with pytest.raises(Unreadable):
        phone("+46 00 70 123 45 67")


def e164_by_library(text: str, country: str | None) -> tuple[str, bool] | None:
    """What the library reads, and whether it is valid, if it reads what it wrote in the same way."""
    if text.startswith("00"):
        text = f"+{text[2:]}"
    try:
        # With a country the library would take the digits after a sign for those that are dialled to leave it.
        number = phonenumbers.parse(text, None if text.startswith("+") else country)
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        again = phonenumbers.parse(e164)
    except NumberParseException:
        return None
    if phonenumbers.format_number(again, PhoneNumberFormat.E164) != e164:
        return None
    is_valid = phonenumbers.is_valid_number(again)
    if not is_valid and phonenumbers.is_possible_number_with_reason(again) != ValidationResult.IS_POSSIBLE:
        return None
    return e164, is_valid


def assert_agreement(text: str, country: str | None) -> None:
    expected = e164_by_library(text, country)
    try:
        found = phone(text, country or "")
    except Unreadable:
        assert expected is None, (text, country)
        assert read_column(FieldType.PHONE, [COMMON, text]) is None, text
        return
    if isinstance(found, Doubtful):
        assert expected == (found.value, False), (text, country)
        found = found.value
    else:
        assert expected == (found, True), (text, country)
    assert isinstance(found, str)
    region = phonenumbers.region_code_for_number(phonenumbers.parse(found))
    assert phone_country(found) == (None if region == "001" else region), found
    assert list(phone_countries([found, COMMON, found])) == [phone_country(found), "SE", phone_country(found)]
    assert list(phone_countries([found, found])) == [phone_country(found)] * 2
    for texts in ([text], [text, COMMON]):
        if read_column(FieldType.PHONE, texts) is not None:
            assert read_column(FieldType.PHONE, texts) == list(map(phone, texts))
    again = phone(found)
    assert (again.value if isinstance(again, Doubtful) else again) == found


def examples() -> list[tuple[phonenumbers.PhoneNumber, str | None]]:
    types = [
        *(PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE, PhoneNumberType.PREMIUM_RATE),
        *(PhoneNumberType.SHARED_COST, PhoneNumberType.VOIP, PhoneNumberType.PERSONAL_NUMBER, PhoneNumberType.PAGER),
        *(PhoneNumberType.UAN, PhoneNumberType.VOICEMAIL),
    ]
    found: list[tuple[phonenumbers.PhoneNumber, str | None]] = []
    for region in REGIONS:
        numbers = [phonenumbers.example_number_for_type(region, type_) for type_ in types]
        found += [(number, region) for number in numbers if number]
    for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS:
        if number := phonenumbers.example_number_for_non_geo_entity(code):
            found.append((number, None))
    return found


def mutated(digits: str, chance: random.Random) -> str:
    """The text with a digit more, less or other; the sign at its start stays."""
    at = chance.randrange(digits.startswith("+"), len(digits) + 1)
    match chance.randrange(5):
        case 0:
            return digits[:at] + chance.choice("0123456789") + digits[at:]
        case 1:
            return digits[:at] + digits[at + 1 :]
        case 2 | 3:
            return digits[:at] + chance.choice("0123456789") + digits[at + 1 :]
        case _:
            return digits[:-4] + f"{chance.randrange(10_000):04}"


def test_all_ways_agree_with_the_library_on_numbers_of_every_region() -> None:
    chance = random.Random(20)
    numbers = examples()
    assert len(numbers) > 1_000
    for number, region in numbers:
        for format_ in FORMATS:
            written = phonenumbers.format_number(number, format_)
            if not any(map(str.isalpha, written)) and "*" not in written:
                assert_agreement(written, region)
        national = phonenumbers.national_significant_number(number)
        prefix = phonenumbers.ndd_prefix_for_region(region, True) if region else None
        starts = [f"+{number.country_code}{national}", national, f"{prefix or 0}{national}"]
        starts += [f"{number.country_code}{national}", f"+{number.country_code}{prefix or 0}{national}"]
        for _ in range(MUTATIONS_PER_NUMBER):
            text = mutated(chance.choice(starts), chance)
            if sum(map(str.isdigit, text)) >= 2:
                assert_agreement(text, chance.choice([region, region, chance.choice(REGIONS)]))


@pytest.mark.parametrize(
    ("e164", "country"),
    [
        *(("+46701234567", "SE"), ("+14155552671", "US"), ("+12042345678", "CA"), ("+18765230123", "JM")),
        *(("+441534456789", "JE"), ("+77710009998", "KZ"), ("+38343201234", "XK"), ("+80012345678", None)),
        *(("+15555555555", None), ("+999123", None), ("", None), ("+", None), ("46701234567", None), ("+46", "SE")),
    ],
)
def test_a_number_tells_its_country(e164: str, country: str | None) -> None:
    assert phone_country(e164) == country
