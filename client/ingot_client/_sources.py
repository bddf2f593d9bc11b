"""Where an upload takes its pieces from, again if need be.

A file is read again from any offset. Anything else is kept until the server has committed it: at most 64 MiB, then
the source has to wait.
"""

import io
import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import IO, Any, Final, Literal

from ingot_client import _user_code
from ingot_client._errors import SourceDiffers
from ingot_client._pieces import PIECE_BYTES, Piece, cut_async_records, cut_records

KEPT_BYTES: Final = 64 * 1024 * 1024

Unit = Literal["RECORDS", "BYTES"]


class Source(ABC):
    """Gives pieces in order, from any offset that has not been forgotten."""

    unit: Unit
    total: int | None = None
    """How much there is in all, if that is known beforehand."""
    end = 0
    """How far the source has been read."""
    opened: IO[bytes] | None = None
    """A file to be closed with the source."""

    @abstractmethod
    async def rewind(self, offset: int) -> None:
        """Makes the next piece begin at the offset."""

    @abstractmethod
    async def next(self) -> Piece | None:
        """The next piece; None at the end."""

    def forget(self, offset: int) -> None:  # noqa: B027 - nothing is kept by default
        """Says that nothing before the offset will be asked for again."""

    @property
    def full(self) -> bool:
        """Whether something must be forgotten before there can be a next piece."""
        return False

    async def close(self) -> None:
        """Lets go of what is behind the source."""
        if self.opened is not None:
            self.opened.close()


class FileSource(Source):
    """A file that can be read again. Offset 0 is where it stood when the source was made."""

    unit = "BYTES"

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start = file.tell()
        self.total = _size_bytes(file, self._start)

    async def rewind(self, offset: int) -> None:
        if self.total is not None and offset > self.total:
            raise SourceDiffers(
                f"the file is not the one this upload began with: it has {self.total:,} bytes, "
                f"and {offset:,} were sent already"
            )
        self.end = offset

    async def next(self) -> Piece | None:
        data = await _user_code.run_blocking(self._read)
        piece = Piece(self.end, data)
        self.end = piece.end
        return piece if data else None

    def _read(self) -> bytes:
        self._file.seek(self._start + self.end)
        return self._file.read(PIECE_BYTES)


class StreamSource(Source):
    """Pieces that come only once. Those that are not committed yet are kept, up to `kept_bytes` and one piece."""

    def __init__(
        self, pieces: AsyncIterator[Piece], unit: Unit, total: int | None = None, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self.unit = unit
        self.total = total
        self._pieces = pieces
        self._limit_bytes = kept_bytes
        self._kept: list[Piece] = []
        self._kept_bytes = 0
        self._forgotten = 0
        self._cursor = 0
        self._broken = False

    async def rewind(self, offset: int) -> None:
        if offset < self._forgotten:
            raise SourceDiffers(
                f"the server has only {offset:,} {self.unit.lower()} of the {self._forgotten:,} that it confirmed"
            )
        self.forget(offset)
        self._cursor = offset

    async def next(self) -> Piece | None:
        if (at := self._count_until(self._cursor)) < len(self._kept):
            return self._give(self._kept[at])
        # A generator that failed says afterwards that it is at its end. Believing it would finish half an upload.
        if self._broken:
            raise RuntimeError("the source has failed before")
        self._broken = True
        async for piece in self._pieces:
            self.end = piece.end
            # At the beginning of a resumed upload the source repeats what is committed already.
            if piece.end > self._forgotten:
                self._kept.append(piece)
                self._kept_bytes += piece.size_bytes
                self._broken = False
                return self._give(piece)
        self._broken = False
        return None

    def forget(self, offset: int) -> None:
        self._forgotten = max(self._forgotten, offset)
        gone = self._count_until(offset)
        self._kept_bytes -= sum(piece.size_bytes for piece in self._kept[:gone])
        del self._kept[:gone]

    @property
    def full(self) -> bool:
        return self._kept_bytes >= self._limit_bytes and self._kept[-1].end <= self._cursor

    async def close(self) -> None:
        if callable(close := getattr(self._pieces, "aclose", None)):
            await close()
        await super().close()

    def _count_until(self, offset: int) -> int:
        """How many of the kept pieces end at or before the offset."""
        return bisect_right(self._kept, offset, key=lambda piece: piece.end)

    def _give(self, piece: Piece) -> Piece:
        given = piece.since(self._cursor)
        self._cursor = piece.end
        return given


def record_source(records: Iterable[Any] | AsyncIterable[Any]) -> Source:
    """The records as a source. A plain iterable is read by the user's own thread (see `_user_code`)."""
    total = len(records) if isinstance(records, list | tuple) else None
    if isinstance(records, AsyncIterable):
        return StreamSource(_asynchronously(cut_async_records(records)), "RECORDS", total)
    if isinstance(records, str | bytes | dict):
        raise TypeError(f"records is a {type(records).__name__}: give an iterable of records, such as a list of dicts")
    return StreamSource(in_users_place(cut_records(records), _user_code.run), "RECORDS", total)


def file_source(file: str | os.PathLike[str] | IO[bytes]) -> Source:
    """The file as a source: from its beginning, or from where it stands, to its end."""
    if isinstance(file, str | os.PathLike):
        opened = open(file, "rb")  # noqa: SIM115 - closed with the source
        source = file_source(opened)
        source.opened = opened
        return source
    if isinstance(file, io.TextIOBase) or not hasattr(file, "read"):
        raise TypeError("the file must be open in binary mode: open(path, 'rb')")
    if file.seekable():
        return FileSource(file)
    return StreamSource(in_users_place(_cut_file(file), _user_code.run_blocking), "BYTES")


def _cut_file(file: IO[bytes]) -> Iterator[Piece]:
    # read1 returns what a pipe holds now; read would wait until there is a whole piece.
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    offset = 0
    while data := read(PIECE_BYTES):
        yield Piece(offset, data)
        offset += len(data)


async def in_users_place(pieces: Iterator[Piece], run: Any) -> AsyncIterator[Piece]:
    """The pieces, each taken by `run`, which is one of those in `_user_code`."""
    while (piece := await run(lambda: next(pieces, None))) is not None:
        yield piece


async def _asynchronously(pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    try:
        async for piece in pieces:
            yield piece
    except Exception as error:
        raise _user_code.UserCodeFailed(error) from error


def _size_bytes(file: IO[bytes], start: int) -> int | None:
    # Only for files whose size is surely that of their content: a GzipFile has a descriptor too, of the packed file.
    if isinstance(file, io.BytesIO):
        return max(0, file.getbuffer().nbytes - start)
    raw = file.raw if isinstance(file, io.BufferedReader | io.BufferedRandom) else file
    if isinstance(raw, io.FileIO):
        return max(0, os.fstat(raw.fileno()).st_size - start)
    return None
