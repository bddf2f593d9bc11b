"""Finds and ends what an earlier run left alive on a cluster.

A process id in postmaster.pid proves nothing: the id may belong to a zombie, or by now to somebody else. But every
process of PostgreSQL works in its cluster's folder, so that is what we ask for.
"""

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingot_server.storage.postgres_user import EmbeddedPostgresError

logger = logging.getLogger(__name__)

GRACE_SECONDS = 60
"""How long a fast shutdown may take. It writes a checkpoint; cutting it short costs a recovery."""
TELL_SECONDS = 10
"""How often to say that we are still waiting."""

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ClusterProcess:
    """A living process of PostgreSQL that works on a cluster."""

    pid: int
    postmaster: bool


def cluster_processes(cluster: Path) -> list[ClusterProcess]:
    """All living processes of PostgreSQL that work on this cluster and that we may see."""
    if not cluster.exists():
        return []
    return list(_by_proc(cluster) if (_PROC / "self" / "cwd").exists() else _by_lsof(cluster))


async def stop_leftovers(cluster: Path, *, grace_seconds: float = GRACE_SECONDS) -> None:
    """Returns when no process of an earlier run is alive on this cluster."""
    began = time.monotonic()
    told = began
    sent: set[tuple[int, signal.Signals]] = set()
    while found := await asyncio.to_thread(cluster_processes, cluster):
        now = time.monotonic()
        # A backend without its postmaster notices that when it next waits, which may be the end of a long query.
        postmasters = [process for process in found if process.postmaster]
        hard = not postmasters or now - began > grace_seconds
        which = signal.SIGQUIT if hard else signal.SIGINT
        for process in postmasters or found:
            if (process.pid, which) not in sent:
                sent.add((process.pid, which))
                logger.info("An earlier run left PostgreSQL process %d: sending %s", process.pid, which.name)
                _send(process.pid, which, cluster)
        if now - told >= TELL_SECONDS:
            told = now
            logger.info("Still waiting for %d PostgreSQL processes of an earlier run to end", len(found))
        await asyncio.sleep(0.02)


def _send(pid: int, which: signal.Signals, cluster: Path) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL process {pid} of another user is at work in {cluster}: stop it, then start Ingot again."
        ) from error


def _by_proc(cluster: Path) -> Iterator[ClusterProcess]:
    for entry in _PROC.iterdir():
        # A process may end while we look; of a zombie, and of other users' processes, there is nothing to see.
        with suppress(OSError):
            if (
                entry.name.isdigit()
                and (entry / "cwd").samefile(cluster)
                and (entry / "exe").readlink().name.split(" ")[0] == "postgres"
            ):
                # The postmaster shows its command line, its children show "postgres: " and their work.
                child = (entry / "cmdline").read_bytes().startswith(b"postgres: ")
                yield ClusterProcess(int(entry.name), postmaster=not child)


def _by_lsof(cluster: Path) -> Iterator[ClusterProcess]:
    """For macOS, which has no /proc."""
    command = ["lsof", "-a", "-d", "cwd", "-c", "postgres", "-F", "pn"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 fixed words
    named = _named_postmaster(cluster)
    pid = 0
    for line in listing.splitlines():
        if line.startswith("p"):
            pid = int(line[1:])
        elif line.startswith("n"):
            with suppress(OSError):
                if Path(line[1:]).samefile(cluster):
                    yield ClusterProcess(pid, postmaster=pid == named)


def _named_postmaster(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
