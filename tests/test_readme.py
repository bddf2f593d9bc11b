"""What the README says is true."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import Caller
from tests.conftest import skip_without

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TABLES = (ROOT / "docs/tables.md").read_text()


def block_with(text: str, language: str, page: str = README) -> str:
    """The block of code that contains a text."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (found,) = [block for block in blocks if text in block]
    return found


async def run_shell(script: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_grpcurl_commands_work_by_reflection_alone(caller: Caller) -> None:
    skip_without("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4")
    output = await run_shell(
        block_with("grpcurl -plaintext $INGOT list", "bash"), INGOT=caller.address, KEY=caller.key or ""
    )
    # Go's JSON puts one or two blanks after a colon, at random, so that nobody relies on it.
    output = re.sub(r'": +', '": ', output)
    assert "ingot.v1.BatchService" in output
    assert "rpc WatchImport" in output
    assert "// Streams an import as it changes." in output
    assert '"committedOffset": "3"' in output
    assert '"state": "IMPORT_STATE_PARTIALLY_SUCCEEDED"' in output
    assert '"code": "RECORD_ERROR_CODE_MISSING_KEY"' in output
    assert '"name": "Grace"' in output


async def test_grpcurl_sees_reasons_of_errors(caller: Caller) -> None:
    skip_without("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4")
    with pytest.raises(AssertionError) as failed:
        await run_shell(
            f'grpcurl -plaintext -H "x-api-key: {caller.key}" -d \'{{"import_id": "99"}}\''
            f" {caller.address} ingot.v1.ImportService/GetImport"
        )
    assert "NotFound" in str(failed.value)
    assert "IMPORT_NOT_FOUND" in str(failed.value)


async def test_the_five_lines_of_python_work(caller: Caller, tmp_path: Path) -> None:
    script = tmp_path / "five_lines.py"
    script.write_text(block_with("from ingot_client import Client", "python"))
    output = await run_shell(f"{sys.executable} {script}", INGOT_ADDRESS=caller.address, INGOT_API_KEY=caller.key or "")
    assert output.split() == ["SUCCEEDED", "1"]


async def test_tables_are_declared_as_their_manual_says(caller: Caller, tmp_path: Path) -> None:
    skip_without("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4")
    at = {"INGOT_ADDRESS": caller.address, "INGOT_API_KEY": caller.key or "", "NO_COLOR": "1"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (tmp_path / "fields.json").write_text(block_with('"name": "size"', "json", TABLES))
    for text in ("ingot tables create shops", "ingot tables create stock"):
        script = f"cd {tmp_path}\n{block_with(text, 'bash', TABLES)}"
        await run_shell(script, PATH=path, **at)
    assert "[A-Z]{2}[0-9]+" in await run_shell("ingot tables show copy", PATH=path, **at)
    delete = "for table in shops stock copy; do ingot tables delete --yes $table; done"
    await run_shell(delete, PATH=path, **at)
    (tmp_path / "tables.py").write_text(block_with("create_table", "python", TABLES))
    await run_shell(f"{sys.executable} {tmp_path / 'tables.py'}", **at)
    await run_shell("ingot tables delete --yes stock", PATH=path, **at)
    output = await run_shell(block_with("CreateTable", "bash", TABLES), INGOT=caller.address, KEY=caller.key or "")
    assert "UNKNOWN_FIELDS_REJECT" in output


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
