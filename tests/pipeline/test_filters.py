"""Filters and orders are read as their manual says; what cannot be read is refused with its place."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingot_server.domain.fields import Field, FieldType
from ingot_server.domain.filters import (
    BY_KEY,
    Absent,
    And,
    Comparison,
    Condition,
    FilterInvalid,
    Form,
    Has,
    KnownFields,
    Not,
    Operator,
    Or,
    Order,
    Own,
    Present,
    parse_filter,
    parse_order,
)

FIELDS = KnownFields(
    [
        Field("points", FieldType.NUMBER, aliases=("_points", "score")),
        Field("active", FieldType.BOOLEAN),
        Field("email", FieldType.EMAIL, aliases=("e-mail", "_create_time")),
        Field("country", FieldType.COUNTRY),
        Field("currency", FieldType.CURRENCY),
        Field("seen", FieldType.TIMESTAMP),
        Field("day", FieldType.DATE),
        Field("note", FieldType.TEXT),
        Field(
            "address",
            FieldType.OBJECT,
            aliases=("home",),
            fields=(Field("zip", FieldType.IDENTIFIER, aliases=("Zip",)),),
        ),
        Field("a.b", FieldType.NUMBER),
    ]
)


def normalise(type_: FieldType, text: str) -> str:
    """Stands in for the real one: it knows some forms, and refuses some."""
    match type_:
        case FieldType.TIMESTAMP:
            if not text.startswith("2026-"):
                raise ValueError("expected a moment in 2026")
            return text if text.endswith("Z") else text + "T00:00:00Z"
        case FieldType.EMAIL:
            if "@" not in text:
                raise ValueError("expected an e-mail address")
            return text.lower()
        case FieldType.DATE:
            return text.replace("/", "-")
        case FieldType.COUNTRY | FieldType.CURRENCY:
            return text.upper()
        case FieldType.TEXT:
            raise AssertionError("a TEXT has no other form")
        case _:
            return text.strip()


def read(text: str) -> Condition | None:
    """The filter as it is read."""
    return parse_filter(text, FIELDS, normalise)


def texts(name: str, value: str, operator: Operator = Operator.EQUAL) -> Comparison:
    """The comparison of an undeclared field with a text."""
    return Comparison((name,), Form.TEXT, operator, value)


def numbers(name: str, value: str, operator: Operator = Operator.EQUAL) -> Comparison:
    """The comparison of a field with a number."""
    return Comparison((name,), Form.NUMBER, operator, value)


A, B, C, D = (numbers(name, "1") for name in "abcd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        (" \n\t ", None),
        ("a = 1", A),
        ("a=1", A),
        ("  ( a  =\n1 ) ", A),
        ("a = 1 AND b = 1 AND c = 1", And((A, B, C))),
        ("a = 1 b = 1 AND c = 1", And((A, B, C))),
        ("a = 1 AND b = 1 OR c = 1 AND d = 1", And((A, Or((B, C)), D))),
        ("a = 1 b = 1 OR c = 1", And((A, Or((B, C))))),
        ("(a = 1 AND b = 1) OR c = 1", Or((And((A, B)), C))),
        ("NOT a = 1 OR b = 1", Or((Not(A), B))),
        ("-a = 1 -(b = 1 c = 1)", And((Not(A), Not(And((B, C)))))),
        ("NOT(a = 1)", Not(A)),
        ("(a = 1)(b = 1)", And((A, B))),
        ("NOTE = 1", numbers("NOTE", "1")),
        ("ORDER=1 ANDROID=1", And((numbers("ORDER", "1"), numbers("ANDROID", "1")))),
        ("a != 1", Not(A)),
        ("a <= -1.50e+3", numbers("a", "-1.50e+3", Operator.LESS_OR_EQUAL)),
        ("a > 01", texts("a", "01", Operator.GREATER)),
        ('a = "1"', texts("a", "1")),
        ("a = true", Comparison(("a",), Form.BOOLEAN, Operator.EQUAL, "true")),
        ("a = 'true'", texts("a", "true")),
        ("a = True", texts("a", "True")),
        ("a = null", Absent(("a",))),
        ("a != null", Not(Absent(("a",)))),
        ("a = 'null'", texts("a", "null")),
        ("mail = ada@example.org", texts("mail", "ada@example.org")),
        ("at >= 2026-01-01T10:00:00+02:00", texts("at", "2026-01-01T10:00:00+02:00", Operator.GREATER_OR_EQUAL)),
        ("größe = Ångström", texts("größe", "Ångström")),
        (r"""a = "\"\'\\\*" """, texts("a", "\"'\\*")),
        ("a = ''", texts("a", "")),
        ("a = Ad*", texts("a", "Ad", Operator.PREFIX)),
        ("a != 'A d*'", Not(texts("a", "A d", Operator.PREFIX))),
        (r"a = 'Ad\*'", texts("a", "Ad*")),
        ("a = 1*", texts("a", "1", Operator.PREFIX)),
        ("a:*", Present(("a",))),
        ("a.b.c:'*'", Present(("a", "b", "c"))),
        ("tags:vip", Has(("tags",), Form.TEXT, Operator.EQUAL, "vip")),
        ("tags:vi*", Has(("tags",), Form.TEXT, Operator.PREFIX, "vi")),
        ("items.n:3", Has(("items", "n"), Form.NUMBER, Operator.EQUAL, "3")),
        ("first-name = x", texts("first-name", "x")),
        ("'a*\"b' = x", texts('a*"b', "x")),
        ('"AND"."0" = x', Comparison(("AND", "0"), Form.TEXT, Operator.EQUAL, "x")),
        ("_key = x", Comparison(Own.KEY, Form.TEXT, Operator.EQUAL, "x")),
        ("_key:12", Comparison(Own.KEY, Form.TEXT, Operator.EQUAL, "12")),
        ("'_key' = x", texts("_key", "x")),
        ("_other = x", texts("_other", "x")),
        ("a._key = x", Comparison(("a", "_key"), Form.TEXT, Operator.EQUAL, "x")),
        ("_import_id = '12'", Comparison(Own.IMPORT_ID, Form.NUMBER, Operator.EQUAL, "12")),
        ("_import_id:*", Not(Absent(Own.IMPORT_ID))),
        ("_update_time > 2026-01-02", Comparison(Own.UPDATE_TIME, Form.TIME, Operator.GREATER, "2026-01-02T00:00:00Z")),
    ],
)
def test_filter_is_read_as_documented(text: str, expected: Condition | None) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("points = '10'", numbers("points", "10")),
        ("active = 'true'", Comparison(("active",), Form.BOOLEAN, Operator.EQUAL, "true")),
        ("note = 12.50", texts("note", "12.50")),
        ("note = true", texts("note", "true")),
        ("email = Ada@X.org", texts("email", "ada@x.org")),
        ("email != Ada@X.org", Not(texts("email", "ada@x.org"))),
        ("email:Ada@X.org", Has(("email",), Form.TEXT, Operator.EQUAL, "ada@x.org")),
        ("email = Ada*", texts("email", "ada", Operator.PREFIX)),
        ("email:'Ada@*'", Has(("email",), Form.TEXT, Operator.PREFIX, "ada@")),
        ("country != s*", Not(texts("country", "S", Operator.PREFIX))),
        ("currency = eu*", texts("currency", "EU", Operator.PREFIX)),
        ("note = Ad*", texts("note", "Ad", Operator.PREFIX)),
        ("email > A", texts("email", "A", Operator.GREATER)),
        ("seen < 2026-02-01", Comparison(("seen",), Form.TIME, Operator.LESS, "2026-02-01T00:00:00")),
        ("seen = 2026-02-01T00:00:00Z*", Comparison(("seen",), Form.TIME, Operator.PREFIX, "2026-02-01T00:00:00")),
        ("seen = 2026-02*", Comparison(("seen",), Form.TIME, Operator.PREFIX, "2026-02")),
        ("day >= 2026/02/01", texts("day", "2026-02-01", Operator.GREATER_OR_EQUAL)),
        ("address.zip = 01234", Comparison(("address", "zip"), Form.TEXT, Operator.EQUAL, "01234")),
        ("address.zip = 11234", Comparison(("address", "zip"), Form.TEXT, Operator.EQUAL, "11234")),
        ("address:zip", Has(("address",), Form.TEXT, Operator.EQUAL, "zip")),
        ("'a.b' = '1'", numbers("a.b", "1")),
        ("a.b = '1'", Comparison(("a", "b"), Form.TEXT, Operator.EQUAL, "1")),
        ("points = null", Absent(("points",))),
    ],
)
def test_type_of_a_declared_field_decides(text: str, expected: Condition) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("score = '10'", numbers("points", "10")),
        ("_points >= 10", numbers("points", "10", Operator.GREATER_OR_EQUAL)),
        ("e-mail = Ada@X.org", texts("email", "ada@x.org")),
        ("home.Zip = 1", Comparison(("address", "zip"), Form.TEXT, Operator.EQUAL, "1")),
        ("home.city.x = 1", Comparison(("address", "city", "x"), Form.NUMBER, Operator.EQUAL, "1")),
        ("home:Zip", Has(("address",), Form.TEXT, Operator.EQUAL, "zip")),
        ("home:'city'", Has(("address",), Form.TEXT, Operator.EQUAL, "city")),
        ("home:Zi*", Has(("address",), Form.TEXT, Operator.PREFIX, "Zi")),
        ("home:*", Present(("address",))),
        ("score = null", Absent(("points",))),
        # The record's own data come first; in quotes it is a field.
        ("_create_time:*", Not(Absent(Own.CREATE_TIME))),
        ("'_create_time' = X@x.org", texts("email", "x@x.org")),
    ],
)
def test_known_field_has_all_its_names(text: str, expected: Condition) -> None:
    assert read(text) == expected


def test_order_knows_all_names() -> None:
    assert parse_order("score desc", FIELDS) == Order(("points",), Form.NUMBER, descending=True)
    assert parse_order("home.Zip", FIELDS) == Order(("address", "zip"), Form.TEXT)
    assert parse_order("_key", FIELDS) == BY_KEY


ONLY = KnownFields(
    [
        Field("email", FieldType.EMAIL, aliases=("mail",)),
        Field("address", FieldType.OBJECT, fields=(Field("zip"), Field("geo", FieldType.OBJECT))),
        Field("free"),
    ],
    only=True,
    others=("derived", "id"),
)


@pytest.mark.parametrize(
    "field",
    ["email", "mail", "address", "address.zip.x", "address.geo.lat.x", "free.x.y", "derived.a.b", "id", "_key"],
)
def test_field_that_may_be_there_is_accepted(field: str) -> None:
    parse_filter(f"{field}:*", ONLY, normalise)
    parse_order(field, ONLY)


@pytest.mark.parametrize("field", ["emial", "_mail", "email.x", "address.street", "x.derived", "'_key'", "'derived.a'"])
def test_field_that_cannot_be_there_is_refused(field: str) -> None:
    message = f"the table has no field `{field.replace(chr(39), '')}`"
    with pytest.raises(FilterInvalid) as refused:
        parse_filter(f"email:* -{field}:*", ONLY, normalise)
    assert str(refused.value) == f"at character 10: {message}"
    with pytest.raises(FilterInvalid, match=message):
        parse_order(field, ONLY)


def test_name_of_a_field_in_an_object_is_one_too() -> None:
    with pytest.raises(FilterInvalid, match=r"at character 9: the table has no field `address\.street`"):
        parse_filter("address:street", ONLY, normalise)


@pytest.mark.parametrize(
    ("text", "character", "message"),
    [
        ("ada", 4, "name the field"),
        ('name = x "ada"', 15, "name the field"),
        ("ada@example.org", 4, "name the field"),
        ("a = 1 and b = 2", 11, "write AND"),
        ("a = 1 AND", 10, "expected the name of a field, got the end"),
        ("a = 1 OR OR b = 1", 10, "needs quotes"),
        ("a = AND", 5, "needs quotes"),
        ("a =", 4, "expected a value"),
        ("a == 1", 4, "expected a value"),
        ("a = (1 OR 2)", 5, "expected a value"),
        ("a = 1)", 6, "closes nothing"),
        ("(a = 1", 7, "for the parenthesis at character 1"),
        ("()", 2, "expected the name of a field"),
        ("a = 'x", 5, "at the end of the text"),
        ("a = x'y'", 6, "expected a blank"),
        ("a = 1,2", 6, "expected a blank"),
        (r"a = 'x\y'", 8, "after the backslash"),
        ("a = 'x\\", 8, "after the backslash"),
        ("a = 'x*y'", 7, "only at the end"),
        ("a = *x", 5, "only at the end"),
        ("a = x**", 6, "only at the end"),
        ("a = *", 5, "field:*"),
        ("a < x*", 5, "a prefix goes with"),
        ("a < null", 5, "null goes with"),
        ("a:null", 3, "null goes with"),
        ("items.0 = 1", 7, "an element of a list"),
        ("items[0] = 1", 6, "`items:value`"),
        ("country in (SE, NO)", 9, "write country = SE OR country = NO"),
        ("a = 1 AND (b NOT IN ('x', 'y', 2))", 14, "write NOT (b = 'x' OR b = 'y' OR ...)"),
        ("a IN b", 3, "write a = A OR a = B"),
        ("name LIKE 'Ad%'", 6, 'write name = "Ad*"'),
        ("name is null", 6, "write name = null"),
        ("city = New York", 16, 'quotes: city = "New York"'),
        ("(a.city:New York City AND b = 1)", 18, 'quotes: a.city: "New York City"'),
        ("city != New York b = 1", 18, 'quotes: city != "New York"'),
        ("city = York -new", 17, "name the field"),
        ("n = 1 York", 11, "name the field"),
        ("a. = 1", 3, "expected the name of a field"),
        ("_key.x = 1", 1, "has no fields"),
        ("points = ten", 10, "expected a number"),
        ("points = 1*", 10, "expected a number"),
        ("a = 1e309", 5, "exponent"),
        ("a = " + "1" * 401, 5, "400 characters"),
        ("active = yes", 10, "expected true or false"),
        ("email = ada", 9, "expected an e-mail address"),
        ("seen > yesterday", 8, "expected a moment in 2026"),
        ("_create_time > yesterday", 16, "expected a moment in 2026"),
        ("_create_time > 2026-13-01", 16, "expected a moment that"),
        ("_create_time = 2026-01*", 16, "a prefix goes with texts"),
        ("_import_id = x", 14, "expected a number"),
        ("a = 'x\0'", 7, "does not occur"),
        ("a = \ud800", 5, "does not occur"),
        ("a=1" + " " * 2_000, 2_001, "2,000 characters"),
        ("a=1 " * 51, 201, "50 comparisons"),
        ("(" * 21 + "a=1" + ")" * 21, 22, "20 deep"),
        (".".join(["a"] * 21) + "=1", 1, "20 names deep"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, character: int, message: str) -> None:
    with pytest.raises(FilterInvalid) as refused:
        read(text)
    assert str(refused.value).startswith(f"at character {character}: ")
    assert message in str(refused.value)


def test_limits_can_be_reached() -> None:
    assert read("a=1 " * 50) == And((A,) * 50)
    assert read("(" * 20 + "a=1" + ")" * 20) == A
    assert read("a=1" + " " * 1_997) == A


TOKENS = ["AND", "OR", "NOT", "-", "(", ")", "=", "!=", "<", ":", ".", "*", "\\", '"', "'", " ", "null", "true", "1"]
TOKENS += ["a", "points", "active", "email", "seen", "_key", "_create_time", "_import_id", "2026-01-01", "x@y", "1e999"]


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters()) | st.lists(st.sampled_from(TOKENS) | st.characters()).map("".join))
@example("_create_time=2026-")
@example("a = 1e" + "9" * 1_900)
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (lambda: read(text), lambda: parse_order(text, FIELDS)):
        try:
            parse()
        except FilterInvalid as refused:
            assert 0 <= refused.position <= len(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", BY_KEY),
        ("  ", BY_KEY),
        ("_key", BY_KEY),
        ("_key desc", Order(Own.KEY, Form.TEXT, descending=True)),
        ("points desc", Order(("points",), Form.NUMBER, descending=True)),
        ("points  asc ", Order(("points",), Form.NUMBER)),
        ("seen", Order(("seen",), Form.TIME)),
        ("active", Order(("active",), Form.BOOLEAN)),
        ("address.zip", Order(("address", "zip"), Form.TEXT)),
        ("other", Order(("other",), Form.TEXT)),
        ("'first name' desc", Order(("first name",), Form.TEXT, descending=True)),
        ("desc", Order(("desc",), Form.TEXT)),
        ("_create_time desc", Order(Own.CREATE_TIME, Form.TIME, descending=True)),
        ("_import_id", Order(Own.IMPORT_ID, Form.NUMBER)),
    ],
)
def test_order_is_read_as_documented(text: str, expected: Order) -> None:
    assert parse_order(text, FIELDS) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("points, email", "at character 7: one field is supported"),
        ("points desc, email", "one field is supported"),
        ("points down", "at character 8: expected desc"),
        ("points desc desc", "expected desc"),
        ("'points'desc", "expected desc"),
        ("first name", "needs quotes"),
        ("-points", "at character 1: expected the name"),
        ("items.0", "an element of a list"),
        ("x" * 2_001, "2,000 characters"),
    ],
)
def test_order_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(FilterInvalid, match=message):
        parse_order(text, FIELDS)
