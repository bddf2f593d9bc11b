"""What docs/coming-from.md says is true: its examples run, and its links lead somewhere."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.calling import Caller
from tests.conftest import skip_without
from tests.pipeline.hosting import hosting
from tests.seeds.conftest import keys

PAGE = Path(__file__).parents[2] / "docs/coming-from.md"
TEXT = PAGE.read_text()
ANCHORS = {
    re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", TEXT, re.M)
}


def example(section: str, language: str) -> str:
    """The example of a system."""
    _, _, rest = TEXT.partition(f"\n## {section}\n")
    (found,) = re.findall(rf"```{language}\n(.*?)```", rest.partition("\n## ")[0], re.DOTALL)
    return str(found)


async def run(caller: Caller, folder: Path, *command: str, **environment: str) -> str:
    """The output of a command, which must succeed."""
    variables = {"INGOT": caller.address, "INGOT_ADDRESS": caller.address, **environment}
    variables |= {"KEY": caller.key or "", "INGOT_API_KEY": caller.key or ""}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **variables},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    # Go's JSON puts one or two blanks after a colon, at random, so that nobody relies on it.
    return re.sub(r'": +', '": ', output.decode())


async def test_the_example_for_users_of_markethype(caller: Caller, tmp_path: Path) -> None:
    skip_without("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4")
    output = await run(caller, tmp_path, "bash", "-euo", "pipefail", "-c", example("MarketHype", "bash"))
    assert "RECORD_ERROR_CODE_TOO_LITTLE_INFORMATION" in output
    _, _, errors = output.rpartition('"errors": [')
    assert set(re.findall(r"RECORD_ERROR_CODE_\w+", errors)) == {
        "RECORD_ERROR_CODE_PACKAGE_NOT_FOUND",
        "RECORD_ERROR_CODE_CONTACT_NOT_FOUND",
    }
    assert await keys(caller, "orders") == ["A-1"]


async def test_the_example_for_users_of_connectif(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_text(
        "_email,_name,_points\njohn@example.org,John,10\nsteve@example.org,Steve,20\n"
    )
    script = tmp_path / "script.py"
    script.write_text(example("Connectif", "python"))
    output = await run(caller, tmp_path, sys.executable, str(script), FILE_PATH="contacts.csv")
    assert output.splitlines()[-2:] == ["completed 2 of 2", "IMPORT_STATE_SUCCEEDED"]
    assert await keys(caller, "customers") == ["email=john@example.org", "email=steve@example.org"]


async def test_the_example_for_users_of_synerise(caller: Caller, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(example("Synerise", "python"))
    assert (await run(caller, tmp_path, sys.executable, str(script))).splitlines() == [
        "PARTIALLY_SUCCEEDED",
        "upload SUCCESS 100.0 2 0",
        "processing WARNING 100.0 1 1",
        "SUCCEEDED 1",
        "FAILED 1",
        "SUCCEEDED 1",
    ]
    assert "INVALID_VALUE" in (tmp_path / "error-list.csv").read_text()


async def test_the_example_for_users_of_productsup(fetching: Caller, tmp_path: Path) -> None:
    skip_without("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4")
    script = example("Productsup", "bash")
    async with hosting(b'[{"id": "cup"}, {}]') as host:
        address = f"http://127.0.0.1:{host.port}/products.json"
        output = await run(fetching, tmp_path, "bash", "-euo", "pipefail", "-c", script, PRODUCTS_URI=address)
    monday, tuesday = output.split('"batchId": "tuesday"', 1)
    assert '"status": "BATCH_STATUS_PROCESSED"' in monday
    assert monday.count('"state": "STAGE_STATE_WARNING"') >= 2
    assert '"code": "RECORD_ERROR_CODE_MISSING_KEY"' in monday
    assert '"status": "BATCH_STATUS_PROCESSED"' in tuesday
    assert tuesday.count('"state": "STAGE_STATE_SUCCESS"') == tuesday.count('"state": "STAGE_STATE_WARNING"') == 1
    assert await keys(fetching, "products") == ["cup", "mug"]


async def test_the_example_for_users_of_magento_bi(caller: Caller, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(example("Magento BI", "python"))
    assert (await run(caller, tmp_path, sys.executable, str(script))).splitlines() == ["2 1", "2 1", "complete"]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", TEXT))))
def test_every_link_leads_somewhere(link: str) -> None:
    path, _, anchor = link.partition("#")
    assert (PAGE.parent / path).exists()
    assert not anchor or anchor in ANCHORS
