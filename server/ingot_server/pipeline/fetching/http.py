"""Files by HTTP: follows redirects, goes on within a file if it is the same, and tells what became of it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from yarl import URL

from ingot_server.pipeline.fetching.connections import Connections
from ingot_server.pipeline.fetching.errors import Fault, FetchFailed, FileChanged, ReferenceRefused
from ingot_server.pipeline.fetching.references import http_url, shown
from ingot_server.pipeline.fetching.source import PIECE_BYTES

REDIRECTS_MAX = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (408, 425, 429)
# Versions are stored: what is long or odd is as if it were not there.
_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_DATE = re.compile(r"[\x20-\x7e]{1,64}")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


class HttpSource:
    """A file at a URL."""

    def __init__(self, url: URL, connections: Connections, *, private_networks: bool) -> None:
        self._url = url
        self._private_networks = private_networks
        self._connections = connections

    async def read_from(self, offset: int, version: str) -> "HttpReading":
        """As Source says."""
        headers = {}
        if offset and version:
            # One byte more than is needed: a range behind the last byte would be an error, and here it means that the
            # file has become shorter.
            headers["Range"] = f"bytes={offset - 1}-"
            headers["If-Range"] = version if version.startswith('"') else version.rpartition(" ")[0]
        response = await self._answer(headers)
        try:
            match response.status:
                case HTTPStatus.OK:
                    return _whole(response, self._connections)
                case HTTPStatus.PARTIAL_CONTENT if headers:
                    return _part(response, self._connections, offset - 1, version)
                case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE if headers:
                    raise FileChanged
            why = await self._refusal(response)
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in _TRANSIENT:
                raise Fault(why, _wait_seconds(response.headers.get("Retry-After", "")))
            raise FetchFailed(why)
        except BaseException:
            response.close()
            raise

    async def _answer(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The answer behind all redirects."""
        url = self._url
        for _ in range(REDIRECTS_MAX + 1):
            response = await self._connections.get(url, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.close()
            url = self._redirected(url, location)
        raise FetchFailed(f"the file is behind more than {REDIRECTS_MAX} redirects")

    def _redirected(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location, encoded=location.isascii() and " " not in location)).with_fragment(None)
        except ValueError:
            raise FetchFailed("the host redirects to something that is not a URL") from None
        if target.scheme not in ("https", "http"):
            raise ReferenceRefused(f"the host redirects to {shown(str(target))}, which is not HTTP")
        if url.scheme == "https" and target.scheme == "http":
            raise ReferenceRefused(f"the host redirects from https to {shown(str(target))}, which anybody could read")
        try:
            return http_url(str(target), private_networks=self._private_networks)
        except ReferenceRefused as refused:
            raise ReferenceRefused(f"the host redirects to {shown(str(target))}: {refused.message}") from None

    async def _refusal(self, response: aiohttp.ClientResponse) -> str:
        """What an answer without the file says."""
        return status_text(response.status)


class HttpReading:
    """The body of an answer."""

    def __init__(
        self, response: aiohttp.ClientResponse, connections: Connections, version: str, size: int | None, offset: int
    ) -> None:
        self.version = version
        self.size = size
        self.offset = offset
        coding = response.headers.get("Content-Encoding", "").strip().lower()
        self.content_encoding = "" if coding == "identity" else coding
        self._response = response
        self._connections = connections

    async def piece(self) -> bytes:
        """As Reading says."""
        with self._connections.faults():
            return await self._response.content.read(PIECE_BYTES)

    def close(self) -> None:
        """As Reading says."""
        self._response.close()


def status_text(status: int) -> str:
    """A status in words. The host's own are not used: they may say anything."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _whole(response: aiohttp.ClientResponse, connections: Connections) -> HttpReading:
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    size = None if chunked else response.content_length
    if size is None and not chunked:
        raise FetchFailed("the host does not say where the file ends, so nobody would notice if a part were missing")
    return HttpReading(response, connections, _version(response.headers, size), size, 0)


def _part(response: aiohttp.ClientResponse, connections: Connections, start: int, asked_version: str) -> HttpReading:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != start:
        raise FetchFailed("the host answers with another part of the file than it was asked for")
    size = None if found[2] == "*" else int(found[2])
    # A host that was asked by a date need not repeat it.
    modified = "" if asked_version.startswith('"') else asked_version.rpartition(" ")[0]
    return HttpReading(response, connections, _version(response.headers, size, modified), size, start)


def _version(headers: Mapping[str, str], size: int | None, modified: str = "") -> str:
    """A strong ETag; or else date and size, unless the file may change once more within the second of the date."""
    etag = headers.get("ETag", "")
    if _ETAG.fullmatch(etag):
        return etag
    modified = headers.get("Last-Modified", modified)
    if size is None or modified == headers.get("Date") or not _DATE.fullmatch(modified):
        return ""
    return f"{modified} {size}"


def _wait_seconds(retry_after: str) -> float | None:
    """What Retry-After says: seconds, or a date."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        due = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (due.replace(tzinfo=due.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
