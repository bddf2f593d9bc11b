"""Ingot as it is shipped: `ingot-server serve`, with embedded PostgreSQL on a data folder of its own."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from bench.commands import run
from ingot_server.storage.embedded import EmbeddedPostgres

BULK_TABLES = ("record", "record_identifier", "chunk", "record_error")


class Server:
    """A running server, its data folder, and a connection to its PostgreSQL."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path, dsn: str) -> None:
        self.data_dir = data_dir
        # Without the settings of the session, which are spelled so that not every peer reads them.
        self.dsn = dsn.partition("&options=")[0]
        self._process = process

    @property
    def pid(self) -> int:
        """Ingot's process, for profilers."""
        return self._process.pid

    @property
    def postmaster(self) -> int:
        """PostgreSQL's first process."""
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])

    @property
    def socket(self) -> str:
        """The folder of PostgreSQL's socket."""
        return parse_qs(urlsplit(self.dsn).query)["host"][0]

    @property
    def database(self) -> str:
        """The name of the database."""
        return urlsplit(self.dsn).path[1:]

    async def key_of(self, account: str) -> str:
        """A key of an account of its own."""
        program = Path(sys.executable).with_name("ingot-server")
        settings = environment({"data_dir": self.data_dir})
        return (await run(program, "keys", "create", "--account", account, env=settings)).strip()

    async def begin_anew(self) -> None:
        """Empties what holds records, so that what comes next begins on fresh tables."""
        await self.execute(f"TRUNCATE {', '.join(BULK_TABLES)}", "DROP SCHEMA IF EXISTS bench CASCADE")
        await self.execute("DROP SCHEMA IF EXISTS bench_staging CASCADE", "CREATE SCHEMA bench")

    async def settle(self) -> None:
        """Does now what PostgreSQL would do some time: otherwise it would be charged to whoever comes next."""
        await self.execute("VACUUM (ANALYZE)", "CHECKPOINT")

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows from PostgreSQL."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def execute(self, *statements: str) -> None:
        """Runs statements one by one, each in a transaction of its own."""
        connection = await asyncpg.connect(self.dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def reset_memory_peak(self) -> None:
        """Begins to look for the peak of memory anew."""
        for pid in self._pids():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def memory_peak_mib(self) -> float:
        """The most that Ingot's own processes have held, without those of PostgreSQL, each at its own worst moment."""
        return sum(_peak_kib(pid) for pid in self._pids()) / 1024

    def _pids(self) -> Iterator[int]:
        yield self._process.pid
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            for pid in map(int, (task / "children").read_text().split()):
                if Path(f"/proc/{pid}/comm").read_text().strip() != "postgres":
                    yield pid


def _peak_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder on a disk, for some gigabytes, that PostgreSQL's user may pass through if this is root."""
    folder = Path(tempfile.mkdtemp(prefix="ingot-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with these settings of Ingot and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    return inherited | {f"INGOT_{name.upper()}": str(value) for name, value in settings.items()}


@asynccontextmanager
async def running_server(folder: Path, *arguments: str) -> AsyncIterator[Server]:
    """A server on a new data folder, until the end of the block."""
    data_dir = folder / "data"
    # As shipped, but that a hundred callers may have an import each.
    settings = {"address": "127.0.0.1:0", "data_dir": data_dir, "open_imports_max": 1_000}
    async with _running("serve", *arguments, says="Ingot listens on ", **settings) as process:
        dsn = await EmbeddedPostgres(data_dir).dsn_of_running()
        assert dsn is not None
        yield Server(process, data_dir, dsn)


@asynccontextmanager
async def running_workers(server: Server) -> AsyncIterator[int]:
    """Workers beside a server, until the end of the block; the id of their process."""
    async with _running("work", says="Ingot works ", database_url=server.dsn) as process:
        yield process.pid


@asynccontextmanager
async def _running(*arguments: str, says: str, **settings: object) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("ingot-server"),
        *arguments,
        env=environment(settings | {"log_level": "WARNING"}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        if not line.startswith(says):
            raise RuntimeError(f"the server did not start: {line}")
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.communicate()
