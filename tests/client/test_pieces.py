"""Records are cut into messages of a good size, and none is lost or changed."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.v1.batch_service_pb2 import UploadBatchRequest
from ingot_client._pieces import (
    OVERHEAD_BYTES,
    PIECE_BYTES,
    PIECE_RECORDS,
    RECORD_BYTES,
    Piece,
    RecordCutter,
    cut_async_records,
    cut_records,
)

LIMIT = PIECE_BYTES - OVERHEAD_BYTES
MESSAGE_BYTES = 8 * 1024 * 1024


def text(size: int) -> bytes:
    return b'{"a":"' + b"x" * (size - 8) + b'"}'


def lengths(*sizes: int) -> list[list[int]]:
    return [[len(one) for one in piece.content] for piece in cut_records([text(size) for size in sizes])]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "pieces"),
    [
        (0, []),
        (1, [1]),
        (PIECE_RECORDS - 1, [PIECE_RECORDS - 1]),
        (PIECE_RECORDS, [PIECE_RECORDS]),
        (PIECE_RECORDS + 1, [PIECE_RECORDS, 1]),
        (3 * PIECE_RECORDS, [PIECE_RECORDS] * 3),
    ],
)
def test_piece_has_at_most_a_thousand_records(count: int, pieces: list[int]) -> None:
    cut = list(cut_records([b"{}"] * count))
    assert [len(piece.content) for piece in cut] == pieces
    assert [piece.offset for piece in cut] == [sum(pieces[:index]) for index in range(len(pieces))]


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ((LIMIT - 1,), [[LIMIT - 1]]),
        ((LIMIT,), [[LIMIT]]),
        ((LIMIT + 1,), [[LIMIT + 1]]),
        ((100, LIMIT - 100 - OVERHEAD_BYTES - 1), [[100, LIMIT - 100 - OVERHEAD_BYTES - 1]]),
        ((100, LIMIT - 100 - OVERHEAD_BYTES), [[100, LIMIT - 100 - OVERHEAD_BYTES]]),
        ((100, LIMIT - 100 - OVERHEAD_BYTES + 1), [[100], [LIMIT - 100 - OVERHEAD_BYTES + 1]]),
        ((10, 3_000_000, 10), [[10], [3_000_000], [10]]),
    ],
)
def test_piece_has_at_most_half_a_mebibyte_or_one_record(sizes: tuple[int, ...], pieces: list[list[int]]) -> None:
    assert lengths(*sizes) == pieces


@pytest.mark.parametrize("size", [MESSAGE_BYTES - 1, MESSAGE_BYTES, MESSAGE_BYTES + 1, 20_000_000])
def test_record_that_fits_into_no_message_is_sent_too_large_and_broken(size: int) -> None:
    [piece] = cut_records([text(size)])
    assert piece.content == [text(size)[:RECORD_BYTES]]
    assert _message(piece).ByteSize() < MESSAGE_BYTES


@given(st.lists(st.integers(8, 200_000), max_size=30))
def test_all_records_come_in_order(sizes: list[int]) -> None:
    records = [text(size) for size in sizes]
    pieces = list(cut_records(records))
    assert [one for piece in pieces for one in piece.content] == records
    assert all(piece.end == following.offset for piece, following in pairwise(pieces))
    assert all(_message(piece).ByteSize() <= PIECE_BYTES + 200 for piece in pieces)


async def test_asynchronous_records_are_cut_alike() -> None:
    records = [text(100_000)] * 20

    async def source() -> AsyncIterator[bytes]:
        for record in records:
            yield record

    assert [piece async for piece in cut_async_records(source())] == list(cut_records(records))


def test_slow_source_is_sent_before_a_piece_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("ingot_client._pieces.time.monotonic", lambda: now)
    cutter = RecordCutter()
    assert cutter.add(b"{}") is None
    now = 0.4
    assert cutter.add(b"{}") is None
    now = 0.6
    piece = cutter.add(b"{}")
    assert piece == Piece(0, [b"{}", b"{}"])


@pytest.mark.parametrize("content", [[b"a", b"b", b"c"], b"abc"])
def test_piece_can_begin_later(content: list[bytes] | bytes) -> None:
    piece = Piece(10, content)
    assert piece.since(0) is piece
    assert piece.since(10) is piece
    assert piece.since(12) == Piece(12, content[2:])
    assert piece.since(12).end == piece.end == 13


def _message(piece: Piece) -> UploadBatchRequest:
    message = UploadBatchRequest()
    piece.put_into(message)
    return message
