"""The way in: from a URI to the file that is being read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from yarl import URL

from ingot_server.pipeline.fetching.errors import ReferenceRefused
from ingot_server.pipeline.fetching.fetched import Fetched
from ingot_server.pipeline.fetching.files import FileSource, file_path
from ingot_server.pipeline.fetching.references import S3Object, http_url, s3_object, scheme_of, shown
from ingot_server.pipeline.fetching.rules import FetchRules
from ingot_server.pipeline.fetching.source import Source

if TYPE_CHECKING:
    from ingot_server.pipeline.fetching.remote import Remote


class Fetcher:
    """Reads files by the operator's rules; one for the process."""

    def __init__(self, rules: FetchRules) -> None:
        self._rules = rules
        self._remote: Remote | None = None

    def check(self, uri: str) -> None:
        """Raises ReferenceRefused if one can see from the URI that it may not be read; asks nobody."""
        self._named(uri)

    @asynccontextmanager
    async def open(self, uri: str, *, offset: int = 0, version: str = "") -> AsyncIterator[Fetched]:
        """The file, read from the offset on if the source can do that and the version is known, else from its start.

        Raises ReferenceRefused, or FetchFailed if it cannot be read or is no longer of this version; so does reading.
        """
        fetched = Fetched(await self._source(uri), self._rules, shown(uri))
        try:
            await fetched.begin(offset, version)
            yield fetched
        finally:
            fetched.end()

    async def close(self) -> None:
        """Closes all connections."""
        if self._remote is not None:
            await self._remote.close()

    def _named(self, uri: str) -> URL | S3Object | str:
        """What the URI names; a str is the path of a file of this machine."""
        match scheme_of(uri):
            case "http" | "https":
                return http_url(uri, private_networks=self._rules.private_networks)
            case "s3":
                return s3_object(uri, self._rules)
            case "file":
                return file_path(uri, self._rules)
            case scheme:
                raise ReferenceRefused(f"files cannot be read by {scheme}: use https, http, s3 or file")

    async def _source(self, uri: str) -> Source:
        match self._named(uri):
            case URL() as url:
                return (await self._loaded()).http(url)
            case S3Object(bucket, key):
                return (await self._loaded()).s3(bucket, key)
            case path:
                return FileSource(path, self._rules.folders)

    async def _loaded(self) -> "Remote":
        if self._remote is None:
            make = await asyncio.to_thread(_load_remote)
            # Another file may have been faster.
            self._remote = self._remote or make(self._rules)
        return self._remote


def _load_remote() -> "type[Remote]":
    from ingot_server.pipeline.fetching.remote import Remote  # noqa: PLC0415 see there

    return Remote
