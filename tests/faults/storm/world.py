"""All that runs in a storm: PostgreSQL, two servers on it, the links between them, and clients that come back."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Any

import asyncpg

from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from ingot_server.storage.embedded import EmbeddedPostgres
from ingot_server.storage.migrating import migrate
from tests.faults.links import Ends, Link, tcp_link, to_address
from tests.faults.postgres_proxy import PostgresProxy, postgres_proxy
from tests.faults.processes import ServerProcess, server_process

REPLICAS = 2
LEASE_SECONDS = 2.0


class Replica:
    """A server that is started again after whatever happens to it."""

    def __init__(self, database_link: PostgresProxy, database_url: str, log: IO[bytes]) -> None:
        self.database_link = database_link
        """What lies between it and PostgreSQL."""
        self.running: ServerProcess | None = None
        self._database_url = database_url
        self._log = log
        self._process = AsyncExitStack()

    async def start(self) -> None:
        server = server_process(
            log=self._log,
            database_url=self._database_url,
            lease_seconds=LEASE_SECONDS,
            open_imports_max=1_000,
            shutdown_grace_seconds=3,
            log_level="WARNING",
            log_format="json",
        )
        self.running = await self._process.enter_async_context(server)

    async def end(self) -> None:
        """Ends it, whatever it does."""
        self.running = None
        await self._process.aclose()


class World:
    """Everything at once. Clients know one address, behind which are all servers that run."""

    def __init__(self, folder: Path, seed: int, postgres: EmbeddedPostgres) -> None:
        self.seed = seed
        self.folder = folder
        self.postgres = postgres
        self.replicas: list[Replica] = []
        self.clients: list[ClientProcess] = []
        self.front: Link
        self.address = ""
        self.key = ""
        self._turn = 0

    async def connect(self) -> Ends:
        """A connection to a server, to each in turn, as load balancers do that do not ask for health."""
        for _ in self.replicas:
            self._turn += 1
            server = self.replicas[self._turn % len(self.replicas)].running
            if server is not None:
                try:
                    return await to_address(server.address)()
                except OSError:
                    continue
        raise ConnectionRefusedError

    def errors_logged(self) -> list[str]:
        """What the servers have logged as faults of their own: what breaks outside is to be a warning."""
        logs = [file.read_text(encoding="utf-8").splitlines() for file in sorted(self.folder.glob("server-*.log"))]
        return [line for lines in logs for line in lines if '"ERROR", "logger": "ingot_server.' in line]

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows from PostgreSQL, beside everything."""
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()


class ClientProcess:
    """A client that imports until it is told to come to rest; whoever kills it makes it go on where it was."""

    def __init__(self, world: World, number: int) -> None:
        self.number = number
        self.acknowledged: dict[int, int] = {}
        """By import, how many records it was told to be safe."""
        self.import_ids: dict[int, str] = {}
        self.ends: dict[int, dict[str, Any]] = {}
        """By import, how it ended."""
        self.process: asyncio.subprocess.Process | None = None
        self.began: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        """The imports as it begins them."""
        self.failures: list[str] = []
        self._world = world
        self._resting = False

    async def run(self) -> None:
        """Returns when it has come to rest."""
        self._resting = False
        while True:
            await self._run_once()
            assert self.process is not None
            if self.process.returncode == 0:
                self.process = None
                return

    def rest(self) -> None:
        """Lets it end the import that it is at, and no other."""
        self._resting = True
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    async def _run_once(self) -> None:
        world = self._world
        words = (world.address, world.key, str(world.seed), str(self.number), str(len(self.ends)))
        with (world.folder / f"client-{self.number}.log").open("ab") as log:
            self.process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.faults.storm.client",
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        try:
            if self._resting:
                self.rest()
            assert process.stdout is not None
            async for line in process.stdout:
                # A client that is killed may leave half a line.
                if line.endswith(b"\n"):
                    self._hear(json.loads(line))
            if (status := await process.wait()) > 0:
                self.failures.append(f"client {self.number} ended with {status}, at import {len(self.ends)}")
                # It would do so again at once.
                await asyncio.sleep(1)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _hear(self, facts: dict[str, Any]) -> None:
        number, import_id = facts["number"], facts["import_id"]
        if number not in self.import_ids:
            self.import_ids[number] = import_id
            self.began.put_nowait((number, import_id))
        elif self.import_ids[number] != import_id:
            self.failures.append(f"client {self.number} has two imports for its import {number}")
        if "ended" in facts:
            self.ends[number] = facts["ended"]
        else:
            self.acknowledged[number] = max(self.acknowledged.get(number, 0), facts["acknowledged"])


@asynccontextmanager
async def world(folder: Path, seed: int, clients: int) -> AsyncIterator[World]:
    """Everything is up; at the end nothing is left running."""
    postgres = EmbeddedPostgres(folder / "data", max_connections=100)
    async with AsyncExitStack() as stack:
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        made = World(folder, seed, postgres)
        made.front, made.address = await stack.enter_async_context(tcp_link(made.connect))
        made.key = await _key(postgres.dsn)
        for number in range(REPLICAS):
            place = folder / f"link-{number}"
            place.mkdir()
            link, url = await stack.enter_async_context(postgres_proxy(place, postgres.dsn))
            log = stack.enter_context((folder / f"server-{number}.log").open("wb"))
            replica = Replica(link, url, log)
            stack.push_async_callback(replica.end)
            made.replicas.append(replica)
        await asyncio.gather(*(replica.start() for replica in made.replicas))
        made.clients += [ClientProcess(made, number) for number in range(clients)]
        yield made


async def _key(url: str) -> str:
    database = await Database.connect(url, max_connections=3)
    try:
        async with database.connection() as connection:
            await migrate(connection)
        return (await create_key(database, "storm", list(SCOPES), "storm", None)).text
    finally:
        await database.close()
