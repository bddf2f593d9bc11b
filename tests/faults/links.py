"""Stands between two that talk over a network, and does to them what networks do.

    client ──► Link ──► server          server ──► Link ──► PostgreSQL

Nothing here knows what is said, so both sides can be anything.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

Ends: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect: TypeAlias = Callable[[], Awaitable[Ends]]

_RESET = struct.pack("ii", 1, 0)
"""What SO_LINGER takes to close with a reset instead of a farewell."""


class Link:
    """Forwards connections to whoever `connect` reaches. What is changed holds for all that are open, and new ones."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        """May be changed: new connections lead there then."""
        self.delay_seconds = 0.0
        """How long each piece of data is on its way."""
        self.cuts = 0
        """How many connections `cut_after` has cut."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._bytes_left: int | None = None
        self._silenced = 0
        self._open: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def stall(self) -> None:
        """Swallows nothing and delivers nothing, as a machine that has vanished; nobody is told."""
        self._flowing.clear()

    def flow(self) -> None:
        """Delivers again, also what was held back."""
        self._flowing.set()

    def silence(self) -> None:
        """Delivers nothing more on the connections that are open now, and does not end them either; new ones work."""
        self._silenced += 1

    def reset(self) -> None:
        """Breaks all connections, in the middle of whatever is said."""
        for writer in list(self._writers):
            _abort(writer)

    def cut_after(self, number_of_bytes: int) -> None:
        """Breaks the connection that carries this byte from now on, right behind it."""
        self._bytes_left = number_of_bytes

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forwards one connection until an end of it is closed."""
        serving = asyncio.create_task(self._serve(reader, writer))
        self._open.add(serving)
        serving.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            with suppress(OSError):
                from_target, onward = await self.connect()
                self._writers.add(onward)
                await self.forward((reader, writer), (from_target, onward))
        finally:
            for one in (writer, onward):
                if one is not None:
                    self._writers.discard(one)
                    _abort(one)

    async def forward(self, client: Ends, server: Ends) -> None:
        """Carries data both ways; returns when one way has ended."""
        await self.carry_until_one_ends([self.carry(client[0], server[1]), self.carry(server[0], client[1])])

    @staticmethod
    async def carry_until_one_ends(ways: Iterable[Coroutine[object, object, None]]) -> None:
        """Carries data several ways; returns when one of them has ended."""
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bool] = lambda data: True,
    ) -> None:
        """Carries data one way, until an end is closed or `passes` says that this data must not arrive."""
        born = self._silenced
        while data := await reader.read(65_536):
            if born != self._silenced:
                await asyncio.Event().wait()
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            await self._flowing.wait()
            if not passes(data):
                return
            if self._bytes_left is not None:
                if len(data) >= self._bytes_left:
                    writer.write(data[: self._bytes_left])
                    self._bytes_left = None
                    self.cuts += 1
                    return
                self._bytes_left -= len(data)
            writer.write(data)
            await writer.drain()

    async def close(self) -> None:
        """Ends all connections."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


def _abort(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        end = writer.get_extra_info("socket")
        if end is not None and end.family in (socket.AF_INET, socket.AF_INET6):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()


@asynccontextmanager
async def tcp_link(connect: Connect) -> AsyncIterator[tuple[Link, str]]:
    """A link on a free port of this machine, and its address."""
    link = Link(connect)
    listener = await asyncio.start_server(link.accept, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    try:
        yield link, f"{host}:{port}"
    finally:
        listener.close()
        await link.close()


def to_address(address: str) -> Connect:
    """Leads to a host and port."""
    host, _, port = address.rpartition(":")
    return lambda: asyncio.open_connection(host, int(port))
