"""How the bytes of an upload, or of a file that is fetched, are to be read: from messages to domain values."""

from urllib.parse import unquote, urlsplit

from ingot.v1 import batch_pb2
from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.formats import HEADER_BYTES_MAX, Compression, DataFormat, FileType
from ingot_server.rpc.requests import Violations

_ENDINGS = {
    ".csv": FileType.CSV,
    ".tsv": FileType.CSV,
    ".ndjson": FileType.NDJSON,
    ".jsonl": FileType.NDJSON,
    ".json": FileType.JSON_ARRAY,
    ".xlsx": FileType.EXCEL,
    ".parquet": FileType.PARQUET,
}


def data_format(message: batch_pb2.DataFormat) -> DataFormat:
    """How the bytes of an upload are to be read. Raises InvalidRequest."""
    type = _file_type(message)
    if type is None:
        raise InvalidRequest({"format.type": "expected FILE_TYPE_NDJSON, FILE_TYPE_CSV or FILE_TYPE_JSON_ARRAY"})
    if type.tabular:
        how = "with Ingot's client, which reads it itself, or have the server fetch it with ReferenceBatch"
        raise InvalidRequest({"format.type": f"expected no {type} in an upload: send such a file {how}"})
    return _format(message, type, _compression(message) or Compression.NONE, ",")


def reference_format(message: batch_pb2.DataFormat, uri: str) -> DataFormat:
    """How a file that the server fetches is to be read: what `message` leaves open is taken from the name of the file.

    Raises InvalidRequest.
    """
    name, by_name = _without_compression(_uri_path(uri).lower())
    ending = next((ending for ending in _ENDINGS if name.endswith(ending)), "")
    type = _file_type(message) or _ENDINGS.get(ending)
    if type is None:
        known = ", ".join(_ENDINGS)
        raise InvalidRequest({"format.type": f"expected a type, because the path of the URI ends in none of {known}"})
    return _format(message, type, _compression(message) or by_name, "\t" if ending == ".tsv" else ",")


def _file_type(message: batch_pb2.DataFormat) -> FileType | None:
    if message.type not in batch_pb2.FileType.values():
        raise InvalidRequest({"format.type": f"expected a type of file, got {message.type}"})
    if message.type == batch_pb2.FILE_TYPE_UNSPECIFIED:
        return None
    return FileType(batch_pb2.FileType.Name(message.type).removeprefix("FILE_TYPE_"))


def _compression(message: batch_pb2.DataFormat) -> Compression | None:
    if message.compression not in batch_pb2.Compression.values():
        expected = "expected COMPRESSION_NONE, COMPRESSION_GZIP or COMPRESSION_ZSTD"
        raise InvalidRequest({"format.compression": f"{expected}, got {message.compression}"})
    if message.compression == batch_pb2.COMPRESSION_UNSPECIFIED:
        return None
    return Compression(batch_pb2.Compression.Name(message.compression).removeprefix("COMPRESSION_"))


def _format(message: batch_pb2.DataFormat, type: FileType, compression: Compression, delimiter: str) -> DataFormat:
    if message.HasField("csv") and type is not FileType.CSV:
        raise InvalidRequest({"format.csv": "expected only with FILE_TYPE_CSV"})
    if len(message.csv.columns) > HEADER_BYTES_MAX:
        raise InvalidRequest({"format.csv.columns": f"expected names of at most {HEADER_BYTES_MAX:,} bytes together"})
    format = DataFormat(
        type=type,
        encoding=message.encoding or "utf-8",
        delimiter=message.csv.delimiter or delimiter,
        quote=message.csv.quote or '"',
        columns=tuple(message.csv.columns),
        compression=compression,
        sheet=message.sheet,
    )
    Violations(format.violations()).raise_if_any()
    return format


def _without_compression(path: str) -> tuple[str, Compression]:
    for ending, compression in ((".gz", Compression.GZIP), (".zst", Compression.ZSTD)):
        if path.endswith(ending):
            return path.removesuffix(ending), compression
    return path, Compression.NONE


def _uri_path(uri: str) -> str:
    if uri.lower().startswith("s3://"):
        # A key is meant as it is written.
        return uri
    try:
        return unquote(urlsplit(uri).path)
    except ValueError:
        raise InvalidRequest({"uri": "expected a URI"}) from None
