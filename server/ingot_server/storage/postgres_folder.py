"""The folder in which the embedded PostgreSQL keeps everything.

ingot.lock              held by the one server that uses the folder
postgres/               the cluster: the data
postgres.new-*/         a cluster in the making; what a crash leaves of it is thrown away
postgres.log            what PostgreSQL says
socket/                 where it listens; a link to a folder elsewhere if this path is too long for a socket
postgres-binaries-*/    a copy of the programs, where root keeps the original to itself
"""

import fcntl
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ingot_server.storage.postgres_user import EmbeddedPostgresError, PostgresUser

PORT = 5432
SOCKET_BYTES_MAX = 107 if sys.platform == "linux" else 103
LOG_BYTES_MAX = 10 * 1024 * 1024

_SOCKET_FILES = (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock")


class PostgresFolder:
    """The data folder. Its methods block: call them in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cluster = path / "postgres"
        self.log = path / "postgres.log"
        self.socket = path / "socket"
        self._lock: int | None = None

    def locked_by_other(self) -> bool:
        """Whether a server uses the folder."""
        try:
            lock = os.open(self.path / "ingot.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def lock(self) -> None:
        """Makes the folder if needed, and makes it ours until `unlock` or until this process is gone."""
        if self._lock is not None:
            return
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path / "ingot.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode().strip() or "unknown"
            os.close(lock)
            raise EmbeddedPostgresError(
                f"The data folder {self.path} is in use by the Ingot server with process id {holder}: "
                "stop that one, or give this one another folder in INGOT_DATA_DIR."
            ) from None
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def unlock(self) -> None:
        """Lets others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def let_enter(self) -> None:
        """Lets other users pass through the folder, without listing it. What is private in it says so itself."""
        self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) | 0o011)

    def socket_make(self, user: PostgresUser, elsewhere: Path | None) -> Path:
        """A private folder of the user's for the socket; within `elsewhere`, if given, and linked from ours."""
        self.socket_clear(user)
        if elsewhere is None:
            folder = self.socket
            folder.mkdir(mode=0o700, exist_ok=True)
        else:
            folder = Path(tempfile.mkdtemp(prefix="ingot-", dir=elsewhere))
            if self.socket.is_dir():
                self.socket.rmdir()
            self.socket.symlink_to(folder)
        os.chown(folder, user.uid, user.gid)
        folder.chmod(0o700)
        return folder

    def socket_clear(self, user: PostgresUser) -> None:
        """Removes the socket that a run left, and its folder if that is elsewhere."""
        linked = self.socket.is_symlink()
        folder = self.socket.readlink() if linked else self.socket
        with suppress(FileNotFoundError):
            found = folder.lstat()
            # Elsewhere is open to everyone: by now the name may be another's.
            if stat.S_ISDIR(found.st_mode) and (not linked or found.st_uid == user.uid):
                self.socket_empty(folder)
                if linked:
                    with suppress(OSError):
                        folder.rmdir()
        if linked:
            self.socket.unlink()

    def socket_empty(self, folder: Path) -> None:
        """Removes a dead server's socket, and its lock, which PostgreSQL might believe."""
        for name in _SOCKET_FILES:
            (folder / name).unlink(missing_ok=True)

    def log_open(self) -> BinaryIO:
        """The log, to be written at its end. A long one is put aside first."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES_MAX:
                self.log.replace(self.log.with_name("postgres.log.1"))
        return open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))

    def log_lines(self, start: int) -> list[str]:
        """The last lines of what was logged after the byte `start`."""
        with self.log.open("rb") as log:
            log.seek(max(start, self.log.stat().st_size - 100_000))
            return log.read().decode(errors="replace").splitlines()


def socket_fits(folder: Path) -> bool:
    """Whether a socket in this folder can be addressed. The comma separates addresses in a database's URL."""
    path = os.fsencode(folder / _SOCKET_FILES[0])
    return len(path) <= SOCKET_BYTES_MAX and b"," not in path
