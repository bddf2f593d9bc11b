"""One run: the server, the data, and what was found out so far."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from bench.records import Dataset
from bench.results import Results
from bench.server import Server, environment

ROOT = Path(__file__).parents[1]

_numbers = count(1)


class WrongOutcome(Exception):
    """Something was fast, and wrong."""


async def outcome(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """What a measure returns, when it has ended."""
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("a measure failed: see above")
    found: dict[str, Any] = json.loads(output)
    return found


class Bench:
    """What the cases work with."""

    def __init__(self, server: Server, data: Dataset, folder: Path, results: Results) -> None:
        self.server = server
        self.data = data
        self.folder = folder
        self.results = results

    @property
    def records(self) -> int:
        """How many records a case has."""
        return self.data.records

    @property
    def small_seconds(self) -> float:
        """How long to do something small again and again."""
        return min(5.0, max(0.5, self.records / 200_000))

    async def warm_up(self) -> None:
        """Lets the server do once what it does for the first time: those who are measured find it running for days."""
        small = self.smaller(10)
        await small.import_file(small.new_table(), "new", {"created": small.records})

    def smaller(self, divisor: int) -> "Bench":
        """The same with fewer records."""
        folder = self.folder / f"{divisor}"
        folder.mkdir(exist_ok=True)
        return Bench(self.server, Dataset(folder, self.records // divisor), self.folder, self.results)

    def new_table(self) -> str:
        """The name of a table that no case has used."""
        return f"bench_{next(_numbers)}"

    async def measure(self, name: str, **arguments: object) -> dict[str, Any]:
        """What the measure returns, which runs in a process of its own. PostgreSQL has done its housekeeping before."""
        await self.server.settle()
        async with self.measuring(name, **arguments) as process:
            return await outcome(process)

    @asynccontextmanager
    async def measuring(self, name: str, **arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
        """A measure beside another; its `outcome` is to be awaited within the block."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.measures", name, json.dumps(arguments, default=str)),
            cwd=ROOT,
            env=environment({"data_dir": self.server.data_dir}),
            stdout=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    def add(self, name: str, case: str, seconds: float, records: int | None = None) -> None:
        """Keeps how long it took."""
        self.results.add_rate(name, case, (self.records if records is None else records) / seconds)

    async def import_file(self, table: str, file: str, expected: dict[str, int], **options: Any) -> dict[str, Any]:
        """Imports a file with the client; the outcome must be as expected."""
        options.setdefault("key_fields", ["id"])
        found = await self.measure("import_file", table=table, path=self.data.file(file), **options)
        self.check(found, expected)
        return found

    def check(self, found: dict[str, Any], expected: dict[str, int]) -> None:
        """Raises WrongOutcome unless every record has become what it should. What is not expected is zero."""
        counted = {outcome: number for outcome, number in found["counts"].items() if number}
        due = {outcome: number for outcome, number in expected.items() if number} | {"received": self.records}
        if counted != due:
            raise WrongOutcome(f"expected {due}, but the import is {found['state']} with {counted}")
