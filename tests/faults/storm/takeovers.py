"""How long a batch waits whose server was killed, until another server has it. All in the database's time."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from tests.faults.storm.world import LEASE_SECONDS, World

BUSY_SECONDS = 5
"""How long to wait for something to be leased."""
GIVE_UP_SECONDS = 60
LEASES = """
    SELECT batch_seq, lease_generation, lease_until, clock_timestamp() AS now
    FROM batch
    WHERE chunks_done < chunks_received AND NOT closed AND lease_until > clock_timestamp()
"""
LATER = """
    SELECT batch_seq, lease_generation, lease_until, closed OR chunks_done = chunks_received AS done
    FROM batch
    WHERE batch_seq = ANY($1::bigint[])
"""
WHILE_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True, slots=True)
class SeenLease:
    """A lease as it was at the moment of the kill."""

    batch_seq: int
    generation: int
    until: datetime
    seen: datetime


async def leases_when_busy(world: World) -> list[SeenLease]:
    """The leases of batches that are being worked on, as soon as there are any."""
    began = time.monotonic()
    while time.monotonic() < began + BUSY_SECONDS:
        if rows := await world.fetch(LEASES):
            return [SeenLease(*row) for row in rows]
        await asyncio.sleep(0.01)
    return []


async def takeover_seconds(world: World, leases: list[SeenLease]) -> list[float]:
    """For each lease whose owner gave no more sign of life: how long after it was seen another server had the batch."""
    waiting = {lease.batch_seq: lease for lease in leases}
    taken = []
    began = time.monotonic()
    while waiting and time.monotonic() < began + GIVE_UP_SECONDS:
        try:
            rows = await world.fetch(LATER, list(waiting))
        except WHILE_AWAY:
            rows = []
        for batch_seq, generation, until, done in rows:
            lease = waiting[batch_seq]
            claimed = until - timedelta(seconds=LEASE_SECONDS)
            if generation > lease.generation and claimed >= lease.until:
                taken.append((claimed - lease.seen).total_seconds())
                del waiting[batch_seq]
            elif done or (generation, until) != (lease.generation, lease.until):
                # Extended or given back: its owner lives. Or it had just done the last of it, and nobody needs to.
                del waiting[batch_seq]
        await asyncio.sleep(0.01)
    return [*taken, *(GIVE_UP_SECONDS for _ in waiting)]
