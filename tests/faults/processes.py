"""Real server processes, to be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


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

    async def ended(self) -> int:
        """Its exit code, when it has ended."""
        await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def server_process(**settings: object) -> AsyncIterator[ServerProcess]:
    """Starts a server that says its address; it is killed at the end if it still runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    environment |= {f"INGOT_{name.upper()}": str(value) for name, value in settings.items()}
    environment.setdefault("INGOT_ADDRESS", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingot_server",
        "serve",
        env=environment,
        cwd=Path("/"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        if not line.startswith("Ingot listens on "):
            assert process.stderr is not None
            raise AssertionError(f"the server did not start: {line} {(await process.stderr.read()).decode()}")
        yield ServerProcess(process, line.removeprefix("Ingot listens on ").strip())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
