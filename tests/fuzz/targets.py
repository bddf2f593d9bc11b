"""What reads the words of callers, and what must hold of it whatever they are."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ingot.v1 import batch_pb2
from ingot_server.domain.api_keys import api_key_new, api_key_parse
from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.fields import Field, FieldType, Reading
from ingot_server.domain.filters import FilterInvalid, KnownFields, parse_filter, parse_order
from ingot_server.domain.formats import Compression, DataFormat, FileType
from ingot_server.domain.records import Decoded, ErrorCode
from ingot_server.pipeline import exact_json
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.decoding.unpacking import FREE_BYTES, RATIO_MAX
from ingot_server.pipeline.values import Doubtful, Unreadable, normal_text, reader
from ingot_server.rpc import paging
from ingot_server.rpc.formats import data_format
from ingot_server.storage.filtering import Arguments, condition_sql
from tests.fuzz import drafts
from tests.pipeline.feeding import Read, read
from tests.pipeline.test_mending import csv_file, rejected
from tests.pipeline.test_unpacking import pack, unpack

Draft = Callable[[int], st.SearchStrategy[Any]]
"""Makes inputs of up to so many bytes."""


@dataclass(frozen=True)
class Target:
    """Something that reads what callers send."""

    name: str
    draft: Draft
    try_one: Callable[[Any], int]
    """Reads one input, and fails if what was promised does not hold. How many records, or things like them, it was."""

    def __str__(self) -> str:
        return self.name


# --------------------------------------------------------------------------------------------------------------- files

Cuts = tuple[list[int], set[int]]
CUTS: st.SearchStrategy[Cuts] = st.tuples(st.lists(st.integers(0, 1 << 22), max_size=6), st.sets(st.integers(0, 6)))
SPELLINGS = st.sampled_from([(",", '"'), (";", '"'), ("\t", "'"), ("|", "^")])
ENCODINGS = st.sampled_from(["utf-16", "utf-16-be", "utf-32", "cp1252", "shift_jis", "gb18030", "euc_jis_2004"])


def read_in_any_pieces(format: DataFormat, data: bytes, cuts: Cuts) -> Read:
    """The records of a file; however it is cut, and whoever goes on, they are the same."""
    places, swaps = cuts
    whole = read(format, data)
    assert read(format, data, [place % (len(data) + 1) for place in places], swaps) == whole
    return whole


def checked(found: Read, key_fields: tuple[str, ...] | None = None) -> Decoded:
    """What passes the checks on receipt. Each record passes or is rejected."""
    texts = [text for text, _, _ in found.records]
    result = check(
        Decoded(
            texts,
            [index for _, index, _ in found.records],
            [line for _, _, line in found.records],
            list(found.rejects),
            found.received,
        ),
        key_fields,
    )
    there = [*result.indexes, *(one.index for one in result.rejects)]
    assert sorted(there) == list(range(found.received))
    for text in result.texts:
        assert isinstance(loaded(text), dict)
        assert b"\n" not in text
    return result


def loaded(text: bytes) -> Any:
    """What Python's own reader makes of JSON. Raises ValueError."""
    return json.loads(text.decode(), parse_float=Decimal, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def is_json(text: bytes) -> bool:
    """Whether Python's own reader takes it."""
    try:
        loaded(text)
    except (ValueError, RecursionError):
        return False
    return True


def try_ndjson(given: tuple[bytes, Cuts]) -> int:
    """A line that passes is JSON, and one that is not well-formed is none; the json module judges."""
    data, cuts = given
    found = read_in_any_pieces(DataFormat(FileType.NDJSON), data, cuts)
    texts = {index: text for text, index, _ in found.records}
    for reject in checked(found, ("id",)).rejects:
        assert reject.faults
        if {fault.code for fault in reject.faults} == {ErrorCode.SYNTAX_ERROR} and reject.index in texts:
            assert not is_json(texts[reject.index]) or b"ingot:" in texts[reject.index]
    return found.received


def try_csv(given: tuple[bytes, tuple[str, str], Cuts]) -> int:
    """A file without a fault has the rows that the csv module reads."""
    data, (delimiter, quote), cuts = given
    found = read_in_any_pieces(DataFormat(FileType.CSV, delimiter=delimiter, quote=quote), data, cuts)
    checked(found)
    if found.received and not found.rejects and b"ingot:errors" not in data:
        text = data.decode().removeprefix("\ufeff")
        rows = list(csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter, quotechar=quote, strict=True))
        names = [name.strip() for name in rows[0]]
        assert [loaded(text) for text in found.texts] == [dict(zip(names, row, strict=True)) for row in rows[1:]]
    return found.received


def try_table(given: tuple[list[list[str]], tuple[str, str], str, Cuts]) -> int:
    """A table that the csv module has written comes back."""
    rows, (delimiter, quote), end, cuts = given
    file = io.StringIO()

    # It leaves a carriage return without quotes where lines end without one.
    class Dialect(csv.excel):
        quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL

    csv.writer(file, Dialect, delimiter=delimiter, quotechar=quote, lineterminator=end).writerows(rows)
    format = DataFormat(FileType.CSV, delimiter=delimiter, quote=quote, columns=("a", "b", "c"))
    found = read_in_any_pieces(format, file.getvalue().encode(), cuts)
    assert found.rejects == []
    assert [list(loaded(text).values()) for text in found.texts] == rows
    return found.received


def try_array(given: tuple[bytes, Cuts]) -> int:
    """A file without a fault is an array for the json module, with the same elements; any array has all of its own."""
    data, cuts = given
    found = read_in_any_pieces(DataFormat(FileType.JSON_ARRAY), data, cuts)
    passed = checked(found)
    plain = data.removeprefix(b"\xef\xbb\xbf")
    if found.received and not passed.rejects:
        assert [loaded(text) for text in passed.texts] == loaded(plain)
    if is_json(plain) and isinstance(loaded(plain), list):
        assert found.received == len(loaded(plain))
        assert ErrorCode.UNREADABLE_REST not in {code for _, _, code in found.codes}
    return found.received


def try_encoding(given: tuple[FileType, str, bytes, Cuts]) -> int:
    """Files in other encodings: nothing but records and rejects comes of them."""
    type_, encoding, data, cuts = given
    source = data.decode(errors="replace").encode(encoding, errors="replace") + data[:3]
    found = read_in_any_pieces(DataFormat(type_, encoding), source, cuts)
    checked(found)
    return found.received


def try_compressed(given: tuple[Compression, bytes, list[int], int]) -> int:
    """What is unpacked without a fault is what the gzip module unpacks; it is never much more than what came in."""
    compression, packed, places, bytes_max = given
    plain, message = unpack(compression, packed, [place % (len(packed) + 1) for place in places], bytes_max)
    assert len(plain) <= FREE_BYTES + RATIO_MAX * len(packed) + bytes_max
    whole, whole_message = unpack(compression, packed)
    assert (message == "") == (whole_message == "")
    if not message:
        assert plain == whole
        if compression is Compression.GZIP:
            assert plain == gzip.decompress(packed)
    return 1 + len(plain) // 1_000


def try_mended(given: tuple[bytes, Cuts]) -> int:
    """Files of rejected records that somebody has changed."""
    data, cuts = given
    received = 0
    for type_ in (FileType.CSV, FileType.NDJSON):
        found = read_in_any_pieces(DataFormat(type_), data, cuts)
        checked(found)
        received += found.received
    return received


def tables() -> st.SearchStrategy[list[list[str]]]:
    """Rows of three cells, one of which is never empty: a row of nothing is no record."""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    cell = st.text(characters, max_size=6) | st.sampled_from([",", '"', "'", "a\nb", "\r", "\r\n", " ", "^", "|;"])
    return st.lists(st.tuples(st.just("x"), cell, cell).map(list), max_size=12)


def mended_files(bytes_max: int) -> st.SearchStrategy[bytes]:
    """The file of some rejected records, damaged."""
    names = st.sampled_from(["id", "a", "n:json", "ingot:x", " b", "ä", "=c", ""])
    values = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
    records = st.dictionaries(names, values, max_size=4) | st.text(max_size=8)
    made = st.lists(records, min_size=1, max_size=6).map(lambda found: csv_file(found).encode())
    lines = st.lists(
        st.builds(lambda fields: rejected(fields).text, st.dictionaries(names, values, max_size=3)), max_size=4
    ).map(b"\n".join)
    return drafts.damaged(made) | drafts.damaged(lines) | drafts.joined(drafts.ROWS, bytes_max)


def packed_files(bytes_max: int) -> st.SearchStrategy[tuple[Compression, bytes, list[int], int]]:
    """Members that are whole, damaged, or something else."""

    def made(compression: Compression) -> st.SearchStrategy[tuple[Compression, bytes, list[int], int]]:
        plain = st.binary(max_size=300) | st.integers(0, 40 * bytes_max).map(bytes)
        member = drafts.damaged(plain.map(lambda data: pack(compression, data))) | st.binary(max_size=20)
        zeros = st.integers(0, 600).map(bytes)
        return st.tuples(
            st.just(compression),
            st.lists(member | zeros, max_size=4).map(b"".join),
            st.lists(st.integers(0, 1 << 20), max_size=6),
            st.integers(1, 1 << 17),
        )

    return st.sampled_from([Compression.GZIP, Compression.ZSTD]).flatmap(made)


# --------------------------------------------------------------------------------------------------------------- words

FIELDS = KnownFields(
    [
        Field("points", FieldType.NUMBER, aliases=("score",)),
        Field("active", FieldType.BOOLEAN),
        *(Field(type_.lower(), type_) for type_ in FieldType if type_ not in (FieldType.OBJECT, FieldType.NUMBER)),
        Field("seen", FieldType.TIMESTAMP),
        Field("day", FieldType.DATE),
        Field("tags", FieldType.TEXT, many=True),
        Field("address", FieldType.OBJECT, fields=(Field("zip", FieldType.IDENTIFIER),)),
        Field("a.b", FieldType.NUMBER),
    ]
)
READINGS = [
    Reading(),
    Reading(country="SE", time_zone="Europe/Stockholm", locale="sv"),
    Reading(country="US", time_zone="America/New_York", locale="en-IN"),
    Reading(country="AR", time_zone="Africa/Monrovia", locale="de-CH"),
]


def try_filter(given: tuple[str, int]) -> int:
    """A filter is SQL that holds nothing that PostgreSQL does not, or is refused with its place."""
    text, number = given
    try:
        condition = parse_filter(text, FIELDS, lambda type_, value: normal_text(type_, READINGS[number], value))
    except FilterInvalid as refused:
        assert 0 <= refused.position <= len(text)
        return 1
    if condition is not None:
        arguments = Arguments()
        condition_sql(condition, arguments).encode()
        for value in arguments.values:
            assert not isinstance(value, str) or "\0" not in value.encode().decode()
    return 1


def try_order(text: str) -> int:
    """An order is one, or is refused with its place."""
    try:
        parse_order(text, FIELDS)
    except FilterInvalid as refused:
        assert 0 <= refused.position <= len(text)
    return 1


def try_api_key(text: str) -> int:
    """A key is what it spells, or none."""
    key = api_key_parse(text)
    assert key is None or key.text == text
    return 1


def try_page_token(token: str) -> int:
    """A token names a position that PostgreSQL holds, or is refused."""
    for position in (
        paging.text_pair,
        paging.error_position,
        lambda text: paging.page_position(text, int),
        lambda text: paging.page_position(text, str),
    ):
        try:
            found: Any = position(token)
        except InvalidRequest:
            continue
        for part in found if isinstance(found, tuple) else (found,):
            if isinstance(part, str):
                assert "\0" not in part
                part.encode()
            else:
                assert abs(part) < 1 << 63
    return 1


def try_format(given: tuple[int, int, str, str, str, Sequence[str]]) -> int:
    """How a file is to be read is understood, or refused; a file can then be read so."""
    type_, compression, encoding, delimiter, quote, columns = given
    message = batch_pb2.DataFormat(encoding=encoding)
    message.type, message.compression = type_, compression  # type: ignore[assignment]
    message.csv.delimiter, message.csv.quote = delimiter, quote
    message.csv.columns.extend(columns)
    try:
        format = data_format(message)
    except InvalidRequest:
        return 1
    if not format.type.tabular:
        read(format, b"a,b\n1,2\n")
    return 1


def try_value(given: tuple[FieldType, int, Any]) -> int:
    """A value is read as JSON that reads as itself again, or refused in words."""
    type_, number, value = given
    read_value = reader(type_, READINGS[number])
    try:
        found = read_value(value)
    except Unreadable as refused:
        assert len(refused.message) < 1_000
        return 1
    plain = found.value if isinstance(found, Doubtful) else found
    exact_json.encode(plain).decode()
    again = read_value(plain)
    assert (again.value if isinstance(again, Doubtful) else again) == plain
    return 1


def values(characters_max: int) -> st.SearchStrategy[Any]:
    """A type, a reading and a value, as it comes out of JSON."""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    texts = st.text(characters, max_size=60) | drafts.joined_texts(drafts.VALUES, characters_max).map(
        lambda text: text.encode(errors="replace").decode().replace("\0", "")
    )
    numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
    large = st.sampled_from([10**30, 10**4_000, Decimal("1e308"), Decimal("1e-308"), Decimal("0e300"), Decimal("-0.0")])
    value = texts | texts | numbers | large | st.lists(texts, max_size=2) | st.dictionaries(texts, numbers, max_size=2)
    return st.tuples(st.sampled_from(list(FieldType)), st.sampled_from(range(len(READINGS))), value)


def tokens(characters_max: int) -> st.SearchStrategy[str]:
    """Tokens of positions of all kinds, and of none."""
    part = (
        st.text()
        | st.integers()
        | st.integers(-2, 2)
        | st.booleans()
        | st.none()
        | st.floats()
        | st.sampled_from(["\ud800", "a\0"])
    )
    position = st.lists(part | st.lists(part, max_size=2), max_size=4) | part
    texts = st.text(max_size=40) | drafts.joined_texts(["eyJ", "W10=", "=", "-", "_", "ä"], characters_max)
    return position.map(paging.page_token) | texts


def api_keys(characters_max: int) -> st.SearchStrategy[str]:
    """Keys, keys with an error, and texts."""
    made = st.builds(lambda _: api_key_new().text, st.none())
    wrong = st.builds(
        lambda key, at, other: key[:at] + other + key[at + 1 :], made, st.integers(0, 60), st.text(max_size=2)
    )
    return made | wrong | st.text(max_size=80) | drafts.joined_texts(["ingot_", "_", "0", "a", "\n"], characters_max)


def formats(characters_max: int) -> st.SearchStrategy[Any]:
    """All that a caller can say of a file."""
    name = drafts.joined_texts(["utf-8", "UTF_16", "latin-1", "cp1252", "idna", "zlib", " ", "\0"], characters_max)
    sign = st.sampled_from(["", ",", ";", '"', "'", "\n", "ä", "😀", "\0", ",,"]) | st.text(max_size=2)
    clean = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    return st.tuples(
        st.integers(0, 8),
        st.integers(0, 5),
        name.map(lambda text: text.encode(errors="replace").decode()),
        sign.map(lambda text: text.encode(errors="replace").decode()),
        sign.map(lambda text: text.encode(errors="replace").decode()),
        st.lists(clean, max_size=4),
    )


TARGETS = (
    Target("ndjson", lambda size: st.tuples(drafts.joined(drafts.LINES, size), CUTS), try_ndjson),
    Target("csv", lambda size: st.tuples(drafts.joined(drafts.ROWS, size), SPELLINGS, CUTS), try_csv),
    Target("table", lambda _: st.tuples(tables(), SPELLINGS, st.sampled_from(["\n", "\r\n"]), CUTS), try_table),
    Target(
        "array",
        lambda size: st.tuples(
            drafts.joined(drafts.JSON, size) | drafts.joined(drafts.JSON, size).map(lambda inner: b"[%b]" % inner), CUTS
        ),
        try_array,
    ),
    Target(
        "encodings",
        lambda size: st.tuples(
            st.sampled_from([FileType.NDJSON, FileType.CSV, FileType.JSON_ARRAY]),
            ENCODINGS,
            drafts.joined(drafts.LINES, size // 4),
            CUTS,
        ),
        try_encoding,
    ),
    Target("compressed", packed_files, try_compressed),
    Target("mended", lambda size: st.tuples(mended_files(size), CUTS), try_mended),
    Target("format", formats, try_format),
    Target(
        "filter",
        lambda size: st.tuples(drafts.joined_texts(drafts.FILTER, size), st.sampled_from(range(len(READINGS)))),
        try_filter,
    ),
    Target("order_by", lambda size: drafts.joined_texts(drafts.FILTER, size), try_order),
    Target("api_key", api_keys, try_api_key),
    Target("page_token", tokens, try_page_token),
    Target("value", values, try_value),
)
