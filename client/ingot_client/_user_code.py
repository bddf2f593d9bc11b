"""Where the user's own code runs: generators of records, callbacks, file objects.

The asynchronous client runs it where it runs itself. The synchronous one works in a thread of its own and hands the
user's code back to the thread that made the call: a database cursor stays in its thread, and a callback may call the
client again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Place(Protocol):
    """A place to run the user's code in."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


callers_thread: ContextVar[Place | None] = ContextVar("callers_thread", default=None)


class UserCodeFailed(Exception):
    """Carries an exception of the user's code past everything that handles errors of our own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


async def run(function: Callable[[], T]) -> T:
    """Runs the user's code; what it raises comes as UserCodeFailed."""
    place = callers_thread.get()
    try:
        return function() if place is None else await place(function)
    except Exception as error:
        raise UserCodeFailed(error) from error


async def run_blocking(function: Callable[[], T]) -> T:
    """The same for reading and writing files, which must not hold up an event loop."""
    place = callers_thread.get()
    try:
        return await (asyncio.to_thread(function) if place is None else place(function))
    except Exception as error:
        raise UserCodeFailed(error) from error


async def unwrapped(work: Awaitable[T]) -> T:
    """What the work gives; an exception of the user's code as the user raised it, with its own cause and context."""
    try:
        return await work
    except UserCodeFailed as failure:
        error = failure.error
    raise error
