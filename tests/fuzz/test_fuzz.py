"""Whatever callers send is read or refused: a few inputs of each kind, always the same, and all that was ever found."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ingot_server.rpc.paging import page_token
from tests.fuzz.targets import TARGETS, Target

EXAMPLES = 100
BYTES_MAX = 20_000
WHOLE: tuple[list[int], set[int]] = ([], set())


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_what_is_promised_holds_whatever_is_sent(target: Target) -> None:
    @given(target.draft(BYTES_MAX))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def try_one(found: Any) -> None:
        target.try_one(found)

    try_one()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param(
            "ndjson", (b'{"ingot:errors":"","\x80":1}', WHOLE), id="a name in a mended line that is not UTF-8"
        ),
        pytest.param("ndjson", (b'{"ingot:errors":"","ingot:raw":"\x80"}', WHOLE), id="ingot:raw that is not UTF-8"),
        pytest.param("ndjson", (b'{"ingot:errors":"","ingot:more":{"\x80":1}}', WHOLE), id="ingot:more in a line"),
        pytest.param("mended", (b'ingot:errors,ingot:more:json\n,"{""\x80"":1}"\n', WHOLE), id="ingot:more in a cell"),
        pytest.param("page_token", page_token("\ud800"), id="a page token with half a character"),
        pytest.param("page_token", page_token("a\0"), id="a page token with NUL"),
    ],
)
def test_what_was_found_once_stays_mended(name: str, found: Any) -> None:
    next(target for target in TARGETS if target.name == name).try_one(found)
