"""The way in: from a URI to the file that is being read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ingot_server.pipeline.fetching.connections import Connections
from ingot_server.pipeline.fetching.errors import ReferenceRefused
from ingot_server.pipeline.fetching.fetched import Fetched
from ingot_server.pipeline.fetching.files import FileSource, file_path
from ingot_server.pipeline.fetching.http import HttpSource, http_url
from ingot_server.pipeline.fetching.references import scheme_of, shown
from ingot_server.pipeline.fetching.rules import FetchRules
from ingot_server.pipeline.fetching.s3 import S3Source, Signer, s3_object
from ingot_server.pipeline.fetching.source import Source


class Fetcher:
    """Reads files by the operator's rules; one for the process."""

    def __init__(self, rules: FetchRules) -> None:
        self._rules = rules
        self._connections = Connections(guarded=not rules.private_networks, stall_seconds=rules.stall_seconds)
        self._s3_connections = Connections(guarded=False, stall_seconds=rules.stall_seconds)
        self._signer = Signer(rules.s3_endpoint)

    def check(self, uri: str) -> None:
        """Raises ReferenceRefused if one can see from the URI that it may not be read; asks nobody."""
        self._source(uri)

    @asynccontextmanager
    async def open(self, uri: str, *, offset: int = 0, version: str = "") -> AsyncIterator[Fetched]:
        """The file, read from the offset on if the source can do that and the version is known, else from its start.

        Raises ReferenceRefused, or FetchFailed if it cannot be read or is no longer of this version; so does reading.
        """
        fetched = Fetched(self._source(uri), self._rules, shown(uri))
        try:
            await fetched.begin(offset, version)
            yield fetched
        finally:
            fetched.end()

    async def close(self) -> None:
        """Closes all connections."""
        await self._connections.close()
        await self._s3_connections.close()

    def _source(self, uri: str) -> Source:
        match scheme_of(uri):
            case "http" | "https":
                url = http_url(uri, private_networks=self._rules.private_networks)
                return HttpSource(url, self._connections, private_networks=self._rules.private_networks)
            case "s3":
                return S3Source(*s3_object(uri, self._rules), self._signer, self._s3_connections)
            case "file":
                return FileSource(file_path(uri, self._rules), self._rules.folders)
            case scheme:
                raise ReferenceRefused(f"files cannot be read by {scheme}: use https, http, s3 or file")
