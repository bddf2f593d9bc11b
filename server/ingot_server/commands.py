"""What `ingot-server` does: serve, work, keys, migrate, check."""

import asyncio
import contextlib
import gc
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
from pydantic import ValidationError

from ingot_server import audit
from ingot_server.access import DEFAULT_ACCOUNT, create_key
from ingot_server.app import running, working
from ingot_server.checking_setup import find_problems, is_running
from ingot_server.domain.api_keys import SCOPES
from ingot_server.domain.errors import IngotError
from ingot_server.fleet import Fleet
from ingot_server.logs import set_up_logs
from ingot_server.opening import join_database, open_database
from ingot_server.settings import ConfigurationError, Settings
from ingot_server.storage import accounts
from ingot_server.storage.database import Database
from ingot_server.storage.embedded import EmbeddedPostgresError
from ingot_server.storage.migrating import SchemaError
from ingot_server.supervisor import ProcessFailed

HELP = {"help_option_names": ["-h", "--help"]}

cli = typer.Typer(
    help="The Ingot server: bulk import into PostgreSQL over gRPC. `check` lists the settings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
keys = typer.Typer(help="API keys.", no_args_is_help=True, context_settings=HELP)
cli.add_typer(keys, name="keys")


Processes = Annotated[int | None, typer.Option(help="How many processes; also INGOT_PROCESSES.")]


class Role(StrEnum):
    """What one of several processes does."""

    SERVE = "serve"
    WORK = "work"


@cli.command()
def serve(
    processes: Processes = None,
    no_workers: Annotated[
        bool, typer.Option("--no-workers", help="The API alone: `ingot-server work` elsewhere does the rest.")
    ] = False,
) -> None:
    """Run the server, with embedded PostgreSQL unless INGOT_DATABASE_URL is set."""
    given = {"processes": processes} | ({"workers": 0, "fetchers": 0} if no_workers else {})
    settings = _settings(**given)
    set_up_logs(settings.log_format, settings.log_level)
    fleet = Fleet(settings, serves=True)
    _run(_until_asked(lambda stopping: _serve(settings, fleet, stopping), fleet.kill))


@cli.command()
def work(processes: Processes = None) -> None:
    """Process and fetch what was sent to other servers on INGOT_DATABASE_URL, without an API."""
    settings = _settings(processes=processes)
    set_up_logs(settings.log_format, settings.log_level)
    fleet = Fleet(settings, serves=False)
    _run(_until_asked(lambda stopping: _work(settings, fleet, stopping), fleet.kill))


@cli.command(hidden=True)
def share(role: Role) -> None:
    """Be one of the processes of `serve` or `work`, until stdin is closed."""
    settings = _settings()
    set_up_logs(settings.log_format, settings.log_level)
    _run(_share(settings, role))


async def _until_asked(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]], leave: Callable[[], None]) -> None:
    """Runs until a signal asks it to stop; at the second one leaves at once."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            # Asked twice: leave at once. What is committed is safe, and embedded PostgreSQL stops by itself.
            leave()
            os._exit(130)
        stopping.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    serving = asyncio.create_task(run(stopping))
    asked = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    await serving


async def _serve(settings: Settings, fleet: Fleet, stopping: asyncio.Event) -> None:
    async with fleet.running() if settings.processes > 1 else running(settings) as server:
        _settle_interpreter()
        host = settings.address.rpartition(":")[0]
        address = f"{host}:{server.port}"
        _tell(f"Ingot listens on {address}")
        if settings.database_url is None:
            key_file = settings.data_dir / "api-key"
            _tell(f"The local API key is in {key_file}")
            _tell(f"Clients find both with: export INGOT_DATA_DIR={shlex.quote(str(settings.data_dir))}")
            _tell(f"Try: {shlex.quote(_client())} import FILE.csv --table NAME --key FIELD")
        else:
            _tell("Make an API key for a client: ingot-server keys create")
        await stopping.wait()
        _tell("Stopping: uploads are told where to go on, chunks in hand are finished.")


async def _work(settings: Settings, fleet: Fleet, stopping: asyncio.Event) -> None:
    async with fleet.running() if settings.processes > 1 else working(settings):
        _settle_interpreter()
        _tell("Ingot works on what other servers receive")
        await stopping.wait()
        _tell("Stopping: chunks in hand are finished.")


async def _share(settings: Settings, role: Role) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        # May come twice: an init system sends its signal to all processes, and then our parent closes stdin.
        loop.remove_reader(sys.stdin)
        stopping.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    # Nothing is ever written to it: it becomes readable when it is closed.
    loop.add_reader(sys.stdin, stop)
    async with running(settings, shares_port=True) if role is Role.SERVE else working(settings):
        _settle_interpreter()
        print("ready", flush=True)
        await stopping.wait()


def _tell(line: str) -> None:
    """Prints a line, also if whoever read our output is gone: that is no reason to stop serving."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # What is left in the buffer must go somewhere, or Python complains of it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _settle_interpreter() -> None:
    # What is there now stays: the collector need not look at it again, nor as often at the thousands of records that
    # come and go, which are in no cycles. It took a tenth of the processor.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    # For so long, not ten times as long, the event loop waits for a thread that computes.
    sys.setswitchinterval(0.0005)


@cli.command()
def migrate() -> None:
    """Bring the database's schema up to date; `serve` does it too."""

    async def run() -> None:
        async with open_database(_settings()):
            print("The schema is up to date.")

    _run(run())


@cli.command()
def check() -> None:
    """Say what is wrong with the configuration, and what to do; exit code 1 if something is."""
    settings = _settings()
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = "(set)" if name == "database_url" and value else value
        print(f"INGOT_{name.upper()}={'' if shown is None else shown}  # {field.description}")
    problems = asyncio.run(find_problems(settings))
    if asyncio.run(is_running(settings)):
        print(f"A server with this configuration is running at {settings.address}.", file=sys.stderr)
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    print("No problem found.", file=sys.stderr)


@keys.command("create")
def keys_create(
    account: Annotated[str, typer.Option(help="The account that the key is for; made if needed.")] = DEFAULT_ACCOUNT,
    scope: Annotated[
        list[str] | None, typer.Option(help=f"May be repeated; all if none is given: {', '.join(SCOPES)}.")
    ] = None,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    days: Annotated[float | None, typer.Option(min=0, help="The key expires after so many days.")] = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Nothing can be stored with the key: its imports only validate.")
    ] = False,
) -> None:
    """Make an API key and print it: it cannot be shown again."""
    scopes = scope or list(SCOPES)
    if unknown := sorted(set(scopes) - set(SCOPES)):
        _fail(f"unknown scope {', '.join(unknown)}: expected some of {', '.join(SCOPES)}")
    lifetime = timedelta(days=days) if days is not None else None

    async def run() -> None:
        async with _key_database() as database:
            print((await create_key(database, account, scopes, label, lifetime, sandbox=sandbox)).text)

    _run(run())


@keys.command("list")
def keys_list() -> None:
    """List all keys, without their secrets."""

    async def run() -> None:
        async with _key_database() as database:
            found = await accounts.api_key_list(database)
            print(f"{len(found)} keys: id, account, state, scopes, label", file=sys.stderr)
            for key in found:
                end = (
                    f"revoked {key.revoke_time:%Y-%m-%d}"
                    if key.revoke_time
                    else (f"expires {key.expire_time:%Y-%m-%d}" if key.expire_time else "active")
                )
                kind = "  sandbox" if key.sandbox else ""
                print(f"{key.key_id}  {key.account}  {end}{kind}  {','.join(key.scopes)}  {key.label}")

    _run(run())


@keys.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The id, as `keys list` shows it.")]) -> None:
    """End the use of a key, within a few seconds on all servers."""

    async def run() -> None:
        async with _key_database() as database:
            if not await accounts.api_key_revoke(database, key_id):
                _fail(f"there is no key {key_id}: see `ingot-server keys list`")
            audit.key_revoked(key_id)

    _run(run())


def _client() -> str:
    """The client's command as the reader can type it."""
    beside = Path(sys.argv[0]).absolute().with_name("ingot")
    return str(beside) if shutil.which("ingot") is None and beside.exists() else "ingot"


def _settings(**given: Any) -> Settings:
    """The settings of the environment, but for those that the command line has given."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as invalid:
        for problem in invalid.errors():
            name = str(problem["loc"][0])
            description = Settings.model_fields[name].description
            print(f"problem: INGOT_{name.upper()}: {problem['msg']}. {description}", file=sys.stderr)
        sys.exit(1)


def _key_database() -> "contextlib.AbstractAsyncContextManager[Database]":
    settings = _settings()
    set_up_logs(settings.log_format, "WARNING")
    return join_database(settings)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(coroutine)
    except (ConfigurationError, EmbeddedPostgresError, SchemaError) as error:
        _fail(str(error))
    except ProcessFailed:
        sys.exit(1)
    except (IngotError, asyncpg.PostgresError, OSError) as error:
        cause = error.__cause__ or error
        _fail(f"the database cannot be used: {type(cause).__name__}: {cause}. See `ingot-server check`")


def _fail(message: str) -> None:
    print(f"ingot-server: {message}", file=sys.stderr)
    sys.exit(1)
