"""Compressed files: unpacked the same wherever they are cut, and never more than asked for at a time."""

import gzip
import os
import zlib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.formats import Compression
from ingot_server.pipeline.decoding import Unpacker, unpacking
from ingot_server.pipeline.libzstd import zstd

GZIP, ZSTD = Compression.GZIP, Compression.ZSTD
BOTH = [GZIP, ZSTD]
MIB = 1 << 20
SKIPPABLE_FRAME = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def pack(compression: Compression, plain: bytes) -> bytes:
    return gzip.compress(plain) if compression is GZIP else zstd.compress(plain)


def reads(unpacker: Unpacker, pieces: list[bytes], bytes_max: int) -> Iterator[bytes]:
    """All that comes out, read by read."""
    for piece in pieces:
        if unpacker.fault is None:
            unpacker.feed(piece)
        while unpacker.fault is None and not unpacker.needs_input:
            yield unpacker.read(bytes_max)


def unpack(
    compression: Compression, packed: bytes, cuts: list[int] | None = None, bytes_max: int = 1 << 17
) -> tuple[bytes, str]:
    """What comes out of a whole file, and the message of its fault."""
    unpacker = Unpacker(compression)
    edges = [0, *sorted(cuts or []), len(packed)]
    found = list(reads(unpacker, [packed[start:end] for start, end in pairwise(edges)], bytes_max))
    assert all(len(plain) <= bytes_max for plain in found)
    unpacker.end()
    return b"".join(found), unpacker.fault.message if unpacker.fault else ""


@given(
    compression=st.sampled_from(BOTH),
    members=st.lists(st.binary(max_size=300) | st.integers(0, 20_000).map(bytes), max_size=4),
    cuts=st.lists(st.integers(0, 2_000), max_size=8),
    bytes_max=st.integers(1, 1_000),
)
@settings(max_examples=300, deadline=None)
def test_any_number_of_members_cut_anywhere_and_read_in_any_portions(
    compression: Compression, members: list[bytes], cuts: list[int], bytes_max: int
) -> None:
    packed = b"".join(pack(compression, member) for member in members)
    cuts = [cut % (len(packed) + 1) for cut in cuts]
    assert unpack(compression, packed, cuts, bytes_max) == (b"".join(members), "")


@pytest.mark.parametrize("compression", BOTH)
def test_byte_by_byte(compression: Compression) -> None:
    plain = b"abc" * 1_000 + os.urandom(300)
    packed = pack(compression, plain) * 2
    assert unpack(compression, packed, list(range(len(packed)))) == (plain * 2, "")


@pytest.mark.parametrize("compression", BOTH)
def test_what_lies_beyond_an_output_limit_comes_without_more_input(compression: Compression) -> None:
    plain = bytes(1_000_000)
    assert unpack(compression, pack(compression, plain), bytes_max=100_000) == (plain, "")


@pytest.mark.parametrize("zeros", [0, 1, 512, 100_000])
def test_zeros_behind_a_gzip_member_are_padding(zeros: int) -> None:
    packed = gzip.compress(b"one") + bytes(zeros) + gzip.compress(b"two") + bytes(zeros)
    assert unpack(GZIP, packed) == (b"onetwo", "")
    assert unpack(GZIP, packed, [len(packed) - zeros // 2]) == (b"onetwo", "")


def test_skippable_frames_are_passed_over() -> None:
    packed = SKIPPABLE_FRAME + zstd.compress(b"one") + SKIPPABLE_FRAME + zstd.compress(b"two") + SKIPPABLE_FRAME
    assert unpack(ZSTD, packed) == (b"onetwo", "")


@pytest.mark.parametrize("compression", BOTH)
def test_nothing_is_an_empty_file(compression: Compression) -> None:
    assert unpack(compression, b"") == (b"", "")


@pytest.mark.parametrize("compression", BOTH)
def test_a_file_cut_off_anywhere_within_a_member_is_told_so(compression: Compression) -> None:
    packed = pack(compression, b"some text, some more text")
    for length in range(1, len(packed)):
        plain, message = unpack(compression, packed[:length])
        assert b"some text, some more text".startswith(plain)
        assert "ends too early" in message


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("packed", [b"id,name\n1,a\n", b"\0\0\0\0", b"PK\x03\x04", b"\xff" * 100])
def test_what_is_not_compressed_is_told_so(compression: Compression, packed: bytes) -> None:
    plain, message = unpack(compression, packed)
    name = "gzip" if compression is GZIP else "Zstandard"
    assert plain == b""
    assert message == f"The file is not {name}: it does not begin like it."


@pytest.mark.parametrize("compression", BOTH)
def test_garbage_behind_a_member_is_damage(compression: Compression) -> None:
    plain, message = unpack(compression, pack(compression, b"text") + b"garbage")
    assert plain == b"text"
    assert "data cannot be unpacked" in message


def test_a_wrong_checksum_is_damage() -> None:
    packed = bytearray(gzip.compress(b"text" * 10_000))
    packed[-8] ^= 1
    assert unpack(GZIP, bytes(packed))[1] == (
        "The gzip data cannot be unpacked (incorrect data check): the rest of it could not be read."
    )


@given(
    compression=st.sampled_from(BOTH), packed=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5)
)
@settings(max_examples=200, deadline=None)
def test_random_bytes_never_raise(compression: Compression, packed: bytes, cuts: list[int]) -> None:
    for data in (packed, pack(compression, b"x" * 50) + packed, pack(compression, b"x" * 50)[:20] + packed):
        unpack(compression, data, [cut % (len(data) + 1) for cut in cuts], 64)


@pytest.mark.parametrize("compression", BOTH)
def test_a_bomb_is_given_up_soon(compression: Compression) -> None:
    packed = pack(compression, bytes(64 * MIB))
    plain, message = unpack(compression, packed)
    assert "more than 10 MiB and 200 times its size" in message
    assert 10 * MIB < len(plain) < 10 * MIB + 200 * len(packed) + (1 << 17)


@pytest.mark.parametrize("compression", BOTH)
def test_ten_mebibytes_may_come_out_of_anything(compression: Compression) -> None:
    plain = bytes(10 * MIB)
    assert unpack(compression, pack(compression, plain)) == (plain, "")


def test_two_hundred_times_the_size_is_allowed_beyond_that() -> None:
    plain = b"".join(os.urandom(150) + bytes(25_000) for _ in range(1_200))
    packed = gzip.compress(plain)
    assert 100 < len(plain) / len(packed) < 200
    assert unpack(GZIP, packed) == (plain, "")


def test_what_was_accepted_before_is_not_refused_when_it_is_unpacked_again() -> None:
    packed = gzip.compress(bytes(30 * MIB))
    unpacker = Unpacker(GZIP, trusted_bytes=25 * MIB)
    assert 25 * MIB < sum(map(len, reads(unpacker, [packed], 1 << 17))) < 26 * MIB
    assert unpacker.fault is not None


def test_a_frame_that_takes_too_much_memory_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 28})
    packed = compressor.compress(b"text") + compressor.flush()
    assert "unpacking takes more than 128 MiB" in unpack(ZSTD, packed)[1]
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    assert unpack(ZSTD, compressor.compress(b"text") + compressor.flush()) == (b"text", "")


@pytest.mark.parametrize("compression", BOTH)
def test_one_read_does_little_whatever_the_file_holds(
    compression: Compression, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_STEPS_MAX", 3)
    unpacker = Unpacker(compression)
    unpacker.feed(pack(compression, b"") * 10)
    rounds = 0
    while not unpacker.needs_input:
        assert unpacker.read(100) == b""
        rounds += 1
    assert rounds == 4
    assert unpacker.fault is None


def test_stored_blocks_and_raw_names_in_the_header_are_read() -> None:
    compressor = zlib.compressobj(0, zlib.DEFLATED, 31)
    packed = compressor.compress(b"a" * 70_000) + compressor.flush()
    named = packed[:3] + b"\x08" + packed[4:10] + b"name of the file\0" + packed[10:]
    assert unpack(GZIP, named) == (b"a" * 70_000, "")
