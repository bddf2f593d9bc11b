"""Reads the file that a stream carries: bytes as they arrive, records as far as they are complete."""

from collections import deque
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
_SMALL_BYTES = 4 * 1024
"""Smaller messages are put together as they come: each by itself would take more room than what it brings."""

Take = Callable[[Decoded, bytes | memoryview, dict[str, Any]], Awaitable[None]]
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
        # The beginning of a record whose end has not come, and what was not looked at.
        self._rest = b""
        self._unread: deque[memoryview | bytearray] = deque()
        self._unread_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        return len(self._rest) + self._unread_bytes

    async def add(self, content: bytes) -> None:
        if len(content) >= _SMALL_BYTES:
            self._unread.append(memoryview(content))
        elif self._unread and isinstance(self._unread[-1], bytearray):
            self._unread[-1] += content
        elif content:
            self._unread.append(bytearray(content))
        self._unread_bytes += len(content)
        # Counted by what is new: the beginning of a long record must not be looked at again for every message.
        if self._unread_bytes >= DECODE_BYTES:
            await self._decode(final=False)

    async def catch_up(self) -> None:
        if self._unread_bytes:
            await self._decode(final=False)

    async def finish(self) -> None:
        await self._decode(final=True)

    async def lose(self, fault: Fault) -> None:
        """Rejects all that is not yet decoded as one record."""
        rest = self._more(self._unread_bytes)
        self._rest = b""
        await self._take(self._decoder.lose(rest, fault), rest, self._decoder.state())

    async def _decode(self, *, final: bool) -> None:
        is_at_end, window = False, FIRST_DECODE_BYTES
        while not is_at_end:
            part = self._more(window)
            if self._beginning_of is not None and (violations := misread(part, self._beginning_of)):
                raise InvalidRequest(violations)
            is_at_end = not self._unread_bytes
            decoded, consumed = self._decoder.feed(part, final and is_at_end)
            self._rest = part[consumed:]
            if consumed:
                self._beginning_of = None
                fitting = consumed * CHECK_RECORDS // decoded.received if decoded.received else 0
                window = min(DECODE_BYTES, max(FIRST_DECODE_BYTES, fitting))
            elif not is_at_end:
                # A record longer than the window: look at more of it.
                window *= 2
            await self._take(decoded, memoryview(part)[:consumed], self._decoder.state())

    def _more(self, size: int) -> bytes:
        """The rest, which is longer now: by so many bytes, or by all there are if that is little more."""
        if self._unread_bytes <= size + size // 32:
            size = self._unread_bytes
        pieces: list[bytes | bytearray | memoryview] = [self._rest]
        self._unread_bytes -= size
        while size:
            piece = self._unread.popleft()
            if len(piece) > size:
                self._unread.appendleft(piece[size:])
                piece = piece[:size]
            pieces.append(piece)
            size -= len(piece)
        self._rest = b"".join(pieces)
        return self._rest
