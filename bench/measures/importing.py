"""Ingot, from the first byte sent until the client knows that the import has ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.records import fields
from ingot_client import AsyncClient, Import


async def import_file(table: str, path: str, **options: Any) -> dict[str, Any]:
    """A file, in one batch."""
    return await _timed(lambda ingot: ingot.import_file(table, path, wait=False, **options))


async def import_records(table: str, records: int, **options: Any) -> dict[str, Any]:
    """Dicts of a program that makes them one by one."""
    return await _timed(lambda ingot: ingot.import_records(table, fields(records), wait=False, **options))


async def import_parts(table: str, path: str, imports: int, clients: int = 1, **options: Any) -> dict[str, Any]:
    """A file, in as many imports at the same time, by so many clients with a connection each."""
    lines = await asyncio.to_thread(lambda: Path(path).read_bytes().splitlines(keepends=True))
    parts = [BytesIO(b"".join(lines[number::imports])) for number in range(imports)]
    async with AsyncExitStack() as stack:
        ingots = [await stack.enter_async_context(AsyncClient()) for _ in range(clients)]
        for ingot in ingots:
            await connected(ingot)
        began, processor_began = time.perf_counter(), time.process_time()
        jobs = await asyncio.gather(
            *(
                ingot.import_file(table, part, type="ndjson", **options)
                for ingot, part in zip(cycle(ingots), parts, strict=False)
            )
        )
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "processor_seconds": time.process_time() - processor_began,
        "state": ", ".join({job.state for job in jobs}),
        "counts": {name: sum(asdict(job.counts)[name] for job in jobs) for name in asdict(jobs[0].counts)},
    }


async def commit(import_id: str) -> dict[str, Any]:
    """A staged import that awaits its commit."""
    async with AsyncClient() as ingot:
        await connected(ingot)
        began = time.perf_counter()
        job = await ingot.commit(import_id)
        return {"seconds": time.perf_counter() - began, "state": job.state, "counts": asdict(job.counts)}


async def _timed(begin: Callable[[AsyncClient], Awaitable[Import]]) -> dict[str, Any]:
    async with AsyncClient() as ingot:
        await connected(ingot)
        began, processor_began = time.perf_counter(), time.process_time()
        job = await begin(ingot)
        acknowledged = time.perf_counter()
        async for newest in ingot.watch(job.import_id):
            job = newest
        return {
            "seconds": time.perf_counter() - began,
            "processor_seconds": time.process_time() - processor_began,
            "acknowledged_seconds": acknowledged - began,
            "import_id": job.import_id,
            "state": job.state,
            "counts": asdict(job.counts),
        }


async def connected(ingot: AsyncClient) -> None:
    """Makes the connection, which is not part of what is timed."""
    async for _ in ingot.list_kinds():
        break
