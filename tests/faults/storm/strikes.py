"""What strikes, and how it passes. Each returns when its cause is gone; what follows of it is for others to bear."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from tests.faults.links import Link
from tests.faults.processes import ServerProcess
from tests.faults.storm.world import LEASE_SECONDS, Replica, World

Strike: TypeAlias = Callable[[World, random.Random], Awaitable[None]]

PAUSE_SECONDS_MAX = 1.5
"""How long nothing strikes at most."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A strike of the plan."""

    kind: str
    pause_seconds: float
    """How long nothing happens before it."""
    seed: int
    """What it takes its choices from."""


def plan_of(seed: int, number: int, strikes: int) -> list[Planned]:
    """The strikes of a round. Every kind comes once before any comes again."""
    kinds: Iterator[str] = _kinds(random.Random(seed))
    for _ in range(number * strikes):
        next(kinds)
    chance = random.Random(f"{seed}/{number}")
    return [
        Planned(next(kinds), chance.uniform(0.1, PAUSE_SECONDS_MAX), chance.randrange(1 << 30)) for _ in range(strikes)
    ]


def _kinds(chance: random.Random) -> Iterator[str]:
    while True:
        yield from chance.sample(list(KINDS), len(KINDS))


def _server(world: World, chance: random.Random) -> tuple[Replica, ServerProcess]:
    replica = chance.choice(world.replicas)
    assert replica.running is not None
    return replica, replica.running


async def kill_server(world: World, chance: random.Random) -> None:
    replica, _ = _server(world, chance)
    await replica.end()
    await replica.start()


async def kill_all_servers(world: World, chance: random.Random) -> None:
    await asyncio.gather(*(replica.end() for replica in world.replicas))
    await asyncio.gather(*(replica.start() for replica in world.replicas))


async def freeze_server(world: World, chance: random.Random) -> None:
    _, server = _server(world, chance)
    server.freeze()
    try:
        await asyncio.sleep(LEASE_SECONDS * chance.uniform(1.2, 2))
    finally:
        server.thaw()


async def stop_server(world: World, chance: random.Random) -> None:
    replica, server = _server(world, chance)
    replica.running = None
    server.process.terminate()
    if (status := await server.ended()) != 0:
        raise AssertionError(f"a server that was asked to stop ended with {status}")
    await replica.end()
    await replica.start()


async def kill_client(world: World, chance: random.Random) -> None:
    process = chance.choice(world.clients).process
    if process is not None and process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()


async def terminate_backend(world: World, chance: random.Random) -> None:
    await world.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'ingot' ORDER BY state <> 'active', md5(pid::text || $1) LIMIT 1",
        str(chance.random()),
    )


async def kill_postgres(world: World, chance: random.Random) -> None:
    os.kill(world.postgres.pid, signal.SIGKILL)
    await world.postgres.wait()
    await world.postgres.start()


def on_link(
    choose: Callable[[World, random.Random], Link], how: Callable[[Link, random.Random], Awaitable[None]]
) -> Strike:
    """A strike against one of the links."""

    async def strike(world: World, chance: random.Random) -> None:
        await how(choose(world, chance), chance)

    return strike


async def delay(link: Link, chance: random.Random) -> None:
    link.delay_seconds = chance.uniform(0.01, 0.05)
    await asyncio.sleep(chance.uniform(0.5, 2))
    link.delay_seconds = 0


async def stall(link: Link, chance: random.Random) -> None:
    link.stall()
    await asyncio.sleep(chance.uniform(0.5, 2 * LEASE_SECONDS))
    link.flow()


async def reset(link: Link, chance: random.Random) -> None:
    link.reset()


async def cut(link: Link, chance: random.Random) -> None:
    link.cut_after(chance.randint(1, 100_000))


async def lose_commit(world: World, chance: random.Random) -> None:
    link = chance.choice(world.replicas).database_link
    link.spare_commits = chance.randint(0, 9)
    link.swallow_commits += 1


def front(world: World, chance: random.Random) -> Link:
    return world.front


def back(world: World, chance: random.Random) -> Link:
    return chance.choice(world.replicas).database_link


KINDS: dict[str, Strike] = {
    "server killed": kill_server,
    "all servers killed": kill_all_servers,
    "server frozen for longer than its leases": freeze_server,
    "server stopped with SIGTERM": stop_server,
    "client killed": kill_client,
    "backend terminated": terminate_backend,
    "PostgreSQL killed": kill_postgres,
    "answer to a COMMIT lost": lose_commit,
    "clients: link slow": on_link(front, delay),
    "clients: link stalled": on_link(front, stall),
    "clients: link reset": on_link(front, reset),
    "clients: link cut within a message": on_link(front, cut),
    "database: link slow": on_link(back, delay),
    "database: link stalled": on_link(back, stall),
    "database: link reset": on_link(back, reset),
    "database: link cut within a message": on_link(back, cut),
}
