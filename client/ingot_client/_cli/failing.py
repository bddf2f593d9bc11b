"""Tells failures in one or two lines on stderr, and ends with the right exit code."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import typer

from ingot_client._cli.printing import plain, say
from ingot_client._errors import ApiKeyInvalid, CallFailed, IngotError, KeyFieldsDiffer, ServerFault, Unreachable

FAILED = 1
INTERRUPTED = 130


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Turns what a command raises into words and an exit code. Usage errors and exit codes pass."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough. The rest must not fail again when Python flushes at its end.
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except IngotError as error:
        fail(error.message, advice(error))
    except (OSError, ValueError, TypeError) as error:
        name = getattr(error, "filename", None)
        why = getattr(error, "strerror", None) or str(error)
        fail(f"{name}: {why}" if name else why)


def fail(message: str, what_to_do: str = "") -> NoReturn:
    """Says what is wrong and what to do next, and ends the command."""
    say(f"error: {plain(message)}")
    if what_to_do:
        say(plain(what_to_do))
    raise typer.Exit(FAILED) from None


def advice(error: IngotError) -> str:
    """What to do next, where the message does not say it."""
    if isinstance(error, Unreachable) and "INGOT_TLS" not in error.message:
        return "Start a server with `ingot-server serve`, or name another: --address HOST:PORT or INGOT_ADDRESS."
    if isinstance(error, ApiKeyInvalid):
        return "Give a key by --api-key or INGOT_API_KEY; `ingot-server keys create` makes one."
    if isinstance(error, KeyFieldsDiffer) and (fields := error.facts.get("key_fields")):
        return f"The table is keyed by {fields}: leave out --key, or say --key {fields}."
    if isinstance(error, ServerFault) and (error_id := error.facts.get("error_id")):
        return f"Look for {error_id} in the server's log."
    if isinstance(error, CallFailed) and error.violations:
        missing = {field: why for field, why in error.violations.items() if why not in error.message}
        return "; ".join(f"{field}: {why}" for field, why in missing.items())
    return ""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets the first Ctrl-C stop things in order, and the second one end the process at once."""

    def second(_number: int, _frame: FrameType | None) -> None:
        if sys.stderr.isatty():
            # A bar hides the cursor.
            os.write(2, b"\x1b[?25h\n")
        os._exit(INTERRUPTED)

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, second)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
