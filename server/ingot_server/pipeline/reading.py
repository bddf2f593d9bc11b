"""Reads the file that a stream carries: bytes as they arrive, records as far as they are complete."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.formats import DataFormat
from ingot_server.domain.records import Decoded, Fault
from ingot_server.pipeline.decoding import Decoder, misread
from ingot_server.pipeline.pieces import CHECK_RECORDS

DECODE_BYTES = 256 * 1024
FIRST_DECODE_BYTES = 8 * 1024
"""How much is decoded at a time, so that the event loop is never held for long: little, until the records are known
not to be tiny."""

Take = Callable[[Decoded, bytes, dict[str, Any]], Awaitable[None]]
"""Takes what was decoded, the part of the file that it came in, and the state in which to go on behind it."""


class Reader(Protocol):
    """What a stream needs of its file. If a call is cancelled, the next one goes on where it was."""

    keeps_all: bool
    """Whether what was added can be committed before it is decoded."""

    @property
    def waiting_bytes(self) -> int:
        """How many of the bytes that were added have not been taken."""
        ...

    async def add(self, content: bytes) -> None:
        """Adds the next part of the file, and decodes if there is enough to do."""
        ...

    async def catch_up(self) -> None:
        """Decodes what was added since it was last decoded, as far as whole records go."""
        ...

    async def finish(self) -> None:
        """Decodes to the end of the file."""
        ...


class PlainReader:
    """Reads a file that is not compressed."""

    keeps_all = False

    def __init__(self, decoder: Decoder, take: Take, beginning_of: DataFormat | None = None) -> None:
        """`beginning_of` is the format of a file of which nothing is read yet: if it begins as something else, decoding
        raises InvalidRequest."""
        self._decoder = decoder
        self._take = take
        self._beginning_of = beginning_of
        self._undecoded = bytearray()
        self._fresh_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        return len(self._undecoded)

    async def add(self, content: bytes) -> None:
        self._undecoded += content
        self._fresh_bytes += len(content)
        # Counted by what is new: the beginning of a long record must not be looked at again for every message.
        if self._fresh_bytes >= DECODE_BYTES:
            await self._decode(final=False)

    async def catch_up(self) -> None:
        if self._fresh_bytes:
            await self._decode(final=False)

    async def finish(self) -> None:
        await self._decode(final=True)

    async def lose(self, fault: Fault) -> None:
        """Rejects all that is not yet decoded as one record."""
        rest = bytes(self._undecoded)
        self._undecoded.clear()
        await self._take(self._decoder.lose(rest, fault), rest, self._decoder.state())

    async def _decode(self, *, final: bool) -> None:
        self._fresh_bytes = 0
        data = bytes(self._undecoded)
        if self._beginning_of is not None and (violations := misread(data, self._beginning_of)):
            raise InvalidRequest(violations)
        position, window = 0, FIRST_DECODE_BYTES
        while True:
            part = data[position : position + window]
            at_end = position + window >= len(data)
            decoded, consumed = self._decoder.feed(part, final and at_end)
            if consumed:
                self._beginning_of = None
            del self._undecoded[:consumed]
            await self._take(decoded, part[:consumed], self._decoder.state())
            if at_end:
                return
            position += consumed
            # A record longer than the window: look at more of it.
            if not consumed:
                window *= 2
            else:
                fitting = consumed * CHECK_RECORDS // decoded.received if decoded.received else 0
                window = min(DECODE_BYTES, max(FIRST_DECODE_BYTES, fitting))
