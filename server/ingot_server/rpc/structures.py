"""Records as they come in messages, as JSON or as structures: turned into JSON texts."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import struct_pb2

from ingot.v1 import record_pb2
from ingot_server.domain.errors import InvalidRequest
from ingot_server.pipeline.threads import LITTLE_BYTES, LITTLE_RECORDS, computed

MESSAGE_RECORDS_MAX = 100_000
"""How many records a message of an upload may carry: with millions of empty ones it would keep everybody waiting."""


async def record_texts(messages: Sequence[record_pb2.Record]) -> list[bytes]:
    """The JSON texts of the records of a message. Raises InvalidRequest."""
    if len(messages) > MESSAGE_RECORDS_MAX:
        expected = f"expected at most {MESSAGE_RECORDS_MAX:,} in a message, got {len(messages):,}"
        raise InvalidRequest({"records": f"{expected}: send several messages"})
    texts = [message.json for message in messages]
    if all(texts):
        return texts
    # Structures take a hundred times as long as texts, and one of them may have 300,000 fields.
    is_little = len(messages) <= LITTLE_RECORDS and sum(message.ByteSize() for message in messages) <= LITTLE_BYTES
    return await computed(is_little, _texts, messages)


def _texts(messages: Iterable[record_pb2.Record]) -> list[bytes]:
    return [message.json if message.HasField("json") else _struct_text(message) for message in messages]


def _struct_text(message: record_pb2.Record) -> bytes:
    # NaN and Infinity become literals that the check of records refuses, so that they are reported there.
    # Sorted, because the order of a protobuf map differs from process to process: a record that is sent again must give
    # the same text on any server.
    value = _struct_fields(message.struct)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8", "surrogatepass")


def _struct_fields(struct: struct_pb2.Struct) -> dict[str, Any]:
    return {name: struct_value(value) for name, value in struct.fields.items()}


def struct_value(value: struct_pb2.Value) -> Any:
    """A JSON value that came as a structure; None if it is unset."""
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            # A double holds every whole number up to 2^53 exactly: 1 came as 1, not as 1.0.
            return int(number) if number.is_integer() and abs(number) <= 2**53 else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _struct_fields(value.struct_value)
        case "list_value":
            return [struct_value(item) for item in value.list_value.values]
        case _:
            return None
