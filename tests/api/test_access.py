"""Nobody in who does not belong."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ingot.v1 import import_service_pb2 as pb
from ingot_server.app import App, ConfigurationError, create_key
from ingot_server.domain.api_keys import SCOPES, api_key_new, api_key_parse
from ingot_server.rpc.guard import SCOPES as SCOPE_OF_METHOD
from ingot_server.settings import Settings
from ingot_server.storage import accounts
from ingot_server.storage.database import Database
from tests.calling import Caller, health_stub, reason_of, records
from tests.conftest import running_app

Metadata = list[tuple[str, Any]]


async def methods(channel: aio.Channel, version: str = "v1") -> list[tuple[str, bool, bool]]:
    """Every method the server has, by reflection: (path, streams requests, streams responses)."""
    from google.protobuf import descriptor_pb2

    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    names = [
        service.name
        async for answer in call(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]))
        for service in answer.list_services_response.service
    ]
    found = []
    for name in names:
        async for answer in call(iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)])):
            for text in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(text)
                for service in file.service:
                    if f"{file.package}.{service.name}" == name:
                        found += [
                            (f"/{name}/{method.name}", method.client_streaming, method.server_streaming)
                            for method in service.method
                        ]
    return found


async def call_raw(
    channel: aio.Channel, path: str, streams_in: bool, streams_out: bool, metadata: list[tuple[str, str]]
) -> None:
    """Calls a method with bytes that are no message of any kind."""
    garbage = b"\xff\xff\xff"
    kind = ("stream" if streams_in else "unary") + "_" + ("stream" if streams_out else "unary")
    call = getattr(channel, kind)(path)(iter([garbage]) if streams_in else garbage, metadata=metadata)
    if streams_out:
        async for _ in call:
            pass
    else:
        await call


async def test_every_method_needs_a_key_before_anything_is_parsed(server: App, caller: Caller) -> None:
    revoked = api_key_new().text
    async with aio.insecure_channel(caller.address) as channel:
        listed = await methods(channel)
        ours = [entry for entry in listed if entry[0].startswith("/ingot.v1.")]
        assert {path for path, _, _ in ours} == set(SCOPE_OF_METHOD)
        for path, streams_in, streams_out in ours:
            refused_metadata: list[Metadata] = [
                [],
                [("authorization", "Bearer nonsense")],
                [("authorization", f"Bearer {revoked}")],
                [("authorization", f"Basic {caller.key}")],
                [("x-api-key", f"{caller.key}x")],
                [("x-api-key", caller.key), ("authorization", f"Bearer {revoked}")],
            ]
            for metadata in refused_metadata:
                with pytest.raises(aio.AioRpcError) as refused:
                    await call_raw(channel, path, streams_in, streams_out, metadata)
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED, path
                assert reason_of(refused.value).reason == "API_KEY_INVALID"


async def test_every_method_needs_its_scope(server: App, caller: Caller, database: Database) -> None:
    async with aio.insecure_channel(caller.address) as channel:
        for path, streams_in, streams_out in await methods(channel):
            if path not in SCOPE_OF_METHOD:
                continue
            for needed in SCOPE_OF_METHOD[path].split():
                others = [scope for scope in SCOPES if scope != needed]
                key = await create_key(database, "acme", others, "", None)
                with pytest.raises(aio.AioRpcError) as refused:
                    await call_raw(channel, path, streams_in, streams_out, [("x-api-key", key.text)])
                assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED, path
                assert reason_of(refused.value).metadata["scope"] == needed


async def test_a_revoked_and_an_expired_key_are_refused(server: App, database: Database) -> None:
    revoked = await create_key(database, "acme", list(SCOPES), "", None)
    await accounts.api_key_revoke(database, revoked.key_id)
    expired = await create_key(database, "acme", list(SCOPES), "", timedelta(seconds=-1))
    for key in (revoked, expired):
        async with Caller(f"127.0.0.1:{server.port}", key.text) as caller:
            with pytest.raises(aio.AioRpcError) as refused:
                await caller.create()
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_another_account_sees_nothing(server: App, caller: Caller, database: Database) -> None:
    ended = await caller.run([{"id": 1}, {"id": ""}])
    key = await create_key(database, "rival", list(SCOPES), "", None)
    async with Caller(caller.address, key.text) as rival:
        for call in (
            rival.get(ended.import_id),
            rival.ended(ended.import_id),
            rival.errors(ended.import_id),
            rival.batch(ended.import_id),
            rival.finish(ended.import_id),
            rival.imports.DeleteImport(pb.DeleteImportRequest(import_id=ended.import_id)),
            rival.upload([records([{"id": 2}], import_id=ended.import_id, batch_id="b")]),
            rival.table(),
        ):
            with pytest.raises(aio.AioRpcError) as refused:
                await call
            assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        assert not (await rival.imports.ListImports(pb.ListImportsRequest())).imports
        # The same names are free for everybody.
        assert (await rival.run([{"id": 1, "mine": True}])).counts.created == 1
    assert await caller.table() == [{"id": 1}]


async def test_plaintext_is_refused_off_loopback(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="INGOT_TLS_CERTIFICATE"):
        async with running_app(database_url, address="0.0.0.0:0"):
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
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        async with aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
            with pytest.raises(aio.AioRpcError) as refused:
                await call_raw(channel, path, True, True, [])
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        async with Caller(f"127.0.0.1:{app.port}", key.text) as caller:
            call: Any = caller.channel.stream_stream(path, request_serializer=None, response_deserializer=None)
            question = reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString()
            answers = [answer async for answer in call(iter([question]), metadata=[("x-api-key", key.text)])]
            assert len(answers) == 1


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
