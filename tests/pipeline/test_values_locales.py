import pytest

from ingot_server.pipeline.values import is_locale
from ingot_server.pipeline.values.locales import group_signs, spelling


@pytest.mark.parametrize(
    ("tag", "decimal", "group", "last", "others"),
    [
        *(("en", ".", ",", 3, 3), ("en-US", ".", ",", 3, 3), ("en-IN", ".", ",", 3, 2), ("hi", ".", ",", 3, 2)),
        *(("de", ",", ".", 3, 3), ("de-AT", ",", ".", 3, 3), ("de-CH", ".", "\u2019", 3, 3), ("pt-BR", ",", ".", 3, 3)),
        *(("pt-PT", ",", "\u00a0", 3, 3), ("fr", ",", "\u202f", 3, 3), ("fr-CA", ",", "\u00a0", 3, 3)),
        *(("sv", ",", "\u00a0", 3, 3), ("sv-FI", ",", "\u00a0", 3, 3), ("no", ",", "\u00a0", 3, 3)),
        *(("es", ",", ".", 3, 3), ("es-AR", ",", ".", 3, 3), ("es-MX", ".", ",", 3, 3), ("es-419", ".", ",", 3, 3)),
        *(("zh-Hant-TW", ".", ",", 3, 3), ("sr-Latn-ME", ",", ".", 3, 3), ("pa-Arab", ".", ",", 3, 3)),
        *(
            ("pa-PK", ".", ",", 3, 3),
            ("pa", ".", ",", 3, 2),
            ("en-001", ".", ",", 3, 3),
            ("sq-XK", ",", "\u00a0", 3, 3),
        ),
    ],
)
def test_a_locale_writes_numbers_as_cldr_says(tag: str, decimal: str, group: str, last: int, others: int) -> None:
    for written in (tag, tag.lower(), tag.upper(), tag.replace("-", "_")):
        assert is_locale(written)
        assert spelling(written) == (decimal, group, last, others)


@pytest.mark.parametrize(
    "tag",
    [
        *("", "x", "xx", "qq-SE", "de-", "-de", "de-XX", "de-Latn-XX", "de-AT-1996", "german", "de DE", "dé", "ſv"),
        *("en-US-posix", "de--AT", "1", "C", "root", "und", "*", "de.UTF-8", "de-AT\n", "d" * 9_000),
    ],
)
def test_an_unknown_locale_is_detected(tag: str) -> None:
    assert not is_locale(tag)
    with pytest.raises(ValueError, match="there is no locale"):
        spelling(tag)


def test_keyboards_have_other_blanks_and_apostrophes_than_cldr() -> None:
    assert group_signs(spelling("sv")) == group_signs(spelling("fr")) == " \u00a0\u202f"
    assert group_signs(spelling("de-CH")) == "'\u2019"
    assert group_signs(spelling("de")) == "."
