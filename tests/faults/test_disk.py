"""A disk that is full: what was acknowledged is kept, the rest waits, and goes on when there is room."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import grpc
import pytest
from grpc import aio

from ingot.v1 import batch_pb2, import_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as pb
from tests.calling import Caller, Upload, reason_of, records

ROWS = 20_000


class SmallDisk:
    """A disk of its own that PostgreSQL may write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, mebibytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={mebibytes}m", self.folder], check=True)


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can make a disk that is small")
    folder = Path(tempfile.mkdtemp(prefix="ingot-small-disk-", dir="/tmp"))
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True)
    if made.returncode:
        folder.rmdir()
        pytest.skip("mounting is not allowed here, as in most containers")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def parts(import_id: str) -> list[Upload]:
    """Records that take much more room than there is."""
    sent = [
        records([{"id": row, "v": os.urandom(100).hex()} for row in range(at, at + 1_000)], offset=at)
        for at in range(0, ROWS, 1_000)
    ]
    return [Upload(import_id=import_id, batch_id="b"), *sent, Upload(finish=batch_pb2.Finish(total=ROWS))]


@pytest.mark.parametrize("table", ["record", "chunk"])
async def test_a_full_disk_is_waited_for(caller: Caller, database_url: str, small_disk: SmallDisk, table: str) -> None:
    admin = await asyncpg.connect(database_url)
    owner = os.stat(await admin.fetchval("SHOW data_directory"))
    os.chown(small_disk.folder, owner.st_uid, owner.st_gid)
    await admin.execute(f"CREATE TABLESPACE small_{table} LOCATION '{small_disk.folder}'")
    try:
        await admin.execute(f"ALTER TABLE {table} SET TABLESPACE small_{table}")
        import_id = await caller.create()
        sent = parts(import_id)
        if table == "chunk":
            # What does not fit is not acknowledged; it is said that this may pass.
            with pytest.raises(aio.AioRpcError) as refused:
                await caller.upload(sent)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            assert reason_of(refused.value).reason == "DATABASE_UNAVAILABLE"
            assert not (await caller.batch(import_id)).finished
        else:
            # What is received lies elsewhere; what is processed has no room, and is not given up for that.
            assert (await caller.upload(sent)).finished
            await caller.imports.FinishImport(pb.FinishImportRequest(import_id=import_id))
            while True:
                # Given back after several tries, and taken again.
                if await admin.fetchval("SELECT lease_generation > 2 FROM batch"):
                    break
                await asyncio.sleep(0.05)
            assert (await caller.get(import_id)).state == import_pb2.IMPORT_STATE_PROCESSING
        small_disk.resize(200)
        if table == "chunk":
            assert (await caller.upload(sent)).finished
        ended = await caller.finish(import_id)
        assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS)
        assert len(await caller.table()) == ROWS
    finally:
        await admin.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default")
        await admin.execute(f"DROP TABLESPACE small_{table}")
        await admin.close()
