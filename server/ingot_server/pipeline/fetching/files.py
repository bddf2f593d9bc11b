"""Files of this machine, below the folders that the operator allows."""

import asyncio
import os
import re
import stat
from io import FileIO
from pathlib import Path
from urllib.parse import unquote

from ingot_server.pipeline.fetching.errors import Fault, FetchFailed, FileChanged, ReferenceRefused
from ingot_server.pipeline.fetching.rules import FetchRules
from ingot_server.pipeline.fetching.source import PIECE_BYTES

_FILE_URI = re.compile(r"file://(?:localhost)?(/[^?]*)", re.IGNORECASE)
_OUTSIDE = "the server does not read files there: name one below a folder that is allowed on the server"


def file_path(uri: str, rules: FetchRules) -> str:
    """The path of a `file` URI; raises ReferenceRefused if it is malformed, or not below a folder that is allowed."""
    if not rules.folders:
        raise ReferenceRefused("the server reads no files of its own machine: no folder is allowed")
    found = _FILE_URI.fullmatch(uri)
    if found is None:
        raise ReferenceRefused("expected file:///path, without a host and a query")
    path = unquote(found[1], errors="surrogateescape")
    if "\0" in path or ".." in path.split("/"):
        raise ReferenceRefused("the path holds `..` or a zero byte")
    if not any(Path(path).is_relative_to(folder) or _is_below(path, folder) for folder in rules.folders):
        raise ReferenceRefused(_OUTSIDE)
    return path


class FileSource:
    """A file of this machine."""

    def __init__(self, path: str, folders: tuple[Path, ...]) -> None:
        self._path = path
        self._folders = folders

    async def read_from(self, offset: int, version: str) -> "FileReading":
        """As Source says."""
        try:
            return await asyncio.to_thread(self._opened, offset)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FetchFailed("there is no such file") from error
        except PermissionError as error:
            raise FetchFailed("the server may not read this file: its user lacks the permission") from error
        except OSError as error:
            raise Fault(f"the file cannot be opened: {error.strerror}") from error

    def _opened(self, offset: int) -> "FileReading":
        path = os.path.realpath(self._path, strict=True)
        folder = next((folder for folder in self._folders if _is_below(path, folder)), None)
        if folder is None:
            raise ReferenceRefused(_OUTSIDE)
        file = _open_below(os.path.realpath(folder), path)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise ReferenceRefused("this is not a regular file")
        # It closes itself if whoever waits for it is cancelled just now.
        return FileReading(FileIO(file), offset)


class FileReading:
    """An open file."""

    content_encoding = ""

    def __init__(self, file: FileIO, offset: int) -> None:
        self._file = file
        self._next = offset
        self.offset = offset
        self.size: int | None = os.fstat(file.fileno()).st_size
        self.version = _version(file)

    async def piece(self) -> bytes:
        """As Reading says."""
        try:
            piece, version = await asyncio.to_thread(self._read)
        except OSError as error:
            raise Fault(f"the file cannot be read: {error.strerror}") from error
        if version != self.version:
            raise FileChanged
        self._next += len(piece)
        return piece

    def _read(self) -> tuple[bytes, str]:
        return os.pread(self._file.fileno(), PIECE_BYTES, self._next), _version(self._file)

    def close(self) -> None:
        """As Reading says."""
        self._file.close()


def _is_below(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(os.path.realpath(folder))


def _open_below(folder: str, path: str) -> int:
    """Opens step by step and follows no link: between looking and opening somebody could have put one there."""
    *folders, name = Path(path).relative_to(folder).parts or (".",)
    step = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=step)
            os.close(step)
            step = below
        # A pipe without a writer would not open at all.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=step)
    finally:
        os.close(step)


def _version(file: FileIO) -> str:
    status = os.fstat(file.fileno())
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
