"""The command line: what it prints, where, and with which exit code."""

import asyncio
import gzip
import json
import os
import pty
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from ingot.v1 import import_pb2
from ingot.v1.field_pb2 import ReadingOptions
from ingot.v1.record_error_pb2 import ErrorSeverity, RecordError, RecordErrorCode
from ingot.v1.stage_pb2 import ErrorGroup, RecordCounts, StageProgress, StageState
from ingot_client import Counts, Progress
from ingot_client._cli.app import shared_first
from ingot_client._cli.bars import Bars, _RichBars, amount
from ingot_client._cli.printing import plain
from tests.client.fake import Call, FakeServer

ROWS = b"".join(b'{"id":%d,"text":"%s"}\n' % (number, b"x" * 100) for number in range(20_000))
TRYING = "trying again for 5 minutes, or until Ctrl-C: what was sent is kept"


@dataclass
class Ran:
    code: int
    out: str
    err: str


class Command:
    """Runs `ingot` against a server, in a process of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def start(
        self, *args: str, stdin: int = asyncio.subprocess.PIPE, stderr: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        environ = {**os.environ, "INGOT_ADDRESS": f"127.0.0.1:{self.port}", "INGOT_API_KEY": "k", "NO_COLOR": "1"}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-m", "ingot_client", *args),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environ,
        )

    async def __call__(self, *args: str, stdin: bytes = b"") -> Ran:
        process = await self.start(*args)
        out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture
def ingot(fake: FakeServer) -> Command:
    return Command(fake.port)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(ROWS)
    return file


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: its end for people and its end for programs."""
    people, programs = pty.openpty()
    try:
        yield people, programs
    finally:
        os.close(people)


async def test_help_is_quick_and_needs_nothing(ingot: Command) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "importtime", "-m", "ingot_client", "--help"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, imported = await process.communicate()
    assert process.returncode == 0
    assert b"import " in out
    modules = {line.rpartition(b"|")[2].strip().split(b".")[0] for line in imported.splitlines()}
    assert not modules & {b"grpc", b"google", b"rich", b"msgspec"}


async def test_import_of_a_file(fake: FakeServer, ingot: Command, rows: Path) -> None:
    ran = await ingot("import", str(rows), "--table", "t", "--key", "id,text", "--label", "a=b")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("import 1 into t: SUCCEEDED\n")
    assert fake.batches["1", "main"].content == ROWS
    assert list(fake.imports["1"].key_fields) == ["id", "text"]


async def test_import_says_what_the_records_are_and_how_they_are_read(
    fake: FakeServer, ingot: Command, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"_email,phoneNumber\na@b.c,\n")
    reading = ("--country", "SE", "--time-zone", "Europe/Stockholm", "--locale", "sv")
    ran = await ingot("import", str(file), "--table", "t", "--kind", "contacts", *reading)
    assert (ran.code, ran.err) == (0, "")
    assert fake.imports["1"].kind == "CONTACTS"
    assert fake.imports["1"].reading == ReadingOptions(country="SE", time_zone="Europe/Stockholm", locale="sv")


async def test_warnings_are_told_apart_from_errors(fake: FakeServer, ingot: Command) -> None:
    groups = [
        ErrorGroup(
            code=code,
            field=field,
            severity=severity,
            count=count,
            example=RecordError(code=code, message="why", severity=severity),
        )
        for code, field, severity, count in (
            (RecordErrorCode.RECORD_ERROR_CODE_DOUBTFUL_VALUE, "phone", ErrorSeverity.ERROR_SEVERITY_WARNING, 3),
            (RecordErrorCode.RECORD_ERROR_CODE_INVALID_VALUE, "email", ErrorSeverity.ERROR_SEVERITY_ERROR, 2),
        )
    ]
    fake.imports["1"] = import_pb2.Import(
        import_id="1",
        table="t",
        state=import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED,
        counts=RecordCounts(received=9, created=7, rejected=2),
        processing=StageProgress(error_groups=groups),
    )
    ran = await ingot("watch", "1")
    assert ran.out.splitlines()[2:] == [
        "  2 rejected: 1002 INVALID_VALUE email: e.g. why",
        "  3 with a warning: 1114 DOUBTFUL_VALUE phone: e.g. why",
    ]
    assert ran.err.splitlines() == [
        "Rejected records: ingot errors 1",
        "Mend them: ingot errors 1 --rejects -o mend.csv, and then: ingot retry 1 mend.csv",
        "Warnings: ingot errors 1 --severity warning",
    ]


async def test_import_of_stdin(fake: FakeServer, ingot: Command) -> None:
    ran = await ingot("import", "-", "--type", "ndjson", "--table", "t", stdin=ROWS)
    assert ran.code == 0
    assert fake.batches["1", "main"].content == ROWS


async def test_json_prints_the_message(ingot: Command, rows: Path) -> None:
    ran = await ingot("import", str(rows), "--table", "t", "--json")
    [line] = ran.out.splitlines()
    printed = json.loads(line)
    assert (printed["importId"], printed["state"]) == ("1", "IMPORT_STATE_SUCCEEDED")
    assert printed["batchCount"] == 0, "zeros are printed too"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (import_pb2.IMPORT_STATE_SUCCEEDED, 0),
        (import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED, 3),
        (import_pb2.IMPORT_STATE_FAILED, 4),
        (import_pb2.IMPORT_STATE_CANCELLED, 4),
        (import_pb2.IMPORT_STATE_AWAITING_COMMIT, 0),
    ],
)
async def test_exit_code_tells_how_the_import_ended(
    fake: FakeServer, ingot: Command, rows: Path, state: import_pb2.ImportState.ValueType, code: int
) -> None:
    fake.imports["1"] = import_pb2.Import(import_id="1", table="t", state=state, state_message="why \x1b[31m")
    for args in (("watch", "1"), ("import", str(rows), "--table", "t", "--resume", "1")):
        ran = await ingot(*args)
        assert ran.code == code
        assert "why \\x1b[31m" in ran.out


async def test_import_that_need_not_be_watched(ingot: Command, rows: Path) -> None:
    ran = await ingot("import", str(rows), "--table", "t", "--no-watch")
    assert ran.code == 0
    assert "PROCESSING" in ran.out


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["import"], "FILE"),
        (["import", "no-such-file.csv", "--table", "t"], "there is no file 'no-such-file.csv'"),
        (["import", "-", "--table", "t"], "choose ndjson, csv or json with --type"),
        (["import", "/", "--table", "t"], "'/' is a directory"),
        (["import", "-", "--type", "ndjson"], "say which table"),
        (["import", "-", "--type", "csv", "--table", "t", "--delimiter", "||"], "one ASCII character"),
        (["import", "-", "--type", "csv", "--table", "t", "--label", "x"], "not NAME=VALUE"),
        (["imports", "--state", "DONE"], "is not one of receiving"),
        (["imports", "--limit", "0"], "--limit"),
        (["imports", "--unfinished", "--state", "failed"], "leave out --state"),
        (
            ["import", "-", "--type", "csv", "--table", "t", "--mode", "upsert"],
            "'upsert' is not one of replace, merge, fill-empty",
        ),
        (["import", "-", "--type", "csv", "--table", "t", "--compression", "rar"], "'rar' is not one of NONE, GZIP"),
        (["import", "-", "--type", "csv", "--table", "t", "--max-error-ratio", "2"], "--max-error-ratio"),
        (["import", "-", "--type", "csv", "--table", "t", "--max-deleted-ratio", "0.5"], "say --reconcile too"),
        (["import", "a.csv", "--table", "t", "--reference"], "'a.csv' is not a URI"),
        (["import", "file:///a.csv", "--table", "t"], "say --reference"),
        (["import", "https://example.org/a.csv"], "say which table"),
        (["import", "https://example.org/a.csv", "--table", "t", "--resume", "1"], "see `ingot watch`"),
        (["import", "https://example.org/a.csv", "--table", "t", "--type", "xml"], "'xml' is not a type of data"),
        (["retry", "1", "--type", "csv"], "--type: it says how a FILE is read, and there is none"),
        (["retry", "1", "a.csv", "--sheet", "s"], "No such option: --sheet"),
        (["retry", "1", "no-such-file.csv"], "there is no file 'no-such-file.csv'"),
        (["records", "list", "t", "--deleted"], "say --staged IMPORT too"),
        (["records", "write", "t", "--mode", "x"], "--mode"),
        (["records", "write", "t", "few.csv"], "use `ingot import`"),
        (["records", "write", "t", "few.ndjson.gz"], "use `ingot import`"),
        (["records", "export", "t", "-o", "a.csv"], "only NDJSON can be written"),
        (["records", "export", "t", "-o", "a.XLSX"], "only NDJSON can be written"),
        (["errors", "1", "--rejects", "--code", "1002"], "--code: a file has all of them"),
        (["errors", "1", "-o", "a.xlsx"], "only CSV and NDJSON can be written"),
        (["errors", "1", "--format", "xml"], "neither csv nor ndjson"),
        (["errors", "1", "--severity", "fatal"], "'fatal' is not one of error, warning"),
        (["errors", "1", "--severity", "error", "-o", "x.csv"], "a file has all of them"),
        (["tables", "create", "t", "--field", "a:WORD"], "'WORD' in 'a:WORD' is neither required, many, indexed nor"),
        (["tables", "create", "t", "--field", "a:TEXT:DATE"], "'DATE' in 'a:TEXT:DATE'"),
        (["tables", "create", "t", "--field", ":TEXT"], "has no name before the colon"),
        (["tables", "create", "t", "--unknown-fields", "drop"], "'drop' is not one of keep, reject"),
        (["tables", "update", "t"], "say what to change"),
        (["tables", "delete", "t"], "say --yes if you mean it"),
        (["imports", "--label", "x"], "not NAME=VALUE"),
        (["imports", "--since", "yesterday"], "'yesterday' is neither a date nor a time"),
        (["imports", "--before", "2026-13-01"], "--before"),
        (["errors", "1", "--code", "BAD"], "'BAD' is not one of TOO_LITTLE_INFORMATION"),
        (["errors", "1", "--stage", "end"], "'end' is not one of upload, processing"),
        (["errors", "1", "--format", "csv", "--batch", "main"], "--batch: a file has all of them"),
        (["errors", "1", "-o", "x.csv", "--code", "1002"], "--code: a file has all of them"),
        (["blocked", "add"], "say which values"),
        (["blocked", "add", "x", "--type", "name"], "'name' is not one of email, phone, domain"),
        (["nonsense"], "nonsense"),
    ],
)
async def test_wrong_usage(ingot: Command, args: list[str], why: str) -> None:
    ran = await ingot(*args)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err


async def test_version_is_that_of_the_package(ingot: Command) -> None:
    ran = await ingot("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"ingot {version('ingot')}\n", "")


async def test_help_names_the_environment(ingot: Command) -> None:
    ran = await ingot("--help")
    assert {"INGOT_ADDRESS", "INGOT_API_KEY", "INGOT_DATA_DIR", "INGOT_TLS=1", "INGOT_TLS_CA"} <= set(
        re.findall(r"INGOT_[A-Z_]+(?:=1)?", ran.out)
    )


async def test_help_speaks_of_uris_where_they_can_be_given(ingot: Command) -> None:
    assert "A URI may also be excel or parquet." in " ".join((await ingot("import", "--help")).out.split())
    assert "URI" not in (await ingot("retry", "--help")).out


async def test_import_that_had_ended_says_that_nothing_was_sent(fake: FakeServer, ingot: Command, rows: Path) -> None:
    other = rows.with_name("other.ndjson")
    await asyncio.to_thread(other.write_bytes, ROWS[:-1])
    args = ("import", str(rows), "--table", "t", "--request-id", "nightly")
    assert (await ingot(*args)).err == ""
    for again in (args, ("import", str(rows), "--resume", "1")):
        ran = await ingot(*again)
        assert (ran.code, ran.err) == (0, "import 1 had already ended: nothing was sent\n")
    fake.imports["1"].state = import_pb2.IMPORT_STATE_PROCESSING
    ran = await ingot(*args)
    assert (ran.code, ran.err) == (0, "import 1 had already been uploaded: nothing was sent\n")
    assert len(fake.calls) == 1

    ran = await ingot("import", str(other), *args[2:])
    assert (ran.code, ran.out) == (1, "")
    assert "the request id 'nightly' was used for other data" in ran.err


async def test_lost_server_is_told_while_an_import_is_followed(fake: FakeServer, ingot: Command, rows: Path) -> None:
    said = [f"shutting_down; {TRYING}", "going on"]
    fake.watch_failures = 1
    ran = await ingot("import", str(rows), "--table", "t")
    assert (ran.code, ran.err.splitlines()) == (0, said)
    fake.imports["1"].state = import_pb2.IMPORT_STATE_PROCESSING
    fake.watch_failures = 1
    ran = await ingot("watch", "1")
    assert (ran.code, ran.err.splitlines()) == (0, said)


def test_trouble_is_told_once_and_as_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as bars:
        for trouble in ("Go on, on any server.", "still gone", "", ""):
            bars.tell_trouble(trouble)
    assert capsys.readouterr().err == f"Go on, on any server; {TRYING}\ngoing on\n"


async def test_failures_say_what_to_do(ingot: Command, rows: Path, tmp_path: Path) -> None:
    ran = await ingot("show", "99")
    assert (ran.code, ran.out, ran.err) == (1, "", "error: import_not_found\n")

    ran = await Command(1)("imports")
    assert ran.code == 1
    assert ran.err.startswith("error: no Ingot server answers at 127.0.0.1:1 (")
    assert "ingot-server serve" in ran.err.splitlines()[1]
    assert len(ran.err.splitlines()) == 2

    ran = await ingot("--api-key", "a b", "imports")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "copied whole" in ran.err


async def test_missing_key_is_explained(ingot: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ingot_client", "imports"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode().startswith("error: no API key: looked in the argument api_key (--api-key), INGOT_API_KEY and ")


async def test_interrupt_at_the_very_beginning_is_told_as_any_other(
    ingot: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert await ingot("imports") == Ran(130, "", "interrupted\n")


async def test_interrupted_import_says_how_to_go_on(fake: FakeServer, ingot: Command, rows: Path) -> None:
    fake.script.append(Call(keep=2))
    fake.committing.clear()
    process = await ingot.start("import", str(rows), "--table", "t")
    async with fake.received:
        await fake.received.wait_for(lambda: fake.messages_received)
    fake.committing.set()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    go_on = f"ingot import {rows} --table t --resume 1"
    assert err.decode() == f"interrupted; what was sent is kept. Go on with: {go_on}\n"

    ran = await ingot(*go_on.split()[1:])
    assert ran.code == 0
    assert fake.batches["1", "main"].content == ROWS
    assert fake.calls[-1].offsets[0] == fake.calls[-1].committed_before


async def test_interrupt_while_waiting_for_stdin_ends_at_once(fake: FakeServer, ingot: Command) -> None:
    process = await ingot.start("import", "-", "--type", "ndjson", "--table", "t")
    assert process.stdin is not None
    process.stdin.write(b'{"id":1}\n')
    async with fake.received:
        await fake.received.wait_for(lambda: fake.messages_received)
    process.send_signal(signal.SIGINT)
    code = await process.wait()
    process.stdin.close()
    assert code == 130
    assert process.stderr is not None
    assert b"--type ndjson --resume 1" in await process.stderr.read()


async def test_interrupted_watch_leaves_the_import_alone(fake: FakeServer, ingot: Command) -> None:
    fake.imports["1"] = import_pb2.Import(import_id="1", table="t", state=import_pb2.IMPORT_STATE_RECEIVING)
    process = await ingot.start("watch", "1")
    await fake.watched.wait()
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130


async def test_interrupted_commit_goes_on(fake: FakeServer, ingot: Command) -> None:
    fake.imports["1"] = import_pb2.Import(import_id="1", table="t", state=import_pb2.IMPORT_STATE_AWAITING_COMMIT)
    fake.processing.clear()
    process = await ingot.start("commit", "1")
    await fake.watched.wait()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode() == "interrupted; the import goes on. Follow it with: ingot watch 1\n"
    fake.processing.set()
    assert (await ingot("watch", "1")).code == 0


async def test_interrupted_import_of_a_uri_goes_on(fake: FakeServer, ingot: Command) -> None:
    fake.processing.clear()
    process = await ingot.start("import", "https://example.org/a.csv", "--table", "t")
    await fake.watched.wait()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode() == "interrupted; the import goes on. Follow it with: ingot watch 1\n"


async def test_upload_goes_on_with_how_the_file_is_read(fake: FakeServer, ingot: Command, rows: Path) -> None:
    packed = rows.with_name("packed")
    packed.write_bytes(gzip.compress(ROWS))
    fake.committing.clear()
    how = ("--type", "ndjson", "--compression", "gzip")
    process = await ingot.start("import", str(packed), "--table", "t", *how, "--staged", "--mode", "merge")
    async with fake.received:
        await fake.received.wait_for(lambda: fake.messages_received)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    fake.committing.set()
    # What the import was to do, it knows itself.
    assert err.decode().endswith(f"ingot import {packed} --table t {' '.join(how)} --resume 1\n")


async def test_reader_that_has_seen_enough_is_no_error(fake: FakeServer, ingot: Command) -> None:
    fake.imports["1"] = import_pb2.Import(import_id="1", table="t")
    process = await ingot.start("show", "1")
    assert process.stdout is not None
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    assert await process.stderr.read() == b""
    assert await process.wait() == 0


async def test_trouble_is_told_where_there_is_no_terminal(fake: FakeServer, ingot: Command, rows: Path) -> None:
    fake.script.append(Call(drop_after=2))
    ran = await ingot("import", str(rows), "--table", "t")
    assert ran.code == 0
    assert ran.err.splitlines() == [f"shutting_down; {TRYING}", "going on"]


async def test_terminal_shows_two_bars(fake: FakeServer, ingot: Command, rows: Path) -> None:
    with terminal() as (people, programs):
        process = await ingot.start("import", str(rows), "--table", "t", stderr=programs)
        os.close(programs)
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert b"SUCCEEDED" in out
        shown = os.read(people, 65536).decode()
    assert "upload" in shown
    assert "2.4 MB of 2.4 MB" in shown
    assert "processing" in shown
    assert "\x1b[3" not in shown, "NO_COLOR is set"


async def test_terminal_shows_a_second_pass_while_an_import_is_committed(fake: FakeServer, ingot: Command) -> None:
    fake.imports["1"] = import_pb2.Import(
        import_id="1",
        table="t",
        staged=True,
        state=import_pb2.IMPORT_STATE_AWAITING_COMMIT,
        counts=RecordCounts(received=200, created=200),
        processing=StageProgress(percent=25),
    )
    with terminal() as (people, programs):
        fake.processing.clear()
        process = await ingot.start("commit", "1", stderr=programs)
        os.close(programs)
        shown = ""
        while "50 of 200 records" not in shown:
            shown += (await asyncio.to_thread(os.read, people, 65536)).decode()
        fake.processing.set()
        out, _ = await process.communicate()
        assert out.startswith(b"import 1 into t: SUCCEEDED\n")
        shown += os.read(people, 65536).decode()
    last = [line for line in shown.split("\r\n") if "records" in line][-2:]
    assert ["processing" in last[0], "commit" in last[1]] == [True, True]
    assert all("200 of 200 records" in line for line in last)


@pytest.mark.parametrize(
    ("state", "shown"), [("CANCELLED", "18.6 MB of 22.6 MB"), ("PROCESSING", "18.6 MB of 18.6 MB")]
)
def test_bar_of_an_upload_that_was_cut_off_is_not_full(state: str, shown: str) -> None:
    bars = _RichBars("upload", committing=False)
    bars.show(Progress("1", state, "BYTES", 18_600_000, 22_600_000, Counts()))
    upload = bars.bars.tasks[0]
    assert upload.fields["amount"] == shown
    assert (upload.completed == upload.total) == (state == "PROCESSING")


async def test_show_tells_that_an_import_is_being_committed(fake: FakeServer, ingot: Command) -> None:
    fake.imports["1"] = import_pb2.Import(
        import_id="1",
        table="t",
        staged=True,
        state=import_pb2.IMPORT_STATE_PROCESSING,
        counts=RecordCounts(received=200, created=200),
        processing=StageProgress(percent=100),
    )
    assert (await ingot("show", "1")).out.startswith("import 1 into t: PROCESSING\n")
    fake.imports["1"].processing.percent = 25
    assert (await ingot("show", "1")).out.startswith("import 1 into t: PROCESSING, being committed\n")


async def test_terminal_shows_how_much_the_server_has_fetched(fake: FakeServer, ingot: Command) -> None:
    fake.imports["1"] = import_pb2.Import(
        import_id="1",
        table="t",
        request_id="x",
        state=import_pb2.IMPORT_STATE_RECEIVING,
        counts=RecordCounts(received=50, pending=50),
        upload=StageProgress(state=StageState.STAGE_STATE_RUNNING, percent=25),
    )
    with terminal() as (people, programs):
        args = ("--table", "t", "--request-id", "x")
        process = await ingot.start("import", "https://example.org/a.csv", *args, stderr=programs)
        os.close(programs)
        await process.communicate()
        shown = os.read(people, 65536).decode()
    assert "fetch" in shown
    assert "50 records, 25 %" in shown
    assert "commit" not in shown


def test_shared_options_may_stand_anywhere() -> None:
    assert shared_first(["imports", "--json", "--address", "h:1", "--limit", "3"]) == [
        *("--json", "--address", "h:1"),
        *("imports", "--limit", "3"),
    ]
    assert shared_first(["imports", "--api-key=k"]) == ["--api-key=k", "imports"]
    assert shared_first(["records", "get", "t", "--", "--json"]) == ["records", "get", "t", "--", "--json"]
    assert shared_first(["imports", "--address"]) == ["--address", "imports"]


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x07", "\r", "\n", "\x9b31m", "\u202e", "\x7f", "\x00", "\u2028"])
def test_nothing_from_the_data_steers_the_terminal(bad: str) -> None:
    shown = plain(f"a{bad}b")
    assert re.fullmatch(r"a(\\x[0-9a-f]{2}|\\u[0-9a-f]{4}).*b", shown)
    assert shown.isprintable()


def test_amounts_are_readable() -> None:
    assert amount(1_234, 5_000, "RECORDS") == "1,234 of 5,000 records"
    assert amount(999, None, "BYTES") == "999 bytes"
    assert amount(1_500_000, 2_000_000_000, "BYTES") == "1.5 MB of 2.0 GB"
