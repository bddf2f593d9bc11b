import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.domain.records import RECORD_BYTES_MAX, ErrorCode
from ingot_server.pipeline.decoding import decoder
from tests.pipeline.feeding import read

ARRAY = DataFormat(FileType.JSON_ARRAY)
SYNTAX, REST = ErrorCode.SYNTAX_ERROR, ErrorCode.UNREADABLE_REST


@pytest.mark.parametrize("data", [b"", b" \n", b"[]", b"\xef\xbb\xbf [ \n ] \n"])
def test_an_empty_file_or_array_holds_no_records(data: bytes) -> None:
    assert read(ARRAY, data).received == 0


def test_elements_are_the_bytes_of_the_source_with_the_line_they_begin_on() -> None:
    data = b'\xef\xbb\xbf[ {"a": 1.50} ,\n{"b":"],[{\\"" ,\n "c":[{}]}\r\n,{"d":\xc3\xa4},\n\n1e400]\n'
    assert read(ARRAY, data).records == [
        (b'{"a": 1.50}', 0, 1),
        (b'{"b":"],[{\\"" ,\n "c":[{}]}', 1, 2),
        (b'{"d":\xc3\xa4}', 2, 4),
        (b"1e400", 3, 6),
    ]


TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from('{}[]",\\ '), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(
    values=st.lists(VALUES, max_size=12),
    indent=st.sampled_from([None, 0, 2]),
    cuts=st.lists(st.integers(0, 300), max_size=3),
)
@settings(max_examples=1_000, deadline=None)
def test_any_array_is_taken_apart_where_its_elements_end(
    values: list[object], indent: int | None, cuts: list[int]
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    found = read(ARRAY, text.encode(), [min(cut, len(text)) for cut in cuts])
    assert [(element.decode(), line) for element, _, line in found.records] == taken_apart(text)
    assert found.rejects == []


def taken_apart(text: str) -> list[tuple[str, int]]:
    """The elements of an array and their lines, found by the standard library."""
    elements: list[tuple[str, int]] = []
    position = 1
    while True:
        while text[position] in " \n,":
            position += 1
        if text[position] == "]":
            return elements
        _, end = json.JSONDecoder().raw_decode(text, position)
        elements.append((text[position:end], text.count("\n", 0, position) + 1))
        position = end


@pytest.mark.parametrize(
    "element", [b"{x}", b"{'a':1}", b'{"a":1,}', b"{} {}", b"nope", b"[1 2]", b"{]".replace(b"]", b"}")]
)
def test_a_malformed_element_is_handed_on_alone(element: bytes) -> None:
    data = b'[{"a":1}, ' + element + b' ,\n{"a":2}]'
    assert read(ARRAY, data).records == [(b'{"a":1}', 0, 1), (element, 1, 1), (b'{"a":2}', 2, 2)]


@pytest.mark.parametrize(
    ("data", "codes"),
    [(b"[1,,2]", [(1, 1, SYNTAX)]), (b"[1,\n]", [(1, 2, SYNTAX)]), (b"[,]", [(0, 1, SYNTAX), (1, 1, SYNTAX)])],
)
def test_a_missing_element_is_a_syntax_error(data: bytes, codes: list[tuple[int, int, ErrorCode]]) -> None:
    assert read(ARRAY, data).codes == codes


@pytest.mark.parametrize(
    ("data", "good", "line", "raw", "words"),
    [
        (b'\n{"a":1}', 0, 2, '{"a":1}', "expected `[`, the beginning of an array, on line 2"),
        (b"x", 0, 1, "x", "expected `[`"),
        (b"[1,2]\n x", 2, 2, "x", "nothing more after the end of the array, on line 2"),
        (b"[1][2]", 1, 1, "[2]", "nothing more"),
        (b"[", 0, 1, "", "ends on line 1 within the array"),
        (b"[1,\n", 1, 2, "", "ends on line 2 within the array"),
        (b'[1,{"a":2}', 2, 1, "", "expected `]`"),
        (b'[1,\n{"a":[2', 1, 2, '{"a":[2', "begins on line 2 has no end: the file ends"),
        (b'[1,{"a":"2}]', 1, 1, '{"a":"2}]', "the file ends"),
        (b'[1,{"a":[2},\n{"b":3}]', 1, 1, '{"a":[2},\n{"b":3}]', "expected `]`, found `}` on line 1"),
        (b"[1,[\n[2}\n]", 1, 1, "[\n[2}\n]", "expected `]`, found `}` on line 2"),
        (b"[1,2},3]", 1, 1, "2},3]", "expected `,` or `]`, found `}`"),
    ],
)
def test_where_the_rest_cannot_be_read_one_reject_says_why(
    data: bytes, good: int, line: int, raw: str, words: str
) -> None:
    found = read(ARRAY, data)
    assert len(found.records) == good
    assert found.codes == [(good, line, REST)]
    assert found.rejects[0].raw == raw
    assert words.lower() in found.rejects[0].faults[0].message.lower()


def test_the_unreadable_rest_is_consumed_silently() -> None:
    reading = decoder(ARRAY)
    reading.feed(b"x" * 10_000, final=False)
    decoded, consumed = decoder(ARRAY, reading.state()).feed(b"y" * 1_000, final=True)
    assert (decoded.received, consumed) == (0, 1_000)


@pytest.mark.parametrize("blanks", [b"", b"\n   "])
def test_the_size_limit_is_exact(blanks: bytes) -> None:
    frame = len(b'{"a":""}')
    fitting = b'{"a":"%b"}' % (b"x" * (RECORD_BYTES_MAX - frame))
    too_large = b'{"a":"%b"}' % (b"]" * (RECORD_BYTES_MAX - frame + 1))
    data = b"[" + fitting + blanks + b"," + too_large + blanks + b",{}]"
    for cuts in ([], [10, RECORD_BYTES_MAX, RECORD_BYTES_MAX + 10, 2 * RECORD_BYTES_MAX, 2 * RECORD_BYTES_MAX + 10]):
        found = read(ARRAY, data, cuts)
        assert found.texts == [fitting, b"{}"]
        assert found.codes == [(1, 1 + len(blanks.split(b"\n")) - 1, ErrorCode.RECORD_TOO_LARGE)]


def test_an_element_that_is_far_too_large_is_skipped_without_being_kept() -> None:
    reading = decoder(ARRAY)
    piece = b'[{"a":[' + b'"]\\"",' * (RECORD_BYTES_MAX // 4)
    rest = piece[reading.feed(piece, final=False)[1] :]
    assert rest == b""
    for _ in range(5):
        reading = decoder(ARRAY, reading.state())
        decoded, consumed = reading.feed(b'"]\\"",' * 100_000, final=False)
        assert (decoded.received, consumed) == (0, 600_000)
    decoded, _ = reading.feed(b'1]},\n{"b":1}]', final=True)
    assert (decoded.texts, list(decoded.indexes), list(decoded.lines)) == ([b'{"b":1}'], [1], [2])


def test_an_element_nested_deeply_is_found() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert read(ARRAY, b"[" + deep + b",{}]").texts == [deep, b"{}"]


@pytest.mark.parametrize(
    "element",
    [b'"",', b"[],", b"{}{},", b'{"a":[{},{}]},', b"[[[[[[[]]]]]]],", b'\\",', b"1,", b"{x},", b",", b"[{},{}],", b"}"],
)
@pytest.mark.parametrize("opening", [b"[", b"[[", b"[[[[[["])
def test_no_file_takes_more_time_than_its_size_allows(element: bytes, opening: bytes) -> None:
    data = opening + element * (128 * 1024 // len(element))
    start = time.thread_time()
    read(ARRAY, data, range(0, len(data), 128 * 1024))
    assert time.thread_time() - start < 5
