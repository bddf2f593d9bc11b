"""The rounds of a storm: strikes, rest, and the comparison with the model."""

import asyncio
import io
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from ingot_client import AsyncClient
from tests.faults.storm.jobs import TABLE, job_of
from tests.faults.storm.ledger import Ledger
from tests.faults.storm.report import Report
from tests.faults.storm.strikes import KINDS, Planned, plan_of
from tests.faults.storm.takeovers import leases_when_busy, takeover_seconds
from tests.faults.storm.watchers import Watchers
from tests.faults.storm.world import World, world

REST_SECONDS = 240
"""How long clients may take to come to rest when nothing strikes any more."""
SETTLE_SECONDS = 120
"""How long it may take after a strike until an import gets through."""
IDLE = """
    SELECT pid, query FROM pg_stat_activity
    WHERE application_name = 'ingot'
      AND state = 'idle in transaction'
      AND state_change < clock_timestamp() - interval '1 s'
"""


async def storm(folder: Path, seed: int, rounds: int, strikes: int, clients: int) -> Report:
    """Runs the rounds; what came of it."""
    report = Report(seed, strikes, clients)
    ledger = Ledger()
    checked = [0] * clients
    began = time.monotonic()
    async with world(folder, seed, clients) as everything:
        watchers = [Watchers(everything, client) for client in everything.clients]
        for number in range(rounds):
            plan = plan_of(seed, number, strikes)
            print(f"round {number + 1} of {rounds}: {', '.join(strike.kind for strike in plan)}", flush=True)
            async with imports_running(everything, watchers, report):
                for planned in plan:
                    await _strike(everything, planned, report)
            await compare(everything, watchers, ledger, checked, report)
            report.rounds += 1
            if report.faults:
                break
    report.seconds = time.monotonic() - began
    return report


@asynccontextmanager
async def imports_running(everything: World, watchers: list[Watchers], report: Report) -> AsyncIterator[None]:
    """The clients import meanwhile; at the end they and all watchers have come to rest."""
    running = [asyncio.create_task(client.run()) for client in everything.clients]
    watching = [asyncio.create_task(one.run()) for one in watchers]
    try:
        yield
        for client in everything.clients:
            client.rest()
        _, stuck = await asyncio.wait(running, timeout=REST_SECONDS)
        if stuck:
            report.faults.append(f"{len(stuck)} clients have not come to rest in {REST_SECONDS} s")
        await asyncio.gather(*(one.rest() for one in watchers))
    finally:
        for task in (*running, *watching):
            task.cancel()
        await asyncio.gather(*running, *watching, return_exceptions=True)


async def _strike(everything: World, planned: Planned, report: Report) -> None:
    """Strikes, and measures how long it takes until the service is itself again."""
    await asyncio.sleep(planned.pause_seconds)
    leases = await leases_when_busy(everything) if planned.kind == "server killed" else []
    began = time.monotonic()
    probing = asyncio.create_task(_probe(everything, planned.seed))
    watching = asyncio.create_task(takeover_seconds(everything, leases))
    await KINDS[planned.kind](everything, random.Random(planned.seed))
    try:
        await asyncio.wait_for(probing, SETTLE_SECONDS)
    except TimeoutError:
        report.faults.append(f"no import got through {SETTLE_SECONDS} s after: {planned.kind}")
    report.recovered(planned.kind, time.monotonic() - began)
    report.takeover_seconds += await watching


async def _probe(everything: World, seed: int) -> None:
    """One small import of somebody new, from the strike to its end."""
    rows = [{"id": number} for number in range(100)]
    async with AsyncClient(everything.address, everything.key, timeout=5) as ingot:
        while True:
            # A server that never answered this client is not waited for long: so it asks again.
            with suppress(Exception):
                done = await ingot.import_records("probe", rows, key_fields=["id"], request_id=f"probe-{seed}")
                if done.state == "SUCCEEDED":
                    return
            await asyncio.sleep(0.05)


async def compare(
    everything: World, watchers: list[Watchers], ledger: Ledger, checked: list[int], report: Report
) -> None:
    """Applies to the model what was imported since the last time, and compares."""
    async with AsyncClient(everything.address, everything.key) as ingot:
        for client, watcher in zip(everything.clients, watchers, strict=True):
            report.faults += client.failures
            for number in range(checked[client.number], len(client.ends)):
                job = job_of(everything.seed, client.number, number)
                counts = ledger.apply(job.texts, job.mode, (client.number, number))
                expected = {"state": _state(counts), "counts": {name: count for name, count in counts.items() if count}}
                ended, seen = client.ends[number], watcher.last.get(number)
                where = f"import {client.import_ids[number]} ({job.request_id}, {job.mode}, {job.form})"
                report.imports += 1
                report.records_acknowledged += ended["counts"].get("received", 0)
                report.duplicated += max(0, ended["counts"].get("received", 0) - counts["received"])
                report.lost += max(0, client.acknowledged.get(number, 0) - ended["counts"].get("received", 0))
                if ended != expected:
                    report.miscounted += 1
                    report.faults.append(f"{where} ended with {ended}, the model with {expected}")
                wrong = [at for at, text in enumerate(job.texts) if b'"id"' not in text]
                told = [error.index async for error in ingot.list_errors(client.import_ids[number], page_size=1_000)]
                if told != wrong:
                    report.miscounted += 1
                    report.faults.append(f"{where} has errors at {told[:20]}, the model at {wrong[:20]}")
                report.watchers += 1
                if seen != ended:
                    report.watchers_missed += 1
                    report.faults.append(f"{where} ended with {ended}, its watcher saw {seen}")
            checked[client.number] = len(client.ends)
            report.went_back += len(watcher.went_back)
            report.faults += watcher.went_back
            watcher.went_back.clear()
        found = await _table(ingot)
    report.faults += [f"a backend is idle within a transaction: {row['query']}" for row in await everything.fetch(IDLE)]
    report.faults += everything.errors_logged()
    expected_rows = {key: held.row for key, held in ledger.held.items()}
    lost = [key for key, row in expected_rows.items() if found.get(key) != row]
    extra = [key for key in found if key not in expected_rows]
    report.lost += len(lost)
    report.duplicated += len(extra)
    if lost or extra:
        report.faults.append(f"the table differs from the model: lost {lost[:10]}, not to be there {extra[:10]}")


def _state(counts: Counter[str]) -> str:
    if counts["rejected"] == counts["received"]:
        return "FAILED"
    return "PARTIALLY_SUCCEEDED" if counts["rejected"] else "SUCCEEDED"


async def _table(ingot: AsyncClient) -> dict[str, Any]:
    file = io.BytesIO()
    await ingot.export_records(TABLE, file)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    return {row["id"]: row for row in rows}
