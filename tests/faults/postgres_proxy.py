"""Stands between a server and PostgreSQL, and cuts connections at the worst moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from tests.faults.links import Connect, Ends, Link


class PostgresProxy(Link):
    """Forwards everything, until told to do what networks do, or to swallow the answer to a COMMIT."""

    def __init__(self, connect: Connect) -> None:
        super().__init__(connect)
        self.swallow_commits = 0
        """The answers to so many COMMITs will be lost, with their connections."""
        self.spare_commits = 0
        """So many COMMITs are answered before that."""
        self.swallowed = 0

    async def forward(self, client: Ends, server: Ends) -> None:
        """Serves one connection."""
        committing = asyncio.Event()

        def asks(data: bytes) -> bool:
            if self.swallow_commits and b"COMMIT;" in data:
                if self.spare_commits:
                    self.spare_commits -= 1
                else:
                    self.swallow_commits -= 1
                    committing.set()
            return True

        def is_heard(data: bytes) -> bool:
            # PostgreSQL has committed, and nobody will hear of it.
            self.swallowed += committing.is_set()
            return not committing.is_set()

        ways = [self.carry(client[0], server[1], asks), self.carry(server[0], client[1], is_heard)]
        await self.carry_until_one_ends(ways)


def to_postgres(url: str) -> Connect:
    """Leads to the PostgreSQL of a URL that names the folder of its socket."""
    query = parse_qs(urlsplit(url).query)
    socket = Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
    return lambda: asyncio.open_unix_connection(str(socket))


@asynccontextmanager
async def postgres_proxy(folder: Path, url: str) -> AsyncIterator[tuple[PostgresProxy, str]]:
    """A proxy before the PostgreSQL of `url`, and the address to use instead."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    proxy = PostgresProxy(to_postgres(url))
    listener = await asyncio.start_unix_server(proxy.accept, str(folder / f".s.PGSQL.{query['port']}"))
    try:
        yield proxy, urlunsplit(parts._replace(query=urlencode({**query, "host": str(folder)})))
    finally:
        listener.close()
        await proxy.close()
