"""docs/reliability.md names a test for each promise."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.findall(r"`(tests/[a-z_/]+\.py)::([A-Za-z0-9_:]+)`", (ROOT / "docs" / "reliability.md").read_text("utf-8"))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=["::".join(named) for named in NAMED])
def test_each_promise_has_its_test(file: str, name: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    *classes, function = name.split("::")
    assert re.search(rf"^ *(async )?def {function}\(", text, re.MULTILINE)
    assert all(f"\nclass {one}" in text for one in classes)
