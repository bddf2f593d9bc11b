"""HTTP connections: to public hosts only, or to any; without cookies, proxies and redirects of their own."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from yarl import URL

from ingot_server.pipeline.fetching.addresses import AddressRefused, guarded_socket
from ingot_server.pipeline.fetching.errors import Fault, FetchFailed, ReferenceRefused

PRIVATE_HOST = (
    "the host has no public address, and the server reads from no others: "
    "use a public address, or have private networks allowed on the server"
)


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
        # aiohttp's own context is made at import: before a process could say, by SSL_CERT_FILE, whom it trusts.
        authorities = ssl.create_default_context()
        authorities.set_alpn_protocols(("http/1.1",))
        connector = aiohttp.TCPConnector(
            ssl=authorities,
            # Each file has a connection of its own: one that is kept belongs to a host that was looked up long ago.
            force_close=True,
            use_dns_cache=False,
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


def _any_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, type, protocol, *_ = info
    return socket.socket(family, type, protocol)
