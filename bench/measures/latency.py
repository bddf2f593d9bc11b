"""How long something takes that many callers do again and again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any


async def repeated(once: Callable[[int], Awaitable[object]], callers: int, seconds: float) -> dict[str, Any]:
    """Lets each caller do it again and again until the time is over. `once` gets another number each time."""
    taken: list[float] = []
    numbers = iter(range(1 << 62))
    began = time.perf_counter()

    async def call() -> None:
        while (start := time.perf_counter()) < began + seconds:
            await once(next(numbers))
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*(call() for _ in range(callers)))
    return {
        "per_second": len(taken) / (time.perf_counter() - began),
        "p50_ms": percentile(taken, 50) * 1000,
        "p99_ms": percentile(taken, 99) * 1000,
    }


def percentile(values: list[float], percent: float) -> float:
    """The value that so many of a hundred do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]
