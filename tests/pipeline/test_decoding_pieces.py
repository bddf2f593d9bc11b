"""A file may be cut anywhere, and its decoder replaced after any piece: the result is the same as in one feed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingot_server.domain import records
from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.pipeline.decoding import array, ndjson, pace, row_records, rows
from tests.pipeline.feeding import Read, read

NDJSON = DataFormat(FileType.NDJSON)
CSV = DataFormat(FileType.CSV)
ARRAY = DataFormat(FileType.JSON_ARRAY)
ENCODINGS = ["utf-8", "utf-16", "utf-16-be", "utf-32-le", "cp1252", "shift_jis", "gb18030", "euc_jis_2004", "big5hkscs"]

FRAGMENTS = {
    FileType.NDJSON: [
        b"{}",
        b'{"a":1}',
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"\xef\xbb\xbf",
        b"x" * 30,
        b"\xc3\xa4",
        b"\xff",
        b"\0",
    ],
    FileType.CSV: [
        *(b"a", b"bb", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b" ", b"x" * 30, b"\xc3\xa4", b"\xff", b"\0"),
        *(b"1,2\n", b"a,b\n", b'"q",1\n', b'"l\nm",1\n', b'x",",\n', b"\xef\xbb\xbf", b'1,"a""b"\n'),
    ],
    FileType.JSON_ARRAY: [
        *(b"[", b"]", b"{", b"}", b",", b'"', b"\\", b":", b"\n", b" ", b"1", b"nul", b"\xff", b"x" * 30, b"\xc3\xa4"),
        *(b'{"a":1},', b'{"b":"}],"},\n', b'{"c":[{"d":"\\""},{}]},', b"[1,[2]]", b"\xef\xbb\xbf", b'"s\\\\",'),
    ],
}


@contextmanager
def small_limits(*, careful: bool = False) -> Iterator[None]:
    """So that small files meet every limit. With `careful` no decoder takes more than one record at a time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (ndjson, rows, row_records, array):
            patch.setattr(module, "RECORD_BYTES_MAX", 40)
        patch.setattr(array, "_SEARCH_BYTES_MAX", 50)
        patch.setattr(array, "RAW_BYTES_MAX", 8)
        patch.setattr(records, "RAW_BYTES_MAX", 8)
        patch.setattr(rows, "ROW_LINES_MAX", 4)
        patch.setattr("ingot_server.pipeline.decoding.table.ROW_LINES_MAX", 4)
        patch.setattr("ingot_server.pipeline.decoding.encodings._SEGMENT_BYTES", 5)
        patch.setattr(pace, "_BYTES_MIN", 8)
        patch.setattr(pace, "_BYTES_MAX", 32)
        patch.setattr(pace, "_CAREFUL_RECORDS", 2)
        if careful:
            patch.setattr(pace.Pace, "block_bytes", lambda self: 0)
        yield


def files(type: FileType, beginning: bytes) -> st.SearchStrategy[bytes]:
    body = st.lists(st.sampled_from(FRAGMENTS[type]) | st.binary(max_size=3), max_size=40).map(b"".join)
    return st.tuples(st.sampled_from([beginning, b""]), body).map(b"".join)


def in_one_feed(format: DataFormat, data: bytes) -> Read:
    with small_limits(careful=True):
        return read(format, data)


def in_pieces(format: DataFormat, data: bytes, cuts: list[int], swaps: set[int]) -> Read:
    with small_limits():
        return read(format, data, [cut % (len(data) + 1) for cut in cuts], swaps)


CUTS = st.lists(st.integers(0, 400), max_size=12)
SWAPS = st.sets(st.integers(0, 12))


@given(data=files(FileType.NDJSON, b'{"a":1}\n'), cuts=CUTS, swaps=SWAPS)
@settings(max_examples=400, deadline=None)
def test_ndjson_is_the_same_however_it_is_cut(data: bytes, cuts: list[int], swaps: set[int]) -> None:
    assert in_pieces(NDJSON, data, cuts, swaps) == in_one_feed(NDJSON, data)


@given(data=files(FileType.CSV, b"a,b\n"), cuts=CUTS, swaps=SWAPS)
@example(data=b'a,b\n"x\ny\n",1\n2,3\n', cuts=[5, 7, 9], swaps={1})
@settings(max_examples=1_000, deadline=None)
def test_csv_is_the_same_however_it_is_cut(data: bytes, cuts: list[int], swaps: set[int]) -> None:
    assert in_pieces(CSV, data, cuts, swaps) == in_one_feed(CSV, data)


@given(data=files(FileType.JSON_ARRAY, b"["), cuts=CUTS, swaps=SWAPS)
@settings(max_examples=1_000, deadline=None)
def test_an_array_is_the_same_however_it_is_cut(data: bytes, cuts: list[int], swaps: set[int]) -> None:
    assert in_pieces(ARRAY, data, cuts, swaps) == in_one_feed(ARRAY, data)


@given(
    type=st.sampled_from([(FileType.NDJSON, b"{}\n"), (FileType.CSV, b"a,b\n"), (FileType.JSON_ARRAY, b"[")]),
    encoding=st.sampled_from(ENCODINGS),
    data=st.data(),
    cuts=CUTS,
    swaps=SWAPS,
)
@settings(max_examples=700, deadline=None)
def test_other_encodings_are_the_same_however_they_are_cut(
    type: tuple[FileType, bytes], encoding: str, data: st.DataObject, cuts: list[int], swaps: set[int]
) -> None:
    text = data.draw(files(*type)).decode(errors="replace")
    noise = data.draw(st.binary(max_size=4))
    at = data.draw(st.integers(0, 100))
    source = text.encode(encoding, errors="replace")
    source = source[:at] + noise + source[at:]
    format = DataFormat(type[0], encoding)
    assert in_pieces(format, source, cuts, swaps) == in_one_feed(format, source)


@given(format=st.sampled_from([NDJSON, CSV, ARRAY]), data=st.binary(max_size=200), cuts=CUTS, swaps=SWAPS)
@settings(max_examples=400, deadline=None)
def test_random_bytes_are_the_same_however_they_are_cut(
    format: DataFormat, data: bytes, cuts: list[int], swaps: set[int]
) -> None:
    assert in_pieces(format, data, cuts, swaps) == in_one_feed(format, data)


@pytest.mark.parametrize("format", [NDJSON, CSV, ARRAY])
def test_byte_by_byte_with_a_new_decoder_for_each_is_the_same(format: DataFormat) -> None:
    data = {
        NDJSON: b'\xef\xbb\xbf{"a":1}\r\n\n{"b":"\xc3\xa4"}',
        CSV: b'\xef\xbb\xbfa,b\r\n"1\r\n2",3\n\n"x"y,1\n4,\xc3\xa4',
        ARRAY: b'\xef\xbb\xbf[ {"a":\n[1]},\n{"b":"],"} ,3]\n',
    }[format]
    assert read(format, data, range(1, len(data)), range(len(data))) == read(format, data)
