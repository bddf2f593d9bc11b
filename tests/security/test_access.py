"""Nobody in who does not belong: every method of the server, which tells them itself, with every kind of wrong key."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ingot.v1 import import_service_pb2 as im
from ingot.v1 import table_service_pb2 as ta
from ingot_server.access import create_key
from ingot_server.app import App, running
from ingot_server.domain.api_keys import SCOPES, ApiKey, api_key_new, api_key_parse
from ingot_server.fleet import Fleet
from ingot_server.rpc.guard import SCOPES as SCOPE_OF_METHOD
from ingot_server.settings import ConfigurationError, Settings
from ingot_server.storage import accounts
from ingot_server.storage.database import Database
from tests.calling import Caller, health_stub, reason_of
from tests.conftest import running_app
from tests.security.matrix import DOMAIN, ECHOES, MARK, MATRIX, OPEN, TABLE, cases_of, make_theirs
from tests.security.reflected import GARBAGE, Metadata, Method, methods

MANY = 1_000_000
"""More wrong keys than the tests of wrong keys send."""


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[App]:
    async with running_app(database_url, failed_keys_per_minute=MANY) as app:
        yield app


@pytest.fixture
async def ours(caller: Caller) -> list[Method]:
    """Our methods, as the server tells them."""
    return [method for method in await methods(caller.channel) if method.is_ours]


async def refusal(method: Method, channel: aio.Channel, metadata: Metadata, *requests: bytes) -> aio.AioRpcError:
    """How a call is refused."""
    with pytest.raises(aio.AioRpcError) as refused:
        await method.call(channel, metadata, *requests)
    return refused.value


async def unusable(database: Database) -> dict[str, Metadata]:
    """What opens no door, and why."""
    good, revoked = [await create_key(database, "acme", list(SCOPES), "", None) for _ in range(2)]
    await accounts.api_key_revoke(database, revoked.key_id)
    expired = await create_key(database, "acme", list(SCOPES), "", timedelta(seconds=-1))
    return {
        "none": [],
        "empty": [("x-api-key", "")],
        "nonsense": [("authorization", "Bearer nonsense")],
        "long nonsense": [("authorization", "Bearer " + "ingot_" * 500)],
        "garbled": [("x-api-key", good.text[:-1] + ("a" if good.text[-1] != "a" else "b"))],
        "too long": [("x-api-key", f"{good.text}x")],
        "another scheme": [("authorization", f"Basic {good.text}")],
        "unknown": [("x-api-key", api_key_new().text)],
        "wrong secret": [("x-api-key", ApiKey(good.key_id, api_key_new().secret).text)],
        "revoked": [("x-api-key", revoked.text)],
        "expired": [("authorization", f"Bearer {expired.text}")],
        "two that differ": [("x-api-key", good.text), ("authorization", f"Bearer {revoked.text}")],
    }


async def test_every_method_is_in_the_matrix(caller: Caller) -> None:
    """A new one says there how it keeps to the account of its caller."""
    found = await methods(caller.channel)
    assert {method.path for method in found if method.is_ours} == set(MATRIX) == set(SCOPE_OF_METHOD)
    assert {method.path for method in found if not method.is_ours} <= set(OPEN)


async def test_every_method_needs_a_key_before_anything_is_parsed(
    caller: Caller, database: Database, ours: list[Method]
) -> None:
    wrong = await unusable(database)
    async with aio.insecure_channel(caller.address) as channel:
        for method in ours:
            for why, metadata in wrong.items():
                refused = await refusal(method, channel, metadata, GARBAGE)
                assert (refused.code(), why) == (StatusCode.UNAUTHENTICATED, why), method
                assert reason_of(refused).reason == "API_KEY_INVALID"


async def test_what_cannot_be_parsed_is_told_to_those_with_a_key(caller: Caller, ours: list[Method]) -> None:
    """So it was garbage indeed that those without a key were not told of."""
    async with aio.insecure_channel(caller.address) as channel:
        for method in ours:
            refused = await refusal(method, channel, [("x-api-key", str(caller.key))], GARBAGE)
            assert refused.code() == StatusCode.INVALID_ARGUMENT, method


async def test_every_method_needs_its_scope_before_anything_is_parsed(
    caller: Caller, database: Database, ours: list[Method]
) -> None:
    async with aio.insecure_channel(caller.address) as channel:
        for method in ours:
            for needed in SCOPE_OF_METHOD[method.path].split():
                others = [scope for scope in SCOPES if scope != needed]
                key = await create_key(database, "acme", others, "", None)
                refused = await refusal(method, channel, [("x-api-key", key.text)], GARBAGE)
                assert refused.code() == StatusCode.PERMISSION_DENIED, method
                assert reason_of(refused).metadata["scope"] == needed


async def test_nothing_of_another_account_is_found_or_changed_by_any_method(
    server: App, caller: Caller, database: Database, ours: list[Method]
) -> None:
    theirs = await make_theirs(caller)
    before = await everything(caller)
    for method in ours:
        for case in cases_of(method.path):
            # An account that is new each time: in some cases it gets a table of the same name.
            key = await create_key(database, f"rival of {method.path}", list(SCOPES), "", None)
            requests = [request.SerializeToString() for request in case.requests(theirs)]
            async with aio.insecure_channel(caller.address) as channel:
                metadata = [("x-api-key", key.text)]
                if case.reason is None:
                    answers = b"".join(await method.call(channel, metadata, *requests))
                    assert (MARK.encode() in answers) == (method.path in ECHOES), method
                else:
                    refused = await refusal(method, channel, metadata, *requests)
                    assert (refused.code(), reason_of(refused).reason) == (StatusCode.NOT_FOUND, case.reason), method
    assert await everything(caller) == before


async def everything(owner: Caller) -> dict[str, Any]:
    """All that an account has, as it sees it."""
    imports = (await owner.imports.ListImports(im.ListImportsRequest())).imports
    blocked = (await owner.tables.ListBlockedValues(ta.ListBlockedValuesRequest())).values
    return {
        "imports": {job.import_id: (job.state, job.counts.received, job.batch_count) for job in imports},
        "errors": {job.import_id: len(await owner.errors(job.import_id)) for job in imports},
        "records": await owner.table(TABLE),
        "tables": [table.table for table in (await owner.tables.ListTables(ta.ListTablesRequest())).tables],
        "blocked": [value.value for value in blocked if value.value == DOMAIN],
    }


async def test_whether_a_key_exists_cannot_be_told_from_the_answer(
    caller: Caller, database: Database, ours: list[Method]
) -> None:
    wrong = await unusable(database)
    async with aio.insecure_channel(caller.address) as channel:
        said = set()
        for why in ("unknown", "wrong secret", "revoked", "expired"):
            refused = await refusal(ours[0], channel, wrong[why], GARBAGE)
            said.add((refused.code(), refused.details(), str(reason_of(refused))))
        assert len(said) == 1


async def test_a_key_that_is_revoked_ends_within_seconds(caller: Caller, database: Database) -> None:
    """Also where it was used just now."""
    await caller.run([{"id": 1}])
    assert caller.key is not None
    await accounts.api_key_revoke(database, caller.key.split("_")[1])
    with pytest.raises(aio.AioRpcError) as refused:
        while True:
            await caller.imports.ListImports(im.ListImportsRequest())
    assert refused.value.code() == StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost.example.org:0"])
async def test_plaintext_is_refused_off_loopback_before_anything_is_started(address: str) -> None:
    settings = Settings(database_url="postgresql://ingot@127.0.0.1:1/none", address=address, processes=2)
    for refused in (running(settings), Fleet(settings, serves=True).running()):
        with pytest.raises(ConfigurationError, match="INGOT_TLS_CERTIFICATE"):
            async with refused:
                pass


async def test_health_needs_no_key(server: App) -> None:
    async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health = health_stub(channel)
        for service in ("", "ingot.v1.ImportService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        async for answer in health.Watch(health_pb2.HealthCheckRequest(service="")):
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            break


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_is_open_on_loopback_only(
    database_url: str, database: Database, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await create_key(database, "acme", [], "", None)
    async with running_app(database_url) as app, aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
        assert await methods(channel, version)
    # No test listens where others could connect.
    monkeypatch.setattr(Settings, "listens_on_loopback", False)
    async with running_app(database_url, allow_plaintext=True) as app:
        reflection = Method(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo", True, True)
        async with aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
            refused = await refusal(reflection, channel, [], GARBAGE)
            assert refused.code() == StatusCode.UNAUTHENTICATED
            assert await methods(channel, version, [("x-api-key", key.text)])


def test_a_garbled_key_is_told_from_a_wrong_one() -> None:
    key = api_key_new()
    assert api_key_parse(key.text) == key
    assert api_key_parse(key.text[:-1] + ("a" if key.text[-1] != "a" else "b")) is None
    assert api_key_parse(key.text.replace(key.secret, key.secret[::-1])) is None
    assert api_key_parse("") is None


async def test_only_a_hash_of_the_secret_is_stored(server: App, database: Database) -> None:
    key = await create_key(database, "acme", list(SCOPES), "", None)
    rows = await database.fetch("SELECT api_key::text AS stored FROM api_key")
    assert not any(key.secret in row["stored"] for row in rows)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_finds_a_method_by_its_name(caller: Caller, version: str) -> None:
    call = caller.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    symbols = ["ingot.v1.ImportService.CommitImport", "ingot.v1.ImportService.Nothing"]
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols]
    found = [answer.WhichOneof("message_response") async for answer in call(iter(requests))]
    assert found == ["file_descriptor_response", "error_response"]
