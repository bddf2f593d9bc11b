"""Decodes the bytes of an uploaded file, cut anywhere, into records.

    compressed bytes ──► unpacking ──► bytes
    bytes ──► encodings    to UTF-8, if they are anything else; source offsets stay exact
                 │
                 ├── ndjson    a line is a record
                 ├── table     CSV: a row is a record; `rows` and `row_json` do the work
                 └── array     an element is a record; `elements` finds where it ends
                 ▼
              Decoded      texts with their indexes and lines, and the rejects

A decoder is resumable: what it knows, besides the bytes that it has not yet consumed, is in `state()`. Another process
goes on from there, and the result is the same wherever the file was cut and wherever the decoder was replaced.

What is wrong with one record costs that record and not the file. Only where the end of a record cannot be found is the
rest given up (UNREADABLE_REST). What a text says is not looked at here: that is `pipeline.checking`.
"""

from typing import Any

from ingot_server.domain.formats import DataFormat, FileType, codec
from ingot_server.pipeline.decoding.array import ArrayDecoder
from ingot_server.pipeline.decoding.beginnings import misread
from ingot_server.pipeline.decoding.decoder import Decoder
from ingot_server.pipeline.decoding.encodings import TranscodingDecoder
from ingot_server.pipeline.decoding.ndjson import NdjsonDecoder
from ingot_server.pipeline.decoding.table import TableDecoder
from ingot_server.pipeline.decoding.unpacking import Unpacker

__all__ = ["Decoder", "Unpacker", "decoder", "misread"]


def decoder(format: DataFormat, state: dict[str, Any] | None = None) -> Decoder:
    """A decoder for a file from its beginning, or from where the decoder that gave `state` had consumed it."""
    encoding = codec(format.encoding)
    if encoding is None:
        raise ValueError(f"unknown encoding {format.encoding!r}")
    if encoding in ("utf_8", "utf_8_sig"):
        return _decoder(format, state or {})
    inner = _decoder(format, (state or {}).get("inner", {}))
    return TranscodingDecoder(inner, encoding, state or {})


def _decoder(format: DataFormat, state: dict[str, Any]) -> Decoder:
    match format.type:
        case FileType.NDJSON:
            return NdjsonDecoder(state)
        case FileType.CSV:
            return TableDecoder(format, state)
        case FileType.JSON_ARRAY:
            return ArrayDecoder(state)
        case FileType.EXCEL | FileType.PARQUET:
            raise ValueError(f"{format.type} is not read from a stream of bytes")
