"""Serves reflection, v1 and v1alpha, so that grpcurl needs no proto files.

grpcio-reflection knows only v1alpha (grpc/grpc#38576). The messages of v1 have the same shape, so its servicer is
registered under both names.
"""

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: aio.Server, service_names: Sequence[str]) -> None:
    """Describes the services, and reflection itself."""
    servicer = ReflectionServicer([*service_names, V1, V1ALPHA], descriptor_pool.Default())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (V1, V1ALPHA):
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}),)
        )
