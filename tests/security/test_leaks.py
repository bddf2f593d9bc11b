"""Neither the log nor an error tells what it must not: records, SQL, the address of the database, keys.

Each test plants marks where they could get out, makes things go wrong, and looks for them everywhere.
"""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from grpc import aio

from ingot.v1 import batch_pb2, import_pb2, record_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as re
from ingot_server.access import create_key
from ingot_server.app import App
from ingot_server.domain.api_keys import SCOPES, ApiKey, api_key_new
from ingot_server.logs import set_up_logs
from ingot_server.storage.database import Database
from ingot_server.storage.embedded import EmbeddedPostgres
from tests.api.test_life import done
from tests.calling import Caller, records
from tests.faults.processes import ServerProcess, server_process
from tests.test_commands import ingot_server

RECORD = "mark-of-a-record"
PASSWORD = "mark-of-a-password"
SQL = ("ON CONFLICT", "FROM record", "UPDATE batch", "INSERT INTO")
"""Parts of our statements that stand in no Python file."""


def expect_nothing_planted(text: str, *secrets: str) -> None:
    """Fails if a mark is in the text."""
    assert text, "nothing was told at all"
    for mark in (RECORD, PASSWORD, *SQL, *secrets):
        assert mark not in text


class Told:
    """What a server has told up to now, and all of it once it has ended."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._lines: list[str] = []
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read(stream))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            async with self._changed:
                self._lines.append(line.decode())
                self._changed.notify_all()

    def __str__(self) -> str:
        return "".join(self._lines)

    async def until(self, text: str) -> None:
        """Waits until it has told this."""
        async with self._changed:
            await self._changed.wait_for(lambda: any(text in line for line in self._lines))

    async def everything(self) -> None:
        """Waits until it has ended."""
        await self._reading


@asynccontextmanager
async def told_by(database_url: str, **settings: Any) -> AsyncIterator[tuple[ServerProcess, Told]]:
    """A server as it is shipped, and what it tells."""
    url = database_url.replace("@/", f":{PASSWORD}@/", 1)
    assert PASSWORD in url
    async with server_process(database_url=url, log_level="DEBUG", lease_seconds=1, **settings) as server:
        assert server.process.stderr is not None
        told = Told(server.process.stderr)
        yield server, told
        server.process.terminate()
        await told.everything()


def everything_of(error: aio.AioRpcError) -> str:
    """All that a caller gets of an error."""
    return f"{error!s} {error.trailing_metadata()} {error.initial_metadata()}"


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_records_that_are_refused_are_shown_to_their_owner_and_never_logged(
    database_url: str, database: Database, log_format: str
) -> None:
    """Whether the decoder refuses them, a rule of a kind, or PostgreSQL, with the record in its text."""
    await database.fetch(DEVIL)
    await database.fetch("CREATE TRIGGER devil BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION devil()")
    key = await create_key(database, "acme", list(SCOPES), "", None)
    async with (
        told_by(database_url, log_format=log_format) as (server, told),
        Caller(server.address, key.text) as caller,
    ):
        rows = [
            {"id": RECORD},
            {"no key": RECORD},
            {"id": f"{RECORD}-\x00"},
            f'{{"id": 1, "{RECORD}": tru}}'.encode(),
            f'{{"id": 2, "{RECORD}": {"[" * 200}{"]" * 200}}}'.encode(),
            f'{{"id": 3, "a": "{RECORD}\\ud800"}}'.encode(),
            f'{{"id": 4, "{RECORD}": 1e999999}}'.encode(),
            {"id": 5, "cast": RECORD},
            {"id": 6, "unique": RECORD},
        ]
        ended = await done(caller, rows, table="plain")
        assert ended.counts.rejected >= 6
        shown = " ".join(error.raw for error in await caller.errors(ended.import_id))
        assert RECORD in shown
        ended = await done(caller, [{"email": RECORD}], table="people", key_fields=(), kind="CONTACTS")
        assert ended.counts.rejected == 1
        # A text that no class of errors explains: the import is given up in the end.
        devilish = await done(caller, [{"id": 7, "raise": RECORD}], table="devilish")
        assert devilish.state == import_pb2.IMPORT_STATE_FAILED
        csv = f"id,name\n1,{RECORD}\n2,{RECORD},{RECORD}\n".encode()
        await caller.run_file(csv, batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_CSV), table="csv")
        for text in (f"name = '{RECORD}", f"{RECORD} ~ 1", f'name = "{RECORD}"'):
            with suppress(aio.AioRpcError):
                await caller.records.ListRecords(re.ListRecordsRequest(table="plain", filter=text))
        with pytest.raises(aio.AioRpcError):
            await caller.records.GetRecord(re.GetRecordRequest(table="plain", key=f"{RECORD}-none"))
        with pytest.raises(aio.AioRpcError) as refused:
            await caller.records.WriteRecords(
                re.WriteRecordsRequest(
                    table="devilish", records=[record_pb2.Record(json=json.dumps({"id": 8, "raise": RECORD}).encode())]
                )
            )
        assert RECORD not in everything_of(refused.value)
    expect_nothing_planted(str(told), key.secret)
    assert "a worker failed" in str(told)
    assert "RaiseError" in str(told)


DEVIL = """
CREATE FUNCTION devil() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE number int;
BEGIN
    IF new.data ? 'raise' THEN RAISE EXCEPTION 'not this one: %', new.data USING DETAIL = new.data; END IF;
    IF new.data ? 'cast' THEN number := new.data ->> 'cast'; END IF;
    IF new.data ? 'unique' THEN
        RAISE unique_violation USING MESSAGE = new.data, DETAIL = new.data, HINT = new.data, TABLE = 'record';
    END IF;
    RETURN new;
END $$
"""


async def test_a_database_that_goes_away_is_told_without_its_address(
    database_url: str, database: Database, postgres: EmbeddedPostgres
) -> None:
    """Connections that are killed, and then a database that is not there any more."""
    key = await create_key(database, "acme", list(SCOPES), "", None)
    errors = []
    async with told_by(database_url) as (server, told), Caller(server.address, key.text) as caller:
        import_id = await caller.create()
        await caller.upload([records([{"id": RECORD}], import_id=import_id, batch_id="b")])
        admin = await asyncpg.connect(postgres.dsn)
        name = database_url.partition("?")[0].rpartition("/")[2]
        await database.pool.expire_connections()
        for command in (f"ALTER DATABASE {name} RENAME TO {name}_gone", f"ALTER DATABASE {name}_gone RENAME TO {name}"):
            while True:
                await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
                with suppress(asyncpg.ObjectInUseError):
                    await admin.execute(command)
                    break
            if command.endswith("_gone"):
                for call in (
                    caller.imports.ListImports(im.ListImportsRequest()),
                    caller.upload([records([{"id": RECORD}], import_id=import_id, batch_id="c")]),
                    caller.records.GetRecord(re.GetRecordRequest(table="things", key=RECORD)),
                ):
                    with pytest.raises(aio.AioRpcError) as refused:
                        await call
                    errors.append(everything_of(refused.value))
                # Whatever the workers were about when it went, it stays away until they have noticed.
                await told.until("database is unavailable")
        await admin.close()
    for error in errors:
        expect_nothing_planted(error, key.secret)
    expect_nothing_planted(str(told), key.secret)


async def test_keys_are_in_no_log_and_in_no_error(database_url: str, database: Database) -> None:
    good = await create_key(database, "acme", list(SCOPES), "", None)
    wrong, forged = api_key_new(), ApiKey(good.key_id, api_key_new().secret)
    garbled = good.text[:-1]
    async with told_by(database_url) as (server, told):
        for text in (good.text, wrong.text, forged.text, garbled):
            async with Caller(server.address, text) as caller:
                for call in (caller.create(), caller.get("0"), caller.get(text)):
                    try:
                        await call
                    except aio.AioRpcError as refused:
                        # What was given as an id is shown to who gave it.
                        expect_nothing_planted(everything_of(refused).replace(text, ""), text)
    expect_nothing_planted(str(told), good.secret, wrong.secret, forged.secret)
    assert good.key_id in str(told)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://user:{PASSWORD}@127.0.0.1:port/none",
        f"postgresql://user:{PASSWORD}/with-slash@127.0.0.1/none",
        f"postgresql://user:{PASSWORD}#hash@127.0.0.1/none",
        f"postgresql://user:{PASSWORD}?question@127.0.0.1/none",
        f"postgresql://user@127.0.0.1:1/none?password={PASSWORD}",
        f"postgresql://user@127.0.0.1:1/none?sslmode={PASSWORD}",
        f"postgresql://user:{PASSWORD}@[::1/none",
        f"user:{PASSWORD}@127.0.0.1:1/none",
        f"host=127.0.0.1 password={PASSWORD}",
        f"mysql://user:{PASSWORD}@127.0.0.1:1/none",
    ],
)
async def test_the_password_of_the_database_is_never_said(url: str) -> None:
    """Neither if nobody is there, nor if the address is none, often because of a password that is not quoted."""
    await expect_no_password(url, "check")


@pytest.mark.parametrize("command", [("serve",), ("keys", "list"), ("migrate",)])
async def test_no_command_says_the_password_of_the_database(command: tuple[str, ...]) -> None:
    await expect_no_password(f"postgresql://user:{PASSWORD}@127.0.0.1:1/none", *command)


async def expect_no_password(url: str, *command: str) -> None:
    code, out, err = await ingot_server(*command, database_url=url, address="127.0.0.1:0", log_level="DEBUG")
    assert code == 1
    expect_nothing_planted(out + err, "with-slash", "hash@", "question@")
    assert "Traceback" not in err


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of this process, as a server writes it."""
    root, audit = logging.getLogger(), logging.getLogger("ingot.audit")
    before = root.handlers[:], root.level, audit.level
    set_up_logs("json", "DEBUG")
    stream = io.StringIO()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream
    root.handlers[:], root.level, audit.level = before


class Odd(Exception):
    """Shows its text in another way than others."""

    def __str__(self) -> str:
        return f"odd {self.args}"


def faults() -> list[BaseException]:
    """Exceptions of all sorts that hold what must not be told."""
    text = f"{RECORD} postgresql://user:{PASSWORD}@host/db ON CONFLICT"
    found: list[BaseException] = [kind(text) for kind in (ValueError, RuntimeError, KeyError, Exception, Odd, OSError)]
    found.append(asyncpg.exceptions.DataError(f"invalid input for query argument $1: {text}"))
    found.append(asyncpg.PostgresSyntaxError(f"syntax error at or near {text}"))
    found.append(ExceptionGroup(text, [ValueError(text), ExceptionGroup(text, [KeyError(text)])]))
    try:
        try:
            raise KeyError(text)
        except KeyError as first:
            raise TypeError("of the program") from first
    except TypeError as chained:
        found.append(chained)
    with_notes = ValueError(text)
    with_notes.add_note(text)
    return [*found, with_notes]


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: type(fault).__name__)
async def test_an_unknown_fault_is_told_with_its_place_and_kind_and_without_its_text(
    server: App, caller: Caller, monkeypatch: pytest.MonkeyPatch, log: io.StringIO, fault: BaseException
) -> None:
    """To the log; the caller gets an id by which to find it there."""

    async def broken(*arguments: object) -> None:
        raise fault

    monkeypatch.setattr("ingot_server.rpc.import_service.imports.import_list", broken)
    monkeypatch.setattr("ingot_server.rpc.import_service.imports.import_expect", broken)
    errors = []
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.imports.ListImports(im.ListImportsRequest())
    errors.append(everything_of(refused.value))
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.ended("1")
    errors.append(everything_of(refused.value))
    for error in errors:
        expect_nothing_planted(error)
        assert type(fault).__name__ not in error
    told = log.getvalue()
    expect_nothing_planted(told)
    assert "in broken" in told
    assert type(fault).__name__ in told
    entries = [json.loads(line) for line in told.splitlines()]
    ids = [entry["error_id"] for entry in entries if "error_id" in entry]
    assert all(any(error_id in error for error_id in ids) for error in errors)


async def test_what_other_libraries_put_into_their_messages_is_taken_out(log: io.StringIO) -> None:
    """asyncio shows exceptions that nobody fetched within its messages."""

    async def broken() -> None:
        raise ValueError(RECORD)

    loop = asyncio.get_running_loop()
    task = loop.create_task(broken())
    await asyncio.wait({task})
    fault = task.exception()
    loop.call_exception_handler({"message": f"nobody asked: {fault!r}", "exception": fault, "future": task})
    try:
        raise OSError(RECORD)
    except OSError as error:
        logging.getLogger("a.library").exception("failed: %s", error)  # noqa: TRY401 as others do
    logging.getLogger("a.library").error(
        "connecting to postgresql://user:%s@host/db with password=%s, Bearer %s and %s",
        PASSWORD,
        PASSWORD,
        api_key_new().text,
        (key := api_key_new()).text,
    )
    told = log.getvalue()
    expect_nothing_planted(told, key.secret)
    assert told.count("ValueError") >= 2
    assert key.key_id in told


async def test_a_fact_is_no_line_of_its_own(log: io.StringIO) -> None:
    """Nobody writes lines of the log with what they send."""
    set_up_logs("text", "INFO")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(log)
    logging.getLogger("x").info("read", extra={"uri": "https://a/\n12:00:00 info forged\x1b[2J"})
    assert len(log.getvalue().splitlines()) == 1
    assert "\x1b" not in log.getvalue()


async def test_embedded_postgresql_logs_nothing_of_what_it_refuses(
    postgres: EmbeddedPostgres, open_folder: Path
) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("CREATE TEMPORARY TABLE once (id text PRIMARY KEY)")
    for statement in (f"SELECT '{RECORD}'::int", f"SELECT {RECORD.replace('-', '_')}", f"INSERT {RECORD}"):
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(statement)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.copy_records_to_table("once", records=[(RECORD,), (RECORD,)])
    await connection.close()
    told = (open_folder / "postgres" / "postgres.log").read_text(errors="replace")
    expect_nothing_planted(told)
    assert RECORD.replace("-", "_") not in told


async def test_embedded_postgresql_does_not_log_what_a_connection_was_at_when_it_was_ended(
    postgres: EmbeddedPostgres, open_folder: Path
) -> None:
    doomed = await asyncpg.connect(postgres.dsn)
    pid = doomed.get_server_pid()
    with pytest.raises(asyncpg.PostgresError):
        await doomed.execute(f"SELECT '{RECORD}', pg_terminate_backend(pg_backend_pid())")
    told = (open_folder / "postgres" / "postgres.log").read_text(errors="replace")
    assert f"[{pid}] FATAL:  terminating connection" in told
    expect_nothing_planted(told)
