"""The embedded PostgreSQL starts or explains; it keeps what was committed; it leaves nothing behind."""

import asyncio
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from ingot_server.storage import embedded, postgres_binaries
from ingot_server.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from ingot_server.storage.postgres_binaries import bundled_folder
from ingot_server.storage.postgres_processes import cluster_processes, stop_leftovers
from ingot_server.storage.postgres_user import PostgresUser
from tests.conftest import passable_folder

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
only_ordinary = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")

OWNER = """
import asyncio, sys
from pathlib import Path
import asyncpg
from ingot_server.storage.embedded import EmbeddedPostgres

async def main():
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    await postgres.start()
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    print(postgres.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

Make = Callable[..., EmbeddedPostgres]


@pytest.fixture(scope="session")
async def seed() -> AsyncIterator[Path]:
    """The data folder of a server that was started and stopped once. Copying it is faster than making another."""
    with passable_folder() as path:
        async with running(EmbeddedPostgres(path / "data")):
            pass
        yield path / "data"


@pytest.fixture
def folder(seed: Path) -> Iterator[Path]:
    """A folder with a data folder `data`, in which PostgreSQL has run before."""
    with passable_folder() as path:
        subprocess.run(["cp", "-pR", seed, path], check=True)
        yield path


@pytest.fixture
async def make(folder: Path) -> AsyncIterator[Make]:
    """Makes servers on `folder/data`, or on another data folder; stops them in the end, and what they left."""
    made: list[EmbeddedPostgres] = []
    data_dirs = {folder / "data"}

    def make_one(data_dir: Path = folder / "data", **options: object) -> EmbeddedPostgres:
        data_dirs.add(data_dir)
        made.append(EmbeddedPostgres(data_dir, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make_one
    for server in made:
        await server.stop()
    for data_dir in data_dirs:
        await stop_leftovers(data_dir / "postgres")


@asynccontextmanager
async def running(server: EmbeddedPostgres) -> AsyncIterator[EmbeddedPostgres]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def connected(server: EmbeddedPostgres) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(server.dsn)
    try:
        yield connection
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await connection.close()


async def keep(server: EmbeddedPostgres) -> None:
    async with connected(server) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


async def kept(server: EmbeddedPostgres) -> object:
    async with connected(server) as connection:
        return await connection.fetchval("SELECT answer FROM kept")


@asynccontextmanager
async def owner(data_dir: Path) -> AsyncIterator[Process]:
    """Another Python process that starts PostgreSQL, keeps a row, and says the postmaster's process id."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, data_dir, stdout=PIPE)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said_pid(process: Process) -> int:
    assert process.stdout
    return int(await process.stdout.readline())


@asynccontextmanager
async def ending(pid: int) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the process has ended."""
    ended = asyncio.Event()
    watched = os.pidfd_open(pid)
    asyncio.get_running_loop().add_reader(watched, ended.set)
    try:
        yield ended
    finally:
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 a new file sets no event
        await asyncio.sleep(0.001)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def socket_folder(server: EmbeddedPostgres) -> Path:
    return Path(server.dsn.split("host=")[1].split("&")[0])


def proc(server: EmbeddedPostgres, name: str) -> Path:
    """What the kernel says of the postmaster."""
    return Path(f"/proc/{server.pid}", name)


def private_binaries(folder: Path) -> Path:
    """The bundled programs again, in a folder that only we can enter."""
    bundled = bundled_folder()
    package = bundled.parent.parent
    private = folder / "private"
    private.mkdir(mode=0o700)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    shutil.copytree(bundled.parent, private / package.name / bundled.parent.name, symlinks=True)
    return private / package.name / bundled.parent.name / "bin"


def programs(folder: Path, **scripts: str) -> Path:
    """A folder of shell scripts that take the place of PostgreSQL's programs."""
    folder.mkdir(mode=0o755)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


class TestRunning:
    async def test_data_outlives_stop_and_start(self, make: Make) -> None:
        async with running(make()) as server:
            await keep(server)
        async with running(make()) as server:
            assert await kept(server) == 42

    async def test_the_same_object_starts_again(self, make: Make) -> None:
        server = make()
        async with running(server):
            await keep(server)
        async with running(server):
            assert await kept(server) == 42

    async def test_commits_are_durable_and_text_is_utf8_everywhere(self, make: Make) -> None:
        async with running(make(max_connections=23)) as server, connected(server) as connection:
            rows = await connection.fetch("SELECT name, setting FROM pg_settings")
            locale = await connection.fetchrow("SELECT * FROM pg_database WHERE datname = 'ingot'")
        settings = {row["name"]: row["setting"] for row in rows}
        assert {settings[name] for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")} == {
            "on"
        }
        assert settings["listen_addresses"] == ""
        assert settings["max_connections"] == "23"
        assert settings["server_encoding"] == "UTF8"
        assert locale
        assert (locale["datlocprovider"], locale["datlocale"]) == (b"b", "C.UTF-8")

    async def test_others_can_enter_neither_data_nor_socket(self, make: Make, folder: Path) -> None:
        data_dir = folder / "fresh"
        async with running(make(data_dir)) as server:
            assert mode(data_dir / "postgres") == 0o700
            assert mode(socket_folder(server)) == 0o700
            assert mode(data_dir / "postgres.log") == 0o600
            assert mode(data_dir) == (0o711 if os.geteuid() == 0 else 0o700)

    async def test_stop_ends_postgres_in_order_and_may_be_repeated(self, make: Make, folder: Path) -> None:
        server = make()
        await server.stop()
        await server.start()
        ended = asyncio.create_task(server.wait())
        await asyncio.gather(server.stop(), ended)
        await server.stop()
        assert ended.result() == 0
        assert cluster_processes(folder / "data" / "postgres") == []

    async def test_the_environment_of_a_client_changes_nothing(
        self, make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPORT", "6000")
        monkeypatch.setenv("PGDATA", "/nowhere")
        monkeypatch.setenv("LC_ALL", "no_SUCH.locale")
        async with running(make(folder / "fresh")) as server:
            await keep(server)

    async def test_a_missing_database_is_made(self, make: Make) -> None:
        async with running(make()) as server:
            admin = await asyncpg.connect(server.dsn.replace("/ingot?", "/postgres?"))
            await admin.execute("DROP DATABASE ingot")
            await admin.close()
        async with running(make()) as server:
            await keep(server)

    async def test_a_long_log_is_put_aside(self, make: Make, folder: Path) -> None:
        with (folder / "data" / "postgres.log").open("wb") as log:
            log.truncate(10 * 1024 * 1024 + 1)
        async with running(make()):
            assert (folder / "data" / "postgres.log").stat().st_size < 100_000
            assert (folder / "data" / "postgres.log.1").stat().st_size > 10 * 1024 * 1024

    async def test_a_slow_recovery_has_all_the_time_it_needs(
        self, make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(embedded, "TELL_SECONDS", 0.05)
        caplog.set_level(logging.INFO)
        gate = folder / "gate"
        os.mkfifo(gate)
        gate.chmod(0o644)
        real = bundled_folder()
        slow = programs(
            folder / "slow",
            initdb=f'exec {real}/initdb "$@"',
            postgres=f'test "$1" = --version || read -r _ < {gate}\nexec {real}/postgres "$@"',
        )
        starting = asyncio.create_task(make(postgres_bin=slow).start())
        await until(lambda: caplog.text.count("still recovering") >= 2)
        assert not starting.done()
        await asyncio.to_thread(gate.write_text, "go\n")
        await starting


class TestPaths:
    @pytest.mark.parametrize("name", ["b" * 120, "a, b"])
    async def test_a_path_unfit_for_a_socket_gets_one_elsewhere_for_a_while(
        self, make: Make, folder: Path, name: str
    ) -> None:
        async with running(make(folder / name)) as server:
            await keep(server)
            elsewhere = socket_folder(server)
            assert not elsewhere.is_relative_to(folder)
            assert mode(elsewhere) == 0o700
        assert not elsewhere.exists()
        async with running(make(folder / name)) as server:
            assert await kept(server) == 42

    async def test_odd_characters_in_the_path_do_no_harm(self, make: Make, folder: Path) -> None:
        data_dir = folder / 'it\'s 100% "ödd" & so?#'
        async with running(make(data_dir)) as server:
            await keep(server)

    async def test_a_relative_path_is_relative_to_where_we_started(
        self, make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        server = make(Path("relative"))
        monkeypatch.chdir("/")
        async with running(server):
            assert (folder / "relative" / "postgres").exists()


class TestKilled:
    @only_linux
    async def test_postgres_shuts_down_by_itself_when_its_owner_is_killed(self, make: Make, folder: Path) -> None:
        async with owner(folder / "data") as process:
            pid = await said_pid(process)
            async with ending(pid) as ended:
                process.kill()
                await ended.wait()
        assert "database system is shut down" in (folder / "data" / "postgres.log").read_text()
        async with running(make()) as server:
            assert await kept(server) == 42

    async def test_a_start_right_after_the_owner_was_killed_waits_its_turn(self, make: Make, folder: Path) -> None:
        async with owner(folder / "data") as process:
            await said_pid(process)
            process.kill()
            await process.wait()
            async with running(make()) as server:
                assert await kept(server) == 42

    @pytest.mark.parametrize("name", ["data", "b" * 120])
    async def test_a_postmaster_that_was_left_alive_is_stopped_first(self, make: Make, folder: Path, name: str) -> None:
        left = make(folder / name)
        await left.start()
        await keep(left)
        socket = socket_folder(left)
        # As if Ingot had been killed where the kernel does not tell.
        left._folder.unlock()
        async with running(make(folder / name)) as server:
            assert await left.wait() == 0
            assert socket_folder(server) == socket or not socket.exists()
            assert await kept(server) == 42

    async def test_a_killed_postmaster_is_noticed_and_the_next_start_recovers(self, make: Make) -> None:
        server = make()
        await server.start()
        await keep(server)
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await server.stop()
        async with running(server):
            assert await kept(server) == 42

    @pytest.mark.parametrize("name", ["data", "b" * 120])
    async def test_postgres_is_started_again_at_the_same_address(self, make: Make, folder: Path, name: str) -> None:
        server = make(folder / name)
        async with running(server):
            await keep(server)
            dsn = server.dsn
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
            await server.start()
            assert server.dsn == dsn
            assert await kept(server) == 42

    async def test_a_failed_start_again_may_be_tried_once_more(self, make: Make, folder: Path) -> None:
        config = folder / "data" / "postgres" / "postgresql.conf"
        whole = config.read_text()
        server = make()
        async with running(server):
            await keep(server)
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
            config.write_text("nonsense")
            with pytest.raises(EmbeddedPostgresError):
                await server.start()
            assert await server.wait() == 1
            config.write_text(whole)
            await server.start()
            assert await kept(server) == 42

    async def test_a_server_that_runs_is_not_started_again(self, make: Make) -> None:
        async with running(make()) as server:
            with pytest.raises(RuntimeError):
                await server.start()
            await keep(server)

    async def test_a_busy_backend_without_its_postmaster_does_not_block(self, make: Make, folder: Path) -> None:
        server = make()
        await server.start()
        await keep(server)
        async with connected(server) as watcher, connected(server) as connection:
            endless = asyncio.create_task(connection.fetch("SELECT count(*) FROM generate_series(1, 1e15::bigint)"))
            active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate_series%'"
            while await watcher.fetchval(active) < 2:
                pass
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
            await server.stop()
            async with running(make()) as again:
                assert await kept(again) == 42
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await endless

    async def test_a_start_killed_within_initdb_leaves_nothing_in_the_way(self, make: Make, folder: Path) -> None:
        data_dir = folder / "fresh"
        async with owner(data_dir) as process:
            await until(lambda: list(data_dir.glob("postgres.new-*/PG_VERSION")))
            process.kill()
            await process.wait()
            assert not (data_dir / "postgres").exists()
        async with running(make(data_dir)) as server:
            await keep(server)
            assert not list(data_dir.glob("postgres.new-*"))

    async def test_a_cancelled_start_leaves_nothing_running_or_locked(self, make: Make, folder: Path) -> None:
        data_dir = folder / "fresh"
        starting = asyncio.create_task(make(data_dir).start())
        await until(lambda: list(data_dir.glob("postgres.new-*/PG_VERSION")))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        async with running(make(data_dir)) as server:
            await keep(server)


class TestStaleFiles:
    @pytest.fixture
    def bystander(self, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """A process of PostgreSQL's user that lives until its input is closed."""
        user = PostgresUser.choose(None, folder / "data" / "postgres")
        who = {"user": user.uid, "group": user.gid, "extra_groups": []} if user.switched else {}
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd="/", **who) as process:  # type: ignore[call-overload]
            yield process

    async def leave(self, make: Make, data_dir: Path, pid: int) -> None:
        """Leaves what a killed server leaves, had it had this process id."""
        async with running(make()) as server:
            await keep(server)
            lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines(keepends=True)
            socket_lock = (data_dir / "socket" / ".s.PGSQL.5432.lock").read_text().splitlines(keepends=True)
        user = (data_dir / "postgres").stat()
        for path, content in [
            (data_dir / "postgres" / "postmaster.pid", lines),
            (data_dir / "socket" / ".s.PGSQL.5432.lock", socket_lock),
        ]:
            path.write_text("".join([f"{pid}\n", *content[1:]]))
            os.chown(path, user.st_uid, user.st_gid)

    async def test_a_process_id_that_is_now_anothers_does_not_block(
        self, make: Make, folder: Path, bystander: "subprocess.Popen[bytes]"
    ) -> None:
        await self.leave(make, folder / "data", bystander.pid)
        async with running(make()) as server:
            assert await kept(server) == 42
        assert bystander.poll() is None

    @pytest.fixture
    def zombie(self, bystander: "subprocess.Popen[bytes]") -> int:
        """A process that has ended, and that nobody has asked how."""
        assert bystander.stdin
        bystander.stdin.close()
        os.waitid(os.P_PID, bystander.pid, os.WEXITED | os.WNOWAIT)
        return bystander.pid

    async def test_a_zombie_does_not_block(self, make: Make, folder: Path, zombie: int) -> None:
        await self.leave(make, folder / "data", zombie)
        async with running(make()) as server:
            assert await kept(server) == 42

    async def test_our_own_process_id_does_not_block(self, make: Make, folder: Path) -> None:
        await self.leave(make, folder / "data", os.getpid())
        async with running(make()) as server:
            assert await kept(server) == 42

    async def test_a_broken_pid_file_does_not_block(self, make: Make, folder: Path) -> None:
        async with running(make()) as server:
            await keep(server)
        (folder / "data" / "postgres" / "postmaster.pid").write_text("")
        async with running(make()) as server:
            assert await kept(server) == 42


class TestRefusals:
    async def refused(self, server: EmbeddedPostgres) -> str:
        with pytest.raises(EmbeddedPostgresError) as refusal:
            await server.start()
        return str(refusal.value)

    async def test_a_second_server_on_the_folder_is_told_who_has_it(self, make: Make) -> None:
        async with running(make()) as server:
            await keep(server)
            message = await self.refused(make())
            assert f"process id {os.getpid()}" in message
            assert "INGOT_DATA_DIR" in message
            assert await kept(server) == 42

    async def test_the_holder_may_be_another_process(self, make: Make, folder: Path) -> None:
        async with owner(folder / "data") as process:
            await said_pid(process)
            assert f"process id {process.pid}" in await self.refused(make())

    async def test_data_of_another_major_version_is_left_alone(self, make: Make, folder: Path) -> None:
        async with running(make()) as server:
            await keep(server)
        version = folder / "data" / "postgres" / "PG_VERSION"
        version.write_text("17\n")
        message = await self.refused(make())
        assert "PostgreSQL 17" in message
        assert "INGOT_POSTGRES_BIN" in message
        version.write_text("18\n")
        async with running(make()) as server:
            assert await kept(server) == 42

    async def test_files_that_are_no_cluster_are_left_alone(self, make: Make, folder: Path) -> None:
        precious = folder / "fresh" / "postgres" / "precious"
        precious.parent.mkdir(parents=True)
        precious.write_text("mine")
        assert "PG_VERSION" in await self.refused(make(folder / "fresh"))
        assert precious.read_text() == "mine"

    async def test_the_end_of_the_log_tells_why_postgres_does_not_start(self, make: Make, folder: Path) -> None:
        server = make()
        async with running(server):
            pass
        config = folder / "data" / "postgres" / "postgresql.conf"
        whole = config.read_text()
        config.write_text(whole + "no_such_setting = 1\n")
        assert "no_such_setting" in await self.refused(server)
        config.write_text(whole)
        async with running(server):
            await keep(server)

    async def test_the_words_of_initdb_are_passed_on(self, make: Make, folder: Path) -> None:
        version = "echo 'x (PostgreSQL) 18.4'"
        broken = programs(
            folder / "bin", postgres=version, initdb=f'test "$1" != --version || exec {version}\necho no room; exit 1'
        )
        assert "no room" in await self.refused(make(folder / "fresh", postgres_bin=broken))
        async with running(make(folder / "fresh")) as server:
            await keep(server)

    async def test_a_file_in_the_way_is_explained(self, make: Make, folder: Path) -> None:
        (folder / "file").write_text("")
        assert "INGOT_DATA_DIR" in await self.refused(make(folder / "file" / "data"))

    @only_ordinary
    async def test_a_folder_without_write_permission_is_explained(self, make: Make, folder: Path) -> None:
        (folder / "fresh").mkdir(mode=0o500)
        assert "INGOT_DATA_DIR" in await self.refused(make(folder / "fresh"))

    @only_ordinary
    async def test_only_root_chooses_another_user(self, make: Make) -> None:
        assert "INGOT_POSTGRES_USER" in await self.refused(make(postgres_user="somebody"))

    async def test_a_folder_without_programs_is_explained(self, make: Make, folder: Path) -> None:
        assert "INGOT_POSTGRES_BIN" in await self.refused(make(postgres_bin=folder))

    async def test_programs_that_are_too_old_are_explained(self, make: Make, folder: Path) -> None:
        version = "echo 'postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)'"
        old = programs(folder / "old", postgres=version, initdb=version)
        assert "15.13" in await self.refused(make(postgres_bin=old))

    async def test_programs_for_another_machine_are_explained(self, make: Make, folder: Path) -> None:
        foreign = programs(folder / "foreign", postgres="exit 126", initdb="exit 126")
        (foreign / "initdb").write_bytes(b"\x7fELF of another machine")
        assert "does not run on this machine" in await self.refused(make(postgres_bin=foreign))


@only_root
class TestRoot:
    @pytest.fixture(params=[None, "nobody"])
    def wanted(self, request: pytest.FixtureRequest) -> str | None:
        name: str | None = request.param
        return name

    async def test_postgres_runs_as_an_unprivileged_user(self, make: Make, folder: Path, wanted: str | None) -> None:
        data_dir = folder / "fresh"
        async with running(make(data_dir, postgres_user=wanted)) as server:
            await keep(server)
            cluster = data_dir / "postgres"
            assert cluster.stat().st_uid == proc(server, ".").stat().st_uid != 0
            assert wanted in (None, cluster.owner())
            assert "\nGroups:\t \n" in proc(server, "status").read_text()
            assert data_dir.stat().st_uid == 0

    async def test_a_cluster_changes_its_owner_when_told_and_only_then(self, make: Make, folder: Path) -> None:
        cluster = folder / "data" / "postgres"
        async with running(make(postgres_user="nobody")) as server:
            await keep(server)
        async with running(make()):
            assert cluster.owner() == "nobody"
        for path in [cluster, *cluster.rglob("*")]:
            os.lchown(path, 0, 0)
        async with running(make(postgres_user="nobody")) as server:
            assert await kept(server) == 42
        assert {path.owner() for path in [cluster, *cluster.rglob("*")]} == {"nobody"}

    async def test_a_closed_parent_is_named_and_stays_closed(self, make: Make, folder: Path) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(EmbeddedPostgresError) as refusal:
            await make(closed / "more" / "data").start()
        assert f"cannot enter {closed} " in str(refusal.value)
        assert "INGOT_DATA_DIR" in str(refusal.value)
        assert mode(closed) == 0o700

    async def test_a_closed_data_folder_is_opened_no_further_than_needed(self, make: Make, folder: Path) -> None:
        (folder / "data").chmod(0o700)
        async with running(make()):
            assert mode(folder / "data") == 0o711

    async def test_programs_in_a_closed_folder_are_copied_once(self, make: Make, folder: Path) -> None:
        private = private_binaries(folder)
        async with running(make(postgres_bin=private)) as server:
            await keep(server)
            program = proc(server, "exe").readlink()
            assert program.is_relative_to(folder / "data" / "postgres-binaries-18.4")
            first = program.stat()
            assert first.st_uid == 0
        async with running(make(postgres_bin=private)) as server:
            assert await kept(server) == 42
            assert proc(server, "exe").stat().st_ino == first.st_ino
        assert mode(folder / "private") == 0o700

    async def test_a_copy_of_other_programs_is_replaced(self, make: Make, folder: Path) -> None:
        private = private_binaries(folder)
        async with running(make(postgres_bin=private)):
            pass
        (copied,) = (folder / "data").glob("postgres-binaries-18.4/*/*/bin/postgres")
        copied.write_bytes(b"half of it")
        (folder / "data" / "postgres-binaries-18.4.new-abandoned").mkdir()
        async with running(make(postgres_bin=private)) as server:
            await keep(server)
        assert sorted(path.name for path in (folder / "data").glob("postgres-*")) == ["postgres-binaries-18.4"]

    async def test_a_user_that_does_not_exist_is_explained(self, make: Make) -> None:
        with pytest.raises(EmbeddedPostgresError, match="useradd"):
            await make(postgres_user="no-such-user").start()

    async def test_root_itself_is_refused(self, make: Make) -> None:
        with pytest.raises(EmbeddedPostgresError, match="refuses to run as root"):
            await make(postgres_user="root").start()


def test_missing_programs_are_told_with_how_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_binaries, "find_spec", lambda _: None)
    with pytest.raises(
        EmbeddedPostgresError, match=r"run `pip install '\.\[server\]'` in a checkout of Ingot, or name"
    ):
        bundled_folder()
