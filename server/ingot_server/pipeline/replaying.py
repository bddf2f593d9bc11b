"""Compares what is sent again with what was sent before.

A client may begin anywhere below the committed offset, and what it repeats is dropped. If it were something else, the
batch id would have been used for two things and one of them lost; so the CRC-32 of each piece is kept with its chunk,
and whatever is repeated from the beginning of a piece to its end is compared.
"""

import zlib
from bisect import bisect_right

from ingot_server.domain.errors import ContentDiffers
from ingot_server.storage.chunks import SentContent

Content = bytes | list[bytes]
"""A part of an upload: bytes of a file, or records. The offset counts the elements of either."""


def content_crc32(content: Content | memoryview, crc32: int = 0) -> int:
    """The CRC-32 of `content`, going on from that of what lies before it."""
    return zlib.crc32(b"\n".join([*content, b""]) if isinstance(content, list) else content, crc32)


class Replay:
    """Compares the repeated parts of one stream."""

    def __init__(self, sent: list[SentContent]) -> None:
        self._sent = sent
        self._starts = [piece.start_offset for piece in sent]
        self._next_offset = -1
        self._crc32: int | None = None

    def compare(self, offset: int, content: Content) -> None:
        """Takes the next repeated part. Raises ContentDiffers at the end of the first piece that differs."""
        if offset != self._next_offset:
            self._crc32 = None
        end = offset + len(content)
        position = offset
        while position < end:
            found = bisect_right(self._starts, position) - 1
            if found < 0:
                # What lies there is no longer kept; the next piece may be.
                position = min(end, self._starts[0]) if self._starts else end
                continue
            piece = self._sent[found]
            if position == piece.start_offset:
                self._crc32 = 0
            stop = min(end, piece.end_offset)
            if stop <= position:
                break
            if self._crc32 is not None:
                self._crc32 = content_crc32(content[position - offset : stop - offset], self._crc32)
                if stop == piece.end_offset and self._crc32 != piece.crc32:
                    raise ContentDiffers(offset=piece.start_offset)
            position = stop
        self._next_offset = end
