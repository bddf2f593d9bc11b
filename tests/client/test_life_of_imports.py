"""The clients through the whole life of an import: modes, rehearsals, commits, retries, references."""

import asyncio
import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from ingot_client import (
    AsyncClient,
    Client,
    ImportStateRefused,
    InvalidRequest,
    NothingToRetry,
    Progress,
    RejectsGone,
    SandboxKey,
    SourceDiffers,
    TooManyImports,
)
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller
from tests.client.test_real_server import client_of
from tests.conftest import running_app
from tests.pipeline.hosting import hosting

ADA = {"id": 1, "name": "Ada", "city": "London"}
BOB = {"id": 2, "name": "Bob", "city": "Oslo"}
ORDER = {"id": "o1", "contact_id": "1", "currency": "EUR", "total": "9.50"}


async def records_of(ingot: AsyncClient, table: str, **shown: Any) -> list[dict[str, Any]]:
    return [record.value async for record in ingot.list_records(table, **shown)]


@pytest.mark.parametrize(
    ("mode", "given", "held", "count"),
    [
        ("replace", {"id": 1, "city": "Paris"}, {"id": 1, "city": "Paris"}, "updated"),
        ("Merge", {"id": 1, "city": "Paris"}, {**ADA, "city": "Paris"}, "updated"),
        ("fill-empty", {"id": 1, "city": "Paris", "age": 36}, {**ADA, "age": 36}, "updated"),
        ("SKIP_EXISTING", {"id": 1, "city": "Paris"}, ADA, "skipped"),
        ("delete", {"id": 1}, None, "deleted"),
    ],
)
async def test_modes_are_words_in_any_case(
    caller: Caller, mode: str, given: dict[str, Any], held: dict[str, Any] | None, count: str
) -> None:
    async with await client_of(caller) as ingot:
        for table in ("imported", "written"):
            await ingot.import_records(table, [ADA], key_fields=["id"])
        done = await ingot.import_records("imported", [given], mode=mode)
        assert (done.state, done.mode, getattr(done.counts, count)) == (
            "SUCCEEDED",
            mode.upper().replace("-", "_"),
            1,
        )
        written = await ingot.write_records("written", [given], mode=mode)
        assert (written.counts.received, getattr(written.counts, count)) == (1, 1)
        for table in ("imported", "written"):
            assert await records_of(ingot, table) == ([held] if held is not None else [])


async def test_rehearsal_tells_and_stores_nothing(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        await ingot.import_records("t", [ADA], key_fields=["id"])
        done = await ingot.import_records("t", [{**ADA, "name": "Eve"}, BOB, {"name": "nobody"}], validate_only=True)
        assert (done.state, done.validate_only, done.would_be) == ("PARTIALLY_SUCCEEDED", True, True)
        assert (done.counts.updated, done.counts.created, done.counts.rejected) == (1, 1, 1)
        written = await ingot.write_records("t", [BOB], validate_only=True)
        assert written.counts.created == 1
        assert await records_of(ingot, "t") == [ADA]


async def test_staged_import_is_looked_at_and_committed(caller: Caller, tmp_path: Path) -> None:
    async with await client_of(caller) as ingot:
        await ingot.import_records("t", [ADA, BOB], key_fields=["id"])
        staged = await ingot.import_records("t", [{**ADA, "city": "Paris"}], staged=True, reconcile=0.5)
        assert (staged.state, staged.awaits_commit, staged.final) == ("AWAITING_COMMIT", True, False)
        assert (staged.would_be, staged.reconcile, staged.max_deleted_ratio) == (True, True, 0.5)
        assert (staged.counts.updated, staged.removed) == (1, 1)
        assert await records_of(ingot, "t") == [ADA, BOB]
        assert await records_of(ingot, "t", staged_import=staged.import_id) == [{**ADA, "city": "Paris"}]
        assert await records_of(ingot, "t", staged_import=staged.import_id, part="deleted") == [BOB]
        exported = io.BytesIO()
        await ingot.export_records("t", exported, staged_import=staged.import_id, part="DELETED")
        assert b"Oslo" in exported.getvalue()
        assert [job.state async for job in ingot.watch(staged.import_id)] == ["AWAITING_COMMIT"]

        seen: list[Progress] = []
        done = await ingot.commit(staged.import_id, on_progress=seen.append)
        assert (done.state, done.counts.updated, done.removed, done.would_be) == ("SUCCEEDED", 1, 1, False)
        assert seen[-1].job == done
        assert await records_of(ingot, "t") == [{**ADA, "city": "Paris"}]
        assert (await ingot.commit(staged.import_id)).state == "SUCCEEDED", "it may be asked for again"
        with pytest.raises(ImportStateRefused):
            await ingot.cancel(staged.import_id)


async def test_staged_import_is_taken_back(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        staged = await ingot.import_records("t", [ADA], key_fields=["id"], staged=True, request_id="nightly")
        again = await ingot.import_records("t", [ADA], key_fields=["id"], staged=True, request_id="nightly")
        assert (again.import_id, again.state, again.already_ended) == (staged.import_id, "AWAITING_COMMIT", True)
        await ingot.cancel(staged.import_id)
        assert [job async for job in ingot.watch(staged.import_id)][-1].state == "CANCELLED"
        assert await records_of(ingot, "t") == []
        with pytest.raises(ImportStateRefused):
            await ingot.commit(staged.import_id)


async def test_replacement_that_deletes_too_much_fails(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        await ingot.import_records("t", [ADA, BOB], key_fields=["id"])
        failed = await ingot.import_records("t", [ADA], reconcile=True)
        assert (failed.state, failed.max_deleted_ratio) == ("FAILED", 0.2)
        assert await records_of(ingot, "t") == [ADA, BOB]
        assert (await ingot.import_records("t", [ADA], reconcile=0)).state == "FAILED", "nothing may go"
        assert (await ingot.import_records("t", [ADA], reconcile=1)).removed == 1
        assert await records_of(ingot, "t") == [ADA]


async def test_budget_of_errors(caller: Caller) -> None:
    rows = [ADA, {"name": "nobody"}, BOB]
    async with await client_of(caller) as ingot:
        done = await ingot.import_records("t", rows, key_fields=["id"], max_errors=0)
        assert (done.state, done.max_errors, done.max_error_ratio) == ("FAILED", 0, None)
        done = await ingot.import_records("t", rows, max_error_ratio=0.1)
        assert (done.state, done.max_errors, done.max_error_ratio) == ("FAILED", None, 0.1)
        done = await ingot.import_records("t", rows, max_errors=1, max_error_ratio=0.5)
        assert done.state == "PARTIALLY_SUCCEEDED"


async def test_compressed_files_are_sent_as_they_are(caller: Caller, tmp_path: Path) -> None:
    data = b"id,name\n" + b"".join(b"%d,name %d\n" % (number, number) for number in range(5_000))
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(data))
    async with await client_of(caller) as ingot:
        done = await ingot.import_file("t", packed, key_fields=["id"])
        assert done.counts.created == 5_000
        batch = await ingot.get_batch(done.import_id, "main")
        assert batch.total == packed.stat().st_size
        with gzip.open(packed) as unpacking:
            assert (await ingot.import_file("t", unpacking)).counts.unchanged == 5_000  # type: ignore[arg-type]
        with packed.open("rb") as file:
            assert (await ingot.import_file("t", file)).counts.unchanged == 5_000
        stream = io.BytesIO(packed.read_bytes())
        assert (await ingot.import_file("t", stream, type="csv", compression="GZIP")).counts.unchanged == 5_000
        with pytest.raises(ValueError, match="'lzma' is not one of NONE, GZIP, ZSTD"):
            await ingot.import_file("t", packed, compression="lzma")


async def test_rejected_records_are_tried_again_when_what_they_need_is_there(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        await ingot.create_table("people", kind="CONTACTS")
        first = await ingot.import_records("orders", [ORDER], kind="orders", labels={"run": "1"})
        assert (first.state, first.error_groups[0].code) == ("FAILED", "CONTACT_NOT_FOUND")
        await ingot.import_records("people", [{"id": "1", "email": "ada@example.org"}])
        done = await ingot.retry(first.import_id, request_id="again")
        assert (done.state, done.retry_of, done.counts.created) == ("SUCCEEDED", first.import_id, 1)
        assert (done.labels, done.kind) == ({"run": "1"}, "ORDERS")
        assert (await ingot.retry(first.import_id, request_id="again")).import_id == done.import_id
        with pytest.raises(NothingToRetry):
            await ingot.retry(done.import_id)


async def test_rejected_records_are_mended_in_a_file(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("id,email,note\n1,ada@example.org,=1+1\n2,bob at example.org,007\n3,cy@example.org\n")
    options: dict[str, Any] = {"kind": "contacts", "mode": "merge", "labels": {"from": "crm"}, "reconcile": 1.0}
    async with await client_of(caller) as ingot:
        first = await ingot.import_file("crm", file, **options)
        assert (first.state, first.counts.rejected) == ("PARTIALLY_SUCCEEDED", 2)
        mend = tmp_path / "mend.csv"
        assert await ingot.export_rejects(first.import_id, mend, format="csv") == mend.stat().st_size
        assert mend.read_bytes().startswith(b"\xef\xbb\xbfingot:errors"), "Excel takes it for UTF-8"
        [wrong, short] = csv.DictReader(io.StringIO(mend.read_text("utf-8-sig"), newline=""))
        assert "e-mail address" in wrong["ingot:errors"]
        wrong["email"] = "bob@example.org"
        short.update(id="3", email="cy@example.org")
        with mend.open("w", encoding="utf-8-sig", newline="") as mended:
            writer = csv.DictWriter(mended, list(wrong), delimiter=";")
            writer.writeheader()
            writer.writerows([wrong, short])
        done = await ingot.import_mended(first.import_id, mend)
        assert (done.state, done.counts.created) == ("SUCCEEDED", 2)
        labels = {"from": "crm", "mended_from": first.import_id}
        assert (done.table, done.kind, done.mode, done.labels) == ("crm", "CONTACTS", "MERGE", labels)
        assert not done.reconcile, "it would delete all other records"
        assert sorted(record["email"] for record in await records_of(ingot, "crm")) == [
            "ada@example.org",
            "bob@example.org",
            "cy@example.org",
        ]
        lines = io.BytesIO()
        await ingot.export_rejects(first.import_id, lines, format="ndjson")
        assert lines.getvalue().startswith(b'{"ingot:errors":')
        piece = io.BytesIO()
        await ingot.export_rejects(first.import_id, piece, format="csv")
        assert piece.getvalue().startswith(b"ingot:errors"), "only a new file gets the mark"


async def test_files_are_fetched_by_the_server(database: Database, database_url: str) -> None:
    key = await create_key(database, "acme", list(SCOPES), "test", None)
    async with (
        hosting(b"id,name\n1,Ada\n2\n") as host,
        running_app(database_url, reference_private_networks=True) as app,
        AsyncClient(f"127.0.0.1:{app.port}", key.text) as ingot,
    ):
        seen: list[Progress] = []
        uri = f"{host.url}?secret=1"
        done = await ingot.import_reference("t", uri, key_fields=["id"], request_id="nightly", on_progress=seen.append)
        assert (done.state, done.counts.created, done.counts.rejected) == ("PARTIALLY_SUCCEEDED", 1, 1)
        assert seen[-1].job is not None
        batch = await ingot.get_batch(done.import_id, "main")
        assert (batch.uri, batch.status_message, batch.finished) == (host.url, "", True)
        again = await ingot.import_reference("t", uri, key_fields=["id"], request_id="nightly")
        assert (again.import_id, again.already_ended) == (done.import_id, True)
        with pytest.raises(SourceDiffers, match="used for another file"):
            await ingot.import_reference("t", "http://127.0.0.1/b.csv", key_fields=["id"], request_id="nightly")

        job = await ingot.create_import("t")
        made = await ingot.reference_batch(job.import_id, "a", host.url, type="CSV", columns=["id", "name"])
        assert made.uri == host.url
        await ingot.finish(job.import_id)
        assert [job async for job in ingot.watch(job.import_id)][-1].counts.received == 3

        with pytest.raises(InvalidRequest):
            await ingot.import_reference("t", "ftp://example.org/a.csv")
        [refused] = [job async for job in ingot.list_imports(states=["CANCELLED"])]
        assert refused.batch_count == 0, "nobody would go on with it"


async def test_limits_of_an_account_and_a_sandbox_key(caller: Caller, database: Database, database_url: str) -> None:
    sandbox = await create_key(database, "acme", list(SCOPES), "test", None, sandbox=True)
    async with running_app(database_url, open_imports_max=1) as app:
        address = f"127.0.0.1:{app.port}"
        async with AsyncClient(address, caller.key) as ingot:
            staged = await ingot.import_records("t", [ADA], key_fields=["id"], staged=True)
            with pytest.raises(TooManyImports) as many:
                await ingot.import_records("t", [BOB])
            assert many.value.facts == {"limit": "1", "import_id": staged.import_id}
            assert many.value.retry_after_seconds is not None
            assert (await ingot.import_records("t", [BOB], validate_only=True)).state == "SUCCEEDED"
        async with AsyncClient(address, sandbox.text) as ingot:
            assert (await ingot.import_records("t", [BOB])).validate_only
            assert (await ingot.write_records("t", [BOB])).counts.created == 1
            with pytest.raises(SandboxKey):
                await ingot.commit(staged.import_id)
        async with AsyncClient(address, caller.key) as ingot:
            assert await records_of(ingot, "t") == []


async def test_rejects_are_kept_for_a_time(caller: Caller, database: Database) -> None:
    async with await client_of(caller) as ingot:
        done = await ingot.import_records("crm", [{"email": "none"}], kind="CONTACTS")
        # As the server does it after a day.
        await database.pool.execute("DELETE FROM chunk")
        await database.pool.execute("UPDATE import SET chunks_deleted = true")
        with pytest.raises(RejectsGone):
            await ingot.retry(done.import_id)
        with pytest.raises(RejectsGone):
            await ingot.export_rejects(done.import_id, io.BytesIO())


async def test_synchronous_client_does_it_too(caller: Caller) -> None:
    def work() -> list[str]:
        with Client(caller.address, caller.key) as ingot:
            staged = ingot.import_records("t", [ADA], key_fields=["id"], staged=True)
            listed = [record.value["name"] for record in ingot.list_records("t", staged_import=staged.import_id)]
            return [staged.state, *listed, ingot.commit(staged.import_id).state]

    assert await asyncio.to_thread(work) == ["AWAITING_COMMIT", "Ada", "SUCCEEDED"]


async def test_unknown_options_are_refused(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        with pytest.raises(ValueError, match="'upsert' is not one of REPLACE, MERGE"):
            await ingot.import_records("t", [ADA], mode="upsert")
        with pytest.raises(TypeError, match="stagd"):
            await ingot.import_records("t", [ADA], stagd=True)  # type: ignore[call-arg]
        with pytest.raises(InvalidRequest):
            await ingot.import_records("t", [ADA], staged=True, validate_only=True)
