"""Every method that a server has, as it tells by reflection, and calls of them with any bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2

Metadata = Sequence[tuple[str, str]]
GARBAGE = b"\xff\xff\xff"
"""No message of any type."""


@dataclass(frozen=True)
class Method:
    """A method, by its path, as `/ingot.v1.ImportService/GetImport`."""

    path: str
    streams_requests: bool
    streams_responses: bool

    @property
    def is_ours(self) -> bool:
        return self.path.startswith("/ingot.")

    async def call(self, channel: aio.Channel, metadata: Metadata, *requests: bytes) -> list[bytes]:
        """The answers to requests as they are on the wire."""
        kind = ("stream" if self.streams_requests else "unary") + ("_stream" if self.streams_responses else "_unary")
        request = iter(requests) if self.streams_requests else requests[0]
        call = getattr(channel, kind)(self.path)(request, metadata=metadata, timeout=30)
        return [answer async for answer in call] if self.streams_responses else [await call]


async def methods(channel: aio.Channel, version: str = "v1", metadata: Metadata = ()) -> list[Method]:
    """All methods of a server."""
    call: Any = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def ask(question: reflection_pb2.ServerReflectionRequest) -> list[Any]:
        return [answer async for answer in call(iter([question]), metadata=metadata)]

    listed = await ask(reflection_pb2.ServerReflectionRequest(list_services="*"))
    names = [service.name for answer in listed for service in answer.list_services_response.service]
    found = []
    for name in names:
        for answer in await ask(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)):
            for text in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(text)
                for service in file.service:
                    if f"{file.package}.{service.name}" == name:
                        found += [
                            Method(f"/{name}/{method.name}", method.client_streaming, method.server_streaming)
                            for method in service.method
                        ]
    return found
