"""The name of a file and what the user says make one format, or a plain refusal."""

from pathlib import Path
from typing import Any

import pytest

from ingot.v1.batch_pb2 import CsvOptions, DataFormat, FileType
from ingot_client._formats import data_format


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.ndjson", DataFormat(type=FileType.FILE_TYPE_NDJSON)),
        ("a.JSONL", DataFormat(type=FileType.FILE_TYPE_NDJSON)),
        ("a.json", DataFormat(type=FileType.FILE_TYPE_JSON_ARRAY)),
        (Path("a.csv"), DataFormat(type=FileType.FILE_TYPE_CSV, csv=CsvOptions())),
        ("a.tsv", DataFormat(type=FileType.FILE_TYPE_CSV, csv=CsvOptions(delimiter="\t"))),
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
