"""The command line: `python -m tests.faults.soak`."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ingot_client import AsyncClient, IngotError
from tests.faults.soak.churn import Churn
from tests.faults.soak.samples import Sample, grown, quarters, sample
from tests.faults.storm.ledger import Ledger
from tests.faults.storm.report import Report
from tests.faults.storm.storm import compare, imports_running
from tests.faults.storm.watchers import Watchers
from tests.faults.storm.world import Replica, World, world

CLIENTS = 2
SEED = 1
RESTART_SECONDS = 60

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command()
def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long.")] = 60,
    output: Annotated[Path, typer.Option(help="Where the report goes, as JSON.")] = Path("build/soak.json"),
) -> None:
    """Runs a mixed load with restarts, and fails if anything has grown or does not add up."""
    folder = Path(tempfile.mkdtemp(prefix="ingot-soak-", dir=os.environ.get("FAULTS_DIR", "/var/tmp")))
    # PostgreSQL's own user passes through it, if this is root.
    folder.chmod(0o711)
    try:
        summary = asyncio.run(_soak(folder, minutes * 60))
    finally:
        shutil.rmtree(folder)
    for name, medians in summary["quarters"].items():
        print(f"{name:<20}" + "".join(f"{value:>14,.2f}" for value in medians))
    for name in ("imports", "records_acknowledged", "calls_given_up", "restarts"):
        print(f"{name:<20}{summary[name]:>14,}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for fault in summary["faults"]:
        print(f"FAULT: {fault}")
    sys.exit(bool(summary["faults"]))


async def _soak(folder: Path, seconds: float) -> dict[str, Any]:
    report = Report(SEED, 0, CLIENTS)
    restarts = 0
    samples: list[Sample] = []
    async with world(folder, SEED, CLIENTS) as everything:
        watchers = [Watchers(everything, client) for client in everything.clients]
        churn = Churn(everything)
        async with imports_running(everything, watchers, report):
            churning = asyncio.create_task(churn.run())
            end = time.monotonic() + seconds
            restart = time.monotonic() + RESTART_SECONDS
            while time.monotonic() < end and not churning.done():
                samples.append(await sample(everything, await _import_seconds(everything, len(samples))))
                if time.monotonic() > restart:
                    await _restart(everything.replicas[1])
                    restarts += 1
                    restart += RESTART_SECONDS
                await asyncio.sleep(1)
            churning.cancel()
            if isinstance(failure := (await asyncio.gather(churning, return_exceptions=True))[0], Exception):
                raise failure
        await compare(everything, watchers, Ledger(), [0] * CLIENTS, report)
    found = quarters(samples)
    return {
        "minutes": round(seconds / 60, 1),
        "quarters": found,
        "imports": report.imports,
        "records_acknowledged": report.records_acknowledged,
        "calls_given_up": churn.calls,
        "restarts": restarts,
        "faults": [*report.faults, *grown(found)],
    }


async def _import_seconds(everything: World, number: int) -> float:
    """How long a small import takes."""
    rows = [{"id": row, "n": number} for row in range(100)]
    began = time.monotonic()
    async with AsyncClient(everything.address, everything.key) as ingot:
        while True:
            with suppress(IngotError):
                await ingot.import_records("small", rows, key_fields=["id"], request_id=f"small-{number}")
                return time.monotonic() - began


async def _restart(replica: Replica) -> None:
    server, replica.running = replica.running, None
    assert server is not None
    server.process.terminate()
    await server.ended()
    await replica.end()
    await replica.start()


if __name__ == "__main__":
    cli()
