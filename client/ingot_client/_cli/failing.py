"""Tells failures in one or two lines on stderr, and ends with the right exit code."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

import typer

from ingot_client._cli.printing import plain, say
from ingot_client._errors import (
    ApiKeyInvalid,
    CallFailed,
    IngotError,
    KeyFieldsDiffer,
    KindDiffers,
    NothingToRetry,
    RejectsGone,
    SandboxKey,
    ServerFault,
    TableExists,
    TableInUse,
    TooManyImports,
    Unreachable,
)
from ingot_tabular import TabularUnavailable

FAILED = 1
INTERRUPTED = 130

# What to do next; with the facts of the error.
ADVICE: Final[dict[type[CallFailed], str]] = {
    ApiKeyInvalid: "Give a key by --api-key or INGOT_API_KEY; `ingot-server keys create` makes one.",
    KeyFieldsDiffer: "The table is keyed by {key_fields}: leave out --key, or say --key {key_fields}.",
    KindDiffers: "The table's records are {kind}: leave out --kind, or say --kind {kind}.",
    TableExists: "Change it with `ingot tables update {table}`, or choose another name.",
    TableInUse: "Wait for the import with `ingot watch {import_id}`, or `ingot cancel {import_id}`.",
    TooManyImports: "See them with `ingot imports --unfinished`, and go on with one, or `ingot cancel {import_id}`.",
    NothingToRetry: (
        "They have to be mended: `ingot errors {import_id} --rejects -o mend.csv`, "
        "then `ingot retry {import_id} mend.csv`."
    ),
    RejectsGone: "What was wrong with them is still listed: `ingot errors {import_id}`. Import them again.",
    SandboxKey: "With this key imports can be rehearsed; for all else give another one by --api-key or INGOT_API_KEY.",
    ServerFault: "Look for {error_id} in the server's log.",
}

# Which option gives a field of a request, by the field's path or the last part of it.
OPTIONS: Final = {
    "spec.table": "--table",
    "key_fields": "--key",
    "kind": "--kind",
    "country": "--country",
    "time_zone": "--time-zone",
    "locale": "--locale",
    "labels": "--label",
    "mode": "--mode",
    "staged": "--staged",
    "reconcile": "--reconcile",
    "request_id": "--request-id",
    "encoding": "--encoding",
    "delimiter": "--delimiter",
    "quote": "--quote",
    "unknown_fields": "--unknown-fields",
}


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
        fail(_with_options(error), advice(error))
    except (OSError, ValueError, TypeError, TabularUnavailable) as error:
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
    if isinstance(error, KeyFieldsDiffer) and not error.facts.get("key_fields"):
        return "The kind of the table needs no key fields: leave out --key."
    if isinstance(error, CallFailed) and (text := ADVICE.get(type(error))):
        # Not every error has its facts: a table may be in use by records, and not by an import.
        with contextlib.suppress(KeyError):
            return text.format_map(error.facts)
    if isinstance(error, CallFailed) and error.violations:
        missing = {field: why for field, why in error.violations.items() if why not in error.message}
        return "; ".join(f"{field}: {why}" for field, why in missing.items())
    return ""


def _with_options(error: IngotError) -> str:
    """The message, which calls what is wrong by the options that gave it."""
    message = error.message
    for path, why in (error.violations if isinstance(error, CallFailed) else {}).items():
        option = OPTIONS.get(path) or OPTIONS.get(path.rpartition(".")[2], path)
        message = message.replace(f"{path}: {why}", f"{option}: {why}")
    return message


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
