"""Errors are counted as they pass, however their file is cut."""

import csv
import io
import json
from pathlib import Path

import pytest

from ingot_client._cli.counting import CountedErrors, count_in_file

RAWS = ["plain", 'a "quoted" one', "two\nlines", '"', 'ends with "', "\n\n", ""]


def file_of(raws: list[str], *, csv_: bool) -> bytes:
    if not csv_:
        return "".join(json.dumps({"raw": raw}) + "\n" for raw in raws).encode()
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([("index", "raw"), *enumerate(raws)])
    return file.getvalue().encode()


@pytest.mark.parametrize("csv_", [True, False])
@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_errors_are_counted_and_passed_on(csv_: bool, size: int, tmp_path: Path) -> None:
    data = file_of(RAWS, csv_=csv_)
    target = io.BytesIO()
    counted = CountedErrors(target, csv=csv_)
    for start in range(0, len(data), size):
        counted.write(data[start : start + size])
    assert (counted.count, target.getvalue()) == (len(RAWS), data)
    (tmp_path / "errors").write_bytes(data)
    assert count_in_file(tmp_path / "errors", csv=csv_) == len(RAWS)


def test_file_without_errors_holds_none() -> None:
    counted = CountedErrors(csv=True)
    assert counted.count == 0
    counted.write(b"index,raw\n")
    assert counted.count == 0
