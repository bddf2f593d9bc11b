"""The clients and the command line against a real server."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ingot_client import (
    ApiKeyInvalid,
    AsyncClient,
    Client,
    ContentDiffers,
    ImportNotFound,
    ImportStateRefused,
    InvalidRequest,
    KeyFieldsDiffer,
    Progress,
    RecordNotFound,
    SourceDiffers,
)
from ingot_client._pieces import PIECE_RECORDS
from ingot_server.app import App
from ingot_server.storage.database import Database
from tests.calling import Caller
from tests.client.test_command_line import Command, Ran
from tests.conftest import running_app

ROWS = [{"id": number, "name": f"name {number}"} for number in range(2_500)]


async def client_of(caller: Caller) -> AsyncClient:
    return AsyncClient(caller.address, caller.key)


async def test_five_lines_import_a_list_of_dicts(caller: Caller) -> None:
    def five_lines() -> tuple[str, int]:
        with Client(caller.address, caller.key) as ingot:
            done = ingot.import_records("contacts", [{"id": 1, "name": "Ada"}], key_fields=["id"])
            return done.state, done.counts.created

    assert await asyncio.to_thread(five_lines) == ("SUCCEEDED", 1)


async def test_records_files_and_their_errors(caller: Caller, tmp_path: Path) -> None:
    async with await client_of(caller) as ingot:
        done = await ingot.import_records("t", ROWS, key_fields=["id"], labels={"run": "1"})
        assert (done.state, done.counts.created) == ("SUCCEEDED", len(ROWS))

        file = tmp_path / "rows.csv"
        file.write_bytes(b"id;name\n1;Ada\n;nobody\n2\n")
        done = await ingot.import_file("people", file, delimiter=";", key_fields=["id"])
        assert done.state == "PARTIALLY_SUCCEEDED"
        assert {group.code: group.count for group in done.error_groups} == {"MISSING_KEY": 1, "CELL_COUNT": 1}
        errors = [error async for error in ingot.list_errors(done.import_id, page_size=1)]
        assert [(error.line, error.code) for error in errors] == [(3, "MISSING_KEY"), (4, "CELL_COUNT")]
        assert [error.line async for error in ingot.list_errors(done.import_id, code="CELL_COUNT")] == [4]
        exported = io.BytesIO()
        assert await ingot.export_errors(done.import_id, exported, format="csv") == len(exported.getvalue())
        assert exported.getvalue().count(b"\n") == 3

        found = [job.import_id async for job in ingot.list_imports(labels={"run": "1"}, states=["SUCCEEDED"])]
        assert found == ["1"]
        assert [batch.batch_id async for batch in ingot.list_batches(done.import_id)] == ["main"]
        assert (await ingot.get_batch(done.import_id, "main")).unit == "BYTES"
        assert [table.table async for table in ingot.list_tables()] == ["people", "t"]
        assert (await ingot.get_table("t")).key_fields == ("id",)
        await ingot.delete(done.import_id)
        with pytest.raises(ImportNotFound):
            await ingot.get_import(done.import_id)


async def test_records_written_and_read_directly(caller: Caller, tmp_path: Path) -> None:
    async with await client_of(caller) as ingot:
        written = await ingot.write_records("t", [{"id": "a", "n": 1}, {"n": 2}], key_fields=["id"])
        assert (written.counts.created, written.errors[0].index) == (1, 1)
        assert (await ingot.get_record("t", "a")).value == {"id": "a", "n": 1}
        await ingot.import_records("t", [{"id": f"b{number:04}"} for number in range(1_200)])
        assert len([record async for record in ingot.list_records("t", page_size=500)]) == 1_201
        assert await ingot.export_records("t", tmp_path / "out.ndjson") > 0
        lines = (tmp_path / "out.ndjson").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines[:2]] == ["a", "b0000"]
        assert os.listdir(tmp_path) == ["out.ndjson"], "no half-written file is left"
        deleted = await ingot.delete_records("t", ["a", "none"])
        assert (deleted.deleted, deleted.validate_only) == (1, False)
        with pytest.raises(RecordNotFound):
            await ingot.get_record("t", "a")


async def test_refusals_have_their_errors(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        await ingot.import_records("t", ROWS[:1], key_fields=["id"])
        with pytest.raises(KeyFieldsDiffer) as differ:
            await ingot.create_import("t", key_fields=["name"])
        assert "id" in differ.value.facts["key_fields"]
        with pytest.raises(InvalidRequest) as invalid:
            await ingot.create_import("bad name")
        assert "spec.table" in invalid.value.violations
        with pytest.raises(ImportStateRefused):
            await ingot.cancel("1")
    async with AsyncClient(caller.address, "wrong") as stranger:
        with pytest.raises(ApiKeyInvalid):
            await stranger.get_import("1")


async def test_interrupted_import_goes_on(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(b"".join(b'{"id":%d,"text":"%s"}\n' % (number, b"x" * 200) for number in range(20_000)))
    async with await client_of(caller) as ingot:
        begun = asyncio.Event()

        def see(moment: Progress) -> None:
            if moment.committed:
                begun.set()

        running = asyncio.create_task(ingot.import_file("t", file, key_fields=["id"], on_progress=see))
        await begun.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        [job] = [job async for job in ingot.list_imports()]

        if job.state == "RECEIVING":
            other = tmp_path / "other.ndjson"
            other.write_bytes(file.read_bytes()[:-1])
            with pytest.raises((SourceDiffers, ContentDiffers)):
                await ingot.import_file("t", other, resume=job.import_id)
        done = await ingot.import_file("t", file, resume=job.import_id)
        assert (done.state, done.counts.received) == ("SUCCEEDED", 20_000)
        assert len([record async for record in ingot.list_records("t", page_size=1000)]) == 20_000


async def test_cancelled_import_ends_as_cancelled(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        job = await ingot.create_import("t", key_fields=["id"], request_id="x")
        await ingot.cancel(job.import_id)
        assert (await ingot.import_records("t", ROWS, key_fields=["id"], request_id="x")).state == "CANCELLED"


async def ran(caller: Caller, *args: str, stdin: bytes = b"") -> Ran:
    """The command line against the caller's server, or against another one that knows the key."""
    port = int(caller.address.rpartition(":")[2])
    return await Command(port)(*args, "--api-key", caller.key or "", stdin=stdin)


async def test_request_id_of_an_import_that_has_ended_takes_no_other_file(caller: Caller, tmp_path: Path) -> None:
    first, other = tmp_path / "first.csv", tmp_path / "other.csv"
    first.write_bytes(b"id,name\n1,Ada\n")
    other.write_bytes(b"id,name\n2,Grace\n")
    args = ("--table", "t", "--key", "id", "--request-id", "nightly")
    assert (await ran(caller, "import", str(first), *args)).err == ""
    again = await ran(caller, "import", str(first), *args)
    assert (again.code, again.err) == (0, "import 1 had already ended: nothing was sent\n")
    refused = await ran(caller, "import", str(other), *args)
    assert (refused.code, refused.out) == (1, "")
    assert "was used for other data, in import 1: it holds 14 bytes, and here are 16" in refused.err
    refused = await ran(caller, "import", str(other), "--resume", "1")
    assert (refused.code, refused.out) == (1, "")


async def test_upload_that_is_refused_leaves_no_open_import(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"id\n1\n")
    refused = await ran(caller, "import", str(file), "--table", "t", "--key", "id", "--encoding", "klingon")
    assert (refused.code, refused.out) == (1, "")
    assert "encoding" in refused.err
    async with await client_of(caller) as ingot:
        assert (await ingot.get_import("1")).state == "CANCELLED"


async def test_errors_say_when_the_server_kept_fewer(caller: Caller, database_url: str, tmp_path: Path) -> None:
    said = "showing 10 of 25 errors: the server keeps no more (INGOT_ERRORS_LIMIT)\n"
    rows = b'{"name":"nobody\\n\\"x\\""}\n' * 25
    async with running_app(database_url, errors_limit=10) as app:
        few = Caller(f"127.0.0.1:{app.port}", caller.key)
        await ran(few, "import", "-", "--type", "ndjson", "--table", "t", "--key", "id", stdin=rows)
        listed = await ran(few, "errors", "1")
        assert (listed.code, listed.out.count("\n"), listed.err) == (0, 10, said)
        for kind in ("csv", "ndjson"):
            assert (await ran(few, "errors", "1", "--format", kind)).err == said
            file = tmp_path / f"errors.{kind}"
            assert (await ran(few, "errors", "1", "-o", str(file))).err == f"wrote {file}\n{said}"
        await few.channel.close()
    await ran(caller, "import", "-", "--type", "ndjson", "--table", "t", "--key", "id", stdin=rows[: len(rows) // 25])
    assert (await ran(caller, "errors", "2")).err == ""


async def test_columns_may_be_named_for_a_file_without_a_header(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"1,Ada\n2,Grace\n")
    args = ("import", str(file), "--table", "t", "--key", "id")
    refused = await ran(caller, *args)
    assert refused.code == 1
    assert "has 2 columns, '1', 'Ada', and no 'id'" in refused.err
    assert (await ran(caller, "imports")).err == "no imports\n", "it is refused before there is an import"
    assert (await ran(caller, *args, "--columns", "id, name")).code == 0
    async with await client_of(caller) as ingot:
        assert (await ingot.get_record("t", "2")).value == {"id": "2", "name": "Grace"}


async def test_imports_are_found_by_label_and_time(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        first = await ingot.import_records("t", ROWS[:1], key_fields=["id"], labels={"run": "1", "from": "crm"})
        await ingot.import_records("t", ROWS[:1], labels={"run": "2", "from": "crm"})

    async def found(*args: str) -> list[str]:
        printed = await ran(caller, "imports", "--json", *args)
        assert printed.code == 0, printed.err
        return [json.loads(line)["importId"] for line in printed.out.splitlines()]

    assert await found("--label", "from=crm") == ["2", "1"]
    assert await found("--label", "from=crm", "--label", "run=1") == ["1"]
    assert await found("--label", "from=CRM") == []
    created = first.create_time
    assert created is not None
    later = created + timedelta(microseconds=1)
    assert await found("--since", created.isoformat()) == ["2", "1"]
    assert await found("--since", later.isoformat()) == ["2"]
    assert await found("--before", later.isoformat()) == ["1"]
    assert await found("--before", later.replace(tzinfo=None).isoformat()) == ["1"], "times are in UTC"
    assert await found("--since", "2001-01-01", "--before", "2001-01-02") == []
    assert await found("--since", "2001-01-01") == ["2", "1"]


async def test_errors_are_found_by_what_they_are(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        job = await ingot.create_import("crm", kind="contacts")
        await ingot.upload_records(job.import_id, "a", [{"email": "a"}, {"phone": "1", "email": "a@b.example"}])
        await ingot.upload_records(job.import_id, "b", [{"email": "b"}, b"{", {"name": "nobody"}])
        await ingot.finish(job.import_id)
        assert [state async for state in ingot.watch(job.import_id)][-1].final

    async def codes(*args: str) -> list[str]:
        listed = await ran(caller, "errors", "1", *args)
        assert (listed.code, listed.err) == (0, "")
        return [line.split(": ")[1] for line in listed.out.splitlines()]

    both = ["1002 INVALID_VALUE email"] * 2
    assert await codes("--field", "email") == both
    assert await codes("--code", "invalid_value", "--field", "email") == both
    assert await codes("--code", "1002", "--batch", "b") == both[:1]
    assert await codes("--stage", "upload") == ["1105 SYNTAX_ERROR"]
    assert await codes("--stage", "processing", "--batch", "b", "--severity", "error") == [
        both[0],
        "1000 TOO_LITTLE_INFORMATION",
    ]
    missing = await ran(caller, "errors", "1", "--batch", "c")
    assert (missing.code, missing.out) == (1, "")

    listed = (await ran(caller, "batches", "1")).out.splitlines()
    assert [line.split() for line in listed] == [
        ["BATCH", "STATUS", "RECEIVED", "REJECTED", "COMMITTED", "UNIT"],
        ["a", "FAILED", "2", "2", "2", "RECORDS"],
        ["b", "FAILED", "3", "3", "3", "RECORDS"],
    ]
    printed = (await ran(caller, "batches", "1", "--json")).out.splitlines()
    assert [json.loads(line)["batchId"] for line in printed] == ["a", "b"]
    async with await client_of(caller) as ingot:
        await ingot.create_import("crm")
    assert (await ran(caller, "batches", "2")).err == "no batches\n"


async def test_errors_of_a_code_say_when_the_server_kept_fewer(caller: Caller, database_url: str) -> None:
    rows = b'{"name":"nobody"}\n{\n' * 20
    async with running_app(database_url, errors_limit=10) as app:
        few = Caller(f"127.0.0.1:{app.port}", caller.key)
        await ran(few, "import", "-", "--type", "ndjson", "--table", "t", "--key", "id", stdin=rows)
        for args, shown in (
            (["--code", "1105"], "showing 5 of 20"),
            (["--field", "id", "--batch", "main"], "showing 5 of 20"),
            (["--stage", "upload"], "showing 10 of 40"),
        ):
            assert (await ran(few, "errors", "1", *args)).err.startswith(shown)
        for args in (["--stage", "processing"], ["--field", "items[0].id"], ["--field", "name"]):
            assert (await ran(few, "errors", "1", *args)).err == "none of these is listed\n"
        await few.channel.close()


async def test_the_id_of_an_import_by_one_call_is_told_before_anything_of_it_is_kept(
    caller: Caller, database: Database
) -> None:
    """Whoever interrupts it then has to know that there is an import."""
    told: asyncio.Queue[Progress] = asyncio.Queue()
    async with database.transaction() as lock, await client_of(caller) as ingot:
        await lock.execute("LOCK TABLE batch IN EXCLUSIVE MODE")
        importing = asyncio.create_task(
            ingot.import_records("t", [{"id": 1}], key_fields=["id"], on_progress=told.put_nowait)
        )
        first = await told.get()
        importing.cancel()
        await asyncio.wait([importing])
    assert (first.import_id, first.state, first.committed) == ("1", "RECEIVING", 0)
    async with await client_of(caller) as ingot:
        done = await ingot.import_records("t", [{"id": 1}], key_fields=["id"], resume=first.import_id)
    assert (done.import_id, done.counts.created) == ("1", 1)


async def test_an_import_gives_up_no_call(server: App, caller: Caller) -> None:
    """Each of them would leave something behind in the server: see docs/reliability.md."""

    async def watched() -> AsyncIterator[dict[str, object]]:
        # More than a message holds: there is something to watch then.
        for number in range(PIECE_RECORDS + 1):
            yield {"id": number}
        while not server._progress.batches._watchers:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        yield {"id": "last"}

    async with await client_of(caller) as ingot:
        for rows in (ROWS[:1], ROWS, watched()):
            assert (await ingot.import_records("t", rows, key_fields=["id"])).final
    await server._guard.calls_ended()
    assert server._guard._given_up == 0
