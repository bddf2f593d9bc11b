"""The asynchronous client: all calls on one object."""

from types import TracebackType
from typing import Self

from ingot_client._connection import Connection
from ingot_client._continuing import ContinuedImports
from ingot_client._records import RecordCalls
from ingot_client._referencing import ReferenceImports
from ingot_client._settings import PemFile, find_settings
from ingot_client._tables import TableCalls


class AsyncClient(ContinuedImports, ReferenceImports, RecordCalls, TableCalls):
    """Talks to an Ingot server from asyncio. Use it in one event loop, from as many tasks as you like.

    Lists and streams are asynchronous iterables: `async for job in ingot.list_imports(): …`.
    """

    def __init__(
        self,
        address: str | None = None,
        api_key: str | None = None,
        *,
        tls: bool | None = None,
        root_certificates: PemFile | None = None,
        certificate: tuple[PemFile, PemFile] | None = None,
        timeout: float = 30.0,
        retry_timeout: float = 300.0,
    ) -> None:
        """Finds the server and the key; calls nothing yet. SettingsInvalid if there is no key.

        `address` is host:port; else INGOT_ADDRESS, the address of a server running on this machine, localhost:7468.
        `api_key`; else INGOT_API_KEY, or the key that a server running on this machine left in its data folder
        (INGOT_DATA_DIR). `tls` and `root_certificates` (a path, or PEM as bytes; the system's by default); else
        INGOT_TLS_CA and INGOT_TLS=1. `certificate`, our own and its private key (the same), where the server wants one;
        else INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY.

        `timeout` is how many seconds a short call may take. `retry_timeout` is for how many seconds uploads and
        watches are tried again without any progress.
        """
        settings = find_settings(
            address, api_key, tls=tls, root_certificates=root_certificates, certificate=certificate
        )
        self._connection = Connection(settings, timeout)
        self._retry_timeout = retry_timeout

    @property
    def address(self) -> str:
        """The server's address."""
        return self._connection.address

    async def close(self) -> None:
        """Closes the connection. Calls under way end with an error."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
