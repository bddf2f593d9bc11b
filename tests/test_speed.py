"""A collapse of the speed is seen here; how fast Ingot is only `make bench` can tell.

Only ratios within one short run are looked at, with margins for machines that have other things to do.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.bars import Bar, drawn
from bench.bench import Bench
from bench.cases import CASES
from bench.records import RECORD_BYTES, Dataset, contact, generic
from bench.reporting import table
from bench.results import Results
from bench.server import running_server, work_folder

RECORDS = 40_000
FLOORS = {
    "ingot_new_over_sql_new": 0.2,
    "ingot_changed_over_sql_changed": 0.2,
    "ingot_unchanged_over_sql_changed": 0.25,
    "ingot_acknowledged_over_sql_new": 0.4,
    "ingot_bad1_over_ingot_new": 0.4,
    "ingot_bad20_over_ingot_new": 0.3,
    "contacts_over_generic": 0.08,
    "csv_over_ndjson": 0.3,
    "export_over_copy_out": 0.02,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with work_folder() as folder:
        yield folder


@pytest.mark.timeout(400)
async def test_nothing_has_become_several_times_slower(folder: Path) -> None:
    results = Results(RECORDS)
    async with running_server(folder) as server:
        bench = Bench(server, Dataset(folder, RECORDS), folder, results)
        for case in ("sql", "copy", "ingot", "bad", "formats", "contacts"):
            await CASES[case](bench)
    summary = results.summary()
    assert FLOORS.keys() <= summary["ratios"].keys()
    slow = {name: summary["ratios"][name] for name, floor in FLOORS.items() if summary["ratios"][name] < floor}
    assert not slow, table(summary)
    assert summary["figures"]["memory, one upload"]["mib"] < 300


def test_a_record_has_150_bytes_and_differs_from_all_others(folder: Path) -> None:
    for make in (generic, contact):
        for version in (0, 1):
            made = [make(number, version) for number in range(0, 10_000_000, 9_973)]
            assert {len(text.encode()) for text in made} == {RECORD_BYTES}
            assert len(set(made)) == len(made)


@pytest.mark.parametrize("records", [100, 1_000, 4_321])
def test_shuffled_records_are_the_same_in_another_order(folder: Path, records: int) -> None:
    data = Dataset(folder, records)
    straight, shuffled = (data.file(name).read_text().splitlines() for name in ("new", "shuffled"))
    assert straight != shuffled
    assert sorted(straight) == sorted(shuffled)


@pytest.mark.parametrize("percent", [1, 20])
def test_as_many_records_are_faulty_as_the_name_of_the_file_says(folder: Path, percent: int) -> None:
    data = Dataset(folder, 1_000)
    sound = set(data.file("new").read_text().splitlines())
    lines = data.file(f"bad{percent}").read_text().splitlines()
    assert len(lines) == 1_000
    assert sum(line not in sound for line in lines) == data.faults(percent) == 10 * percent


def test_ratios_are_those_of_each_round() -> None:
    results = Results(1)
    # Everything is ten times as slow in the third round: that says nothing about the one or the other.
    for mine, other in ((300, 100), (320, 100), (31, 10)):
        results.add_rate("ingot", "new", mine)
        results.add_rate("sql", "new", other)
    summary = results.summary()
    assert summary["ratios"] == {"ingot_new_over_sql_new": 3.1}
    assert summary["rates"] == {"ingot": {"new": 300}, "sql": {"new": 100}}


def test_the_longest_bar_fits_into_the_picture() -> None:
    picture = drawn("a & b", [Bar("sql", "new", 1), Bar("ingot", "new <all>", 200_000)])
    assert "a &amp; b" in picture
    assert "new &lt;all&gt;" in picture
    assert "200,000" in picture
