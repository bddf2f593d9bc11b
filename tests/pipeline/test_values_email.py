import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Unreadable, email_domains, read_column, reader
from ingot_server.pipeline.values.email import email_domain

read = reader(FieldType.EMAIL, Reading())


@pytest.mark.parametrize(
    ("value", "email"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Ada.Lovelace+news@Example.ORG", "ada.lovelace+news@example.org"),
        (" \tada@example.org\n\u00a0", "ada@example.org"),
        ("o'neil_{x}@a-b.example.org", "o'neil_{x}@a-b.example.org"),
        ("a--b@example.org", "a--b@example.org"),
        ("ADA@ÅÄÖ.se", "ada@åäö.se"),
        ("ada@xn--4cab6c.se", "ada@åäö.se"),
        ("ÅSA@example.org", "åsa@example.org"),
        ("a\u030asa@example.org", "åsa@example.org"),
        ("STRASSE@faß.de", "strasse@faß.de"),
        ("用户@例子.广告", "用户@例子.广告"),
        (f"{'a' * 242}@example.org", f"{'a' * 242}@example.org"),
    ],
)
def test_an_address_is_in_small_letters_and_its_domain_in_unicode(value: str, email: str) -> None:
    assert read(value) == email


@pytest.mark.parametrize(
    "value",
    [
        *("foo", "@example.org", "ada@", "ada@example", "ada@example.", "ada@.org", "ada@@example.org"),
        *("ada@exa mple.org", "a da@example.org", "ada@example.org,bob@example.org", "ada:x@example.org"),
        *("Ada <ada@example.org>", "<ada@example.org>", '"ada"@example.org', "ada@[127.0.0.1]", "ada@127.0.0.1"),
        *(".ada@example.org", "ada.@example.org", "a..da@example.org", "ada@-example.org", "ada@example-.org"),
        *("ada@ex--ample.org", "ada@xn--a.org", "ada@example.org.", "ada@exa_mple.org", "ada@example.c0m1"),
        *("ada@localhost", "ada@host.local", "ada@example.test", "ada@example.invalid", "ada@x.onion"),
        *(
            f"{'a' * 243}@example.org",
            f"a@{'b' * 64}.org",
            f"ada@{'b.' * 125}org",
            "ada＠example.org",
            "   ",
            f"ada@{'é' * 64}.org",
        ),
        *(5, True, ["ada@example.org"], {"email": "ada@example.org"}),
    ],
)
def test_what_is_no_plain_address_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match=r"expected an e-mail address such as ada@example\.org, got "):
        read(value)


NAMES = st.text("aAzZ09.-_+'!#", max_size=12) | st.sampled_from(["a" * 63, "a" * 64, "a" * 65, "xn--4cab6c", "ab--c"])
DOMAINS = st.lists(NAMES | st.sampled_from(["org", "se", "example", *SPECIAL_USE_DOMAIN_NAMES]), max_size=5)
ADDRESSES = st.builds(lambda name, labels: f"{name}@{'.'.join(labels)}", NAMES, DOMAINS)


@settings(max_examples=3_000, deadline=None)
@given(ADDRESSES | st.text("aA1.@-_ é<>\"'", max_size=20))
@example(f"{'a' * 190}@{'b' * 61}.se")
@example(f"{'a' * 189}@{'b' * 61}.se")
@example("a@b.c")
@example("a@1.2")
@example("a@b.c-")
@example("a@b.c--d")
@example("a@b.test")
@example("a@test.b")
@example("a@attest.b")
@example("a@b.attest")
def test_all_ways_agree_with_the_library(text: str) -> None:
    try:
        found = validate_email(text.strip(), check_deliverability=False)
        expected = f"{found.local_part.lower()}@{found.domain}"
    except EmailNotValidError:
        expected = ""
    if len(text.strip()) > 254:
        expected = ""
    try:
        assert read(text) == expected
    except Unreadable:
        assert not expected


@settings(max_examples=2_000, deadline=None)
@given(
    st.lists(ADDRESSES | st.sampled_from(["ada@example.org", "Ada@Example.ORG"]) | st.text("a@.\n\u212a", max_size=8))
)
@example(["a@b.se\nc@d.se"])
@example(["a@b.se@c.se", "d"])
@example(["\u212aarl@example.org"])
@example([".a@b.se"])
@example(["a.@b.se"])
@example(["ada@example.org", "@b.se"])
@example([f"{'a' * 243}@example.org"])
def test_addresses_are_read_together_as_each_alone(texts: list[str]) -> None:
    found = read_column(FieldType.EMAIL, texts) if texts else None
    if found is not None:
        assert found == [read(text) for text in texts]


def test_common_addresses_are_read_together() -> None:
    common = ["ada@example.org", "o'neil_{x}+1@a-b.example.se"]
    assert read_column(FieldType.EMAIL, common) is common
    assert read_column(FieldType.EMAIL, [*common, "Ada@Example.ORG"]) == [*common, "ada@example.org"]


def test_the_domain_is_what_follows_the_at_sign() -> None:
    assert email_domain("ada@example.org") == "example.org"
    assert email_domain("ada@åäö.se") == "åäö.se"


@pytest.mark.parametrize(
    "emails", [[], ["ada@example.org"], ["a@x.se", "b@y.org"], ["a@x.se", '"b@c"@y.org', "d@z.se"]]
)
def test_domains_of_many_are_those_of_each(emails: list[str]) -> None:
    assert list(email_domains(emails)) == list(map(email_domain, emails))
