"""Copies of fetched files on the disk of this machine, for formats that can only be read as a whole.

A copy lives as long as somebody reads it. Whoever makes one holds a lock on it: so what was left by a process that was
killed can be told from what another one is using, and is removed by the next one.
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PREFIX = "ingot-fetch-"
NAME_CHARACTERS_MAX = 50
FRESH_SECONDS = 60


@contextmanager
def local_copy(name: str, suffix: str) -> Iterator[BinaryIO]:
    """A new file, to be filled and then read by its path; its name is like `name`, and it is removed at the end."""
    stem = re.sub(r"[^\w.-]+", "_", name.removesuffix(suffix))[:NAME_CHARACTERS_MAX] or "file"
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX) as folder,
        (Path(folder) / f"{stem}{suffix}").open("wb") as file,
    ):
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def remove_abandoned_copies() -> None:
    """Removes the copies that nobody uses any more, because their process was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Where everybody may write, a name says nothing.
        with suppress(OSError):
            found = folder.lstat()
            # One that has just been made may not be locked yet.
            is_old = time.time() - found.st_mtime > FRESH_SECONDS
            if is_old and found.st_uid == os.geteuid() and not any(map(_is_used, folder.iterdir())):
                shutil.rmtree(folder)


def _is_used(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
