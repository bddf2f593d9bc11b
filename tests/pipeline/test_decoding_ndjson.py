import pytest

from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.domain.records import RECORD_BYTES_MAX, ErrorCode
from ingot_server.pipeline.decoding import decoder
from tests.pipeline.feeding import read

NDJSON = DataFormat(FileType.NDJSON)


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"", []),
        (b'{"a":1}', [b'{"a":1}']),
        (b'{"a":1}\n', [b'{"a":1}']),
        (b'{"a":1}\n{"a":2}', [b'{"a":1}', b'{"a":2}']),
        (b'{"a":1}\r\n{"a":2}\r\n', [b'{"a":1}', b'{"a":2}']),
        (b'\xef\xbb\xbf{"a":1}\n', [b'{"a":1}']),
        (b"\xef\xbb\xbf", []),
        (b" \n\t\r\n", [b" ", b"\t"]),
        (b'{"a":"\xe2\x80\xa8\x0b"}\n', [b'{"a":"\xe2\x80\xa8\x0b"}']),
    ],
)
def test_each_line_is_a_record(data: bytes, texts: list[bytes]) -> None:
    found = read(NDJSON, data)
    assert found.records == [(text, index, index + 1) for index, text in enumerate(texts)]
    assert found.rejects == []


@pytest.mark.parametrize("cuts", [[], [1], [2, 3, 9]])
def test_each_empty_line_is_a_reject_with_its_place(cuts: list[int]) -> None:
    found = read(NDJSON, b"\n\r\n{}\n\n \n{}\n\n", cuts)
    assert found.records == [(b"{}", 2, 3), (b" ", 4, 5), (b"{}", 5, 6)]
    assert found.codes == [(index, index + 1, ErrorCode.EMPTY_LINE) for index in (0, 1, 3, 6)]
    assert {(reject.raw, reject.raw_truncated) for reject in found.rejects} == {("", False)}


def test_empty_lines_beside_one_that_is_too_large_are_all_rejected() -> None:
    data = b"\n{}\n" + b"x" * (RECORD_BYTES_MAX + 1) + b"\n\n"
    found = read(NDJSON, data)
    assert found.records == [(b"{}", 1, 2)]
    assert found.codes == [
        (0, 1, ErrorCode.EMPTY_LINE),
        (2, 3, ErrorCode.RECORD_TOO_LARGE),
        (3, 4, ErrorCode.EMPTY_LINE),
    ]


def test_many_lines_keep_their_places() -> None:
    data = b"".join(b'{"a":%d}\n' % number for number in range(10_000))
    found = read(NDJSON, data, cuts=[1, 1_000, 50_000])
    assert found.records == [(b'{"a":%d}' % number, number, number + 1) for number in range(10_000)]


def test_a_good_block_keeps_its_ranges() -> None:
    decoded, _ = decoder(NDJSON).feed(b"{}\n{}\n{}", final=False)
    assert (decoded.indexes, decoded.lines) == (range(2), range(1, 3))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("cuts", [[], [RECORD_BYTES_MAX + 10], [10, RECORD_BYTES_MAX // 2, RECORD_BYTES_MAX + 14]])
def test_the_size_limit_is_exact(end: bytes, cuts: list[int]) -> None:
    fitting, too_large = b"x" * RECORD_BYTES_MAX, b"y" * (RECORD_BYTES_MAX + 1)
    assert read(NDJSON, b"{}\n" + fitting + end, cuts).texts == [b"{}", fitting]
    found = read(NDJSON, b"{}\n" + too_large + end, cuts)
    assert found.codes == [(1, 2, ErrorCode.RECORD_TOO_LARGE)]
    assert found.rejects[0].raw == "y" * 8_192
    assert found.rejects[0].raw_truncated


def test_a_line_that_is_far_too_large_is_skipped_without_being_kept() -> None:
    reading = decoder(NDJSON)
    piece = b"x" * (RECORD_BYTES_MAX + 2)
    assert reading.feed(piece, final=False)[1] == len(piece)
    for _ in range(5):
        reading = decoder(NDJSON, reading.state())
        decoded, consumed = reading.feed(b"x" * 1_000_000, final=False)
        assert (decoded.received, consumed) == (0, 1_000_000)
    decoded, _ = reading.feed(b'xx\n{"a":1}\n', final=True)
    assert (decoded.texts, list(decoded.indexes), list(decoded.lines)) == ([b'{"a":1}'], [1], [2])
