"""Filters find what their manual says, orders give every record once, and both use the indexes of declared fields."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingot_server.domain.errors import FilterTooSlow
from ingot_server.domain.fields import Field, FieldType
from ingot_server.domain.filters import (
    BY_KEY,
    Condition,
    FieldPath,
    Form,
    KnownFields,
    Not,
    Order,
    Own,
    parse_filter,
    parse_order,
)
from ingot_server.storage.database import Database
from ingot_server.storage.filtering import (
    Arguments,
    condition_sql,
    index_create,
    index_drop,
    index_expression,
    index_name,
)
from ingot_server.storage.record_lines import small_lines_query
from ingot_server.storage.record_pages import After, Scope, page_query
from ingot_server.storage.records import record_page

TABLE = 7
TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)

ODD = 'it\'s \\ "odd"; -- $1 ?é😀\n%'
"""A name with all that could break out of something."""

TYPES: dict[FieldPath, FieldType] = {
    ("n",): FieldType.NUMBER,
    ("b",): FieldType.BOOLEAN,
    ("t",): FieldType.TIMESTAMP,
    ("e",): FieldType.EMAIL,
    (ODD,): FieldType.TEXT,
    ("o", "n"): FieldType.INTEGER,
}
FIELDS = KnownFields(
    [Field(path[0], type_) for path, type_ in TYPES.items() if len(path) == 1]
    + [Field("o", FieldType.OBJECT, fields=(Field("n", FieldType.INTEGER),))]
)
UNDECLARED: list[FieldPath] = [("u",), ("l",), ("o",), ("o", "u"), ("l", "u"), ("l", "u", "u"), ("0",), (ODD, ODD)]


def normalise(type_: FieldType, text: str) -> str:
    """Stands in for the real one."""
    return text.lower() if type_ is FieldType.EMAIL else text


# A document is one of JSON, but for its numbers, which are kept as they are written.


class Number(str):
    """A number as it is written in JSON."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """As PostgreSQL shows it."""
        return format(Decimal(self), "f")


@dataclass(frozen=True)
class Row:
    """A record, as far as filters see it."""

    data: Any
    key: str = "k"
    writer: int = 1
    create_time: datetime = TIME
    update_time: datetime = TIME

    @property
    def text(self) -> str:
        """The data as JSON."""
        return dumped(self.data)


def dumped(value: Any) -> str:
    """A document as JSON."""
    match value:
        case Number():
            return value
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{dumped(held)}" for name, held in value.items()) + "}"
        case list():
            return "[" + ",".join(map(dumped, value)) + "]"
        case _:
            return json.dumps(value)


# What a filter means, told a second time: over Python's values, without a thought of SQL.

Wish = tuple[Any, ...]
"""A filter: ("and" | "or", wishes), ("not", wish), or ("is", path, operator, literal)."""


@dataclass(frozen=True)
class Value:
    """A literal: a text, the beginning of one, a number, a truth value or null."""

    kind: str
    text: str = ""


def means(wish: Wish, row: Row) -> bool:
    """Whether the record is as wished."""
    match wish:
        case ("and", wishes):
            return all(means(one, row) for one in wishes)
        case ("or", wishes):
            return any(means(one, row) for one in wishes)
        case ("not", one):
            return not means(one, row)
        case ("is", path, operator, literal):
            return compares(path, operator, literal, row)
    raise AssertionError(wish)


def compares(path: FieldPath | Own, operator: str, literal: Value, row: Row) -> bool:
    """Whether a single comparison is true of the record."""
    if operator == "!=":
        return not compares(path, "=", literal, row)
    if isinstance(path, Own):
        held: Any = {
            Own.KEY: row.key,
            Own.IMPORT_ID: Number(row.writer) if row.writer > 0 else None,
            Own.CREATE_TIME: row.create_time,
            Own.UPDATE_TIME: row.update_time,
        }[path]
        found, operator = [held], "=" if operator == ":" and literal.kind != "any" else operator
    elif operator == ":":
        found = reached(row.data, path, through_lists=True)
    else:
        found = reached(row.data, path, through_lists=False)
    if literal.kind == "any":
        return any(value is not None for value in found)
    if literal.kind == "null":
        return all(value is None for value in found)
    if literal.kind == "prefix" and path in TYPES and TYPES[path] is FieldType.EMAIL:
        literal = Value("prefix", literal.text.lower())
    test = partial(scalar_compares, form=form_of(path, literal), operator=operator, literal=literal)
    if operator != ":":
        return any(test(value) for value in found)
    elements = [element for value in found for element in (value if isinstance(value, list) else [value])]
    named = form_of(path, literal) == "text" and literal.kind != "prefix"
    return any(
        test(element) or (named and isinstance(element, dict) and literal.text in element) for element in elements
    )


def form_of(path: FieldPath | Own, literal: Value) -> str:
    """As what the two compare."""
    if isinstance(path, Own):
        return {Own.KEY: "text", Own.IMPORT_ID: "number"}.get(path, "moment")
    by_type = {FieldType.NUMBER: "number", FieldType.INTEGER: "number", FieldType.BOOLEAN: "truth"}
    by_type |= {FieldType.EMAIL: "text", FieldType.TEXT: "text", FieldType.TIMESTAMP: "time"}
    return by_type[TYPES[path]] if path in TYPES else {"prefix": "text"}.get(literal.kind, literal.kind)


def reached(value: Any, path: FieldPath, *, through_lists: bool) -> list[Any]:
    """All that the path leads to."""
    if not path:
        return [value]
    holders = value if through_lists and isinstance(value, list) else [value]
    return [
        end
        for holder in holders
        if isinstance(holder, dict) and path[0] in holder
        for end in reached(holder[path[0]], path[1:], through_lists=through_lists)
    ]


def scalar_compares(value: Any, form: str, operator: str, literal: Value) -> bool:
    """Whether a single value is of the form and compares so."""
    wanted: Any = literal.text
    match form, value:
        case "moment", datetime():
            wanted = datetime.fromisoformat(literal.text)
        case "text" | "time", str() if not isinstance(value, Number):
            if form == "time":
                value, wanted = value.removesuffix("Z"), wanted.removesuffix("Z")
        case "text", Number():
            value = value.shown
        case "text" | "truth", bool():
            value = json.dumps(value)
        case "number", Number() if len(value.shown) <= 400:
            value, wanted = Decimal(value), Decimal(wanted)
        case _:
            return False
    if literal.kind == "prefix":
        return str(value).startswith(wanted)
    comparisons: dict[str, Callable[[], bool]] = {
        "=": lambda: value == wanted,
        ":": lambda: value == wanted,
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted,
        ">": lambda: value > wanted,
        ">=": lambda: value >= wanted,
    }
    return comparisons[operator]()


# Filters and documents that have something to do with each other.

TEXTS = ["", "a", "ab", "abc", "A", "b", "B*", "1", "1.50", "100000", "true", "null", "é", "u", "n", "o", ODD]
TEXTS += ["a\ud7ff", "a\ue000", "a\U0010ffff", "a\U0010ffffb", "\U0010ffff", "😀", "'", "\\", "\x01"]
TEXTS += ["z" * 249, "z" * 250, "z" * 251, "z" * 249 + "a", "z" * 250 + "a", "z" * 250 + "b", "z" * 600]
NUMBERS = ["0", "1", "1.5", "1.50", "1e5", "100000", "-3", "0.001", "1e-308", "9e307", "1" * 400, "100000.0"]
LONG_NUMBERS = ["1" * 401, "1" * 4_300, "0." + "1" * 4_000]
TIMES = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.25Z", "2026-01-01T00:00:01Z"]

text_values = st.sampled_from(TEXTS) | st.text(max_size=3).filter(lambda text: "\0" not in text)
scalars = st.one_of(
    text_values,
    st.sampled_from(TIMES),
    st.sampled_from(NUMBERS + LONG_NUMBERS).map(Number),
    st.booleans(),
    st.none(),
)
names = st.sampled_from(sorted({name for path in (*TYPES, *UNDECLARED) for name in path}))
held = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
documents = st.dictionaries(names, held | scalars, max_size=6)
rows = st.builds(
    Row,
    documents,
    text_values,
    st.sampled_from([-2, 1, 2]),
    st.just(TIME),
    st.sampled_from([TIME, TIME + timedelta(microseconds=1)]),
)

texts = st.builds(Value, st.just("text"), text_values)
prefixes = st.builds(Value, st.just("prefix"), text_values.filter(bool))
numbers = st.builds(Value, st.just("number"), st.sampled_from(NUMBERS))
truths = st.builds(Value, st.just("truth"), st.sampled_from(["true", "false"]))
times = st.builds(Value, st.just("time"), st.sampled_from(TIMES))
moments = st.builds(Value, st.just("moment"), st.sampled_from(["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000001Z"]))


@st.composite
def comparison_wishes(draw: st.DrawFn) -> Wish:
    """A single comparison that is allowed."""
    path = draw(st.sampled_from([*TYPES, *UNDECLARED, *Own]))
    kinds: dict[object, st.SearchStrategy[Value]] = {
        FieldType.NUMBER: numbers,
        FieldType.INTEGER: numbers,
        FieldType.BOOLEAN: truths,
        FieldType.TIMESTAMP: times | st.just(Value("prefix", "2026-01-01T00:00:00.")),
        FieldType.EMAIL: texts.filter(lambda value: value.text == value.text.lower()) | prefixes,
        FieldType.TEXT: texts | prefixes | numbers | truths,
        Own.KEY: texts | prefixes,
        Own.IMPORT_ID: numbers,
        Own.CREATE_TIME: moments,
        Own.UPDATE_TIME: moments,
    }
    anything = texts | prefixes | numbers | truths
    usual = kinds.get(path if isinstance(path, Own) else TYPES.get(path), anything)
    literal = draw(usual | st.just(Value("null")) | st.just(Value("any")))
    operators = {"prefix": ["=", "!=", ":"], "null": ["=", "!="], "any": [":"]}
    operator = draw(st.sampled_from(operators.get(literal.kind, ["=", "!=", "<", "<=", ">", ">=", ":"])))
    return ("is", path, operator, literal)


wishes: st.SearchStrategy[Wish] = st.recursive(
    comparison_wishes(),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
).filter(lambda wish: len(written(wish)) <= 2_000)


def written(wish: Wish) -> str:
    """The filter as its caller writes it."""
    match wish:
        case ("not", one):
            return f"NOT {written(one)}" if one[0] != "not" else f"-({written(one)})"
        case (("and" | "or") as word, several):
            return "(" + f" {word.upper()} ".join(map(written, several)) + ")"
        case ("is", path, operator, literal):
            return f"{path if isinstance(path, Own) else '.'.join(map(quoted, path))} {operator} {shown(literal)}"
    raise AssertionError(wish)


def quoted(text: str) -> str:
    """A text in quotes."""
    return '"' + re.sub(r'["\\*]', r"\\\g<0>", text) + '"'


def shown(value: Value) -> str:
    """A literal as its caller writes it."""
    match value.kind:
        case "null":
            return "null"
        case "any":
            return "*"
        case "number" | "truth":
            return value.text
        case "prefix":
            return quoted(value.text)[:-1] + '*"'
        case _:
            return quoted(value.text)


def read(filter_text: str) -> Condition:
    """The filter, which is not empty."""
    condition = parse_filter(filter_text, FIELDS, normalise)
    assert condition is not None
    return condition


async def found_among(connection: Any, condition: Condition, among: Sequence[Row]) -> list[bool]:
    """Which of the records, which are in no table, the condition finds."""
    arguments = Arguments(first=6)
    text = condition_sql(condition, arguments)
    query = f"""
        SELECT coalesce({text}, false)
        FROM (
            SELECT key COLLATE "C" AS key, data, writer, create_time, update_time, ordinal
            FROM unnest($1::text[], $2::jsonb[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
                WITH ORDINALITY AS given (key, data, writer, create_time, update_time, ordinal)
        ) AS record
        ORDER BY ordinal"""
    columns = list(
        zip(*((row.key, row.text, row.writer, row.create_time, row.update_time) for row in among), strict=True)
    )
    return [bool(row[0]) for row in await connection.fetch(query, *columns, *arguments.values)]


in_one_database = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@in_one_database
@given(wish=wishes, among=st.lists(rows, min_size=1, max_size=8))
@example(wish=("is", ("u",), "=", Value("text", "1.50")), among=[Row({"u": Number("1.50")}), Row({"u": Number("1.5")})])
@example(wish=("is", ("u",), "=", Value("number", "1.5")), among=[Row({"u": Number("1.50")}), Row({"u": "1.5"})])
@example(
    wish=("is", ("l", "u"), ":", Value("text", "a")),
    among=[Row({"l": [{"u": ["b", "a"]}]}), Row({"l": [[{"u": "a"}]]})],
)
@example(wish=("is", ("l",), ":", Value("text", "u")), among=[Row({"l": {"u": None}}), Row({"l": [["u"]]})])
@example(wish=("is", ("0",), "=", Value("text", "a")), among=[Row({"0": "a"})])
async def test_filter_finds_what_it_means(database: Database, wish: Wish, among: list[Row]) -> None:
    async with database.connection() as connection:
        found = await found_among(connection, read(written(wish)), among)
    assert found == [means(wish, row) for row in among]


@in_one_database
@given(wish=wishes, among=st.lists(rows, min_size=1, max_size=8))
async def test_not_is_the_exact_complement(database: Database, wish: Wish, among: list[Row]) -> None:
    condition = read(written(wish))
    async with database.connection() as connection:
        found = await found_among(connection, condition, among)
        assert await found_among(connection, Not(condition), among) == [not one for one in found]


@in_one_database
@given(
    name=st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text)
    | st.sampled_from([ODD, "'", "\\'", "$", "?"]),
    value=text_values,
)
@example(name="'; DROP TABLE record; --", value="'; DROP TABLE record; --")
@example(name="\\", value="\\")
@example(name='"]/*', value="$1")
async def test_names_and_values_are_never_more_than_that(database: Database, name: str, value: str) -> None:
    name += "'\""
    among = [Row({name: value}), Row({name: {name: [value]}}), Row({name + "x": value}), Row({})]
    field = quoted(name)
    async with database.connection() as connection:
        assert await found_among(connection, read(f"{field} = {quoted(value)}"), among) == [True, False, False, False]
        assert await found_among(connection, read(f"{field}.{field}:{quoted(value)}"), among) == [
            False,
            True,
            False,
            False,
        ]
        assert await found_among(connection, read(f"{field}:*"), among) == [True, True, False, False]
        for type_ in FieldType:
            await connection.fetch(f"SELECT {index_expression(name, type_)} FROM record")


async def insert(database: Database, among: Iterable[Row], table_id: int = TABLE) -> None:
    """Puts records into a table."""
    records = [(table_id, row.writer, row.create_time, row.update_time, False, row.key, row.text) for row in among]
    async with database.connection() as connection:
        columns = ["table_id", "writer", "create_time", "update_time", "rewritten", "key", "data"]
        await connection.copy_records_to_table("record", records=records, columns=columns)


INDEXED = [(path[0], type_) for path, type_ in TYPES.items() if len(path) == 1]


async def make_indexes(database: Database) -> None:
    """Indexes all declared fields."""
    for name, type_ in INDEXED:
        await database.fetch(index_create(TABLE, name, type_))


def random_rows(number: int) -> list[Row]:
    """Records with all kinds of values in all fields."""
    random = Random(5)
    values: list[Any] = [
        *TEXTS,
        *TIMES,
        *map(Number, NUMBERS + LONG_NUMBERS),
        True,
        False,
        None,
        [],
        {},
        ["a"],
        [["a"]],
    ]
    tops = sorted({path[0] for path in (*TYPES, *UNDECLARED)})
    return [
        Row(
            {name: random.choice(values) for name in tops if random.random() < 0.8},
            f"k{at:03}",
            random.choice([-1, 1, 2]),
        )
        for at in range(number)
    ]


@settings(in_one_database, max_examples=100)
@given(wish=wishes)
async def test_indexes_change_no_answer(database: Database, wish: Wish) -> None:
    among = random_rows(200)
    if not await database.fetch("SELECT FROM record LIMIT 1"):
        await insert(database, among)
        await make_indexes(database)
    query, arguments = page_query(Scope(TABLE), read(written(wish)), BY_KEY, None, 1_000, 10**9)
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        found = [row["key"] for row in await connection.fetch(query, *arguments)]
    assert found == [row.key for row in among if means(wish, row)]


# Orders and pages.


async def pages(
    database: Database, order: Order, limit: int, condition: Condition | None = None, bytes_max: int = 10**9
) -> list[list[asyncpg.Record]]:
    """All pages of the table."""
    after, found = None, []
    while True:
        query, arguments = page_query(Scope(TABLE), condition, order, after, limit, bytes_max)
        page = await database.fetch(query, *arguments)
        found.append(page)
        if not page or not page[-1]["followed"]:
            return found
        after = After(page[-1]["key"], page[-1]["order_value"])


def order_value(row: Row, order: Order) -> Any:
    """What the record is ordered by; None if it comes last."""
    if isinstance(order.field, Own):
        own = {
            Own.KEY: row.key,
            Own.IMPORT_ID: row.writer if row.writer > 0 else None,
            Own.CREATE_TIME: row.create_time,
        }
        return own.get(order.field, row.update_time)
    value = (reached(row.data, order.field, through_lists=False) or [None])[0]
    match order.form, value:
        case Form.TEXT, Number():
            return value.shown[:250]
        case Form.TEXT, str():
            return value[:250]
        case ((Form.TEXT | Form.BOOLEAN), bool()):
            return json.dumps(value)
        case Form.NUMBER, Number() if len(value.shown) <= 400:
            return Decimal(value)
        case Form.TIME, str() if not isinstance(value, Number):
            return value[:250].rstrip("Z")
    return None


def in_order(among: Iterable[Row], order: Order) -> list[str]:
    """The keys in the order."""
    with_value = [(value, row.key) for row in among if (value := order_value(row, order)) is not None]
    without = [row.key for row in among if order_value(row, order) is None]
    ordered = sorted(with_value, reverse=order.descending)
    return [key for _, key in ordered] + sorted(without, reverse=order.descending)


ORDERS = [
    "",
    "_key desc",
    "_create_time",
    "_update_time desc",
    "_import_id",
    "_import_id desc",
    "u",
    "u desc",
    "o.n",
    "l.u",
]
ORDERS += [f"{quoted(name)}{direction}" for name, _ in INDEXED for direction in ("", " desc")]


@pytest.mark.parametrize("indexed", [False, True])
async def test_each_record_comes_once_and_in_order(database: Database, indexed: bool) -> None:
    random = Random(3)
    among = [
        Row(
            row.data,
            row.key,
            row.writer,
            TIME + timedelta(microseconds=random.randrange(9)),
            TIME + timedelta(hours=at % 4),
        )
        for at, row in enumerate(random_rows(60))
    ]
    await insert(database, among)
    await insert(database, among, TABLE + 1)
    if indexed:
        await make_indexes(database)
    for text in ORDERS:
        order = parse_order(text, FIELDS)
        for limit in (1, 7, 59, 60, 61):
            found = await pages(database, order, limit)
            assert [row["key"] for page in found for row in page] == in_order(among, order), (text, limit)
            assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
            assert 0 < len(found[-1]) <= limit
    condition = read("u = 1* OR n > 1")
    for text in ("n desc", "u", ""):
        order = parse_order(text, FIELDS)
        wish = ("or", [("is", ("u",), "=", Value("prefix", "1")), ("is", ("n",), ">", Value("number", "1"))])
        expected = in_order([row for row in among if means(wish, row)], order)
        assert [row["key"] for page in await pages(database, order, 3, condition) for row in page] == expected


async def test_page_ends_where_the_bytes_are_used_up_but_has_one_record(database: Database) -> None:
    random = Random(1)
    # Line feeds take two bytes in the text, one where they are stored.
    among = [Row({"x": "\n" * random.randrange(30, 300)}, f"k{at:02}") for at in range(40)]
    await insert(database, among)
    for after in (None, "k03", "k38", "k39", "z"):
        following = [row for row in among if after is None or row.key > after]
        for limit in (1, 2, 10, 39, 40, 41):
            for bytes_max in (0, 1, 500, 5_000, 10**9):
                # PostgreSQL writes a blank after the colon.
                text_bytes = accumulate(len(row.text) + 1 for row in following[:limit])
                fitting = max(1, sum(total <= bytes_max for total in text_bytes))
                query, arguments = page_query(
                    Scope(TABLE), None, BY_KEY, After(after) if after else None, limit, bytes_max
                )
                found = await database.fetch(query, *arguments)
                assert [row["key"] for row in found] == [row.key for row in following[:fitting]]
                assert [row["followed"] for row in found] == [row is not among[-1] for row in following[:fitting]]


async def test_ordered_page_ends_where_the_bytes_are_used_up(database: Database) -> None:
    among = [Row({"n": Number(at), "x": "\n" * 100}, f"k{at:02}") for at in range(20)]
    await insert(database, among)
    found = await pages(database, Order(("n",), Form.NUMBER, descending=True), 10, bytes_max=3 * 225)
    assert {len(page) for page in found[:-1]} == {3}
    assert [row["key"] for page in found for row in page] == [row.key for row in reversed(among)]


@pytest.mark.parametrize(
    ("order", "value"), [("n", "x"), ("n", "1e5"), ("n", "NaN"), ("_create_time", "x"), ("_create_time", "2026-01-01")]
)
async def test_page_token_of_another_order_is_refused(order: str, value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(value)):
        page_query(Scope(TABLE), None, parse_order(order, FIELDS), After("k", value), 1, 1)


@pytest.mark.parametrize(("filter_text", "order"), [("n = 1", ""), ("", "n"), ("u:x", "_create_time desc")])
async def test_what_takes_too_long_is_refused(database: Database, filter_text: str, order: str) -> None:
    condition = read(filter_text) if filter_text else None

    async def page(seconds_max: float) -> None:
        by = parse_order(order, FIELDS)
        await record_page(database, Scope(TABLE), condition, by, None, 10, 10**6, seconds_max=seconds_max)

    # A lock takes as long as a table that is too large.
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE record")
        with pytest.raises(FilterTooSlow, match=r"more than 0\.1 seconds: narrow the filter") as refused:
            await page(0.1)
    assert refused.value.facts == {"seconds": "0.1"}
    await page(10)


# Indexes.


@pytest.mark.parametrize("name", ["points", "x" * 63, "ö" * 31, "Points", ODD, "a.b", " ", "x0123456789abcdef"])
def test_index_names_are_short_simple_and_different(name: str) -> None:
    for type_ in FieldType:
        assert re.fullmatch("[a-z0-9_]{1,63}", index_name(2**63 - 1, name, type_))
    assert index_name(1, name, FieldType.TEXT) == index_name(1, name, FieldType.TEXT)
    others = {
        index_name(1, "other", FieldType.TEXT),
        index_name(2, name, FieldType.TEXT),
        index_name(1, name, FieldType.URL),
    }
    assert index_name(1, name, FieldType.TEXT) not in others


async def test_indexes_are_made_once_and_dropped(database: Database) -> None:
    for _ in range(2):
        await make_indexes(database)
    made = "SELECT indexname FROM pg_indexes WHERE tablename = 'record' AND indexname <> 'record_pkey'"
    assert {row[0] for row in await database.fetch(made)} == {index_name(TABLE, *field) for field in INDEXED}
    for _ in range(2):
        for name, type_ in INDEXED:
            await database.fetch(index_drop(TABLE, name, type_))
    assert await database.fetch(made) == []


async def test_no_value_is_too_long_for_an_index(database: Database) -> None:
    await make_indexes(database)
    random = Random(2)
    # Nothing that can be compressed.
    key = "".join(chr(random.randrange(0x10000, 0x10FFFF)) for _ in range(256))
    text = "".join(chr(random.randrange(0x10000, 0x10FFFF)) for _ in range(100_000))
    number = Number("9" + "".join(random.choices("0123456789", k=4_299)))
    fitting = Number(number[:400])
    await insert(database, [Row({ODD: text, "t": text, "e": text, "n": number}, key), Row({"n": fitting}, key[1:])])
    order = parse_order(quoted(ODD), FIELDS)
    assert len((await pages(database, order, 1))[0][0]["order_value"]) == 250


@pytest.fixture
async def many(database: Database) -> Database:
    """20,000 records, the even ones with values, and indexes on their fields."""
    await database.execute(
        """
        INSERT INTO record
        SELECT $1, 1, now(), now(), false, 'key' || lpad(at::text, 6, '0'),
        CASE WHEN at % 2 = 0 THEN jsonb_build_object(
            'n', at,
            'b', at % 1000 = 0,
            'e', md5(at::text) || '@example.org',
            't', to_char(timestamp '2026-01-01' + at * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            $2::text, md5(at::text)
        ) ELSE '{"other": [1, 2, 3]}' END
        FROM generate_series(1, 20000) AS at""",
        TABLE,
        ODD,
    )
    await make_indexes(database)
    await database.fetch("ANALYZE record")
    return database


async def plan(database: Database, query: str, arguments: Sequence[object], *, generic: bool) -> str:
    """How the query is run, with these arguments or with any."""
    async with database.transaction() as connection:
        mode = "force_generic_plan" if generic else "force_custom_plan"
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        await connection.execute(f"PREPARE page AS {query}")
        literals = [await connection.fetchval("SELECT quote_literal($1::text)", str(value)) for value in arguments]
        lines = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE page ({', '.join(literals)})")
        await connection.execute("DEALLOCATE page")
    return "\n".join(line[0] for line in lines)


def uses_index(found_plan: str, name: str) -> bool:
    """Whether the index of the field is read with conditions, and nothing else of the table."""
    index = index_name(TABLE, name, TYPES[(name,)])
    return f"{index}" in found_plan and "Seq Scan" not in found_plan and "Index Cond" in found_plan


@pytest.mark.parametrize("generic", [False, True])
async def test_filters_use_the_index(many: Database, generic: bool) -> None:
    odd = quoted(ODD)
    for text, name in [
        ("n = 40", "n"),
        ("n > 100 AND n <= 110", "n"),
        ("b = true", "b"),
        ("e = x@example.org", "e"),
        ("e = abc*", "e"),
        (f"{odd} = x", ODD),
        (f"{odd} = abc*", ODD),
        ("t = 2026-01-03T00:00:00Z", "t"),
        ("t >= 2026-01-03T00:00:00Z AND t < 2026-01-03T01:00:00Z", "t"),
        ("n = 40 AND (e:x OR NOT t = null)", "n"),
    ]:
        for query, arguments in (
            page_query(Scope(TABLE), read(text), BY_KEY, None, 100, 2**21),
            small_lines_query(Scope(TABLE), read(text), None, 100, descending=False),
        ):
            found_plan = await plan(many, query, arguments, generic=generic)
            assert uses_index(found_plan, name), (text, found_plan)


async def test_single_bound_uses_the_index_where_it_is_also_the_order(many: Database) -> None:
    # By key, PostgreSQL reads on from the last key: it has no statistics of partial indexes, and expects a third.
    for text in ("n < 10", "n >= 19990", "n != null AND n > 10"):
        for order in ("n", "n desc"):
            query, arguments = page_query(Scope(TABLE), read(text), parse_order(order, FIELDS), None, 100, 2**21)
            found_plan = await plan(many, query, arguments, generic=True)
            assert uses_index(found_plan, "n"), (text, found_plan)
            assert re.search(r"Index Cond: .*numeric END [<>]", found_plan), found_plan


@pytest.mark.parametrize("generic", [False, True])
async def test_pages_by_value_use_the_index_from_where_the_one_before_ended(many: Database, generic: bool) -> None:
    starts = {"n": "500", "e": "77@example.org", "t": "2026-01-03T00:00:00", "b": "false", ODD: "77"}
    for name, value in starts.items():
        for direction in ("", " desc"):
            order = parse_order(quoted(name) + direction, FIELDS)
            for after in (None, After("key000100", value), After("key000100")):
                query, arguments = page_query(Scope(TABLE), None, order, after, 10, 2**21)
                found_plan = await plan(many, query, arguments, generic=generic)
                assert uses_index(found_plan, name), (name, direction, after, found_plan)
                if after is not None:
                    assert re.search(r"Index Cond: \(ROW\(| IS NULL\) AND \(key [<>]", found_plan), found_plan
                # What is sorted is a page at most.
                assert not re.search("Sort Key: .*jsonb_typeof", found_plan), found_plan


async def test_pages_by_key_read_no_more_than_they_show(many: Database) -> None:
    after = After("key000100")
    for query, arguments in (
        page_query(Scope(TABLE), None, BY_KEY, after, 100, 2**21),
        small_lines_query(Scope(TABLE), None, after, 100, descending=False),
    ):
        found_plan = await plan(many, query, arguments, generic=True)
        assert "record_pkey" in found_plan
        assert re.search(r"Index Cond: .*key > ", found_plan)
        assert not re.search(r"Sort Key: .*key", found_plan)
