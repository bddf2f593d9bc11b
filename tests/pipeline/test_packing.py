"""Chunks: where the records in one came from is known, whatever was rejected between them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.domain.records import Decoded
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.decoding import decoder
from ingot_server.pipeline.packing import Origins, pack, unpack_keys, unpack_texts

GOOD, BAD = b'{"id":1}', b'{"no":1}'


def some_lines(good: Sequence[bool], first: int) -> Decoded:
    """Lines of a file, from the one with the index `first` on, after they were checked."""
    count = len(good)
    texts = [GOOD if is_good else BAD for is_good in good]
    return check(Decoded(texts, range(first, first + count), range(first + 1, first + 1 + count), [], count), ("id",))


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=12), max_size=4))
def test_every_record_of_a_chunk_is_known_by_its_index_and_its_line(pieces: list[list[bool]]) -> None:
    firsts = [sum(map(len, pieces[:number])) for number in range(len(pieces))]
    packed = pack([some_lines(piece, first) for piece, first in zip(pieces, firsts, strict=True)])
    sent = [is_good for piece in pieces for is_good in piece]
    origins = Origins(packed.runs)
    found = [origins[position] for position in range(len(unpack_texts(packed.payload)))]
    assert found == [(index, index + 1) for index, is_good in enumerate(sent) if is_good]


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_runs_begin_where_the_checks_say_so(good: list[bool]) -> None:
    piece = some_lines(good, 0)
    looked_for = replace(piece, starts=None)
    assert pack([piece]) == pack([looked_for])


@given(st.lists(st.from_regex(rb'\{"id":"[a-z]{1,9}"\}', fullmatch=True), max_size=12), st.data())
def test_the_lines_of_a_file_are_packed_as_they_stand(lines: list[bytes], data: st.DataObject) -> None:
    file = b"\r\n".join(lines) + data.draw(st.sampled_from([b"", b"\n"] if lines else [b""]))
    read = decoder(DataFormat(FileType.NDJSON))
    first, consumed = read.feed(file[: data.draw(st.integers(0, len(file)))], False)
    second, _ = read.feed(file[consumed:], True)
    pieces = [check(piece, ("id",)) for piece in (first, second)]
    assert unpack_texts(pack(pieces).payload) == lines
    assert pack([replace(piece, block=None) for piece in pieces]) == pack(pieces)


@pytest.mark.parametrize("bad", [0, 1, 2])
@pytest.mark.parametrize("number", [b"1", b"1e999"], ids=["good", "out of range"])
def test_a_line_with_bytes_that_are_not_of_its_encoding_is_not_packed(bad: int, number: bytes) -> None:
    lines = [b'{"id":"%d","n":%b}' % (index, number if index == (bad + 1) % 3 else b"1") for index in range(3)]
    lines[bad] = lines[bad].replace(b'"n"', b'"\x81"')
    read = decoder(DataFormat(FileType.NDJSON, encoding="windows-1252"))
    decoded, _ = read.feed(b"\n".join(lines), True)
    packed = pack([check(decoded, ("id",))])
    left = [index for index, line in enumerate(lines) if index != bad and b"1e999" not in line]
    assert unpack_texts(packed.payload) == [lines[index] for index in left]
    assert unpack_keys(packed.keys) == [str(index) for index in left]
    origins = Origins(packed.runs)
    assert [origins[position] for position in range(len(left))] == [(index, index + 1) for index in left]


@pytest.mark.parametrize(
    ("indexes", "lines"),
    [(range(4), [1, 3, 4, 4]), ([0, 2, 3, 5], [1, 3, 4, 6]), (range(4), [0] * 4), ([0, 1, 3, 4], [0] * 4)],
    ids=["lines with gaps", "both with gaps", "no file", "no file, with gaps"],
)
@pytest.mark.parametrize("bad", [set(), {0}, {1}, {3}, {0, 2}, {0, 1, 2, 3}], ids=str)
def test_records_that_are_rejected_leave_the_others_where_they_were(
    indexes: Sequence[int], lines: Sequence[int], bad: set[int]
) -> None:
    texts = [BAD if position in bad else GOOD for position in range(4)]
    packed = pack([check(Decoded(texts, indexes, lines, [], 4), ("id",))])
    left = [place for position, place in enumerate(zip(indexes, lines, strict=True)) if position not in bad]
    origins = Origins(packed.runs)
    assert [origins[position] for position in range(len(left))] == left
