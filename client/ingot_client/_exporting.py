"""Writes what the server streams to a file."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import IO, Protocol

from ingot_client import _user_code

Target = str | os.PathLike[str] | IO[bytes]


class _Lines(Protocol):
    @property
    def lines(self) -> str: ...


async def export(stream: AsyncGenerator[_Lines, None], target: Target, *, mark: bytes = b"") -> int:
    """Writes the lines and returns the number of bytes. A path gets its file when it is complete, or not at all.

    A new file begins with the mark.
    """
    return await _user_code.unwrapped(_export(stream, target, mark))


async def _export(stream: AsyncGenerator[_Lines, None], target: Target, mark: bytes) -> int:
    if not isinstance(target, str | os.PathLike):
        return await _copy(stream, target)
    path = Path(target)
    if _is_special(path):
        mark = b""
    file = await _user_code.run_blocking(lambda: _begin(path))
    try:
        with file:
            await _user_code.run_blocking(lambda: file.write(mark))
            size_bytes = len(mark) + await _copy(stream, file)
        await _user_code.run_blocking(lambda: _complete(file, path))
    except BaseException:
        _abandon(file, path)
        raise
    return size_bytes


def _begin(path: Path) -> IO[bytes]:
    if _is_special(path):
        return path.open("wb")
    folder = path.resolve().parent
    try:
        # In the same folder, because a file can be renamed only within a file system.
        return tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}.", suffix=".part", delete=False)
    except OSError as error:
        # Not the name that was made up here.
        error.filename = str(path)
        raise


def _complete(file: IO[bytes], path: Path) -> None:
    if not _is_special(path):
        Path(file.name).chmod(0o666 & ~_umask())
        Path(file.name).replace(path.resolve())


def _abandon(file: IO[bytes], path: Path) -> None:
    if not _is_special(path):
        Path(file.name).unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Whether the path is a device or a pipe, such as /dev/stdout: nothing to be replaced."""
    return path.exists() and not path.is_file()


async def _copy(stream: AsyncGenerator[_Lines, None], file: IO[bytes]) -> int:
    size_bytes = 0
    async with aclosing(stream) as answers:
        async for answer in answers:
            data = answer.lines.encode()
            await _user_code.run_blocking(lambda data=data: file.write(data))  # type: ignore[misc]
            size_bytes += len(data)
    return size_bytes


def _umask() -> int:
    # It can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
