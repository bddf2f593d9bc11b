"""The schema gets each migration once, whoever comes first, and is never touched by a version that does not know it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from ingot_server.storage import migrating
from ingot_server.storage.migrating import SchemaError, migrate, schema_state

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect = Callable[[], Awaitable[Connection]]

ORE = "CREATE TABLE ore (ore_id bigint PRIMARY KEY);"
SLAG = "ALTER TABLE ore ADD slag text;\nINSERT INTO ore VALUES (1, 'semicolon ; inside');"


@pytest.fixture
async def connect(empty_database_url: str) -> AsyncIterator[Connect]:
    """Opens connections to an empty database."""
    opened: list[Connection] = []

    async def connect_once() -> Connection:
        opened.append(await asyncpg.connect(empty_database_url))
        return opened[-1]

    yield connect_once
    for connection in opened:
        await connection.close()


@pytest.fixture
async def connection(connect: Connect) -> Connection:
    return await connect()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "0001_ore.sql").write_text(ORE)
    (tmp_path / "0002_slag.sql").write_text(SLAG)
    return tmp_path


async def locks_held(connection: Connection) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    return count


class TestApplying:
    async def test_an_empty_database_gets_all_and_then_nothing_more(self, connection: Connection, files: Path) -> None:
        assert await migrate(connection, files) == ["0001_ore", "0002_slag"]
        assert await migrate(connection, files) == []
        assert await connection.fetchval("SELECT slag FROM ore") == "semicolon ; inside"
        notes = await connection.fetch("SELECT * FROM schema_migration ORDER BY number")
        assert [(note["number"], note["name"], len(note["digest"])) for note in notes] == [
            (1, "0001_ore", 64),
            (2, "0002_slag", 64),
        ]
        assert all(note["applied_at"].tzinfo for note in notes)

    async def test_only_what_is_new_is_applied(self, connection: Connection, files: Path) -> None:
        await migrate(connection, files)
        (files / "0003_more.sql").write_text("CREATE TABLE more ();")
        assert await migrate(connection, files) == ["0003_more"]

    async def test_no_files_are_no_fault(self, connection: Connection, tmp_path: Path) -> None:
        assert await migrate(connection, tmp_path) == []

    async def test_a_failed_migration_leaves_the_schema_after_the_one_before(
        self, connection: Connection, files: Path
    ) -> None:
        (files / "0002_slag.sql").write_text("CREATE TABLE half ();\nSELECT 1 / 0;")
        with pytest.raises(asyncpg.DivisionByZeroError) as failure:
            await migrate(connection, files)
        assert "0002_slag" in failure.value.__notes__[0]
        assert await connection.fetchval("SELECT to_regclass('half') IS NULL")
        assert (await schema_state(connection, files)).pending == ("0002_slag",)
        assert await locks_held(connection) == 0
        (files / "0002_slag.sql").write_text(SLAG)
        assert await migrate(connection, files) == ["0002_slag"]

    async def test_the_time_limit_of_a_session_does_not_end_a_migration(
        self, connection: Connection, files: Path
    ) -> None:
        await connection.execute("SET statement_timeout = '1s'")
        (files / "0003_slow.sql").write_text("SELECT pg_sleep(1.2);")
        await migrate(connection, files)
        assert await connection.fetchval("SHOW statement_timeout") == "1s"

    async def test_other_line_ends_are_the_same_file(self, connection: Connection, files: Path) -> None:
        await migrate(connection, files)
        (files / "0002_slag.sql").write_bytes(SLAG.replace("\n", "\r\n").encode())
        assert await migrate(connection, files) == []

    async def test_our_own_migrations_apply(self, connection: Connection) -> None:
        applied = await migrate(connection)
        assert applied[0].startswith("0001_")
        assert await migrate(connection) == []


class TestTwoAtOnce:
    @pytest.mark.parametrize("runners", [2, 5])
    async def test_each_migration_is_applied_by_one(self, connect: Connect, files: Path, runners: int) -> None:
        connections = [await connect() for _ in range(runners)]
        applied = await asyncio.gather(*(migrate(connection, files) for connection in connections))
        assert sorted(applied) == [*[[]] * (runners - 1), ["0001_ore", "0002_slag"]]
        assert await locks_held(connections[0]) == 0

    async def test_who_waits_holds_nothing_that_the_other_may_wait_for(
        self, connect: Connect, files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second, builder = await connect(), await connect(), await connect()
        await builder.execute("CREATE TABLE big (id bigint)")
        refused = asyncio.Event()
        sleep = asyncio.sleep

        async def seen_sleep(seconds: float) -> None:
            refused.set()
            await sleep(seconds)

        await first.execute("SELECT pg_advisory_lock($1)", migrating.LOCK_KEY)
        monkeypatch.setattr(asyncio, "sleep", seen_sleep)
        waiting = asyncio.create_task(migrate(second, files))
        await refused.wait()
        # It waits for every snapshot that is held anywhere in the database.
        await builder.execute("CREATE INDEX CONCURRENTLY ON big (id)")
        assert not waiting.done()
        await first.execute("SELECT pg_advisory_unlock($1)", migrating.LOCK_KEY)
        assert await waiting == ["0001_ore", "0002_slag"]

    async def test_the_lock_of_a_lost_connection_is_free(self, connect: Connect, files: Path) -> None:
        first, second = await connect(), await connect()
        (files / "0003_lost.sql").write_text("SELECT pg_terminate_backend(pg_backend_pid());")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await migrate(first, files)
        (files / "0003_lost.sql").unlink()
        assert await migrate(second, files) == []


class TestRefusals:
    async def test_a_newer_schema_is_not_touched(self, connection: Connection, files: Path) -> None:
        await migrate(connection, files)
        (files / "0002_slag.sql").rename(files / "0003_new.sql")
        with pytest.raises(SchemaError, match="0002_slag"):
            await migrate(connection, files)
        state = await schema_state(connection, files)
        assert (state.applied, state.newer, state.pending) == (("0001_ore",), ("0002_slag",), ("0003_new",))
        assert await locks_held(connection) == 0

    async def test_a_changed_file_is_not_passed_over(self, connection: Connection, files: Path) -> None:
        await migrate(connection, files)
        (files / "0001_ore.sql").write_text(ORE + " -- harmless?")
        (files / "0003_more.sql").write_text("CREATE TABLE more ();")
        with pytest.raises(SchemaError, match="0001_ore"):
            await migrate(connection, files)
        assert (await schema_state(connection, files)).changed == ("0001_ore",)
        assert await connection.fetchval("SELECT to_regclass('more') IS NULL")

    async def test_a_file_below_the_last_applied_is_refused(self, connection: Connection, files: Path) -> None:
        (files / "0002_slag.sql").rename(files / "0003_slag.sql")
        await migrate(connection, files)
        (files / "0002_late.sql").write_text("CREATE TABLE late ();")
        with pytest.raises(SchemaError, match="0002_late"):
            await migrate(connection, files)

    @pytest.mark.parametrize("name", ["1_short.sql", "0003-dash.sql", "notes.sql", "0002_again.sql"])
    async def test_a_file_without_a_number_of_its_own_is_refused(
        self, connection: Connection, files: Path, name: str
    ) -> None:
        (files / name).write_text("")
        with pytest.raises(SchemaError, match=name):
            await migrate(connection, files)


class TestState:
    async def test_an_untouched_database_is_all_pending_and_stays_untouched(
        self, connection: Connection, files: Path
    ) -> None:
        state = await schema_state(connection, files)
        assert (state.applied, state.pending, state.newer) == ((), ("0001_ore", "0002_slag"), ())
        assert await connection.fetchval("SELECT to_regclass('schema_migration') IS NULL")

    async def test_a_migrated_database_is_all_applied(self, connection: Connection, files: Path) -> None:
        await migrate(connection, files)
        state = await schema_state(connection, files)
        assert (state.applied, state.pending, state.newer) == (("0001_ore", "0002_slag"), (), ())
