from decimal import Decimal

import pytest

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Unreadable, reader

text = reader(FieldType.TEXT, Reading())
identifier = reader(FieldType.IDENTIFIER, Reading())
url = reader(FieldType.URL, Reading())


@pytest.mark.parametrize("value", ["a", " a ", "  ", "å\n\t", "1", "x" * 100_000])
def test_a_text_stays_as_it_is(value: str) -> None:
    assert text(value) is value


@pytest.mark.parametrize("value", [1, Decimal("1.5"), True, [], ["a"], {}])
def test_what_is_no_string_is_no_text(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a text, got "):
        text(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(
            ("A-17", "A-17"),
            (" A 17\n", "A 17"),
            ("007", "007"),
            (7, "7"),
            (-7, "-7"),
            (0, "0"),
            ("x" * 255, "x" * 255),
        ),
        *((10**254, str(10**254)), (f" {'x' * 255} ", "x" * 255)),
    ],
)
def test_an_identifier_is_a_text_or_an_integer(value: object, expected: str) -> None:
    assert identifier(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        " \n",
        "x" * 256,
        10**255,
        -(10**254),
        pytest.param(10**5_000, id="too long for str()"),
        Decimal("7.0"),
        True,
        False,
        [7],
        {"id": 7},
    ],
)
def test_an_identifier_is_neither_empty_nor_long_nor_anything_else(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a text or an integer of 1 to 255 characters"):
        identifier(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://example.org", "https://example.org"),
        ("https://example.org/A?b=C#D", "https://example.org/A?b=C#D"),
        (" HTTPS://Example.ORG/A ", "https://example.org/A"),
        ("http://example.org?q", "http://example.org?q"),
        ("http://localhost:8080/", "http://localhost:8080/"),
        ("http://example.org:65535", "http://example.org:65535"),
        ("http://example.org./", "http://example.org./"),
        ("http://a_b.example.org/", "http://a_b.example.org/"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("http://[::1]/", "http://[::1]/"),
        ("http://[2001:DB8::1]:80/X", "http://[2001:db8::1]:80/X"),
        ("https://ÅÄÖ.se/å", "https://åäö.se/å"),
        ("https://हिन्दी.भारत/", "https://हिन्दी.भारत/"),
        ("https://example.org/@user:x", "https://example.org/@user:x"),
        (f"https://example.org/{'a' * 2_028}", f"https://example.org/{'a' * 2_028}"),
        (f"https://{'a' * 63}.org/{'a' * 500}", f"https://{'a' * 63}.org/{'a' * 500}"),
    ],
)
def test_a_url_has_its_scheme_and_host_in_small_letters(value: str, expected: str) -> None:
    assert url(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(
            "example.org",
            "www.example.org",
            "//example.org",
            "/a",
            "ftp://example.org",
            "javascript:alert(1)",
            "https:",
        ),
        *("https://", "https:///a", "http://?a", "http://:80", "https:/example.org", "httpſ://example.org", "  "),
        *("http://ada@example.org", "http://ada:secret@example.org/", "http://a b.org", "http://a.org/a b"),
        *(
            "http://a.org/\u00a0b",
            "http://a.org/a\u2028b",
            "http://a.org/a\u0085b",
            "http://a.org/\x1f.",
            "http://a.org/a\nb",
        ),
        *("http://a.org:0", "http://a.org:65536", "http://a.org:", "http://a.org:080", "http://a.org:x"),
        *("http://[::1", "http://[::g]", "http://[1.2.3.4]", "http://[::1%25eth0]", "http://[]"),
        *(
            "http://256.1.1.1",
            "http://1.2.3",
            "http://a.1",
            "http://a..b",
            "http://.a",
            "http://-a.org",
            "http://a-.org",
        ),
        *("http://a\\b.org", "http://a%20b.org", "http://a<b.org", f"http://{'a' * 64}.org", "http://a\u200b.org"),
        *(f"http://{'a.' * 125}example", f"http://{'a.' * 9}{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}.org/"),
        *(f"https://example.org/{'a' * 2_029}", 5, True, [], {}),
    ],
)
def test_what_is_no_whole_web_address_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match="expected an http or https URL of at most 2,048 characters"):
        url(value)
