"""What the README says is true."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ingot.v1.write_mode_pb2 import WriteMode
from tests.calling import Caller, records
from tests.conftest import skip_without

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TABLES = (ROOT / "docs/tables.md").read_text()
IMPORTS = (ROOT / "docs/imports.md").read_text()


def block_with(text: str, language: str, page: str = README) -> str:
    """The block of code that contains a text."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (found,) = [block for block in blocks if text in block]
    return found


def commands_below(title: str) -> list[tuple[str, int]]:
    """The commands of a section that are to be typed one after the other, each with the exit code that is promised."""
    section = README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    # The first block is about the shell in which they are typed.
    blocks: list[str] = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[1:]
    found = []
    for line in "".join(blocks).splitlines():
        command, _, comment = line.partition("  # ")
        code = re.search(r"exit code (\d)", comment)
        found.append((command.rstrip(), int(code[1]) if code else 0))
    return found


def checkout(folder: Path) -> Path:
    """A folder with the examples, in which a reader may leave files."""
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


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
    script.write_text(block_with("ingot.import_records(", "python"))
    output = await run_shell(f"{sys.executable} {script}", INGOT_ADDRESS=caller.address, INGOT_API_KEY=caller.key or "")
    assert output.split() == ["SUCCEEDED", "1"]


async def test_the_walk_along_the_command_line_ends_as_it_says(caller: Caller, tmp_path: Path) -> None:
    script = [f"cd {checkout(tmp_path)}"]
    for command, code in commands_below("Use it from the command line"):
        script += [
            f"code=0; {command} || code=$?",
            f"[ $code -eq {code} ] || {{ echo {shlex.quote(command)}: $code; exit 1; }}",
        ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    output = await run_shell(
        "\n".join(script), PATH=path, INGOT_ADDRESS=caller.address, INGOT_API_KEY=caller.key or "", NO_COLOR="1"
    )
    assert "40 received, 9 created, 31 rejected" in output
    assert "into orders: SUCCEEDED\n  1 received, 1 created" in output
    assert "3 not named by the import: would be deleted" in output
    assert "3 not named by the import: deleted" in output
    assert "CELL_COUNT" in (tmp_path / "errors.csv").read_text()


async def test_demo_that_is_interrupted_says_so_last(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/demo").write_bytes((ROOT / "examples/demo").read_bytes())
    # A server is running already, and a command is interrupted so early that Python itself tells it.
    (tmp_path / "address").write_text("127.0.0.1:1")
    ingot = tmp_path / ".venv/bin/ingot"
    ingot.parent.mkdir(parents=True)
    ingot.write_text('#!/bin/sh\n[ "$1" = imports ] || { kill -INT $PPID; echo KeyboardInterrupt >&2; exit 1; }\n')
    ingot.chmod(0o755)
    # What runs the tests may have them ignore interrupts, and no shell could undo that.
    interruptible = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp('bash', sys.argv[1:])"
    )
    demo = f'{sys.executable} -c "{interruptible}" bash {tmp_path}/examples/demo'
    output = await run_shell(f"code=0; {demo} || code=$?; [ $code -eq 130 ]", INGOT_DATA_DIR=str(tmp_path))
    assert output.splitlines()[-3:] == ["KeyboardInterrupt", "", "Interrupted: the demo ends here."]


async def test_the_options_of_imports_work_from_python(caller: Caller, tmp_path: Path) -> None:
    script = tmp_path / "options.py"
    script.write_text(block_with("reconcile=", "python"))
    output = await run_shell(
        f"cd {checkout(tmp_path)}; {sys.executable} {script}",
        INGOT_ADDRESS=caller.address,
        INGOT_API_KEY=caller.key or "",
    )
    assert "created=38" in output
    assert {record["id"] for record in await caller.table("members")} >= {"0001", "0041"}
    assert len(await caller.table("crm")) > 1_900


async def test_tables_are_declared_as_their_manual_says(caller: Caller, tmp_path: Path) -> None:
    skip_without("grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4")
    at = {"INGOT_ADDRESS": caller.address, "INGOT_API_KEY": caller.key or "", "NO_COLOR": "1"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (tmp_path / "fields.json").write_text(block_with('"name": "size"', "json", TABLES))
    for text in ("ingot tables create shops", "ingot tables create stock"):
        script = f"cd {tmp_path}\n{block_with(text, 'bash', TABLES)}"
        await run_shell(script, PATH=path, **at)
    assert "[A-Z]{2}[0-9]+" in await run_shell("ingot tables show copy", PATH=path, **at)
    (tmp_path / "tables.py").write_text(block_with("create_table", "python", TABLES))
    await run_shell(f"{sys.executable} {tmp_path / 'tables.py'}", **at)
    output = await run_shell(block_with("CreateTable", "bash", TABLES), INGOT=caller.address, KEY=caller.key or "")
    assert "UNKNOWN_FIELDS_REJECT" in output
    await run_shell("ingot tables delete stock --yes", PATH=path, **at)


@pytest.mark.parametrize("mode", ["replace", "merge", "fill-empty", "skip-existing", "delete"])
async def test_write_modes_do_what_their_table_says(mode: str, caller: Caller) -> None:
    there, given = (json.loads(text) for text in re.findall(r"`(\{.*?\})`", IMPORTS)[:2])
    (row,) = [line for line in IMPORTS.splitlines() if line.startswith(f"| `{mode}` |")]
    afterwards, counted = (cell.strip() for cell in row.split("|")[3:5])
    await caller.run([there])
    word = f"WRITE_MODE_{mode.upper().replace('-', '_')}"
    import_id = await caller.create(mode=WriteMode.Value(word))
    await caller.upload([records([given], import_id=import_id, batch_id="b", finish=True)])
    assert getattr((await caller.finish(import_id)).counts, counted) == 1
    if afterwards.startswith("`"):
        expected = [{"id": "1", **json.loads(f"{{{afterwards.strip('`')}}}")}]
    else:
        expected = {"as before": [there], "no record": []}[afterwards]
    assert await caller.table() == expected


LINKS = [
    (page, link)
    for page in (ROOT / "README.md", ROOT / "docs/imports.md")
    for link in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", page.read_text())
]


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_every_link_leads_somewhere(page: Path, link: str) -> None:
    assert (page.parent / link).exists()
