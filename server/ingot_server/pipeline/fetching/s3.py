"""Files on S3: each request goes to an address that is signed for it, with the server's own credentials."""

import asyncio
import logging
import re
import threading
from collections.abc import Mapping
from typing import Any

import aiohttp
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoCredentialsError
from yarl import URL

from ingot_server.pipeline.fetching.connections import Connections
from ingot_server.pipeline.fetching.errors import Fault, FetchFailed
from ingot_server.pipeline.fetching.http import HttpSource, status_text

log = logging.getLogger(__name__)
# Its debug logs hold signatures.
logging.getLogger("botocore").setLevel(logging.INFO)

SIGNED_SECONDS = 900
"""How long an address can be used: until the request is made. An answer may take longer."""
_CODE_ELEMENT = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_ANSWER_BYTES_MAX = 65_536
_REGION_ELEMENT = re.compile(rb"<Region>([a-z0-9-]{1,32})</Region>")
_REGION = re.compile(r"[a-z0-9-]{1,32}")


class Signer:
    """Signs addresses, with credentials and the region from where all AWS tools look for them."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session: botocore.session.Session | None = None
        self._clients: dict[str, Any] = {}
        self._regions: dict[str, str] = {}
        self._lock = threading.Lock()

    async def url(self, bucket: str, key: str) -> URL:
        """An address at which the object can be read."""
        try:
            # Credentials may have to be fetched, and botocore waits for them.
            return URL(await asyncio.to_thread(self._signed, bucket, key), encoded=True)
        except NoCredentialsError as error:
            raise FetchFailed("the server has no credentials for S3: its operator must give it some") from error
        except (BotoCoreError, ValueError) as error:
            # Its text may tell of the server's machine.
            log.exception("an address on S3 could not be signed")
            raise Fault("the server's access to S3 does not work now") from error

    def moved(self, bucket: str, region: str) -> bool:
        """Notes the region of a bucket; False if it was known."""
        if not _REGION.fullmatch(region) or self._regions.get(bucket) == region:
            return False
        self._regions[bucket] = region
        return True

    def _signed(self, bucket: str, key: str) -> str:
        client = self._client(self._regions.get(bucket, ""))
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=SIGNED_SECONDS
        )
        return url

    def _client(self, region: str) -> Any:
        # One at a time: a session is not made for threads. Its clients are.
        with self._lock:
            if self._session is None:
                self._session = botocore.session.Session()
            if region not in self._clients:
                style = "path" if self._endpoint else "virtual"
                self._clients[region] = self._session.create_client(
                    "s3",
                    region_name=region or self._session.get_config_variable("region") or "us-east-1",
                    endpoint_url=self._endpoint or None,
                    config=Config(signature_version="s3v4", s3={"addressing_style": style}),
                )
            return self._clients[region]


class S3Source(HttpSource):
    """An object in a bucket."""

    def __init__(self, bucket: str, key: str, signer: Signer, connections: Connections) -> None:
        self._bucket = bucket
        self._key = key
        self._signer = signer
        self._connections = connections

    async def _answer(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The answer of the bucket's region. Other redirects are not followed: the way is open to any host."""
        response = await self._ask(headers)
        if response.status in (301, 307, 400) and self._signer.moved(self._bucket, await self._region_in(response)):
            response.close()
            response = await self._ask(headers)
        return response

    async def _ask(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        return await self._connections.get(await self._signer.url(self._bucket, self._key), headers)

    async def _region_in(self, response: aiohttp.ClientResponse) -> str:
        """The region that the bucket is in, if the answer is about that."""
        found = _REGION_ELEMENT.search(await self._body(response))
        return response.headers.get("x-amz-bucket-region") or (found[1].decode() if found else "")

    async def _refusal(self, response: aiohttp.ClientResponse) -> str:
        code = _CODE_ELEMENT.search(await self._body(response))
        return status_text(response.status) + (f" ({code[1].decode()})" if code else "")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = b""
        with self._connections.faults():
            while len(body) < _ANSWER_BYTES_MAX and (piece := await response.content.read(_ANSWER_BYTES_MAX)):
                body += piece
        return body
