"""Where pure work is done: in a thread, unless it is so little that the way there takes longer."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LITTLE_BYTES = 4096
LITTLE_RECORDS = 10


async def computed(is_little: bool, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What `function` returns; `is_little` says that it keeps the event loop for a millisecond at most."""
    if is_little:
        return function(*arguments, **options)
    return await asyncio.to_thread(function, *arguments, **options)
