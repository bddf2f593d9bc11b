"""An HTTP server with one file, which misbehaves when it is told to."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp import web

from ingot_server.pipeline.fetching import Fetched, Fetcher

Behaviour = Callable[["Host", web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Host:
    """Serves `content` under every path, as a good server does; `behaviours` are used up first, one by each request."""

    content: bytes
    etag: str = '"1"'
    modified: str = ""
    knows_ranges: bool = True
    knows_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    behaviours: deque[Behaviour] = field(default_factory=deque)
    asked: list[Mapping[str, str]] = field(default_factory=list)
    """The headers of each request."""
    queries: list[Mapping[str, str]] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/contacts.csv"

    @property
    def ranges(self) -> list[str]:
        return [headers.get("Range", "") for headers in self.asked]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers)
        self.queries.append(request.query)
        if self.behaviours:
            return await self.behaviours.popleft()(self, request)
        response, body = self.answer(request)
        await response.prepare(request)
        await response.write(body)
        await response.write_eof()
        return response

    def answer(self, request: web.Request) -> tuple[web.StreamResponse, bytes]:
        """Head and body of a good answer."""
        headers = {name: value for name, value in (("ETag", self.etag), ("Last-Modified", self.modified)) if value}
        start = request.http_range.start or 0 if self.knows_ranges else 0
        same = request.headers.get("If-Range") in (None, self.etag, self.modified)
        if start > 0 and same and start >= len(self.content):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(self.content)}"}), b""
        part = "Range" in request.headers and self.knows_ranges and same
        body = self.content[start:] if part else self.content
        if part:
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        response = web.StreamResponse(status=206 if part else 200, headers={**headers, **self.headers})
        if self.knows_length:
            response.content_length = len(body)
        else:
            response.enable_chunked_encoding()
        return response, body


def cut_after(sent_bytes: int) -> Behaviour:
    """The connection is lost in the middle of the body."""

    async def behave(host: Host, request: web.Request) -> web.StreamResponse:
        response, body = host.answer(request)
        await response.prepare(request)
        await response.write(body[:sent_bytes])
        assert request.transport is not None
        request.transport.close()
        return response

    return behave


def stall_after(sent_bytes: int) -> Behaviour:
    """Nothing more comes, and the connection stays."""

    async def behave(host: Host, request: web.Request) -> web.StreamResponse:
        response, body = host.answer(request)
        await response.prepare(request)
        await response.write(body[:sent_bytes])
        await host.stopping.wait()
        return response

    return behave


def crawl_after(sent_bytes: int, pause_seconds: float) -> Behaviour:
    """Then one byte comes after the other."""

    async def behave(host: Host, request: web.Request) -> web.StreamResponse:
        response, body = host.answer(request)
        await response.prepare(request)
        await response.write(body[:sent_bytes])
        with suppress(ConnectionError):
            for place in range(sent_bytes, len(body)):
                await response.write(body[place : place + 1])
                await asyncio.sleep(pause_seconds)
        return response

    return behave


def cut_after_each_byte(pause_seconds: float) -> Behaviour:
    """The answer comes late, with one byte, and the connection is lost."""

    async def behave(host: Host, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(pause_seconds)
        response, body = host.answer(request)
        await response.prepare(request)
        # The one before is asked for as well.
        await response.write(body[: 2 if response.status == 206 else 1])
        assert request.transport is not None
        request.transport.close()
        return response

    return behave


class Hold:
    """A behaviour: nothing comes after so many bytes, until `go_on` is set; then the rest, or with `cut` nothing."""

    def __init__(self, sent_bytes: int, *, cut: bool = False) -> None:
        self._sent_bytes = sent_bytes
        self._cut = cut
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.gone = asyncio.Event()
        """Set when whoever asked has closed the connection meanwhile."""

    async def __call__(self, host: Host, request: web.Request) -> web.StreamResponse:
        response, body = host.answer(request)
        await response.prepare(request)
        await response.write(body[: self._sent_bytes])
        self.reached.set()
        while not self.go_on.is_set() and not host.stopping.is_set():
            if request.transport is None or request.transport.is_closing():
                self.gone.set()
                return response
            await asyncio.sleep(0.01)
        if self._cut and request.transport is not None:
            request.transport.close()
            return response
        await response.write(body[self._sent_bytes :])
        await response.write_eof()
        return response


def status(code: int, body: str = "", **headers: str) -> Behaviour:
    """An answer without the file."""

    async def behave(host: Host, request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=code, text=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return behave


def part(start: int, body: bytes, total: int) -> Behaviour:
    """Some part of a file, whatever was asked for."""

    async def behave(host: Host, request: web.Request) -> web.StreamResponse:
        place = f"bytes {start}-{start + len(body) - 1}/{total}"
        return web.Response(status=206, body=body, headers={"ETag": host.etag, "Content-Range": place})

    return behave


def redirect(target: str, code: int = 302) -> Behaviour:
    return status(code, Location=target)


def then_change(behaviour: Behaviour, content: bytes, etag: str = '"2"') -> Behaviour:
    """The behaviour, and from then on another file."""

    async def behave(host: Host, request: web.Request) -> web.StreamResponse:
        try:
            return await behaviour(host, request)
        finally:
            host.content, host.etag = content, etag

    return behave


@asynccontextmanager
async def hosting(content: bytes, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Host]:
    """A host on a loopback address."""
    host = Host(content, behaviours=deque(behaviours))
    application = web.Application()
    application.router.add_get("/{path:.*}", host.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host.port = runner.addresses[0][1]
    try:
        yield host
    finally:
        host.stopping.set()
        await runner.cleanup()


async def read(fetcher: Fetcher, uri: str, *, offset: int = 0, version: str = "") -> tuple[Fetched, bytes]:
    """A file, and all of its bytes from where they begin."""
    async with fetcher.open(uri, offset=offset, version=version) as file:
        return file, b"".join([piece async for piece in file])
