"""Stands before every call: checks the API key and its scopes, and turns errors into statuses.

It runs before the first message is parsed, so that nobody without a key reaches a parser. Only the health service is
open to all; reflection is too while the server listens on loopback only.
"""

import asyncio
import contextvars
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from ingot_server import audit
from ingot_server.domain.api_keys import api_key_parse
from ingot_server.domain.errors import ApiKeyInvalid, IngotError, InvalidRequest, SandboxKey, ScopeMissing
from ingot_server.heap import keep_large_apart
from ingot_server.rpc.failed_keys import peer_host
from ingot_server.rpc.known_keys import KnownKeys
from ingot_server.rpc.quotas import Quotas
from ingot_server.rpc.status import Status, status_of, status_of_fault
from ingot_server.storage import accounts
from ingot_server.storage.database import Database, DataRefused, account_served

log = logging.getLogger(__name__)

SCOPES = {
    "/ingot.v1.ImportService/CreateImport": "imports:write",
    "/ingot.v1.ImportService/RunImport": "imports:write",
    "/ingot.v1.ImportService/GetImport": "imports:read",
    "/ingot.v1.ImportService/ListImports": "imports:read",
    "/ingot.v1.ImportService/WatchImport": "imports:read",
    "/ingot.v1.ImportService/FinishImport": "imports:write",
    "/ingot.v1.ImportService/CommitImport": "imports:write",
    "/ingot.v1.ImportService/CancelImport": "imports:write",
    "/ingot.v1.ImportService/RetryImport": "imports:write",
    "/ingot.v1.ImportService/DeleteImport": "imports:delete",
    "/ingot.v1.ImportService/ListImportErrors": "imports:read",
    "/ingot.v1.ImportService/ExportImportErrors": "imports:read",
    "/ingot.v1.ImportService/ExportImportRejects": "imports:read",
    "/ingot.v1.BatchService/UploadBatch": "imports:write",
    "/ingot.v1.BatchService/ReferenceBatch": "imports:write",
    "/ingot.v1.BatchService/GetBatch": "imports:read",
    "/ingot.v1.BatchService/ListBatches": "imports:read",
    "/ingot.v1.BatchService/WatchBatch": "imports:read",
    "/ingot.v1.RecordService/WriteRecords": "records:write",
    "/ingot.v1.RecordService/GetRecord": "records:read",
    "/ingot.v1.RecordService/ListRecords": "records:read",
    "/ingot.v1.RecordService/ExportRecords": "records:read",
    "/ingot.v1.RecordService/DeleteRecords": "records:delete",
    "/ingot.v1.TableService/CreateTable": "tables:write",
    "/ingot.v1.TableService/GetTable": "tables:read",
    "/ingot.v1.TableService/ListTables": "tables:read",
    "/ingot.v1.TableService/UpdateTable": "tables:write",
    "/ingot.v1.TableService/DeleteTable": "tables:write records:delete",
    "/ingot.v1.TableService/ListKinds": "tables:read",
    "/ingot.v1.TableService/BlockValues": "tables:write",
    "/ingot.v1.TableService/UnblockValues": "tables:write",
    "/ingot.v1.TableService/ListBlockedValues": "tables:read",
}
_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = ("/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/")

_SANDBOX_REFUSED = frozenset(
    f"/ingot.v1.TableService/{name}"
    for name in ("CreateTable", "UpdateTable", "DeleteTable", "BlockValues", "UnblockValues")
)
"""What would store something, or take it away, and has no form that does not."""

REQUEST_BYTES_MAX = 2 * 1024 * 1024
"""The most that a request without records needs: 1,000 keys to be deleted. With millions of elements in it, parsing it
would keep others waiting."""
GIVEN_UP_MANY = 10_000
"""After so many calls that were given up, large things are kept apart from what grpc.aio has lost with them."""

_key: contextvars.ContextVar[accounts.StoredKey] = contextvars.ContextVar("key")
_peer: contextvars.ContextVar[str] = contextvars.ContextVar("peer")

# In quotes: the stubs make these generic, the classes themselves are not.
Context: TypeAlias = "aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def caller_account() -> int:
    """The account of the call that is being served."""
    return _key.get().account_id


def caller_is_sandboxed() -> bool:
    """Whether the call that is being served may store nothing."""
    return _key.get().sandbox


def expect_scope(scope: str) -> None:
    """Raises ScopeMissing if the key of the call that is being served lacks a scope."""
    if scope not in _key.get().scopes:
        raise ScopeMissing(f"The API key lacks the scope {scope}: use a key that has it.", scope=scope)


def audit_deletion(what: str, **facts: object) -> None:
    """Tells that something is gone, or that an import will delete, and that the call being served asked for it."""
    audit.deletion(what, **_who(), **facts)


def audit_deletion_ordered(import_id: int) -> None:
    """Tells that the call that is being served lets an import go on that will delete records."""
    audit.deletion_ordered(import_id, **_who())


def _who() -> dict[str, object]:
    key = _key.get()
    return {"account_id": key.account_id, "account": key.account, "key_id": key.key_id, "peer": _peer.get()}


class Guard(aio.ServerInterceptor):
    """The interceptor. It serves every call."""

    def __init__(
        self, database: Database, quotas: Quotas, *, reflection_is_open: bool, failed_keys_per_minute: int
    ) -> None:
        self._quotas = quotas
        self._keys = KnownKeys(database, failed_keys_per_minute)
        self._open = (_HEALTH, *_REFLECTION) if reflection_is_open else (_HEALTH,)
        self._calls: set[asyncio.Task[Any]] = set()
        self._given_up = 0

    async def calls_ended(self) -> None:
        """Returns when no call is being served any more, however it ended."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The call's handler with the guard around it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(self._open):
            return handler
        return self._guarded(handler, method)

    def _guarded(self, handler: Handler, method: str) -> Handler:
        """`handler` for those with a key that may, with errors as statuses. Before that, no message is looked at."""
        serve: Any = handler.unary_unary or handler.stream_unary or handler.unary_stream or handler.stream_stream
        parse = _parser(handler)
        streams = handler.request_streaming or handler.response_streaming

        async def guarded(request: Any, context: Context) -> Any:
            async with self._tracked(), _errors_as_status(context, method):
                peer = peer_host(context.peer())
                key = await self._admit(method, context.invocation_metadata(), peer)
                _key.set(key)
                account_served.set(key.account_id)
                _peer.set(peer)
                self._quotas.count_request(key.account_id)
                async with self._quotas.room_for(key.account_id, streams=streams):
                    if handler.request_streaming:
                        request = _each_parsed(parse, self._quotas.heard(request))
                    else:
                        request = parse(request)
                    if not handler.response_streaming:
                        return await serve(request, context)
                    # grpc.aio does not close a generator that stops early (grpc/grpc#42295): its resources would wait
                    # for the garbage collector.
                    async with aclosing(serve(request, context)) as messages:
                        async for message in messages:
                            try:
                                await context.write(message)
                            except aio.InternalError as gone:
                                # Whoever it is for has gone, and grpc.aio may not know it yet: then it would send a
                                # status, and log as an error that this fails.
                                raise asyncio.CancelledError from gone

        return _handler_like(handler, guarded)

    @asynccontextmanager
    async def _tracked(self) -> AsyncIterator[None]:
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 handlers run in tasks
        self._calls.add(call)
        # Later than here: its status is sent afterwards.
        call.add_done_callback(self._calls.discard)
        try:
            yield
        except asyncio.CancelledError:
            self._given_up += 1
            if self._given_up == GIVEN_UP_MANY:
                keep_large_apart()
            raise

    async def _admit(self, method: str, metadata: Any, peer: str) -> accounts.StoredKey:
        """The caller's key. Raises ApiKeyInvalid, TooManyFailedKeys, ScopeMissing, SandboxKey."""
        stored = await self._keys.check(api_key_parse(_sent_key(metadata)), peer, method)
        for scope in () if method.startswith(_REFLECTION) else SCOPES[method].split():
            if scope not in stored.scopes:
                audit.key_refused(stored.key_id, peer, method, f"lacks the scope {scope}")
                raise ScopeMissing(f"The API key lacks the scope {scope}: use a key that has it.", scope=scope)
        if stored.sandbox and method in _SANDBOX_REFUSED:
            audit.key_refused(stored.key_id, peer, method, "sandbox")
            raise SandboxKey
        return stored


def _sent_key(metadata: Any) -> str:
    """The key in the metadata. Raises ApiKeyInvalid if there is none, or two different ones."""
    sent = set()
    for name, value in metadata:
        if name == "x-api-key":
            sent.add(value)
        elif name == "authorization":
            scheme, _, token = value.partition(" ")
            if scheme.lower() != "bearer":
                raise ApiKeyInvalid("The metadata `authorization` must be `Bearer <key>`.")
            sent.add(token.strip())
    if not sent:
        raise ApiKeyInvalid("No API key was sent: set the metadata `authorization: Bearer <key>`.")
    if len(sent) > 1:
        raise ApiKeyInvalid("Two different API keys were sent: send one.")
    return str(sent.pop())


@asynccontextmanager
async def _errors_as_status(context: Context, method: str) -> AsyncIterator[None]:
    try:
        yield
    except IngotError as error:
        status = status_of(error)
    except DataRefused as refusal:
        status = status_of(InvalidRequest({"request": f"expected values that the database can hold ({refusal})"}))
    except Exception:
        status = _fault(method)
    else:
        return
    # abort() raises an exception of its own, which must not be caught above.
    await context.abort_with_status(status)


def _fault(method: str) -> Status:
    error_id = secrets.token_hex(8)
    log.exception("a call failed", extra={"method": method, "error_id": error_id})
    return status_of_fault(error_id)


def _parser(handler: Handler) -> Callable[[bytes], Any]:
    deserialize: Any = handler.request_deserializer
    carries_records = "records" in deserialize.__self__.DESCRIPTOR.fields_by_name

    def parse(message: bytes) -> Any:
        if len(message) > REQUEST_BYTES_MAX and not carries_records:
            raise InvalidRequest({"request": f"expected at most {REQUEST_BYTES_MAX:,} bytes, got {len(message):,}"})
        try:
            return deserialize(message)
        except DecodeError:
            expected = "expected a message of the type that the method takes, with texts in valid UTF-8"
            raise InvalidRequest({"request": expected}) from None

    return parse


async def _each_parsed(parse: Callable[[bytes], Any], messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for message in messages:
        yield parse(message)


def _handler_like(handler: Handler, behaviour: Any) -> Handler:
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(
        behaviour,
        # Parsed by the guard, so that what cannot be parsed is an error like others, and only for those with a key.
        request_deserializer=None,
        response_serializer=handler.response_serializer,
    )
