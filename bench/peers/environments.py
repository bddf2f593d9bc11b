"""The environments of the peers, made when they are first needed."""

import shutil
import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build" / "bench"
REQUIREMENTS = {
    "dlt": ("dlt[postgres]==1.31.0", "pyarrow==26.0.1", "adbc-driver-postgresql", "orjson"),
    "target-postgres": ("meltanolabs-target-postgres==0.8.1",),
}


def program(peer: str, name: str) -> Path:
    """A program in a peer's environment. It takes a minute at first."""
    folder = BUILD / peer
    done = folder / ".installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", *REQUIREMENTS[peer]], check=True)
        done.touch()
    return folder / "bin" / name


def pgloader() -> tuple[Path, dict[str, str]]:
    """pgloader, and what its environment needs: the one that is installed, or Debian's, unpacked."""
    if installed := shutil.which("pgloader"):
        return Path(installed), {}
    folder = BUILD / "pgloader"
    unpacked = folder / "usr/bin/pgloader"
    if not unpacked.exists():
        if shutil.which("apt-get") is None:
            raise RuntimeError("install pgloader first: https://pgloader.io")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "pgloader", "libsybdb5"], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder], check=True)
    libraries = ":".join(str(found.parent) for found in folder.glob("usr/lib/*/libsybdb.so.5"))
    return unpacked, {"LD_LIBRARY_PATH": libraries}
