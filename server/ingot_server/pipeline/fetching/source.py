"""What a source of bytes is: something that can be read from a byte on, one time after the other."""

from typing import Protocol

PIECE_BYTES = 256 * 1024


class Reading(Protocol):
    """One attempt to read a file."""

    version: str
    """What changes with the file; empty if the source does not say."""
    size: int | None
    """Of the whole file, if the source says so."""
    offset: int
    """Where the bytes begin: never above what was asked for."""
    content_encoding: str

    async def piece(self) -> bytes:
        """The next bytes, at most PIECE_BYTES, and none at the end; raises Fault or FetchFailed."""

    def close(self) -> None:
        """Lets go of what is open, at any moment."""


class Source(Protocol):
    """A file somewhere."""

    async def read_from(self, offset: int, version: str) -> Reading:
        """Begins to read at the offset, or before it where the source cannot go on there in this version.

        Raises Fault, FetchFailed or ReferenceRefused. Whether the version is the one that was asked for is left to the
        caller.
        """
