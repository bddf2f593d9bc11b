"""What a stream carries of a file is read once, from its beginning to its end, however it is cut."""

import asyncio
import random
import tracemalloc
from typing import Any

import pytest

from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.domain.records import Decoded
from ingot_server.pipeline.decoding import decoder
from ingot_server.pipeline.reading import DECODE_BYTES, FIRST_DECODE_BYTES, PlainReader

NDJSON = DataFormat(FileType.NDJSON)


class Taker:
    """Takes what a reader has decoded."""

    def __init__(self, *, cancelled_at: int = -1) -> None:
        """`cancelled_at` is the number of the step at which the call is cancelled, once it has taken its part."""
        self.steps: list[Decoded] = []
        self.content = b""
        self._cancelled_at = cancelled_at

    async def __call__(self, decoded: Decoded, content: bytes | memoryview, state: dict[str, Any]) -> None:
        self.steps.append(decoded)
        self.content += content
        if len(self.steps) == self._cancelled_at:
            raise asyncio.CancelledError

    @property
    def texts(self) -> list[bytes]:
        return [text for step in self.steps for text in step.texts]

    @property
    def indexes(self) -> list[int]:
        return [index for step in self.steps for index in step.indexes]


def some_lines(seed: int) -> list[bytes]:
    """Lines of all sizes: tiny ones in a row, usual ones, and some that are longer than a step."""
    sizes = random.Random(seed)
    lines = [b"%d" % number for number in range(20_000)]
    lines += [b'{"id":%d,"note":"%b"}' % (number, b"x" * sizes.randrange(400)) for number in range(3_000)]
    lines += [b'{"note":"%b"}' % (b"y" * size) for size in (DECODE_BYTES, 3 * DECODE_BYTES, 5)]
    sizes.shuffle(lines)
    return lines


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ends_with_line_break", [True, False])
async def test_a_file_is_read_the_same_however_it_is_cut(seed: int, *, ends_with_line_break: bool) -> None:
    lines = some_lines(seed)
    file = b"\n".join(lines) + (b"\n" if ends_with_line_break else b"")
    cuts, taken = random.Random(seed), Taker()
    reader = PlainReader(decoder(NDJSON), taken, NDJSON)
    position = 0
    while position < len(file):
        size = cuts.choice([0, 1, 100, 70_000, DECODE_BYTES, 2 * DECODE_BYTES + 1])
        await reader.add(file[position : position + size])
        position += size
        if cuts.random() < 0.2:
            await reader.catch_up()
        assert file.startswith(taken.content)
        assert len(taken.content) + reader.waiting_bytes == min(position, len(file))
    await reader.finish()
    assert (taken.content, reader.waiting_bytes) == (file, 0)
    assert taken.texts == lines
    assert taken.indexes == list(range(len(lines)))


@pytest.mark.parametrize("step", [1, 2, 3])
async def test_a_reader_whose_call_was_cancelled_goes_on_where_it_was(step: int) -> None:
    lines = some_lines(0)
    taken = Taker(cancelled_at=step)
    reader = PlainReader(decoder(NDJSON), taken)
    file = b"\n".join(lines)
    with pytest.raises(asyncio.CancelledError):
        await reader.add(file)
    await reader.catch_up()
    assert file.startswith(taken.content)
    assert b"\n" not in file[len(taken.content) :]
    await reader.finish()
    assert (taken.content, taken.texts) == (file, lines)


@pytest.mark.parametrize("before", [b"", b"x" * 2_000 + b"\n"], ids=["at once", "after long ones"])
async def test_tiny_records_are_taken_a_few_at_a_time(before: bytes) -> None:
    taken = Taker()
    reader = PlainReader(decoder(NDJSON), taken)
    await reader.add(before * 200)
    await reader.add(b"1\n" * DECODE_BYTES)
    assert max(len(step.texts) for step in taken.steps) <= FIRST_DECODE_BYTES


async def test_many_small_messages_take_little_room() -> None:
    reader = PlainReader(decoder(NDJSON), Taker())
    tracemalloc.start()
    for _ in range(DECODE_BYTES - 1):
        await reader.add(b"1")
        await reader.add(b"")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * DECODE_BYTES
