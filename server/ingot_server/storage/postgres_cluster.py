"""Makes the cluster, which is the folder of all data, and gives it to the user who runs PostgreSQL.

A cluster is made under another name and renamed when it is whole. No whole cluster is ever removed.
"""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from ingot_server.storage.postgres_binaries import PostgresBinaries
from ingot_server.storage.postgres_processes import stop_leftovers
from ingot_server.storage.postgres_user import EmbeddedPostgresError, PostgresUser

SUPERUSER = "ingot"

INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    # Whoever can reach the socket is trusted: it is in a folder of mode 0700.
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--no-instructions",
)

CLEARING_TRIES = 20


async def ensure_cluster(cluster: Path, binaries: PostgresBinaries, user: PostgresUser) -> None:
    """Returns when there is a cluster that `binaries` can read, and it is the user's.

    To be called only when no process works on the cluster.
    """
    await _clear_abandoned(cluster)
    version = await asyncio.to_thread(_version, cluster)
    if version is None:
        fresh = await asyncio.to_thread(_begin, cluster, user)
        status, output = await user.run(binaries.initdb, "-D", fresh, *INITDB_OPTIONS)
        if status:
            raise EmbeddedPostgresError(f"PostgreSQL could not make its cluster in {fresh}. It said:\n{output}")
        await asyncio.to_thread(_complete, fresh, cluster)
    elif version != str(binaries.major):
        raise EmbeddedPostgresError(
            f"The data in {cluster} was written by PostgreSQL {version}, and {binaries.folder} holds "
            f"{binaries.version}, which cannot read it. Name a folder with the programs of PostgreSQL {version} in "
            "INGOT_POSTGRES_BIN, or convert the data with pg_upgrade. Nothing was changed."
        )
    await asyncio.to_thread(_take, cluster, user)


async def _clear_abandoned(cluster: Path) -> None:
    """Throws away what starts that were killed within initdb have left. What cannot be removed is in nobody's way."""
    for abandoned in cluster.parent.glob(_prefix(cluster) + "*"):
        for _ in range(CLEARING_TRIES):
            # initdb ends with its parent, but a program that it runs may still be writing.
            await stop_leftovers(abandoned)
            await asyncio.to_thread(shutil.rmtree, abandoned, ignore_errors=True)
            if not abandoned.exists():
                break
            await asyncio.sleep(0.05)


def _version(cluster: Path) -> str | None:
    """The major version of the cluster; None if there is none yet."""
    try:
        return (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if cluster.exists() and any(cluster.iterdir()):
            raise EmbeddedPostgresError(
                f"{cluster} holds something, but not a cluster of PostgreSQL: it has no PG_VERSION. "
                "Move it away, or put it back from a backup, or choose another folder in INGOT_DATA_DIR."
            ) from None
        return None


def _begin(cluster: Path, user: PostgresUser) -> Path:
    """An empty folder, the user's, in which to make a cluster."""
    fresh = Path(tempfile.mkdtemp(prefix=_prefix(cluster), dir=cluster.parent))
    os.chown(fresh, user.uid, user.gid)
    return fresh


def _prefix(cluster: Path) -> str:
    return f"{cluster.name}.new-"


def _complete(fresh: Path, cluster: Path) -> None:
    """Makes `fresh` the cluster, at once and for good: initdb has synced what is in it."""
    fresh.rename(cluster)
    folder = os.open(cluster.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _take(cluster: Path, user: PostgresUser) -> None:
    """Makes the cluster the user's, and clears away what would keep PostgreSQL from starting."""
    if cluster.stat().st_uid != user.uid:
        if not user.switched:
            owner = cluster.stat().st_uid
            raise EmbeddedPostgresError(
                f"{cluster} belongs to the user with id {owner}, and Ingot runs as {user.name}: start Ingot as that "
                f"user or as root, or run `chown -R {user.name} {cluster}`."
            )
        # From the leaves up, so that the cluster is the user's only when all of it is.
        for parent, folders, files in os.walk(cluster, topdown=False):
            for name in folders + files:
                os.lchown(os.path.join(parent, name), user.uid, user.gid)
        os.lchown(cluster, user.uid, user.gid)
    cluster.chmod(0o700)
    # PostgreSQL takes any process of its user with the process id in this file for its postmaster.
    (cluster / "postmaster.pid").unlink(missing_ok=True)
