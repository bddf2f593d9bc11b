"""Files of rejected records are known by their beginning, whatever a spreadsheet has made of them."""

import gzip
from typing import Any

import pytest

from ingot_client._formats import data_format
from ingot_client._rejects import rejecting_import

CSV = "ingot:errors,ingot:import,ingot:batch,id\r\nmissing,60,main,1\r\n"


@pytest.mark.parametrize(
    ("data", "reading"),
    [
        (CSV.encode(), {}),
        (CSV.encode("utf-8-sig"), {}),
        (CSV.replace(",", ";").encode(), {}),
        (CSV.replace(",", "\t").encode("utf-16"), {"encoding": "utf-16"}),
        (CSV.replace("60", "'60").encode(), {}),
        (CSV.replace("missing", '"not\na, number"').encode(), {}),
        (b"id, ingot:import ,ingot:errors\n1,60,x\n", {}),
        (gzip.compress(CSV.encode(), mtime=0), {"compression": "gzip"}),
        (b'{"ingot:errors":"x","ingot:import":60,"id":1}\n{"id":', {"type": "ndjson"}),
        (b'\n{"ingot:errors":"x","ingot:import":"60"}', {"type": "ndjson"}),
    ],
)
def test_the_import_that_rejected_a_record_is_told(data: bytes, reading: dict[str, Any]) -> None:
    assert rejecting_import(data, data_format("a.csv", **reading)) == "60"


@pytest.mark.parametrize(
    ("data", "reading"),
    [
        (b"ingot:errors,id\nx,1\n", {}),
        (b"ingot:errors,ingot:import\n", {}),
        (b'{"ingot:errors":"3 records are not in this file."}\n', {"type": "ndjson"}),
    ],
)
def test_rejected_records_may_not_tell_their_import(data: bytes, reading: dict[str, Any]) -> None:
    assert rejecting_import(data, data_format("a.csv", **reading)) == ""


@pytest.mark.parametrize(
    ("data", "reading"),
    [
        (b"", {}),
        (b"id,ingot:import\n1,60\n", {}),
        (b"\xff\xfe\x00", {}),
        (b'"never closed', {}),
        (CSV.encode(), {"encoding": "klingon"}),
        (b"\x1f\x8bgarbage", {"compression": "gzip"}),
        (b'{"ingot:errors":"x', {"type": "ndjson"}),
        (b"[1]\n", {"type": "ndjson"}),
        (b'{"v":{"ingot:errors":"x"}}\n', {"type": "ndjson"}),
    ],
)
def test_other_data_is_left_alone(data: bytes, reading: dict[str, Any]) -> None:
    assert rejecting_import(data, data_format("a.csv", **reading)) is None
