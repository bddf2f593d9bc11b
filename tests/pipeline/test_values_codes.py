import pytest

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Unreadable, is_country, reader
from ingot_server.pipeline.values.codes_data import COUNTRIES, CURRENCIES, LANGUAGES, SCRIPTS

country = reader(FieldType.COUNTRY, Reading())
currency = reader(FieldType.CURRENCY, Reading())
language = reader(FieldType.LANGUAGE, Reading())


@pytest.mark.parametrize(
    ("value", "code"),
    [("SE", "SE"), ("se", "SE"), ("SWE", "SE"), ("swe", "SE"), (" Se\n", "SE"), ("gbr", "GB"), ("SS", "SS")],
)
def test_a_country_is_its_alpha_2_code(value: str, code: str) -> None:
    assert country(value) == code


# The capitals of ß are SS, which is South Sudan.
@pytest.mark.parametrize(
    "value", ["Sweden", "UK", "EU", "XK", "ZZ", "752", 752, "S", " ", "ß", "ıt", "ＳＥ", "S E", "SE,NO", True, [], {}]
)
def test_a_name_or_number_is_no_country(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a country code of ISO 3166-1 such as SE, got "):
        country(value)


def test_a_default_country_is_alpha_2_in_capitals() -> None:
    assert is_country("SE")
    assert not any(map(is_country, ["se", "SWE", "ZZ", "", " SE", "UK", "Sweden"]))


@pytest.mark.parametrize(("value", "code"), [("SEK", "SEK"), ("sek", "SEK"), (" Eur ", "EUR"), ("XXX", "XXX")])
def test_a_currency_is_its_letters(value: str, code: str) -> None:
    assert currency(value) == code


@pytest.mark.parametrize("value", ["kr", "$", "€", "752", 752, "SE", "ABC", "SEKK", " ", "ﬆn", True, [], {}])
def test_a_sign_or_number_is_no_currency(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a currency code of ISO 4217 such as SEK, got "):
        currency(value)


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        *(("sv", "sv"), ("SV", "sv"), (" sv ", "sv"), ("swe", "sv"), ("ger", "de"), ("deu", "de"), ("chi", "zh")),
        *(("en-US", "en-US"), ("EN_us", "en-US"), ("eng-us", "en-US"), ("zh_hant_tw", "zh-Hant-TW")),
        *(("zh-HANT", "zh-Hant"), ("es-419", "es-419"), ("sma", "sma"), ("fil-PH", "fil-PH"), ("und", "und")),
    ],
)
def test_a_language_tag_has_its_shortest_language_and_its_casing(value: str, tag: str) -> None:
    assert language(value) == tag
    assert language(tag) == tag


@pytest.mark.parametrize(
    "value",
    [
        *("Swedish", "xx", "qqq", "en-", "en-USA", "en-ZZ", "en-US-Latn", "en-Abcd", "en-US-posix", "en--US", "s"),
        *("-sv", "sv-FI-x-foo", "zh-Hant-TW-x", "ſv", "sv FI", "en-41", " ", 46, True, [], {}),
    ],
)
def test_what_is_no_language_tag_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a language tag of BCP 47 such as sv or en-US, got "):
        language(value)


def test_the_tables_are_whole() -> None:
    assert len(COUNTRIES) == len(set(COUNTRIES.values())) == 249
    assert len(CURRENCIES) > 150
    assert len({code for code in LANGUAGES.values() if len(code) == 2}) == 184
    assert len(LANGUAGES) > 7_900
    assert len(SCRIPTS) > 200
    assert all(LANGUAGES[code] == code for code in LANGUAGES.values())
