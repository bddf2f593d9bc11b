"""What the audit log tells: who used which key, whose was refused, and who deleted what."""

import asyncio
import json
import logging
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from grpc import aio

from ingot.v1 import import_pb2, record_pb2, table_pb2, write_mode_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as re
from ingot.v1 import table_service_pb2 as ta
from ingot_server.access import create_key
from ingot_server.app import App
from ingot_server.domain.api_keys import SCOPES, ApiKey, api_key_new
from ingot_server.logs import set_up_logs
from ingot_server.rpc import known_keys
from ingot_server.storage import accounts
from ingot_server.storage.database import Database
from tests.api.test_life import done, staged
from tests.calling import Caller, records
from tests.conftest import running_app
from tests.faults.postgres_proxy import postgres_proxy
from tests.faults.processes import server_process
from tests.test_commands import ingot_server

LIST = "/ingot.v1.ImportService/ListImports"


class Audit:
    """What the audit log has told since the test began."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def told(self, *events: str) -> list[dict[str, Any]]:
        """The facts of the events of some kinds."""
        found = [vars(record) for record in self._caplog.records if record.name == "ingot.audit"]
        standard = vars(logging.makeLogRecord({}))
        return [
            {name: value for name, value in facts.items() if name not in standard and name != "message"}
            for facts in found
            if facts["event"] in events
        ]


@pytest.fixture
def audit(caplog: pytest.LogCaptureFixture) -> Audit:
    caplog.set_level(logging.INFO, "ingot.audit")
    return Audit(caplog)


def key_id(caller: Caller) -> str:
    assert caller.key is not None
    return caller.key.split("_")[1]


def who(caller: Caller, account_id: int = 1) -> dict[str, Any]:
    return {"account_id": account_id, "account": "acme", "key_id": key_id(caller), "peer": "127.0.0.1"}


async def test_the_first_use_of_a_key_from_an_address_is_told_once_in_a_while(
    server: App, caller: Caller, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await caller.imports.ListImports(im.ListImportsRequest())
    async with Caller(caller.address, caller.key) as again:
        await again.imports.ListImports(im.ListImportsRequest())
    use = {"event": "key_used", "key_id": key_id(caller), "account": "acme", "peer": "127.0.0.1", "method": LIST}
    assert audit.told("key_used") == [use]
    # An hour later.
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + known_keys.USE_SECONDS + 1)
    monkeypatch.setattr(known_keys, "time", later)
    await caller.imports.ListImports(im.ListImportsRequest())
    assert audit.told("key_used") == [use, use]


async def test_every_refused_key_is_told_with_the_reason_and_never_with_its_secret(
    server: App, caller: Caller, database: Database, audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    revoked = await create_key(database, "acme", list(SCOPES), "", None)
    await accounts.api_key_revoke(database, revoked.key_id)
    reader = await create_key(database, "acme", ["tables:read"], "", None)
    unknown, wrong = api_key_new(), ApiKey(key_id(caller), api_key_new().secret)
    garbled = api_key_new().text[:-1] + "#"
    for text in (revoked.text, reader.text, unknown.text, wrong.text, garbled):
        async with Caller(caller.address, text) as refused:
            with pytest.raises(aio.AioRpcError):
                await refused.imports.ListImports(im.ListImportsRequest())
    told = audit.told("key_refused")
    assert [(fact["key_id"], fact["why"]) for fact in told] == [
        (revoked.key_id, "revoked or expired"),
        (reader.key_id, "lacks the scope imports:read"),
        (unknown.key_id, "unknown"),
        (key_id(caller), "wrong secret"),
        (None, "garbled"),
    ]
    assert all((fact["peer"], fact["method"]) == ("127.0.0.1", LIST) for fact in told)
    written = "".join(str(vars(record)) for record in caplog.records)
    for key in (revoked, reader, unknown, wrong):
        assert key.secret not in written
    assert garbled.split("_")[2][:20] not in written


async def test_keys_that_are_made_and_revoked_are_told(database_url: str) -> None:
    """By the command, whatever it is told to log."""
    _, key, said = await ingot_server(
        "keys", "create", "--account", "acme", database_url=database_url, log_level="ERROR"
    )
    made = json.loads(said.splitlines()[-1])
    secret = key.strip().split("_")[2]
    made_id = key.split("_")[1]
    assert (made["logger"], made["event"], made["key_id"]) == ("ingot.audit", "key_created", made_id)
    assert (made["account"], made["scopes"]) == ("acme", ",".join(SCOPES))
    assert secret not in said
    _, _, said = await ingot_server("keys", "revoke", made_id, database_url=database_url)
    assert (json.loads(said)["event"], json.loads(said)["key_id"]) == ("key_revoked", made_id)


async def test_the_local_key_of_a_server_is_told(open_folder: Path) -> None:
    async with server_process(data_dir=open_folder / "audited", log_level="ERROR") as server:
        server.process.terminate()
        assert server.process.stderr is not None
        lines = (await server.process.stderr.read()).decode().splitlines()
    events = [json.loads(line)["event"] for line in lines if "ingot.audit" in line]
    assert events == ["key_created"]


async def test_deletions_are_told_with_who_whose_what_and_how_many(
    server: App, caller: Caller, audit: Audit, database: Database
) -> None:
    account = await database.fetchrow("SELECT account_id FROM account WHERE name = 'acme'")
    assert account is not None
    by = who(caller, account["account_id"])
    ended = await done(caller, [{"id": row} for row in range(5)])
    await caller.records.DeleteRecords(re.DeleteRecordsRequest(table="things", keys=["0", "1", "none"]))
    await caller.records.WriteRecords(
        re.WriteRecordsRequest(
            table="things",
            records=[record_pb2.Record(json=b'{"id": 2}'), record_pb2.Record(json=b'{"id": "none"}')],
            mode=write_mode_pb2.WRITE_MODE_DELETE,
        )
    )
    # What finds nothing deletes nothing.
    await caller.records.DeleteRecords(re.DeleteRecordsRequest(table="things", keys=["none"]))
    await caller.imports.DeleteImport(im.DeleteImportRequest(import_id=ended.import_id))
    domain = table_pb2.BlockedValue(type=table_pb2.BLOCKED_VALUE_TYPE_DOMAIN, value="spam.example")
    await caller.tables.BlockValues(ta.BlockValuesRequest(values=[domain]))
    await caller.tables.UnblockValues(ta.UnblockValuesRequest(values=[domain]))
    await caller.tables.DeleteTable(ta.DeleteTableRequest(table="things"))
    assert audit.told("deletion") == [
        {"event": "deletion", "what": "records", "table": "things", "count": 2, **by},
        {"event": "deletion", "what": "records", "table": "things", "count": 1, **by},
        {"event": "deletion", "what": "import", "import_id": int(ended.import_id), **by},
        {"event": "deletion", "what": "blocked values", "count": 1, **by},
        {"event": "deletion", "what": "table", "table": "things", **by},
    ]


async def test_imports_that_delete_are_told_when_they_are_ordered_and_when_they_end(
    server: App, caller: Caller, audit: Audit
) -> None:
    await done(caller, [{"id": row} for row in range(5)])
    assert not audit.told("deletion", "deletion_ordered")
    deleting = await done(caller, [{"id": 0}, {"id": 1}, {"id": 9}], mode=write_mode_pb2.WRITE_MODE_DELETE)
    replacing = await staged(caller, [{"id": 2}], reconcile=import_pb2.Reconcile(max_deleted_ratio=1))
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=replacing.import_id))
    await caller.ended(replacing.import_id)
    ordered = audit.told("deletion_ordered")
    assert [fact["import_id"] for fact in ordered] == [int(deleting.import_id), *[int(replacing.import_id)] * 2]
    assert all(fact["key_id"] == key_id(caller) for fact in ordered)
    assert [(fact["import_id"], fact["count"]) for fact in audit.told("deletion")] == [
        (int(deleting.import_id), 2),
        (int(replacing.import_id), 2),
    ]


async def test_what_a_commit_has_deleted_is_told_also_if_the_answer_to_it_is_lost(
    database_url: str, database: Database, audit: Audit
) -> None:
    key = await create_key(database, "acme", list(SCOPES), "test", None)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            postgres_proxy(Path(folder), database_url) as (proxy, url),
            running_app(url),
            running_app(database_url, workers=0) as app,
            Caller(f"127.0.0.1:{app.port}", key.text) as caller,
        ):
            await done(caller, [{"id": row} for row in range(5)])
            deleting = await staged(caller, [{"id": 0}, {"id": 1}], mode=write_mode_pb2.WRITE_MODE_DELETE)
            # A chore of the server may come first.
            proxy.swallow_commits = 3
            await caller.imports.CommitImport(im.CommitImportRequest(import_id=deleting.import_id))
            await caller.ended(deleting.import_id)
            while not audit.told("deletion"):  # noqa: ASYNC110 - a log wakes nobody
                await asyncio.sleep(0.02)
            assert proxy.swallowed
    assert [fact["count"] for fact in audit.told("deletion")] == [2]


async def test_an_import_that_is_cancelled_tells_what_it_had_deleted(server: App, caller: Caller, audit: Audit) -> None:
    await done(caller, [{"id": row} for row in range(5)])
    import_id = await caller.create(mode=write_mode_pb2.WRITE_MODE_DELETE)
    await caller.upload([records([{"id": 0}, {"id": 1}], import_id=import_id, batch_id="b")])
    while (await caller.get(import_id)).counts.deleted < 2:
        pass
    await caller.ended_by_cancel(import_id)
    assert [(fact["import_id"], fact["count"]) for fact in audit.told("deletion")] == [(int(import_id), 2)]


async def test_rehearsals_delete_nothing(server: App, caller: Caller, audit: Audit) -> None:
    await done(caller, [{"id": row} for row in range(5)])
    await done(caller, [{"id": 0}], mode=write_mode_pb2.WRITE_MODE_DELETE, validate_only=True)
    await caller.records.WriteRecords(
        re.WriteRecordsRequest(
            table="things",
            records=[record_pb2.Record(json=b'{"id": 2}')],
            mode=write_mode_pb2.WRITE_MODE_DELETE,
            validate_only=True,
        )
    )
    assert not audit.told("deletion", "deletion_ordered")


@pytest.mark.parametrize("level", ["DEBUG", "ERROR"])
def test_the_audit_log_is_written_at_every_level(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    root, own = logging.getLogger(), logging.getLogger("ingot.audit")
    before = root.handlers[:], root.level, own.level
    try:
        set_up_logs("json", level)
        own.info("an API key was used", extra={"event": "key_used", "key_id": "k"})
        logging.getLogger("x").info("something else")
    finally:
        root.handlers[:], root.level, own.level = before
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert ("key_used" in [line.get("event") for line in lines]) is True
    assert len(lines) == (2 if level == "DEBUG" else 1)
