"""Watchers of an import, and how quickly the server answers while it runs."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from bench.measures.latency import percentile
from ingot.v1.import_service_pb2 import WatchImportRequest, WatchImportResponse
from ingot_client import AsyncClient

PROBE_SECONDS = 0.01
IDLE_PROBES = 100


async def watch(table: str, watchers: int) -> dict[str, Any]:
    """Creates an import with the table's name as its request id, says `ready` when all watch it, and waits for its end.

    Returns what one of the watchers saw, as (time, records processed), and by how much a call that does nothing took
    longer than on an idle server: the event loop's lag, and what the probe itself had to wait for a core.
    """
    async with AsyncClient() as ingot:
        job = await ingot.create_import(table, key_fields=["id"], request_id=table)
    folder = Path(os.environ["INGOT_DATA_DIR"])
    address, key = ((folder / name).read_text().strip() for name in ("address", "api-key"))
    async with aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        health = HealthStub(channel)
        idle = [await _answer_seconds(health) for _ in range(IDLE_PROBES)]
        # All but one take the bytes as they come: it is the server that is to be slowed down.
        method: aio.UnaryStreamMultiCallable[WatchImportRequest, bytes] = channel.unary_stream(
            "/ingot.v1.ImportService/WatchImport", WatchImportRequest.SerializeToString
        )
        request = WatchImportRequest(import_id=job.import_id)
        calls = [method(request, metadata=(("authorization", f"Bearer {key}"),)) for _ in range(watchers)]
        await asyncio.gather(*(call.read() for call in calls))
        print("ready", flush=True)
        watching = asyncio.gather(_seen(calls[0]), *map(_read, calls[1:]))
        busy: list[float] = []
        while not watching.done():
            busy.append(await _answer_seconds(health))
            await asyncio.sleep(PROBE_SECONDS)
        seen, *_ = await watching
        return {"seen": seen, "lag_p99_ms": (percentile(busy, 99) - percentile(idle, 50)) * 1000}


async def _answer_seconds(health: Any) -> float:
    began = time.perf_counter()
    await health.Check(HealthCheckRequest())
    return time.perf_counter() - began


async def _seen(call: "aio.UnaryStreamCall[WatchImportRequest, bytes]") -> list[tuple[float, int]]:
    found = []
    while isinstance(message := await call.read(), bytes):
        counts = WatchImportResponse.FromString(message).import_job.counts
        found.append((time.time(), counts.received - counts.pending))
    return found


async def _read(call: "aio.UnaryStreamCall[WatchImportRequest, bytes]") -> None:
    while isinstance(await call.read(), bytes):
        pass
