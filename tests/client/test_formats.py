"""The name of a file and what the user says make one format, or a plain refusal."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from ingot.v1.batch_pb2 import Compression, CsvOptions, DataFormat, FileType
from ingot_client._files import file_format
from ingot_client._formats import TypeUnknown, data_format, reference_format


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.ndjson", DataFormat(type=FileType.FILE_TYPE_NDJSON)),
        ("a.JSONL", DataFormat(type=FileType.FILE_TYPE_NDJSON)),
        ("a.json", DataFormat(type=FileType.FILE_TYPE_JSON_ARRAY)),
        (Path("a.csv"), DataFormat(type=FileType.FILE_TYPE_CSV, csv=CsvOptions())),
        ("a.tsv", DataFormat(type=FileType.FILE_TYPE_CSV, csv=CsvOptions(delimiter="\t"))),
        ("a.ndjson.gz", DataFormat(type=FileType.FILE_TYPE_NDJSON, compression=Compression.COMPRESSION_GZIP)),
        ("a.JSON.ZST", DataFormat(type=FileType.FILE_TYPE_JSON_ARRAY, compression=Compression.COMPRESSION_ZSTD)),
    ],
)
def test_suffix_tells(name: object, form: DataFormat) -> None:
    assert data_format(name) == form


def test_user_knows_better_than_the_suffix() -> None:
    assert data_format("a.json", type="ndjson").type == FileType.FILE_TYPE_NDJSON
    found = data_format("a.tsv", delimiter=";", quote="'", encoding="latin-1", columns=["a", "b"])
    assert found.csv == CsvOptions(delimiter=";", quote="'", columns=["a", "b"])
    assert found.encoding == "latin-1"
    assert data_format(3, type="csv").type == FileType.FILE_TYPE_CSV


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("a.xlsx", {}, "the suffix '.xlsx' does not tell"),
        ("a", {}, "choose ndjson, csv or json"),
        ("a.gz", {}, "choose ndjson, csv or json"),
        ("a.xlsx.gz", {}, "the suffix '.xlsx' does not tell"),
        ("a.csv", {"compression": "rar"}, "'rar' is not one of NONE, GZIP, ZSTD"),
        (3, {}, "a source without a suffix"),
        ("a.csv", {"type": "xml"}, "'xml' does not tell"),
        ("a.csv", {"delimiter": "||"}, "one ASCII character"),
        ("a.csv", {"quote": "«"}, "one ASCII character"),
        ("a.json", {"delimiter": ";"}, "are for csv"),
        ("a.json", {"columns": ["a"]}, "are for csv"),
    ],
)
def test_what_makes_no_sense_is_refused(name: object, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        data_format(name, **options)


def test_type_may_be_in_any_case_and_one_column_is_not_a_list_of_letters() -> None:
    form = data_format("x", type="CSV", columns="id")
    assert (form.type, list(form.csv.columns)) == (FileType.FILE_TYPE_CSV, ["id"])


def test_compression_is_what_is_said_or_else_what_the_name_tells(tmp_path: Path) -> None:
    assert data_format("a.csv.gz", compression="none").compression == Compression.COMPRESSION_NONE
    assert data_format("a.gz", type="csv").compression == Compression.COMPRESSION_GZIP
    assert data_format("", type="csv", compression="Zstd").compression == Compression.COMPRESSION_ZSTD
    packed = tmp_path / "a.csv.gz"
    with gzip.open(packed, "wb") as file:
        file.write(b"id\n1\n")
    with packed.open("rb") as file, gzip.open(packed) as unpacking:
        for given, compression in (
            (file, Compression.COMPRESSION_GZIP),
            (unpacking, Compression.COMPRESSION_UNSPECIFIED),
        ):
            form = file_format(given)
            assert form is not None
            assert (form.type, form.compression) == (FileType.FILE_TYPE_CSV, compression)


def test_server_is_told_what_the_user_says_of_a_file_that_it_fetches() -> None:
    assert reference_format() == DataFormat()
    assert reference_format(type="Excel", sheet="May") == DataFormat(type=FileType.FILE_TYPE_EXCEL, sheet="May")
    assert reference_format(delimiter=";", compression="gzip") == DataFormat(
        csv=CsvOptions(delimiter=";"), compression=Compression.COMPRESSION_GZIP
    )
    with pytest.raises(TypeUnknown, match="choose ndjson, csv, json, excel, parquet"):
        reference_format(type="xml")
