"""The command line through the whole life of an import: what it does, what it says, and what it says to do next."""

import csv
import gzip
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.client.test_command_line import Command, terminal
from tests.client.test_real_server import client_of, ran
from tests.conftest import running_app
from tests.pipeline.hosting import hosting, status

PEOPLE = b"id,name\n1,Ada\n2,Bob\n3,Cy\n"


@pytest.fixture
async def people(caller: Caller, tmp_path: Path) -> Path:
    """A file that has been imported into the table `people`, as import 1."""
    file = tmp_path / "people.csv"
    file.write_bytes(PEOPLE)
    assert (await ran(caller, "import", str(file), "--table", "people", "--key", "id")).code == 0
    return file


def rewrite(file: Path, data: bytes) -> None:
    """Gives the file another content."""
    file.write_bytes(data)


async def ids(caller: Caller, *args: str) -> list[str]:
    """The ids of the records that `records list` or `records export` prints."""
    printed = await ran(caller, "records", *args)
    assert (printed.code, printed.err) == (0, "")
    return [json.loads(line)["id"] for line in printed.out.splitlines()]


async def test_staged_replacement_is_looked_at_and_committed(caller: Caller, people: Path) -> None:
    rewrite(people, b"id,name\n1,Eva\n2,Bob\n")
    args = ("--reconcile", "--max-deleted-ratio", "0.5", "--staged")
    staged = await ran(caller, "import", str(people), "--table", "people", *args)
    assert staged.code == 0
    assert staged.out.splitlines()[0] == "import 2 into people: AWAITING_COMMIT"
    assert staged.out.splitlines()[2:] == [
        "  2 received; would be: 1 updated, 1 unchanged",
        "  1 not named by the import: would be deleted",
    ]
    next_steps = [
        "What it would write: ingot records list people --staged 2",
        "What it would delete: ingot records list people --staged 2 --deleted",
        "All of it is processed again at the commit: what the table holds then decides.",
        "Commit it: ingot commit 2",
        "Or take it back: ingot cancel 2",
    ]
    assert staged.err.splitlines() == next_steps
    shown = await ran(caller, "show", "2")
    assert shown.err.splitlines() == next_steps
    assert "made as:        staged, full replacement\n" in shown.out
    assert (await ran(caller, "watch", "2")).err.splitlines() == next_steps

    assert await ids(caller, "list", "people", "--staged", "2") == ["1"]
    assert await ids(caller, "list", "people", "--staged", "2", "--deleted") == ["3"]
    assert await ids(caller, "export", "people", "--staged", "2", "--deleted") == ["3"]
    assert await ids(caller, "list", "people") == ["1", "2", "3"]

    committed = await ran(caller, "commit", "2")
    assert (committed.code, committed.err) == (0, "")
    assert committed.out.splitlines() == [
        "import 2 into people: SUCCEEDED",
        "  2 received, 1 updated, 1 unchanged",
        "  1 not named by the import: deleted",
    ]
    assert await ids(caller, "list", "people") == ["1", "2"]
    printed = json.loads((await ran(caller, "commit", "2", "--json")).out)
    assert (printed["state"], printed["removed"]) == ("IMPORT_STATE_SUCCEEDED", "1")
    too_late = await ran(caller, "cancel", "2")
    assert (too_late.code, too_late.out) == (1, "")


async def test_staged_import_is_taken_back(caller: Caller, people: Path) -> None:
    rewrite(people, b"id,name\n4,Di\n5\n")
    staged = await ran(caller, "import", str(people), "--table", "people", "--staged")
    assert staged.code == 3, "some were rejected"
    listed = (await ran(caller, "imports", "--unfinished")).out.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [["2", "people", "AWAITING_COMMIT"]]
    assert listed[0].endswith("MADE AS")
    assert listed[1].endswith("staged")
    cancelled = await ran(caller, "cancel", "2")
    assert (cancelled.code, cancelled.err) == (0, "")
    assert cancelled.out.startswith("import 2 into people: CANCELLED\n")
    assert "Nothing was written" in cancelled.out
    assert await ids(caller, "list", "people") == ["1", "2", "3"]
    assert (await ran(caller, "imports", "--unfinished")).err == "no imports\n"
    refused = await ran(caller, "commit", "2")
    assert (refused.code, refused.out) == (1, "")
    assert "CANCELLED" in refused.err


async def test_rehearsal_says_what_would_be(caller: Caller, people: Path) -> None:
    rewrite(people, b"id,name\n1,Eva\n4,Di\n")
    args = ("import", str(people), "--table", "people")
    rehearsed = await ran(caller, *args, "--validate-only")
    assert rehearsed.code == 0
    assert rehearsed.out.splitlines()[0] == "import 2 into people: SUCCEEDED, a rehearsal"
    assert rehearsed.out.splitlines()[-1] == "  2 received; would be: 1 created, 1 updated"
    assert rehearsed.err.startswith("It was a rehearsal: import the same without --validate-only")
    assert await ids(caller, "list", "people") == ["1", "2", "3"]
    done = await ran(caller, *args)
    assert done.out.splitlines()[-1] == "  2 received, 1 created, 1 updated"


@pytest.mark.parametrize(
    ("mode", "told", "left"),
    [
        ("skip-existing", "2 received, 1 created, 1 skipped", {"1": "Ada", "2": "Bob", "3": "Cy", "4": "Di"}),
        ("DELETE", "2 received, 1 unchanged, 1 deleted", {"2": "Bob", "3": "Cy"}),
        ("fill_empty", "2 received, 1 created, 1 unchanged", {"1": "Ada", "2": "Bob", "3": "Cy", "4": "Di"}),
    ],
)
async def test_modes(caller: Caller, people: Path, mode: str, told: str, left: dict[str, str]) -> None:
    rows = people.with_name("rows.ndjson")
    rows.write_bytes(b'{"id":"1","name":"Eva"}\n{"id":"4","name":"Di"}\n')
    written = await ran(caller, "records", "write", "people", str(rows), "--mode", mode, "--validate-only")
    assert (written.code, written.err) == (0, "")
    assert written.out == f"wrote nothing, in a rehearsal, to people: {told.replace(',', '; would be:', 1)}\n"
    done = await ran(caller, "import", str(rows), "--table", "people", "--mode", mode)
    assert (done.code, done.out.splitlines()[-1]) == (0, f"  {told}")
    async with await client_of(caller) as ingot:
        found = [record.value async for record in ingot.list_records("people")]
    assert {record["id"]: record["name"] for record in found} == left


async def test_replacement_that_deletes_too_much_says_how_to_go_on(caller: Caller, people: Path) -> None:
    rewrite(people, b"id,name\n1,Ada\n")
    args = ("import", str(people), "--table", "people", "--reconcile")
    failed = await ran(caller, *args)
    assert (failed.code, failed.err) == (4, "")
    assert "max_deleted_ratio" in failed.out
    assert await ids(caller, "list", "people") == ["1", "2", "3"]
    assert (await ran(caller, *args, "--max-deleted-ratio", "1")).code == 0
    assert await ids(caller, "list", "people") == ["1"]


async def test_replacement_that_does_not_know_what_to_keep_has_to_be_imported_again(
    caller: Caller, people: Path
) -> None:
    rewrite(people, b"id,name\n1,Eva\n2\n")
    args = ("import", str(people), "--table", "people", "--reconcile", "--max-deleted-ratio", "1")
    done = await ran(caller, *args)
    assert done.code == 3
    assert "Nothing is deleted" in done.out
    assert done.err.splitlines() == [
        "Rejected records: ingot errors 2",
        "Mend the data, and import all of it again.",
    ]
    assert await ids(caller, "list", "people") == ["1", "2", "3"]


async def test_budget_of_errors(caller: Caller, people: Path) -> None:
    rewrite(people, b"id,name\n4,Di\n5\n,nobody\n")
    args = ("import", str(people), "--table", "people", "--staged")
    failed = await ran(caller, *args, "--max-errors", "1")
    assert failed.code == 4
    assert "more than max_errors allows (1)" in failed.out
    assert failed.err.splitlines() == [
        "Rejected records: ingot errors 2",
        "Mend the data, and import all of it again.",
    ]
    assert (await ran(caller, *args, "--max-error-ratio", "0.1")).code == 4
    assert "errors allowed: a share of 0.1\n" in (await ran(caller, "show", "3")).out


async def test_rejected_records_are_mended_and_imported_again(caller: Caller, people: Path) -> None:
    rewrite(people, 'id,name\n4,"Dí, ""x"""\n5\n,nobody\n'.encode())
    done = await ran(caller, "import", str(people), "--table", "people", "--label", "from=crm")
    assert done.code == 3
    mend = people.with_name("mend them.csv")
    assert done.err.splitlines() == [
        "Rejected records: ingot errors 2",
        "Mend them: ingot errors 2 --rejects -o mend.csv, and then: ingot retry 2 mend.csv",
    ]
    saved = await ran(caller, "errors", "2", "--rejects", "-o", str(mend))
    assert (saved.code, saved.out) == (0, "")
    assert saved.err.splitlines() == [
        f"wrote {mend}",
        f"Mend the records, leave the columns, and import them: ingot retry 2 '{mend}'",
    ]
    assert mend.read_bytes().startswith(b"\xef\xbb\xbfingot:errors,"), "Excel takes it for UTF-8"
    rows = list(csv.DictReader(io.StringIO(mend.read_text("utf-8-sig"), newline="")))
    assert [row["ingot:line"] for row in rows] == ["3", "4"]
    rows[0].update(id="5", name="Eä")
    rows[1].update(id="6")
    with mend.open("w", encoding="utf-16", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)

    mended = await ran(caller, "retry", "2", str(mend), "--encoding", "utf-16")
    assert (mended.code, mended.err) == (0, "")
    assert mended.out.splitlines() == ["import 3 into people: SUCCEEDED", "  2 received, 2 created"]
    async with await client_of(caller) as ingot:
        assert (await ingot.get_record("people", "5")).value == {"id": "5", "name": "Eä"}
        assert (await ingot.get_record("people", "6")).value == {"id": "6", "name": "nobody"}
        assert (await ingot.get_import("3")).labels == {"from": "crm", "mended_from": "2"}
    assert "made as:        mended from 2\n" in (await ran(caller, "show", "3")).out

    printed = await ran(caller, "errors", "2", "--rejects")
    assert [json.loads(line)["ingot:line"] for line in printed.out.splitlines()] == [3, 4]
    printed = await ran(caller, "errors", "2", "--rejects", "--format", "csv")
    assert (printed.out.startswith("ingot:errors"), printed.err) == (True, "")


async def test_rejected_records_are_tried_again_as_they_were(caller: Caller) -> None:
    orders = b'{"id":"o1","contact_id":"1","total":"9.50","currency":"EUR"}\n'
    await ran(caller, "tables", "create", "crm", "--kind", "contacts")
    done = await ran(caller, "import", "-", "--type", "ndjson", "--table", "orders", "--kind", "orders", stdin=orders)
    assert done.code == 4
    assert done.err.splitlines()[-1] == "When what was not found is there, try them again as they are: ingot retry 1"
    await ran(caller, "records", "write", "crm", stdin=b'{"id":"1","email":"ada@example.org"}')
    again = await ran(caller, "retry", "1", "--request-id", "x")
    assert (again.code, again.err) == (0, "")
    assert again.out.splitlines() == ["import 2 into orders: SUCCEEDED", "  1 received, 1 created"]
    assert "made as:        retry of 1\n" in (await ran(caller, "show", "2")).out
    assert (await ran(caller, "retry", "1", "--request-id", "x")).out == again.out
    nothing = await ran(caller, "retry", "2")
    assert (nothing.code, nothing.out, nothing.err) == (1, "", "error: import 2 has rejected no record\n")


async def test_records_that_could_not_be_read_are_told_when_the_others_are_tried_again(caller: Caller) -> None:
    order = b'{"id":"o1","contact_id":"1","total":"9.50","currency":"EUR"}\n'
    args = ("import", "-", "--type", "ndjson", "--table", "orders", "--kind", "orders")
    done = await ran(caller, *args, stdin=order + b'{"id":\n')
    assert done.err.splitlines()[-1].endswith("ingot retry 1 (without the 1 that could not be read)")
    await ran(caller, "records", "write", "crm", "--kind", "contacts", stdin=b'{"id":"1","email":"ada@example.org"}')
    untried = "1 of 2 could not be read and was not tried: ingot errors 1 --rejects\n"
    for more in ((), ("--json",), ("--no-watch",)):
        again = await ran(caller, "retry", "1", "--request-id", "x", *more)
        assert (again.code, again.err) == (0, untried)

    await ran(caller, *args, stdin=b"[\n{\n")
    nothing = await ran(caller, "retry", "3")
    assert (nothing.code, nothing.out) == (1, "")
    assert nothing.err.splitlines() == [
        "error: none of the 2 records that import 3 rejected could be read",
        "They have to be mended: `ingot errors 3 --rejects -o mend.csv`, then `ingot retry 3 mend.csv`.",
    ]


@pytest.mark.parametrize(
    ("type_", "data", "code", "advice"),
    [
        (
            "json",
            b'[{"id":1,"keys":["id"]},{"id":',
            3,
            "The file could not be read to its end: mend it there, and import all of it again.",
        ),
        (
            "ndjson",
            b'{"id":1}\n{}\n',
            4,
            "Nothing says which fields are the key: import it again with --key FIELD, or with --kind KIND.",
        ),
    ],
)
async def test_no_retry_is_advised_where_it_cannot_help(
    caller: Caller, type_: str, data: bytes, code: int, advice: str
) -> None:
    done = await ran(caller, "import", "-", "--type", type_, "--table", "t", stdin=data)
    assert done.code == code
    assert done.err.splitlines() == ["Rejected records: ingot errors 1", advice]
    assert (await ran(caller, "show", "1")).err == done.err
    nothing = await ran(caller, "retry", "1")
    assert (nothing.code, nothing.err.splitlines()[1:]) == (1, [advice])


async def test_wrong_encoding_is_answered_by_the_option_for_it(caller: Caller) -> None:
    args = ("import", "-", "--type", "csv", "--table", "t", "--key", "id")
    data = "id,name\n1,Ada\n2,Zoë\n".encode("latin-1")
    done = await ran(caller, *args, stdin=data)
    assert (done.code, done.err.count("--encoding latin-1")) == (3, 1)
    assert (await ran(caller, *args, "--encoding", "latin-1", stdin=data)).err == ""


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_mended_records_go_where_they_were_rejected_and_replace_nothing(
    caller: Caller, people: Path, format_: str
) -> None:
    rewrite(people, b"id,name\n4,Di\n5\n")
    args = ("import", str(people), "--table", "people")
    for _ in range(2):
        await ran(caller, *args)
    mend = people.with_name(f"mend.{format_}")
    await ran(caller, "errors", "2", "--rejects", "--format", format_, "-o", str(mend))
    refused = await ran(caller, "retry", "3", str(mend))
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "error: the data are records that import 2 has rejected, and not import 3\n"
    refused = await ran(caller, "import", str(mend), "--table", "people", "--reconcile")
    assert (refused.code, refused.out) == (1, "")
    assert "the records that import 2 has rejected: a full replacement with them would delete all others" in refused.err
    from_stdin = ("import", "-", "--type", format_, "--table", "people", "--reconcile")
    assert (await ran(caller, *from_stdin, stdin=mend.read_bytes())).err == refused.err
    assert (await ran(caller, "imports", "--unfinished")).err == "no imports\n"
    assert (await ran(caller, "retry", "2", str(mend))).out.startswith("import 4 into people: ")


async def test_a_cancelled_upload_is_told_to_be_cut_off(caller: Caller) -> None:
    import_id = await caller.create("people", ["id"], staged=True)
    await caller.upload([records([{"id": 1}, {}], import_id=import_id, batch_id="b")])
    assert "upload: SUCCESS" not in (await ran(caller, "show", import_id)).out
    await ran(caller, "cancel", import_id)
    shown = await ran(caller, "show", import_id)
    assert re.search(r"upload: +WARNING of what came: it was cut off\n", shown.out)
    assert shown.err == f"Rejected records: ingot errors {import_id}\n", "nothing was wrong with the others"


async def test_dropped_records_are_not_called_pending(caller: Caller, people: Path) -> None:
    await ran(caller, "import", str(people), "--table", "people", "--staged")
    cancelled = await ran(caller, "cancel", "2")
    assert cancelled.out.splitlines()[-1] == "  3 received, 3 dropped"
    [header, second, first] = (await ran(caller, "imports")).out.splitlines()
    assert header.split()[3:6] == ["RECEIVED", "REJECTED", "DROPPED"]
    assert [line.split()[3:6] for line in (second, first)] == [["3", "0", "3"], ["3", "0", "0"]]


async def test_a_file_called_minus_is_stdout(caller: Caller, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(people.parent)
    rewrite(people, b"id,name\n5\n")
    await ran(caller, "import", str(people), "--table", "people")
    printed = await ran(caller, "errors", "2", "--rejects", "--format", "csv", "-o", "-")
    assert (printed.out.startswith("ingot:errors,"), printed.err) == (True, "")
    printed = await ran(caller, "records", "export", "people", "-o", "-")
    assert (len(printed.out.splitlines()), printed.err) == (3, "")
    assert [path.name for path in people.parent.iterdir()] == ["people.csv"]


@pytest.mark.parametrize(("type_", "data"), [("csv", b""), ("csv", b"id,name\n"), ("json", b"[]")])
async def test_file_without_records_has_none_that_is_rejected(caller: Caller, type_: str, data: bytes) -> None:
    done = await ran(caller, "import", "-", "--type", type_, "--table", "t", "--key", "id", stdin=data)
    assert (done.code, done.err) == (4, "")
    assert done.out.splitlines()[-2:] == [
        "  0 received",
        "  1106 EMPTY_PAYLOAD: the batch holds no record: expected at least one",
    ]


async def test_what_is_wrong_is_called_by_its_option(caller: Caller, people: Path) -> None:
    wrong = ("--key", "id,id", "--kind", "kin", "--country", "Sweden", "--time-zone", "CET+1")
    refused = await ran(caller, "import", str(people), "--table", "no name", *wrong, "--staged", "--validate-only")
    assert refused.code == 1
    for option in ("--table", "--key", "--kind", "--country", "--time-zone", "--staged"):
        assert f"{option}: expected " in refused.err
    assert "spec." not in refused.err
    refused = await ran(caller, "records", "write", "people", *wrong, stdin=b'{"id":1}')
    assert refused.err.startswith("error: --kind: expected ")
    refused = await ran(caller, "import", str(people), "--table", "people", "--encoding", "none")
    assert refused.err.startswith("error: --encoding: expected ")


async def test_import_that_is_refused_leaves_no_bars_behind(caller: Caller, people: Path) -> None:
    command = Command(int(caller.address.rpartition(":")[2]))
    for args, drawn in ((("--table", "no name"), 0), (("--table", "people", "--encoding", "none"), 2)):
        with terminal() as (shown, programs):
            process = await command.start(
                *("import", str(people), *args, "--api-key", caller.key or ""), stderr=programs
            )
            os.close(programs)
            assert await process.wait() == 1
            bars, _, error = os.read(shown, 65536).decode().partition("error: ")
        assert error
        assert bars.rpartition("processing")[2].count("\x1b[2K") == drawn, "lines that are drawn are erased"
        assert ("upload" in bars) == (drawn > 0)


async def test_lists_that_stop_at_their_limit_say_so(caller: Caller, people: Path) -> None:
    records = ("records", "list", "people", "--limit")
    assert (await ran(caller, *records, "2")).err == (
        "There are more: say --limit N, or `ingot records export people` for all.\n"
    )
    assert (await ran(caller, *records, "3")).err == ""
    assert (await ran(caller, *records, "2", "--json")).err == ""
    assert (await ran(caller, "imports", "--limit", "1")).err == ""
    await ran(caller, "import", str(people), "--table", "people")
    assert (await ran(caller, "imports", "--limit", "1")).err == "There are older ones: say --limit N.\n"
    assert (await ran(caller, "imports", "--limit", "1", "--json")).err == ""


async def test_file_that_cannot_be_written_is_called_as_the_user_does(caller: Caller, people: Path) -> None:
    file = people.with_name("none") / "x.ndjson"
    for args in (("errors", "1", "-o", str(file)), ("records", "export", "people", "-o", str(file))):
        failed = await ran(caller, *args)
        assert (failed.code, failed.err) == (1, f"error: {file}: No such file or directory\n")


async def test_nothing_wrong_is_said_to_be_so(caller: Caller, people: Path) -> None:
    assert (await ran(caller, "errors", "1")).err == "no errors and no warnings\n"
    assert (await ran(caller, "errors", "1", "--severity", "warning")).err == "none of these is listed\n"
    for known in ("a new one", "which was blocked already"):
        blocked = await ran(caller, "blocked", "add", "a@example.org")
        assert blocked.err == f"blocked 1 value, {known}\n"


async def test_a_sandbox_key_writes_and_deletes_in_a_rehearsal(
    caller: Caller, database: Database, people: Path
) -> None:
    sandbox = await create_key(database, "acme", list(SCOPES), "test", None, sandbox=True)
    key = Caller(caller.address, sandbox.text)
    written = await ran(key, "records", "write", "people", stdin=b'{"id":"1","name":"Eva"}')
    assert written.out == "wrote nothing, in a rehearsal, to people: 1 received; would be: 1 updated\n"
    written = await ran(key, "records", "write", "people", "--json", stdin=b'{"id":"1","name":"Eva"}')
    assert json.loads(written.out)["validateOnly"] is True
    deleted = await ran(key, "records", "delete", "people", "1", "7")
    assert deleted.err == "deleted nothing, in a rehearsal; would be: deleted 1 of 2 records\n"
    deleted = await ran(key, "records", "delete", "people", "1", "--json")
    assert json.loads(deleted.out) == {"deleted": "1", "validateOnly": True}
    await key.channel.close()
    assert await ids(caller, "list", "people") == ["1", "2", "3"]
    assert (await ran(caller, "records", "delete", "people", "1", "7")).err == "deleted 1 of 2 records\n"


async def test_compressed_files(caller: Caller, people: Path) -> None:
    packed = people.with_name("people.csv.gz")
    packed.write_bytes(gzip.compress(PEOPLE))
    args = ("--table", "people", "--key", "id")
    done = await ran(caller, "import", str(packed), *args)
    assert done.out.splitlines()[-1] == "  3 received, 3 unchanged"
    stdin = ("import", "-", "--type", "csv", "--compression", "GZIP", *args)
    assert (await ran(caller, *stdin, stdin=packed.read_bytes())).out.splitlines()[-1] == "  3 received, 3 unchanged"
    refused = await ran(caller, "import", str(packed), *args, "--compression", "none")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "error: people.csv.gz is compressed with gzip: say --compression gzip\n"
    packed.write_bytes(gzip.compress(b"nr,name\n"))
    refused = await ran(caller, "import", str(packed), *args)
    assert "the header of people.csv.gz has 2 columns, 'nr', 'name', and no 'id'" in refused.err


async def test_server_fetches_a_uri(database: Database, database_url: str, tmp_path: Path) -> None:
    key = await create_key(database, "acme", list(SCOPES), "test", None)
    ours = tmp_path / "people.csv"
    rewrite(ours, PEOPLE)
    allowed: dict[str, Any] = {"reference_private_networks": True, "reference_folders": str(tmp_path)}
    async with (
        hosting(PEOPLE) as host,
        running_app(database_url, **allowed) as app,
        Caller(f"127.0.0.1:{app.port}", key.text) as caller,
    ):
        done = await ran(caller, "import", f"{host.url}?secret=1", "--table", "t", "--key", "id")
        assert (done.code, done.err) == (0, "")
        assert done.out.splitlines() == ["import 1 into t: SUCCEEDED", "  3 received, 3 created"]
        listed = (await ran(caller, "batches", "1")).out.splitlines()
        assert listed[1].split()[-1] == host.url

        host.behaviours.append(status(404))
        failed = await ran(caller, "import", host.url, "--table", "t")
        assert failed.code == 4
        assert f"  batch main, {host.url}: " in failed.out
        assert "404" in failed.out
        assert "404" in (await ran(caller, "show", "2")).out
        assert "404" in (await ran(caller, "batches", "2")).err

        refused = await ran(caller, "import", ours.as_uri(), "--table", "t")
        assert refused.code == 2
        assert "say --reference" in refused.err
        done = await ran(caller, "import", ours.as_uri(), "--table", "t", "--reference")
        assert done.out.splitlines()[-1] == "  3 received, 3 unchanged"
        refused = await ran(caller, "import", "file:///etc/none.csv", "--table", "t", "--reference")
        assert (refused.code, refused.out) == (1, "")
        assert (await ran(caller, "imports", "--unfinished")).err == "no imports\n"


async def test_what_an_account_or_a_key_may_not_is_explained(
    caller: Caller, database: Database, database_url: str, people: Path
) -> None:
    sandbox = await create_key(database, "acme", list(SCOPES), "test", None, sandbox=True)
    async with running_app(database_url, open_imports_max=1) as app:
        one = Caller(f"127.0.0.1:{app.port}", caller.key)
        args = ("import", str(people), "--table", "people")
        await ran(one, *args, "--staged")
        refused = await ran(one, *args)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.splitlines()[1:] == [
            "See them with `ingot imports --unfinished`, and go on with one, or `ingot cancel 2`."
        ]
        key = Caller(one.address, sandbox.text)
        rehearsed = await ran(key, *args)
        assert (rehearsed.code, rehearsed.out.splitlines()[0]) == (0, "import 3 into people: SUCCEEDED, a rehearsal")
        refused = await ran(key, "commit", "2")
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.splitlines()[1].startswith("With this key imports can be rehearsed")
        for each in (one, key):
            await each.channel.close()
