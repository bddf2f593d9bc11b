"""Runs PostgreSQL as a child of the server, for those who bring no database of their own.

    start    lock the folder > end what an earlier run left > make the cluster > start > wait until it answers
    stop     a fast shutdown, then unlock

What survives a crash is everything that was committed: the settings that make it so stay on.

* Ingot is killed: on Linux the kernel interrupts PostgreSQL, which shuts down in order. Elsewhere it goes on, and the
  next start stops it first.
* PostgreSQL is killed: `wait` returns. The next start ends the processes that are left, and PostgreSQL repeats what was
  in its log, however long that takes.
* The first start is killed while it makes the cluster: the half of it has another name and is thrown away. A whole
  cluster is never removed, whatever is wrong with it.

The socket and the data are in folders that only PostgreSQL's user and root can enter, and there is no other way in.
"""

import asyncio
import logging
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg

from ingot_server.storage.postgres_binaries import PostgresBinaries, find_binaries, find_version
from ingot_server.storage.postgres_cluster import SUPERUSER, ensure_cluster
from ingot_server.storage.postgres_folder import PORT, PostgresFolder, socket_fits
from ingot_server.storage.postgres_processes import GRACE_SECONDS, TELL_SECONDS, stop_leftovers
from ingot_server.storage.postgres_user import EmbeddedPostgresError, PostgresUser

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

logger = logging.getLogger(__name__)

DATABASE = "ingot"
LOG_LINES_SHOWN = 15
CONNECT_SECONDS = 10
POLL_SECONDS_MIN = 0.02
POLL_SECONDS_MAX = 1.0
"""PostgreSQL logs each attempt, so a long recovery is asked less often."""

SETTINGS = {
    "cluster_name": "ingot",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Durability. From the command line, no ALTER SYSTEM can switch it off.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Bulk writing: few checkpoints, far apart and spread out. Compressing the log costs more of a busy core than it
    # saves of a disk.
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_compression": "off",
    "jit": "off",
}


class EmbeddedPostgres:
    """One PostgreSQL server on one data folder, for as long as this process lives."""

    def __init__(
        self,
        data_dir: Path,
        *,
        postgres_bin: Path | None = None,
        postgres_user: str | None = None,
        max_connections: int = 100,
    ) -> None:
        self._folder = PostgresFolder(data_dir.absolute())
        self._postgres_bin = postgres_bin.absolute() if postgres_bin else None
        self._postgres_user = postgres_user
        self._settings = SETTINGS | {"max_connections": str(max_connections)}
        self._user = PostgresUser.ourselves()
        self._socket: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def dsn(self) -> str:
        """The URL of the database, while PostgreSQL is started."""
        return self._dsn(DATABASE)

    @property
    def pid(self) -> int:
        """The process id of the postmaster, while PostgreSQL is started."""
        return self._started().pid

    async def check(self) -> None:
        """Raises EmbeddedPostgresError if `start` could not succeed with these programs, this user and this folder."""
        user = PostgresUser.choose(self._postgres_user, self._folder.cluster)
        existing = next(folder for folder in (self._folder.path, *self._folder.path.parents) if folder.exists())
        blocked = await user.blocked_at(existing)
        if blocked and blocked != self._folder.path:
            raise _cannot_enter(user, blocked, self._folder.path)
        await find_version(self._postgres_bin)

    def exists(self) -> bool:
        """Whether the data folder holds a cluster."""
        return (self._folder.cluster / "PG_VERSION").exists()

    async def dsn_of_running(self) -> str | None:
        """The URL of the database if another process runs it; None if nobody does."""
        if not await asyncio.to_thread(self._folder.locked_by_other):
            return None
        return _dsn(self._folder.socket, DATABASE)

    async def start(self) -> None:
        """Returns when the database answers; there is no time limit, because a recovery takes as long as it takes.

        Raises EmbeddedPostgresError when it cannot succeed; then nothing is left running, and nothing locked unless it
        was before. May be called again when `wait` has returned: then the folder stays ours, and the `dsn` as it was.
        """
        if self._process is not None and self._process.returncode is None:
            raise RuntimeError("started twice")
        again = self._socket is not None
        try:
            binaries = await self._launch()
            await self._until_ready()
        except BaseException:
            await (self._end() if again else self.stop())
            raise
        logger.info("PostgreSQL %s runs as %s in %s", binaries.version, self._user.name, self._folder.cluster)

    async def stop(self) -> None:
        """Returns when PostgreSQL has ended and another server may use the folder. May be called at any time."""
        await self._end()
        self._process = None
        if self._socket is not None:
            with suppress(OSError):
                await asyncio.to_thread(self._folder.socket_clear, self._user)
            self._socket = None
        self._folder.unlock()

    async def wait(self) -> int:
        """The exit status of PostgreSQL once it has ended, negative if it was a signal.

        If that comes before `stop`, it is a fault: PostgreSQL stays down until the next `start`.
        """
        return await self._started().wait()

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process

    def _dsn(self, database: str) -> str:
        if self._socket is None:
            raise RuntimeError("not started")
        return _dsn(self._socket, database)

    async def _end(self) -> None:
        if (process := self._process) is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            logger.warning("PostgreSQL did not shut down in %d s: cut short, it will recover", GRACE_SECONDS)
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGQUIT)
            await process.wait()

    async def _launch(self) -> PostgresBinaries:
        """Starts PostgreSQL on a folder that is ours and that nobody else is at work on."""
        folder = self._folder
        try:
            await asyncio.to_thread(folder.lock)
            self._user = PostgresUser.choose(self._postgres_user, folder.cluster)
            await self._open_the_way()
            await stop_leftovers(folder.cluster)
            binaries = await find_binaries(self._postgres_bin, self._user, folder.path)
            await ensure_cluster(folder.cluster, binaries, self._user)
            if self._socket is None:
                self._socket = await asyncio.to_thread(folder.socket_make, self._user, await self._elsewhere())
            await asyncio.to_thread(folder.socket_empty, self._socket)
            await self._spawn(binaries)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The data folder {folder.path} cannot be used: {error}. "
                f"Give {PostgresUser.ourselves().name} the right to write there, or choose another in INGOT_DATA_DIR."
            ) from error
        return binaries

    async def _open_the_way(self) -> None:
        """Makes sure that PostgreSQL's user can get to the data folder. The folders above are not ours to open."""
        path = self._folder.path
        blocked = await self._user.blocked_at(path)
        if blocked == path:
            await asyncio.to_thread(self._folder.let_enter)
            blocked = await self._user.blocked_at(path)
        if blocked:
            raise _cannot_enter(self._user, blocked, path)

    async def _elsewhere(self) -> Path | None:
        """A temporary folder for the socket that PostgreSQL's user can enter; None if our own path is short enough."""
        if socket_fits(self._folder.socket):
            return None
        for folder in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 a private folder is made in it
            if socket_fits(folder / "ingot-12345678") and await self._user.blocked_at(folder) is None:
                return folder
        raise EmbeddedPostgresError(
            f"There is no room for PostgreSQL's socket: the path {self._folder.path} is too long, and the user "
            f"{self._user.name} cannot enter /tmp. Set INGOT_DATA_DIR to a shorter path."
        )

    async def _spawn(self, binaries: PostgresBinaries) -> None:
        socket = str(self._socket).replace('"', '""')
        settings = self._settings | {"unix_socket_directories": f'"{socket}"'}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with await asyncio.to_thread(self._folder.log_open) as log:
            self._log_start = log.tell()
            self._process = await self._user.spawn(binaries.postgres, "-D", self._folder.cluster, *options, stdout=log)

    async def _until_ready(self) -> None:
        began = told = time.monotonic()
        pause = POLL_SECONDS_MIN
        ended = asyncio.create_task(self._started().wait())
        try:
            while not await self._answers():
                await asyncio.wait({ended}, timeout=pause)
                if ended.done():
                    raise EmbeddedPostgresError(
                        f"PostgreSQL ended while it started ({_in_words(ended.result())}). The end of its log "
                        f"{self._folder.log} should tell why:\n" + "\n".join((await self._said())[-LOG_LINES_SHOWN:])
                    )
                pause = min(pause * 1.3, POLL_SECONDS_MAX)
                if (now := time.monotonic()) - told >= TELL_SECONDS:
                    told = now
                    # The answers to our own attempts are FATAL.
                    last = next((line for line in reversed(await self._said()) if " LOG: " in line), "")
                    logger.info("PostgreSQL is still recovering, for %d s now: %s", now - began, last)
        finally:
            ended.cancel()

    async def _answers(self) -> bool:
        """Whether PostgreSQL takes connections; if so, it has our database from now on."""
        try:
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=CONNECT_SECONDS)
            try:
                if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                    await connection.execute(f"CREATE DATABASE {DATABASE}")
            finally:
                await connection.close()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
            return False
        # A server that ends in the middle of a statement; see asyncpg#490.
        except (asyncpg.InterfaceError, asyncpg.InternalClientError):
            return False
        except asyncpg.PostgresError as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL runs, but refuses us: {error}. Its log is {self._folder.log}."
            ) from error
        return True

    async def _said(self) -> list[str]:
        return await asyncio.to_thread(self._folder.log_lines, self._log_start)


def _cannot_enter(user: PostgresUser, blocked: Path, path: Path) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root, and the user {user.name} cannot enter {blocked} on the way "
        f"to {path}: set INGOT_DATA_DIR to a folder that anyone can get to, such as /var/lib/ingot, "
        "or start Ingot as an ordinary user."
    )


def _dsn(socket: Path, database: str) -> str:
    # What PostgreSQL refuses us it need not log: we are told, and its texts hold what was refused. Nor what we were
    # at when it ended our connection.
    quiet = quote("-clog_min_messages=log -clog_min_error_statement=panic")
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(socket))}&port={PORT}&options={quiet}"


def _in_words(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
