"""SECURITY.md names the test that shows each claim."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_that_security_md_names_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    files = {ROOT / "tests" / name for name in re.findall(r"`([a-z]+/test_\w+\.py)`", text)}
    assert files
    tests = "".join(file.read_text() for file in files)
    names = re.findall(r"`(test_\w+)`", text)
    assert names
    assert [name for name in names if f"def {name}(" not in tests] == []


def test_every_row_of_what_is_defended_against_names_a_test() -> None:
    section = (ROOT / "SECURITY.md").read_text().partition("## What Ingot defends against")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row for row in rows if "test_" not in row and "the same" not in row] == []
