"""The peers' cases: new keys, and changed records with the same keys where the peer can do that."""

import json
import os
import time
from pathlib import Path

from bench.bench import Bench, WrongOutcome
from bench.commands import run
from bench.peers import environments
from bench.records import FIRST_ID

COLUMNS = "id bigint PRIMARY KEY, name text, email text, city text, country text, points integer, day date, note text"
STREAM = {"type": "SCHEMA", "stream": "records", "key_properties": ["id"]}
PROPERTIES = {
    "id": {"type": "integer"},
    "name": {"type": "string"},
    "email": {"type": "string"},
    "city": {"type": "string"},
    "country": {"type": "string"},
    "points": {"type": "integer"},
    "day": {"type": "string", "format": "date"},
    "note": {"type": "string"},
}


async def dlt(bench: Bench) -> None:
    """dlt with records as dicts, which it checks and normalises one by one."""
    await _dlt(bench, "dlt", "dicts")


async def dlt_arrow(bench: Bench) -> None:
    """dlt with columns of Arrow, which it passes on as they are."""
    await _dlt(bench, "dlt-arrow", "arrow")


async def _dlt(bench: Bench, name: str, kind: str) -> None:
    python = environments.program("dlt", "python")
    script = Path(__file__).with_name("load_with_dlt.py")
    env = os.environ | {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    await bench.server.begin_anew()
    for case in ("new", "changed"):
        await bench.server.settle()
        output = await run(python, script, bench.server.dsn, bench.data.file(case), "bench", kind, env=env)
        bench.add(name, case, float(output.split()[-1]))
        await _check(bench, "bench.records", case)


async def target_postgres(bench: Bench) -> None:
    """target-postgres with COPY, large batches and no checks of its own. Its input is made beforehand."""
    program = environments.program("target-postgres", "target-postgres")
    config = bench.folder / "target-postgres.json"
    settings = {
        "sqlalchemy_url": bench.server.dsn.replace("postgresql://", "postgresql+psycopg://", 1),
        "default_target_schema": "bench",
        "use_copy": True,
        "batch_size_rows": 100_000,
        "validate_records": False,
        "add_record_metadata": False,
        "activate_version": False,
    }
    config.write_text(json.dumps(settings))
    await bench.server.begin_anew()
    for case in ("new", "changed"):
        messages = _singer(bench, case)
        await bench.server.settle()
        began = time.perf_counter()
        await run(program, "--config", config, stdin=messages)
        bench.add("target-postgres", case, time.perf_counter() - began)
        await _check(bench, "bench.records", case)


async def pgloader(bench: Bench) -> None:
    """pgloader with a file of CSV: it cannot read NDJSON, and cannot replace what is there."""
    program, env = environments.pgloader()
    await bench.server.begin_anew()
    await bench.server.execute(f"CREATE TABLE bench.records ({COLUMNS})")
    socket, database = bench.server.socket, bench.server.database
    command = bench.folder / "pgloader.load"
    command.write_text(
        f"LOAD CSV FROM '{bench.data.file('csv')}' "
        f"INTO postgresql://ingot@unix:{socket}:5432/{database} TARGET TABLE bench.records "
        "WITH skip header = 1, fields terminated by ',', workers = 2, concurrency = 1, "
        "batch rows = 25000, batch size = 20 MB, prefetch rows = 100000;\n"
    )
    await bench.server.settle()
    began = time.perf_counter()
    await run(program, "--root-dir", bench.folder, command, env=os.environ | env)
    bench.add("pgloader", "new", time.perf_counter() - began)
    await _check(bench, "bench.records", "new")


def _singer(bench: Bench, case: str) -> Path:
    """The file as messages of Singer."""
    path = bench.folder / f"{case}.singer"
    if not path.exists():
        schema = json.dumps(STREAM | {"schema": {"type": "object", "properties": PROPERTIES}})
        with path.open("w", encoding="utf-8") as file, bench.data.file(case).open(encoding="utf-8") as lines:
            file.write(f"{schema}\n")
            file.writelines(f'{{"type":"RECORD","stream":"records","record":{line.rstrip()}}}\n' for line in lines)
    return path


async def _check(bench: Bench, table: str, case: str) -> None:
    """Raises WrongOutcome unless every record is there, as the last file has it."""
    rows = await bench.server.fetch(f"SELECT count(*), count(DISTINCT id), min(id), sum(points) FROM {table}")
    points = sum(100 + (number * 7 + (case == "changed")) % 900 for number in range(bench.records))
    if tuple(rows[0]) != (bench.records, bench.records, FIRST_ID, points):
        raise WrongOutcome(f"{table} has {tuple(rows[0])} instead of {bench.records} records {case}")
