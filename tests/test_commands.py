"""`ingot-server`, as an operator types it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.calling import Caller
from tests.faults.processes import server_process


async def ingot_server(*arguments: str, **settings: object) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    environment |= {f"INGOT_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingot_server",
        *arguments,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("missing", ["asyncpg", "aiohttp", "botocore"])
def test_missing_extra_is_told_with_how_it_is_installed(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from ingot_server.__main__ import main; main()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"ingot-server needs {missing}: run `pip install '.[server]'` in a checkout of Ingot.\n"


async def test_keys_are_made_listed_and_revoked_while_the_server_runs(open_folder: Path) -> None:
    data_dir = open_folder / "keys"
    async with server_process(data_dir=data_dir) as server:
        code, key, _ = await ingot_server("keys", "create", "--account", "acme", "--label", "shop", data_dir=data_dir)
        assert code == 0
        async with Caller(server.address, key.strip()) as caller:
            assert (await caller.run([{"id": 1}])).counts.created == 1
        key_id = key.split("_")[1]
        _, listed, _ = await ingot_server("keys", "list", data_dir=data_dir)
        assert f"{key_id}  acme  active" in listed
        assert key.strip() not in listed
        assert (await ingot_server("keys", "revoke", key_id, data_dir=data_dir))[0] == 0
        _, listed, _ = await ingot_server("keys", "list", data_dir=data_dir)
        assert f"{key_id}  acme  revoked" in listed


async def test_keys_never_make_a_database_by_mistake(open_folder: Path) -> None:
    data_dir = open_folder / "nothing-here"
    code, _, said = await ingot_server("keys", "list", data_dir=data_dir)
    assert code == 1
    assert "INGOT_DATA_DIR" in said
    assert not data_dir.exists()


async def test_an_unknown_scope_is_refused_with_the_known_ones(database_url: str) -> None:
    code, _, said = await ingot_server("keys", "create", "--scope", "all", database_url=database_url)
    assert code == 1
    assert "imports:write" in said


async def test_check_finds_nothing_wrong_with_a_good_configuration(database_url: str) -> None:
    code, listed, said = await ingot_server("check", database_url=database_url, address="127.0.0.1:0")
    assert (code, said.strip()) == (0, "No problem found.")
    assert "INGOT_WORKERS=2" in listed
    assert database_url not in listed


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"address": "nonsense"}, "HOST:PORT"),
        ({"address": "0.0.0.0:7468"}, "INGOT_TLS_CERTIFICATE"),
        ({"adress": "127.0.0.1:1"}, "INGOT_ADRESS is not a setting"),
        ({"tls_key": "/nowhere"}, "INGOT_TLS_CERTIFICATE"),
        ({"database_url": "postgresql://nobody@127.0.0.1:1/none"}, "INGOT_DATABASE_URL"),
        ({"postgres_bin": "/usr/share"}, "INGOT_POSTGRES_BIN"),
        ({"data_dir": "/etc/passwd/ingot"}, "INGOT_DATA_DIR"),
        ({"log_level": "LOUD"}, "DEBUG, INFO, WARNING or ERROR"),
    ],
)
async def test_check_says_what_is_wrong(settings: dict[str, str], said: str, open_folder: Path) -> None:
    given = {"address": "127.0.0.1:0", "data_dir": open_folder / "unused", **settings}
    code, _, complaint = await ingot_server("check", **given)
    assert code == 1
    assert said in complaint


async def test_serve_says_why_it_cannot_reach_the_database() -> None:
    code, _, said = await ingot_server(
        "serve", address="127.0.0.1:0", database_url="postgresql://nobody@127.0.0.1:1/none"
    )
    assert code == 1
    assert "ConnectionRefusedError" in said


async def test_serve_refuses_a_nonsensical_number_of_processes() -> None:
    code, _, said = await ingot_server("serve", "--processes", "0")
    assert (code, "INGOT_PROCESSES" in said) == (1, True)


async def test_check_knows_how_many_connections_all_processes_may_open(database_url: str) -> None:
    settings = {"database_url": database_url, "address": "127.0.0.1:0", "database_connections": 96}
    code, _, said = await ingot_server("check", processes=2, **settings)
    assert (code, said.strip()) == (0, "No problem found.")
    code, _, said = await ingot_server("check", processes=3, **settings)
    assert (code, "300 connections together, and PostgreSQL allows 200" in said) == (1, True)


async def test_workers_without_an_api_need_a_database_that_is_shared(open_folder: Path) -> None:
    for processes in (1, 2):
        code, _, said = await ingot_server("work", data_dir=open_folder / "unshared", processes=processes)
        assert (code, "INGOT_DATABASE_URL" in said) == (1, True)
    assert not (open_folder / "unshared").exists()


@pytest.mark.parametrize("command", [[], ["serve"], ["work"], ["check"], ["keys"], ["keys", "create"]])
async def test_help_has_a_short_name(command: list[str]) -> None:
    code, said, _ = await ingot_server(*command, "-h")
    assert (code, "Usage: " in said) == (0, True)


async def test_check_finds_nothing_wrong_beside_its_own_server(open_folder: Path) -> None:
    data_dir = open_folder / "beside"
    async with server_process(data_dir=data_dir) as server:
        code, _, said = await ingot_server("check", data_dir=data_dir, address=server.address)
        assert (code, said.splitlines()) == (
            0,
            [f"A server with this configuration is running at {server.address}.", "No problem found."],
        )
        code, _, said = await ingot_server("check", data_dir=open_folder / "another", address=server.address)
        assert (code, "Address already in use" in said) == (1, True)
