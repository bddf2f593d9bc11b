"""One process beside two, and beside an API whose workers are processes of their own; and what a record costs each."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

from bench.bench import Bench, outcome
from bench.processor import seconds_of
from bench.server import Server, running_server, running_workers

CLIENTS = 8
"""The kernel gives connections to processes by chance: with so many, all to the same one is rare."""
DEPLOYMENTS = ("1 process", "2 processes", "API + workers")

_numbers = count(1)


async def processes(bench: Bench) -> None:
    """The same imports in each deployment, with servers of their own that are started for it."""
    for name in DEPLOYMENTS:
        async with _deployed(bench, name) as deployed:
            await _imports(deployed)


class _Deployed:
    """A deployment, and whose processor time counts for which part of it."""

    def __init__(self, bench: Bench, name: str, parts: dict[str, int]) -> None:
        self.bench = bench
        self.name = name
        self._parts = parts

    def taken(self) -> dict[str, float]:
        """The seconds of processor time so far, by part."""
        postmaster = self.bench.server.postmaster
        return {
            part: seconds_of(pid, but=None if pid == postmaster else postmaster) for part, pid in self._parts.items()
        }

    async def measured(self, case: str, fate: str, measure: str, **arguments: Any) -> None:
        """Adds the rate, and the microseconds of processor time for each record."""
        bench = self.bench
        await bench.server.settle()
        before = self.taken()
        # Not `bench.measure`, which would settle once more, at our cost.
        async with bench.measuring(measure, **arguments) as process:
            found = await outcome(process)
        bench.check(found, {fate: bench.records})
        bench.add(self.name, case, found["seconds"])
        taken = {part: seconds - before[part] for part, seconds in self.taken().items()}
        taken["client"] = found["processor_seconds"]
        each = {f"{part}_us": seconds / bench.records * 1e6 for part, seconds in taken.items()}
        bench.results.add_figure(f"{self.name}, {case}", **each)


@asynccontextmanager
async def _deployed(bench: Bench, name: str) -> AsyncIterator[_Deployed]:
    folder = bench.folder / f"deployment-{next(_numbers)}"
    folder.mkdir(mode=0o711)
    async with AsyncExitStack() as stack:
        arguments = {"2 processes": ("--processes", "2"), "API + workers": ("--no-workers",)}.get(name, ())
        server = await stack.enter_async_context(running_server(folder, *arguments))
        parts = {"server": server.pid, "postgres": server.postmaster}
        if name == "API + workers":
            workers = await stack.enter_async_context(running_workers(server))
            parts = {"api": server.pid, "workers": workers, "postgres": server.postmaster}
        deployed = _on(bench, server)
        await deployed.warm_up()
        yield _Deployed(deployed, name, parts)


def _on(bench: Bench, server: Server) -> Bench:
    return Bench(server, bench.data, bench.folder, bench.results)


async def _imports(deployed: _Deployed) -> None:
    bench = deployed.bench
    table, files = bench.new_table(), bench.data.file
    await bench.server.begin_anew()
    for case, file, fate in (("new", "new", "created"), ("changed", "changed", "updated")):
        await deployed.measured(case, fate, "import_file", table=table, path=files(file), key_fields=["id"])
    await bench.server.begin_anew()
    table = bench.new_table()
    await deployed.measured(
        "contacts", "created", "import_file", table=table, path=files("contacts"), key_fields=[], kind="CONTACTS"
    )
    await bench.server.begin_anew()
    await deployed.measured(
        f"{CLIENTS} clients at once",
        "created",
        "import_parts",
        table=bench.new_table(),
        path=files("new"),
        imports=CLIENTS,
        clients=CLIENTS,
        key_fields=["id"],
    )
