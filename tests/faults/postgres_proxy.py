"""Stands between a server and PostgreSQL, and cuts connections at the worst moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PostgresProxy:
    """Forwards everything, until told to swallow the answer to a COMMIT."""

    def __init__(self) -> None:
        self.swallow_commits = 0
        """The answers to so many COMMITs will be lost, with their connections."""
        self.swallowed = 0

    async def forward(self, client: Ends, server: Ends) -> None:
        """Serves one connection."""
        (from_client, to_client), (from_server, to_server) = client, server
        committing = asyncio.Event()

        async def requests() -> None:
            while data := await from_client.read(65_536):
                if self.swallow_commits and b"COMMIT;" in data:
                    self.swallow_commits -= 1
                    committing.set()
                to_server.write(data)
                await to_server.drain()

        async def answers() -> None:
            while data := await from_server.read(65_536):
                if committing.is_set():
                    # PostgreSQL has committed, and nobody will hear of it.
                    self.swallowed += 1
                    return
                to_client.write(data)
                await to_client.drain()

        tasks = [asyncio.create_task(requests()), asyncio.create_task(answers())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in (to_client, to_server):
            with suppress(OSError):
                writer.transport.abort()


@asynccontextmanager
async def postgres_proxy(folder: Path, url: str) -> AsyncIterator[tuple[PostgresProxy, str]]:
    """A proxy before the PostgreSQL of `url`, and the address to use instead."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    port = query.get("port", "5432")
    target = Path(query["host"]) / f".s.PGSQL.{port}"
    proxy = PostgresProxy()
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        connections.add(current)
        current.add_done_callback(connections.discard)
        await proxy.forward((reader, writer), await asyncio.open_unix_connection(str(target)))

    listener = await asyncio.start_unix_server(connected, str(folder / f".s.PGSQL.{port}"))
    try:
        yield proxy, urlunsplit(parts._replace(query=urlencode({**query, "host": str(folder)})))
    finally:
        listener.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
