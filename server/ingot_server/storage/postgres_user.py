"""The user of the operating system that PostgreSQL runs as.

PostgreSQL refuses to run as root. Where Ingot is root, its programs run as an unprivileged user that exists already;
anywhere else they run as Ingot does.
"""

import asyncio
import os
import pwd
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ingot_server.storage.postgres_launcher import LAUNCH_FAILED

CANDIDATES = ("ingot", "postgres", "nobody")
# Nothing else of our environment reaches the programs: PGPORT and its like would change what they do, and anyone who
# is the same user may read the rest.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")

LAUNCHER = Path(__file__).with_name("postgres_launcher.py")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why, and what a person should do."""


@dataclass(frozen=True, slots=True)
class PostgresUser:
    """Who runs PostgreSQL's programs."""

    name: str
    uid: int
    gid: int
    switched: bool
    """Whether this is somebody else than we are."""

    @classmethod
    def ourselves(cls) -> "PostgresUser":
        """The user that this process has."""
        return cls(_name(os.geteuid()), os.geteuid(), os.getegid(), switched=False)

    @classmethod
    def choose(cls, wanted: str | None, cluster: Path) -> "PostgresUser":
        """Ourselves, unless we are root: then the wanted user, else the cluster's owner, else the first that exists."""
        if os.geteuid() != 0:
            ourselves = cls.ourselves()
            if wanted and wanted != ourselves.name:
                raise EmbeddedPostgresError(
                    f"Only root can run PostgreSQL as {wanted}, and Ingot runs as {ourselves.name}: "
                    f"leave INGOT_POSTGRES_USER out, or start Ingot as {wanted}."
                )
            return ourselves
        if wanted is None and cluster.exists() and (owner := cluster.stat()).st_uid != 0:
            return cls(_name(owner.st_uid), owner.st_uid, owner.st_gid, switched=True)
        for name in [wanted] if wanted else CANDIDATES:
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                if entry.pw_uid != 0:
                    return cls(name, entry.pw_uid, entry.pw_gid, switched=True)
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, and there is no unprivileged user named {wanted or _or(CANDIDATES)}: "
            "make one with `useradd --system ingot`, or name another in INGOT_POSTGRES_USER."
        )

    async def spawn(self, program: Path | str, *arguments: Path | str, stdout: int | IO[bytes]) -> Process:
        """Starts a program as this user, in its own session; on Linux it gets SIGINT when we die, however we die."""
        become = (self.uid, self.gid) if self.switched else (-1, -1)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", LAUNCHER),
            *map(str, (*become, os.getpid())),
            program,
            *arguments,
            stdin=DEVNULL,
            stdout=stdout,
            stderr=STDOUT,
            # Ours may be closed to this user.
            cwd="/",
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | {"LC_ALL": "C"},
            start_new_session=True,
            umask=0o077,
        )

    async def run(self, program: Path | str, *arguments: Path | str) -> tuple[int, str]:
        """Runs a program to its end: the exit status, and what it printed. Raises OSError if it cannot be started."""
        process = await self.spawn(program, *arguments, stdout=PIPE)
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        status, text = await process.wait(), output.decode(errors="replace").strip()
        if status == LAUNCH_FAILED:
            number, _, reason = text.partition(" ")
            raise OSError(int(number), reason)
        return status, text

    async def blocked_at(self, folder: Path) -> Path | None:
        """The first folder on the way to this one, or itself, that the user cannot enter; None if the way is free."""
        if not self.switched:
            return None
        way = [*reversed(folder.parents), folder]
        script = 'for folder; do test -x "$folder" || { printf %s "$folder"; exit 1; }; done'
        try:
            status, output = await self.run("/bin/sh", "-c", script, "sh", *way)
        except PermissionError as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL refuses to run as root, and Ingot may not become {self.name}: {error.strerror}. "
                "Start Ingot as an ordinary user."
            ) from error
        return Path(output) if status else None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
