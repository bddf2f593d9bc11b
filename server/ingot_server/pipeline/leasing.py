"""Keeps leases: what is leased is ours as long as we give a sign of life."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from ingot_server.domain.errors import DatabaseUnavailable


async def keep(extend: Callable[[], Awaitable[bool]], every_seconds: float) -> None:
    """Extends a lease again and again; returns when it is lost. While the database is away nobody else can take it."""
    while True:
        await asyncio.sleep(every_seconds)
        with suppress(DatabaseUnavailable):
            if not await extend():
                return


@asynccontextmanager
async def kept(extend: Callable[[], Awaitable[bool]], every_seconds: float) -> AsyncIterator[asyncio.Event]:
    """Keeps a lease meanwhile; the event is set when it is lost."""
    lost = asyncio.Event()

    async def keep_until_lost() -> None:
        await keep(extend, every_seconds)
        lost.set()

    keeping = asyncio.create_task(keep_until_lost())
    try:
        yield lost
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
