"""Real server processes, to be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

ESTABLISHED = "01"
"""As /proc/net/tcp has it."""


class ServerProcess:
    """A server as it is shipped, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.address = address

    def kill(self) -> None:
        """Ends it as a power failure would."""
        self.process.send_signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops it without its knowledge."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self.process.send_signal(signal.SIGCONT)

    @staticmethod
    def signal(pid: int, number: signal.Signals) -> None:
        """Sends a signal to one of its children."""
        os.kill(pid, number)

    def children(self) -> set[int]:
        """The processes that it has started to serve with it."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {pid for pid in map(int, listed.split()) if _is_ours(pid)}

    def connected(self) -> set[int]:
        """Those of its children that serve a connection."""
        port = f":{int(self.address.rpartition(':')[2]):04X}"
        lines = [
            line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()
        ]
        sockets = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(port) and line[3] == ESTABLISHED}
        return {pid for pid in self.children() if sockets & _open_files(pid)}

    async def ended(self) -> int:
        """Its exit code, when it and its children have ended, who share its stderr."""
        await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


def _is_ours(pid: int) -> bool:
    with suppress(OSError):
        return b"ingot_server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(file.readlink()))
    return found


CLOCK = """
import runpy, sys, time
seconds, clock = float(sys.argv.pop(1)) * 3600, time.time
time.time = lambda: clock() + seconds
runpy.run_module("ingot_server", run_name="__main__")
"""
"""A server whose clock is wrong by so many hours."""
NAMES = """
import pathlib, runpy, socket, sys, time
folder, look = pathlib.Path(sys.argv.pop(1)), socket.getaddrinfo
def slow(host, *arguments, **options):
    if not str(host).endswith(".slow.example"):
        return look(host, *arguments, **options)
    (folder / host).touch()
    while not (folder / "answer").exists():
        time.sleep(0.05)
    raise socket.gaierror(socket.EAI_NONAME, "unknown")
socket.getaddrinfo = slow
runpy.run_module("ingot_server", run_name="__main__")
"""
"""A server that looks for some names in vain, until there is a file `answer` in a folder, where it notes them."""
PROGRAM = ("-m", "ingot_server")


@asynccontextmanager
async def server_process(
    *arguments: str,
    log: int | IO[bytes] = asyncio.subprocess.PIPE,
    clock_hours_ahead: float | None = None,
    slow_names: Path | None = None,
    **settings: object,
) -> AsyncIterator[ServerProcess]:
    """Starts a server that says its address; it is killed at the end if it still runs."""
    program: Sequence[str] = PROGRAM
    if clock_hours_ahead is not None:
        program = ("-c", CLOCK, str(clock_hours_ahead))
    elif slow_names is not None:
        program = ("-c", NAMES, str(slow_names))
    async with _process((*program, "serve", *arguments), settings, log) as (process, line):
        if not line.startswith("Ingot listens on "):
            said = await process.stderr.read() if process.stderr is not None else b""
            raise AssertionError(f"the server did not start: {line} {said.decode()}")
        yield ServerProcess(process, line.removeprefix("Ingot listens on ").strip())


@asynccontextmanager
async def worker_process(*arguments: str, **settings: object) -> AsyncIterator[ServerProcess]:
    """Starts workers without an API; they are killed at the end if they still run."""
    async with _process((*PROGRAM, "work", *arguments), settings) as (process, _):
        yield ServerProcess(process, "")


@asynccontextmanager
async def _process(
    words: Sequence[str], settings: Mapping[str, object], log: int | IO[bytes] = asyncio.subprocess.PIPE
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process, and the first line that it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    environment |= {f"INGOT_{name.upper()}": str(value) for name, value in settings.items()}
    environment.setdefault("INGOT_ADDRESS", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        env=environment,
        cwd=Path("/"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
    )
    try:
        assert process.stdout is not None
        yield process, (await process.stdout.readline()).decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
