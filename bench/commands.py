"""Programs that are not ours."""

import asyncio
import subprocess
from pathlib import Path


async def run(*command: object, stdin: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What a command prints to stdout; RuntimeError with all that it says if it fails."""
    with (stdin or Path("/dev/null")).open("rb") as source:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        )
        output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{output.decode()}{errors.decode()}")
    return output.decode()
