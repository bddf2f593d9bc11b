"""A short storm: `make faults` is the long one."""

from pathlib import Path

import pytest

from tests.faults.storm.jobs import job_of
from tests.faults.storm.report import percentile
from tests.faults.storm.storm import storm
from tests.faults.storm.strikes import KINDS, plan_of


@pytest.mark.parametrize("seed", [8])
async def test_a_storm_leaves_what_the_model_says(open_folder: Path, seed: int) -> None:
    folder = open_folder / f"storm-{seed}"
    folder.mkdir(mode=0o711)
    report = await storm(folder, seed, rounds=1, strikes=6, clients=2)
    assert report.faults == []
    assert (report.lost, report.duplicated, report.miscounted, report.watchers_missed, report.went_back) == (0,) * 5
    assert report.imports == report.watchers > 0


def test_a_seed_is_a_plan() -> None:
    assert plan_of(1, 3, 8) == plan_of(1, 3, 8) != plan_of(2, 3, 8)
    assert job_of(1, 0, 7) == job_of(1, 0, 7) != job_of(2, 0, 7)


def test_every_kind_strikes_before_any_strikes_again() -> None:
    plan = [strike.kind for number in range(4) for strike in plan_of(1, number, 4)]
    assert sorted(plan) == sorted(KINDS)


@pytest.mark.parametrize(("share", "expected"), [(50, 2), (99, 4), (100, 4)])
def test_a_percentile_is_one_of_those_measured(share: int, expected: int) -> None:
    assert percentile([4, 1, 3, 2], share) == expected
