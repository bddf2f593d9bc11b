"""PostgreSQL fails, and another one that has followed it takes its place at the same address."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
from grpc import aio
from grpc_health.v1 import health_pb2

from ingot.v1 import batch_pb2, stage_pb2
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from ingot_server.storage.embedded import EmbeddedPostgres
from ingot_server.storage.migrating import migrate
from ingot_server.storage.postgres_binaries import bundled_folder
from tests.calling import Caller, Upload, health_stub, records
from tests.conftest import running_app
from tests.faults.postgres_proxy import postgres_proxy, to_postgres

ROWS = 20_000


def parts(first: int, end: int) -> list[Upload]:
    return [records([{"id": row} for row in range(at, at + 1_000)], offset=at) for at in range(first, end, 1_000)]


async def followed(first: EmbeddedPostgres, folder: Path) -> EmbeddedPostgres:
    """Another PostgreSQL that repeats what this one does."""
    data = folder / "second"
    data.mkdir(mode=0o711)
    owner = (folder / "first" / "postgres").stat()
    program = bundled_folder() / "pg_basebackup"
    options = ("-D", folder / "copy", "-R", "-c", "fast", "-X", "stream", "-d", first.dsn)
    copying = await asyncio.create_subprocess_exec(program, *options)
    assert await copying.wait() == 0
    (folder / "copy").rename(data / "postgres")
    for path in [data / "postgres", *(data / "postgres").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    second = EmbeddedPostgres(data)
    await second.start()
    return second


async def test_a_standby_takes_over_and_nothing_acknowledged_is_lost(open_folder: Path, tmp_path: Path) -> None:
    folder = open_folder / "failover"
    folder.mkdir(mode=0o711)
    first = EmbeddedPostgres(folder / "first")
    await first.start()
    second = None
    try:
        database = await Database.connect(first.dsn, max_connections=3)
        async with database.connection() as connection:
            await migrate(connection)
        key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
        await database.close()
        second = await followed(first, folder)
        admin = await asyncpg.connect(first.dsn)
        # As whoever cannot lose anything sets it up: acknowledged is what both have.
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await admin.execute("SELECT pg_reload_conf()")
        while True:
            if await admin.fetchval("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"):
                break
            await asyncio.sleep(0.01)
        await admin.close()
        async with (
            postgres_proxy(tmp_path, first.dsn) as (proxy, url),
            running_app(url) as app,
            Caller(f"127.0.0.1:{app.port}", key) as caller,
            aio.insecure_channel(caller.address) as channel,
        ):
            import_id = await caller.create()
            await caller.upload([Upload(import_id=import_id, batch_id="b"), *parts(0, ROWS // 2)])
            os.kill(first.pid, signal.SIGKILL)
            # First it only reads, as long as it follows; then it is told that it is the first now.
            proxy.connect = to_postgres(second.dsn)
            proxy.reset()
            admin = await asyncpg.connect(second.dsn)
            await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await admin.fetchval("SELECT pg_promote()")
            await admin.close()
            async for answer in health_stub(channel).Watch(health_pb2.HealthCheckRequest()):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break
            while True:
                try:
                    batch = await caller.batch(import_id)
                    assert batch.committed_offset == ROWS // 2
                    begin = Upload(import_id=import_id, batch_id="b", offset=batch.committed_offset)
                    finish = Upload(finish=batch_pb2.Finish(total=ROWS))
                    await caller.upload([begin, *parts(batch.committed_offset, ROWS), finish])
                    ended = await caller.finish(import_id)
                except aio.AioRpcError:
                    continue
                break
            assert ended.counts == stage_pb2.RecordCounts(received=ROWS, created=ROWS)
            assert len(await caller.table()) == ROWS
    finally:
        if second is not None:
            await second.stop()
        await first.stop()
