"""The event loop of the synchronous clients, in a background thread.

There is one for the whole process: grpc.aio binds its poller to a loop, and several loops disturb each other.

    caller's thread            background thread
        run(coroutine) ──────────► task
        job() ◄─────────────────── user code that the task needs
        result ◄────────────────── done
"""

import asyncio
import atexit
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ingot_client import _user_code

R = TypeVar("R")
T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result. An interrupt (Ctrl-C) cancels it, waits until it has ended, and is raised."""
    loop = _own_loop()
    if threading.current_thread() is _thread:
        coroutine.close()
        raise RuntimeError("a synchronous client cannot be called from an asynchronous iterable that it reads")
    work = _Work(coroutine, loop)
    context = contextvars.copy_context()
    context.run(_user_code.callers_thread.set, work.in_callers_thread)
    loop.call_soon_threadsafe(work.start, context=context)
    try:
        while (job := work.jobs.get()) is not None:
            job()
    except BaseException:
        loop.call_soon_threadsafe(work.cancel)
        while not work.ended:
            work.jobs.get()
        raise
    return work.result()


def run_later(coroutine: Coroutine[Any, Any, object]) -> None:
    """Runs the coroutine some time soon, waiting for nothing: for clearing up, in whatever thread that happens."""
    if _loop is not None and _thread is not None and _thread.is_alive():
        asyncio.run_coroutine_threadsafe(coroutine, _loop)
    else:
        # The process is ending and has stopped the loop, which cleared up. No thread can be started any more.
        coroutine.close()


class _Work(Generic[T]):
    """One coroutine, and the jobs it has for the thread that waits for it. `None` says that it is done."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.ended = False
        self._coroutine = coroutine
        self._loop = loop
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._coroutine)
        self._task.add_done_callback(self._end)

    def _end(self, _task: asyncio.Task[T]) -> None:
        # In this order: whoever gets the None may rely on the flag.
        self.ended = True
        self.jobs.put(None)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def result(self) -> T:
        assert self._task is not None  # noqa: S101 - start() ran, or nobody would have said that it is done
        return self._task.result()

    async def in_callers_thread(self, function: Callable[[], R]) -> R:
        """A place to run the user's code in."""
        done: asyncio.Future[R] = self._loop.create_future()

        def settle(result: R | None, error: Exception | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def job() -> None:
            try:
                result = function()
            except Exception as error:
                self._loop.call_soon_threadsafe(settle, None, error)
            else:
                self._loop.call_soon_threadsafe(settle, result, None)

        self.jobs.put(job)
        return await done


_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def _own_loop() -> asyncio.AbstractEventLoop:
    global _loop, _thread  # noqa: PLW0603 - one per process is the point
    with _lock:
        # After a fork the thread is gone in the child.
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_live, args=(_loop,), name="ingot-client", daemon=True)
            _thread.start()
        return _loop


def _live(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        for task in (left := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


@atexit.register
def _stop() -> None:
    if _loop is not None and _thread is not None and _thread.is_alive():
        with contextlib.suppress(RuntimeError):
            _loop.call_soon_threadsafe(_loop.stop)
        _thread.join(timeout=1)
