"""The format of a file that the server fetches: what is not given is taken from the name."""

import pytest

from ingot.v1 import batch_pb2
from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.formats import Compression, DataFormat, FileType
from ingot_server.rpc.formats import reference_format

Message = batch_pb2.DataFormat


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://example.org/a/people.csv", DataFormat(FileType.CSV)),
        ("https://example.org/a/people.CSV.GZ?token=x.json", DataFormat(FileType.CSV, compression=Compression.GZIP)),
        ("https://example.org/a/people.tsv", DataFormat(FileType.CSV, delimiter="\t")),
        ("s3://bucket/a/people.ndjson.zst", DataFormat(FileType.NDJSON, compression=Compression.ZSTD)),
        ("s3://bucket/people.jsonl", DataFormat(FileType.NDJSON)),
        ("S3://bucket/people #1.csv", DataFormat(FileType.CSV)),
        ("file:///data/people.json", DataFormat(FileType.JSON_ARRAY)),
        ("file:///data/people%2Exlsx", DataFormat(FileType.EXCEL)),
        ("file:///data/people.parquet", DataFormat(FileType.PARQUET)),
    ],
)
def test_the_name_says_the_format(uri: str, expected: DataFormat) -> None:
    assert reference_format(Message(), uri) == expected


@pytest.mark.parametrize(
    ("message", "uri", "expected"),
    [
        (Message(type=batch_pb2.FILE_TYPE_NDJSON), "http://h/people.json.gz", DataFormat(compression=Compression.GZIP)),
        (Message(type=batch_pb2.FILE_TYPE_NDJSON), "http://h/export?id=7", DataFormat()),
        (Message(compression=batch_pb2.COMPRESSION_NONE), "http://h/people.csv.gz", DataFormat(FileType.CSV)),
        (
            Message(compression=batch_pb2.COMPRESSION_ZSTD),
            "http://h/p.csv",
            DataFormat(FileType.CSV, compression=Compression.ZSTD),
        ),
        (
            Message(csv=batch_pb2.CsvOptions(delimiter=";")),
            "http://h/p.tsv",
            DataFormat(FileType.CSV, delimiter=";"),
        ),
        (Message(encoding="latin-1"), "http://h/p.csv", DataFormat(FileType.CSV, encoding="latin-1")),
        (Message(sheet="two"), "http://h/p.xlsx", DataFormat(FileType.EXCEL, sheet="two")),
    ],
)
def test_what_is_given_counts_more_than_the_name(message: Message, uri: str, expected: DataFormat) -> None:
    assert reference_format(message, uri) == expected


@pytest.mark.parametrize(
    ("message", "uri", "field"),
    [
        (Message(), "http://h/people", "format.type"),
        (Message(), "http://h/people.gz", "format.type"),
        (Message(), "http://h/?name=people.csv", "format.type"),
        (Message(type=77), "http://h/people.csv", "format.type"),  # type: ignore[arg-type]
        (Message(), "http://h/people.xlsx.gz", "format.compression"),
        (Message(sheet="two"), "http://h/people.csv", "format.sheet"),
        (Message(csv=batch_pb2.CsvOptions(delimiter=";")), "http://h/people.json", "format.csv"),
        (Message(), "http://[/people.csv", "uri"),
    ],
)
def test_what_does_not_fit_is_refused(message: Message, uri: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        reference_format(message, uri)
    assert list(refused.value.violations) == [field]
