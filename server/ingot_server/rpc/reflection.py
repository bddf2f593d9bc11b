"""Serves reflection, v1 and v1alpha, with the comments of the protos, so that grpcurl needs no files and no manual."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest as Request
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionResponse as Answer

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: aio.Server, service_names: Sequence[str]) -> None:
    """Describes the services, and reflection itself."""
    pool = _pool_with_v1()
    servicer: Any = ReflectionServicer([*service_names, V1, V1ALPHA], pool)
    documented = _documented_files()

    async def describe(requests: AsyncIterator[Request], context: Any) -> AsyncIterator[Answer]:
        async for answer in servicer.ServerReflectionInfo(_findable(requests, pool), context):
            texts = answer.file_descriptor_response.file_descriptor_proto
            for number, text in enumerate(texts):
                texts[number] = documented.get(FileDescriptorProto.FromString(text).name, text)
            yield answer

    handler = grpc.stream_stream_rpc_method_handler(
        describe, request_deserializer=Request.FromString, response_serializer=Answer.SerializeToString
    )
    for name in (V1, V1ALPHA):
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}),)
        )


async def _findable(requests: AsyncIterator[Request], pool: descriptor_pool.DescriptorPool) -> AsyncIterator[Request]:
    """The requests, with the service instead of a method, which Python's pool does not find by its name."""
    async for request in requests:
        service, _, method = request.file_containing_symbol.rpartition(".")
        with suppress(KeyError):
            if method in pool.FindServiceByName(service).methods_by_name:
                request.file_containing_symbol = service
        yield request


@cache
def _documented_files() -> dict[str, bytes]:
    """The descriptions that protoc made, by file: Python's own have lost the comments and the JSON names."""
    text = resources.files("ingot.v1").joinpath("documented.binpb").read_bytes()
    return {file.name: file.SerializeToString() for file in FileDescriptorSet.FromString(text).file}


@cache
def _pool_with_v1() -> descriptor_pool.DescriptorPool:
    """All descriptions. Adds v1, which grpcio-reflection lacks (grpc/grpc#38576): it is v1alpha by another name."""
    pool = descriptor_pool.Default()
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    # As text, because the package stands in the names of all types.
    renamed = text_format.MessageToString(file).replace("v1alpha", "v1")
    pool.Add(text_format.Parse(renamed, FileDescriptorProto()))
    return pool
