"""Files of other machines.

Loaded when the first of them is read: aiohttp and botocore take a fifth of a second, and 16 MiB of each process.
"""

from yarl import URL

from ingot_server.pipeline.fetching.connections import Connections
from ingot_server.pipeline.fetching.http import HttpSource
from ingot_server.pipeline.fetching.rules import FetchRules
from ingot_server.pipeline.fetching.s3 import S3Source, Signer


class Remote:
    """The ways to them; one for the process."""

    def __init__(self, rules: FetchRules) -> None:
        self._private_networks = rules.private_networks
        self._connections = Connections(guarded=not rules.private_networks, stall_seconds=rules.stall_seconds)
        self._s3_connections = Connections(guarded=False, stall_seconds=rules.stall_seconds)
        self._signer = Signer(rules.s3_endpoint)

    def http(self, url: URL) -> HttpSource:
        """The file at a URL."""
        return HttpSource(url, self._connections, private_networks=self._private_networks)

    def s3(self, bucket: str, key: str) -> S3Source:
        """An object in a bucket."""
        return S3Source(bucket, key, self._signer, self._s3_connections)

    async def close(self) -> None:
        """Closes all connections."""
        await self._connections.close()
        await self._s3_connections.close()
