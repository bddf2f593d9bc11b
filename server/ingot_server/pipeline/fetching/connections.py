"""HTTP connections: to public hosts only, or to any; without cookies, proxies and redirects of their own."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ingot_server.pipeline.fetching.addresses import AddressRefused, guarded_socket
from ingot_server.pipeline.fetching.errors import Fault, FetchFailed, ReferenceRefused
from ingot_server.pipeline.fetching.references import PRIVATE_HOST

NAMES_AT_ONCE = 16
"""How many names are looked up at the same time."""


class Connections:
    """A way to hosts; `guarded`: to public ones only."""

    def __init__(self, *, guarded: bool, stall_seconds: float) -> None:
        self._guarded = guarded
        self._stall_seconds = stall_seconds
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The answer to one request, whatever its status; its body is still to be read, as it comes."""
        if self._session is None:
            self._session = self._new_session()
        with self.faults():
            return await self._session.get(url, headers=headers, allow_redirects=False)

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Translates what can go wrong on a connection. aiohttp's own texts are not used: some hold the URL."""
        try:
            yield
        except aiohttp.ClientConnectorCertificateError as error:
            raise FetchFailed("the certificate of the host is not valid") from error
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise ReferenceRefused("the URI is not one that can be read") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise Fault("the name of the host is not known") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefused):
                raise ReferenceRefused(PRIVATE_HOST) from error
            raise Fault("there is no connection to the host") from error
        except TimeoutError as error:
            raise Fault(f"nothing came from the host for {self._stall_seconds:g} seconds") from error
        except aiohttp.ClientResponseError as error:
            raise Fault("the answer of the host is not HTTP") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Fault("the connection was lost") from error

    def _new_session(self) -> aiohttp.ClientSession:
        # aiohttp's own context is made once, when it is imported: whom SSL_CERT_FILE says to trust is looked at here.
        authorities = ssl.create_default_context()
        authorities.set_alpn_protocols(("http/1.1",))
        connector = aiohttp.TCPConnector(
            ssl=authorities,
            # Each file has a connection of its own: one that is kept belongs to a host that was looked up long ago.
            force_close=True,
            use_dns_cache=False,
            resolver=_Names(),
            limit=0,
            socket_factory=guarded_socket if self._guarded else _any_socket,
        )
        stall = self._stall_seconds
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, connect=stall, sock_connect=stall, sock_read=stall),
            headers={"Accept-Encoding": "identity", "User-Agent": "ingot"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(loop=asyncio.get_running_loop()),
            trust_env=False,
        )


class _Names(AbstractResolver):
    """Looks for the addresses of hosts in threads of its own: one that nobody answers for holds a thread for minutes,
    also when nobody waits for it any more. asyncio's own threads compute for everybody, and the process waits for them,
    and for those of any executor, before it ends."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(NAMES_AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._looked_up(host, port, family)
        return [
            ResolveResult(
                hostname=host,
                # An address of a link is one only with the link.
                host=f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else str(address[0]),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is to be done: a thread ends when its name is answered for."""

    async def _looked_up(self, host: str, port: int, family: socket.AddressFamily) -> list[Any]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def look_up() -> None:
            try:
                addresses = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            except (OSError, UnicodeError) as error:
                tell(found.set_exception, error)
            else:
                tell(found.set_result, addresses)

        def tell(settle: Callable[[Any], None], outcome: object) -> None:
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(end, settle, outcome)

        def end(settle: Callable[[Any], None], outcome: object) -> None:
            self._free.release()
            if not found.done():
                settle(outcome)

        await self._free.acquire()
        try:
            threading.Thread(target=look_up, name="name", daemon=True).start()
        except RuntimeError:
            self._free.release()
            raise
        return await found


def _any_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, type, protocol, *_ = info
    return socket.socket(family, type, protocol)
