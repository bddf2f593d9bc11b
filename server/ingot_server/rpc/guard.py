"""Stands before every call: checks the API key and its scopes, and turns errors into statuses.

It runs before the first message is parsed, so that nobody without a key reaches a parser. Only the health service is
open to all; reflection is too while the server listens on loopback only.
"""

import asyncio
import contextvars
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from ingot_server.domain.api_keys import ApiKey, api_key_parse
from ingot_server.domain.errors import ApiKeyInvalid, IngotError, InvalidRequest, SandboxKey, ScopeMissing
from ingot_server.rpc.quotas import Quotas
from ingot_server.rpc.status import Status, status_of, status_of_fault
from ingot_server.storage import accounts
from ingot_server.storage.database import Database, DataRefused

log = logging.getLogger(__name__)

KEY_CACHE_SECONDS = 3.0
"""How long a key that was revoked may still be used."""
_KEY_CACHE_SIZE = 10_000

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

_key: contextvars.ContextVar[accounts.StoredKey] = contextvars.ContextVar("key")

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


@dataclass(frozen=True, slots=True)
class _KnownKey:
    key: accounts.StoredKey | None
    until: float


class Guard(aio.ServerInterceptor):
    """The interceptor. It serves every call, so it keeps what it knows of keys for a few seconds."""

    def __init__(self, database: Database, quotas: Quotas, *, reflection_is_open: bool) -> None:
        self._database = database
        self._quotas = quotas
        self._open = (_HEALTH, *_REFLECTION) if reflection_is_open else (_HEALTH,)
        self._known: dict[str, _KnownKey] = {}
        self._calls: set[asyncio.Task[Any]] = set()

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
        try:
            key = await self._admit(method, handler_call_details.invocation_metadata)
            self._quotas.count_request(key.account_id)
        except IngotError as error:
            return _refusing(handler, status_of(error))
        except Exception:
            return _refusing(handler, _fault(method))
        return self._guarded(handler, method, key)

    def _guarded(self, handler: Handler, method: str, key: accounts.StoredKey) -> Handler:
        """`handler` with errors as statuses, and with the caller's key known."""
        if method.startswith(_REFLECTION):
            # Not ours: it has no errors of ours to translate.
            return handler
        serve: Any = handler.unary_unary or handler.stream_unary or handler.unary_stream or handler.stream_stream
        parse = _parser(handler)
        streams = handler.request_streaming or handler.response_streaming

        async def guarded(request: Any, context: Context) -> Any:
            _key.set(key)
            self._track(asyncio.current_task())
            async with _errors_as_status(context, method), self._quotas.room_for(key.account_id, streams=streams):
                if handler.request_streaming:
                    request = _each_parsed(parse, self._quotas.heard(request))
                else:
                    request = parse(request)
                if not handler.response_streaming:
                    return await serve(request, context)
                # grpc.aio does not close a generator that stops early (grpc/grpc#42295): its resources would wait for
                # the garbage collector.
                async with aclosing(serve(request, context)) as messages:
                    async for message in messages:
                        await context.write(message)

        return _handler_like(handler, guarded)

    def _track(self, call: "asyncio.Task[Any] | None") -> None:
        assert call is not None  # noqa: S101 handlers run in tasks
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _admit(self, method: str, metadata: Any) -> accounts.StoredKey:
        """The caller's key. Raises ApiKeyInvalid, ScopeMissing, SandboxKey."""
        sent = _sent_key(metadata)
        key = api_key_parse(sent)
        if key is None:
            raise ApiKeyInvalid("The API key is garbled: check that it was copied whole.")
        stored = await self._find(key)
        # An unknown id is compared as well, so that it takes as long as a known one.
        matches = key.matches(stored.secret_sha256 if stored else bytes(32))
        if stored is None or not matches or not stored.usable:
            raise ApiKeyInvalid("The API key is unknown, revoked or expired: ask for a new one.")
        for scope in () if method.startswith(_REFLECTION) else SCOPES[method].split():
            if scope not in stored.scopes:
                raise ScopeMissing(f"The API key lacks the scope {scope}: use a key that has it.", scope=scope)
        if stored.sandbox and method in _SANDBOX_REFUSED:
            raise SandboxKey
        return stored

    async def _find(self, key: ApiKey) -> accounts.StoredKey | None:
        now = time.monotonic()
        known = self._known.get(key.key_id)
        if known is None or known.until < now:
            known = _KnownKey(await accounts.api_key_find(self._database, key.key_id), now + KEY_CACHE_SECONDS)
            if len(self._known) >= _KEY_CACHE_SIZE:
                self._known.clear()
            self._known[key.key_id] = known
        return known.key


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


def _refusing(handler: Handler, status: Status) -> Handler:
    """A handler of the same shape that reads nothing and answers with `status`."""

    async def refuse(request: Any, context: Context) -> None:
        await context.abort_with_status(status)

    return _handler_like(handler, refuse)


def _parser(handler: Handler) -> Callable[[bytes], Any]:
    deserialize: Any = handler.request_deserializer

    def parse(message: bytes) -> Any:
        try:
            return deserialize(message)
        except DecodeError:
            raise InvalidRequest({"request": "expected a message of the type that the method takes"}) from None

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
