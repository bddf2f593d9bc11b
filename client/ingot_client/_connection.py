"""The channel to the server, and the two ways to call over it: for one answer, and for a stream of them.

Every call carries the API key. Every error is this package's own.
"""

import asyncio
from collections.abc import AsyncGenerator
from functools import cached_property
from typing import Any, Final, TypeVar

import grpc
from grpc import aio

from ingot.v1.batch_service_pb2_grpc import BatchServiceStub
from ingot.v1.import_service_pb2_grpc import ImportServiceStub
from ingot.v1.record_service_pb2_grpc import RecordServiceStub
from ingot.v1.table_service_pb2_grpc import TableServiceStub
from ingot_client._errors import (
    IngotError,
    NotFound,
    TooManyFailedKeys,
    TooManyRequests,
    TooManyStreams,
    Transient,
    Unreachable,
)
from ingot_client._patience import Patience
from ingot_client._settings import Settings
from ingot_client._status import errors_translated

Q = TypeVar("Q")
R = TypeVar("R")

# A server that never answered is reported soon: the address may be wrong. One that did is probably restarting.
STRANGER_SECONDS: Final = 2.0
ACQUAINTANCE_SECONDS: Final = 15.0

ENDING_SECONDS: Final = 0.5
"""So long a client that is closed waits for watches that are about to end."""

OPTIONS: Final[list[tuple[str, Any]]] = [
    # Without these a restarted server is found again only after up to two minutes, and a vanished one never missed.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this the time above has no effect, and it takes another minute.
    ("grpc.http2.ping_timeout_ms", 10_000),
    # Otherwise clients of one process share connections, also dead ones.
    ("grpc.use_local_subchannel_pool", 1),
    # A page of a thousand errors, or a record of 2 MiB, does not fit into the default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]


class Connection:
    """Calls one server with one key. Belongs to the event loop in which it is first used."""

    def __init__(self, settings: Settings, timeout_seconds: float) -> None:
        self.settings = settings
        self.metadata = (("authorization", f"Bearer {settings.api_key}"),)
        self._timeout_seconds = timeout_seconds
        self.answered = False
        """Whether the server has ever answered."""
        self._closed = False
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """The server's address, as messages show it."""
        return self.settings.address

    @cached_property
    def channel(self) -> aio.Channel:
        """Made at first use, because a channel belongs to the running event loop."""
        if self._closed:
            raise IngotError("the client is closed")
        # A proxy set in the environment cannot reach a server on this machine.
        options = [*OPTIONS, ("grpc.enable_http_proxy", 0)] if self.settings.loopback else OPTIONS
        if not self.settings.tls:
            return aio.insecure_channel(self.address, options=options)
        certificate, key = self.settings.certificate or (None, None)
        credentials = grpc.ssl_channel_credentials(self.settings.root_certificates, key, certificate)
        return aio.secure_channel(self.address, credentials, options=options)

    @cached_property
    def imports(self) -> ImportServiceStub:
        return ImportServiceStub(self.channel)

    @cached_property
    def batches(self) -> BatchServiceStub:
        return BatchServiceStub(self.channel)

    @cached_property
    def records(self) -> RecordServiceStub:
        return RecordServiceStub(self.channel)

    @cached_property
    def tables(self) -> TableServiceStub:
        return TableServiceStub(self.channel)

    def _hang_up_advice(self) -> str:
        """What a server may want that closes the connection and has never answered otherwise."""
        if self.answered:
            return ""
        if not self.settings.tls:
            return "is it a TLS server? Set INGOT_TLS=1"
        if self.settings.certificate is None:
            return "does it want a certificate of yours? Set INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY"
        return ""

    def patience(self) -> Patience:
        """How long to try a call that nothing depends on yet: longer, once there is a server that answers."""
        return Patience(lambda: ACQUAINTANCE_SECONDS if self.answered else STRANGER_SECONDS)

    async def call(self, method: aio.UnaryUnaryMultiCallable[Q, R], request: Q, patience: Patience | None = None) -> R:
        """The answer; tried again after transient failures, as all calls of the API may be."""
        patience = patience or self.patience()
        self._refuse_if_closed()
        while True:
            try:
                with errors_translated(self.address, self._hang_up_advice):
                    answer = await method(request, metadata=self.metadata, timeout=self._timeout_seconds)
            except Transient as error:
                self.answered |= not isinstance(error, Unreachable)
                if not await patience.wait_after(error):
                    raise
            else:
                self.answered = True
                return answer

    async def delete(self, method: aio.UnaryUnaryMultiCallable[Q, R], request: Q, gone: type[NotFound]) -> None:
        """As `call`, for deleting something; `gone` is the error if it does not exist."""
        patience = self.patience()
        failed_before = False
        while True:
            try:
                await self.call(method, request, Patience(0))
            except Transient as error:
                failed_before = True
                if not await patience.wait_after(error):
                    raise
            except gone:
                # The first attempt may have succeeded and only its answer been lost.
                if not failed_before:
                    raise
                return
            else:
                return

    async def stream(self, method: aio.UnaryStreamMultiCallable[Q, R], request: Q) -> AsyncGenerator[R, None]:
        """The answers as they come. Close it when done.

        Tried again only if there is no room for it yet: where to go on after answers, only the caller knows.
        """
        patience = self.patience()
        while True:
            self._refuse_if_closed()
            call = method(request, metadata=self.metadata)
            try:
                with errors_translated(self.address, self._hang_up_advice):
                    async for answer in call:
                        self.answered = True
                        yield answer
            except (TooManyFailedKeys, TooManyRequests, TooManyStreams) as refused:
                self.answered = True
                if not await patience.wait_after(refused):
                    raise
            else:
                return
            finally:
                call.cancel()

    def let_end(self, watch: asyncio.Task[None]) -> None:
        """Keeps a watch that nobody needs any more until it ends by itself, or the client is closed."""
        self._ending.add(watch)
        watch.add_done_callback(self._has_ended)

    def _has_ended(self, watch: asyncio.Task[None]) -> None:
        self._ending.discard(watch)
        # What it has failed with, if it has, matters to nobody.
        if not watch.cancelled():
            watch.exception()

    async def close(self) -> None:
        """Ends what is under way and refuses more."""
        if self._ending:
            _, late = await asyncio.wait(self._ending, timeout=ENDING_SECONDS)
            for watch in late:
                watch.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if not self._closed and "channel" in self.__dict__:
            await self.channel.close()
        self._closed = True

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise IngotError("the client is closed")
