"""What is measured every few seconds, and whether it stays the same."""

from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from tests.faults.storm.world import World

DEAD_ROWS = "SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ingot'"


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment."""

    memory_mib: float
    open_files: float
    threads: float
    connections: float
    dead_rows: float
    import_seconds: float
    """How long a small import took, from its first call to its end."""


ALLOWED = Sample(memory_mib=1.1, open_files=1.1, threads=1.1, connections=1.1, dead_rows=2.0, import_seconds=1.5)
"""How many times the median of the second quarter that of the last one may be."""
NEGLIGIBLE = Sample(memory_mib=10, open_files=5, threads=3, connections=5, dead_rows=20_000, import_seconds=0.2)
"""So much more is no growth in any case."""


async def sample(world: World, import_seconds: float) -> Sample:
    """How things stand, with the time that the caller has measured."""
    server = world.replicas[0].running
    assert server is not None
    place = Path(f"/proc/{server.process.pid}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return Sample(
        memory_mib=int(status["VmRSS"].split()[0]) / 1024,
        open_files=len(list((place / "fd").iterdir())),
        threads=int(status["Threads"]),
        connections=(await world.fetch(CONNECTIONS))[0][0],
        dead_rows=(await world.fetch(DEAD_ROWS))[0][0] or 0,
        import_seconds=import_seconds,
    )


def quarters(samples: list[Sample]) -> dict[str, list[float]]:
    """By measure, the medians of the four quarters of the time."""
    size = max(1, len(samples) // 4)
    parts = [samples[at * size : (at + 1) * size] for at in range(3)] + [samples[3 * size :]]
    return {
        field.name: [median(getattr(one, field.name) for one in part) for part in parts if part]
        for field in fields(Sample)
    }


def grown(found: dict[str, list[float]]) -> list[str]:
    """The measures that have grown, in words."""
    return [
        f"{name} went from {medians[1]:,.2f} to {medians[-1]:,.2f}"
        for name, medians in found.items()
        if len(medians) == 4
        and medians[-1] > medians[1] * getattr(ALLOWED, name)
        and medians[-1] > medians[1] + getattr(NEGLIGIBLE, name)
    ]
