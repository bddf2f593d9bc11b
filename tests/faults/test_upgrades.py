"""A rolling update: servers of an earlier commit and of this one work side by side on one database.

The earlier commit is the one from which rolling updates are promised; another one is tried with
`INGOT_UPGRADE_FROM=<commit> pytest tests/faults/test_upgrades.py`. Its servers run from its own files, in the
environment of this one.
"""

import asyncio
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from grpc import aio

from ingot.v1 import batch_pb2, field_pb2, import_pb2, record_error_pb2, record_service_pb2, table_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import table_service_pb2 as ts
from tests.calling import Caller, Upload, records
from tests.faults import staging
from tests.faults.processes import ServerProcess, server_process
from tests.faults.staging import awaiting, commit, expect_committed_once, stop_at
from tests.test_commands import ingot_server

UPDATES_FROM = "a26f3ea825701f8049538525b7dfb94213e7a45e"
"""The first commit whose servers may run beside those of any later one."""
ROOT = Path(__file__).parents[2]
FOLDERS = ("server", "protos")
PIECES = 5
"""An upload moves to the other server after each."""
ROWS = 3_000
OLD, NEW = 0, 1

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="session")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the earlier commit."""
    commit = os.environ.get("INGOT_UPGRADE_FROM", UPDATES_FROM)
    found = subprocess.run(["git", "archive", commit, *FOLDERS], cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"commit {commit} is not in this clone, and rolling updates are tested from it: fetch the history")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@contextmanager
def running_from(code: Path) -> Iterator[None]:
    """Programs that are started within it take Ingot from other files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(str(code / folder) for folder in FOLDERS))
        yield


@dataclass
class Sides:
    """A server of each version, and somebody who calls it; the old ones are first."""

    servers: Sequence[ServerProcess]
    callers: Sequence[Caller]
    begun: str
    """An import that was begun while there was only the old one."""
    database_url: str


@pytest.fixture
async def sides(empty_database_url: str, old_code: Path) -> AsyncIterator[Sides]:
    """An old server that has made the schema and begun to work, beside which a new one was started."""
    url = empty_database_url
    async with AsyncExitStack() as stack:
        with running_from(old_code):
            old = await stack.enter_async_context(server_process(database_url=url, lease_seconds=1))
            code, key, said = await ingot_server("keys", "create", database_url=url)
        assert code == 0, said
        of_old = await stack.enter_async_context(Caller(old.address, key.strip()))
        table = table_pb2.Table(table="people", key_fields=["id"])
        table.fields.add(name="n", type=field_pb2.FIELD_TYPE_INTEGER)
        await of_old.tables.CreateTable(ts.CreateTableRequest(table=table))
        begun = await of_old.create("people", ())
        await of_old.upload([records([{"id": "begun", "n": 1}], import_id=begun, batch_id="b")])
        new = await stack.enter_async_context(server_process(database_url=url, lease_seconds=1))
        of_new = await stack.enter_async_context(Caller(new.address, key.strip()))
        yield Sides((old, new), (of_old, of_new), begun, url)


async def test_the_old_server_runs_from_its_own_files(old_code: Path) -> None:
    with running_from(old_code):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import ingot.v1, ingot_server; print(ingot.v1.__file__, ingot_server.__file__)",
            cwd="/",
            stdout=subprocess.PIPE,
        )
    said, _ = await process.communicate()
    assert said.decode().count(str(old_code)) == len(FOLDERS)


# ------------------------------------------------------------------------------------------- what is sent, and becomes


@dataclass
class Sent:
    """Records, and what is to become of them."""

    rows: list[bytes]
    created: dict[str, int]
    superseded: int
    rejected: dict[int, str]


def sent(first: int, rows: int) -> Sent:
    """Records of which some are no JSON, some are not what they must be, and some come twice."""
    found = Sent([], {}, 0, {})
    for row in range(first, first + rows):
        key, n = f"k{row - row % 50 % 2}", row
        text = json.dumps({"id": key, "n": n, "name": "Åsa"}, ensure_ascii=False).encode()
        if row % 97 == 0:
            text = b'{"id":}'
            found.rejected[len(found.rows)] = "SYNTAX_ERROR"
        elif row % 89 == 0:
            text = json.dumps({"id": key, "n": "many"}).encode()
            found.rejected[len(found.rows)] = "INVALID_CUSTOM_ATTRIBUTE"
        else:
            found.superseded += key in found.created
            found.created[key] = n
        found.rows.append(text)
    return found


@dataclass
class File:
    """A file of records; without a format they are sent as such."""

    data: Sequence[Any]
    format: batch_pb2.DataFormat | None

    def message(self, start: int, end: int) -> Upload:
        """A part of it."""
        part = self.data[start:end]
        if self.format is None:
            return records(part, offset=start)
        return Upload(data=bytes(part), offset=start, format=self.format)


def files(found: Sent) -> dict[str, File]:
    """The same records in all forms."""
    lines = b"\r\n".join(found.rows) + b"\n"
    ndjson = batch_pb2.FILE_TYPE_NDJSON
    return {
        "records": File(found.rows, None),
        "ndjson": File(lines, batch_pb2.DataFormat(type=ndjson)),
        "gzip": File(gzip.compress(lines), batch_pb2.DataFormat(type=ndjson, compression=batch_pb2.COMPRESSION_GZIP)),
        "utf-16": File(lines.decode().encode("utf-16"), batch_pb2.DataFormat(type=ndjson, encoding="utf-16")),
        "array": File(b"[" + b",\n".join(found.rows) + b"]", batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_JSON_ARRAY)),
    }


def code_of(error: record_error_pb2.RecordError) -> str:
    return record_error_pb2.RecordErrorCode.Name(error.code).removeprefix("RECORD_ERROR_CODE_")


async def expect_fates(caller: Caller, import_id: str, found: Sent, batch_id: str = "b") -> None:
    """Compares what became of each record of a batch, as a caller sees it."""
    counts = (await caller.batch(import_id, batch_id)).counts
    assert (counts.received, counts.created, counts.superseded, counts.rejected, counts.pending) == (
        len(found.rows),
        len(found.created),
        found.superseded,
        len(found.rejected),
        0,
    ), MessageToDict(counts)
    told = {error.index: code_of(error) for error in await caller.errors(import_id) if error.batch_id == batch_id}
    assert told == found.rejected


async def content(caller: Caller) -> dict[str, int]:
    held = await caller.table("people")
    found = {row["id"]: row["n"] for row in held}
    assert len(found) == len(held)
    return found


# --------------------------------------------------------------------------------------------------------------- moves


async def test_uploads_move_between_old_and_new_servers_in_every_form(sides: Sides) -> None:
    turns = cycle(reversed(sides.callers))
    expected = {"begun": 1}
    imports: dict[str, tuple[str, Sent]] = {}
    for number, name in enumerate(files(sent(0, 1))):
        found = sent(number * ROWS, ROWS)
        import_id = await next(turns).create("people", ())
        imports[name] = import_id, found
        expected |= found.created
        await upload_in_turns(turns, import_id, files(found)[name])
        await next(turns).imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    await finish_begun(sides, sides.callers[NEW])
    for caller in sides.callers:
        for import_id, found in imports.values():
            assert (await caller.ended(import_id)).state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
            await expect_fates(caller, import_id, found)
        assert await content(caller) == expected
    pages = [await pages_of(sides, first) for first in (OLD, NEW)]
    assert pages[0] == pages[1] == sorted(expected)


async def finish_begun(sides: Sides, caller: Caller) -> None:
    """Finishes the import that is older than the new server."""
    await caller.upload([Upload(import_id=sides.begun, batch_id="b", finish=batch_pb2.Finish(total=1))])
    assert (await caller.finish(sides.begun)).counts.created == 1


async def upload_in_turns(turns: Iterator[Caller], import_id: str, file: File) -> None:
    """Each piece goes to another server, from where the one before it has come to."""
    total, offset = len(file.data), 0
    for piece in range(1, PIECES + 1):
        message = file.message(offset, total * piece // PIECES)
        message.import_id, message.batch_id = import_id, "b"
        if piece == PIECES:
            message.finish.total = total
        batch = await next(turns).upload([message])
        assert batch.committed_offset > offset
        offset = batch.committed_offset
    assert batch.finished
    assert offset == total


async def pages_of(sides: Sides, first: int) -> list[str]:
    """The keys of all records; each page comes from another server than the one before."""
    keys: list[str] = []
    token = ""
    for turn in cycle((first, 1 - first)):
        request = record_service_pb2.ListRecordsRequest(table="people", page_size=1_000, page_token=token)
        page = await sides.callers[turn].records.ListRecords(request)
        keys += [record.key for record in page.records]
        token = page.next_page_token
        if not token:
            return keys
    raise AssertionError("it has an end")


@pytest.mark.parametrize("dying", [OLD, NEW], ids=["the_old_one", "the_new_one"])
async def test_a_killed_server_is_taken_over_by_one_of_the_other_version(sides: Sides, dying: int) -> None:
    """One batch is on its way to it, and others are being processed by both."""
    caller, heir = sides.callers[dying], sides.callers[1 - dying]
    import_id = await caller.create("people", ())
    others = {f"other{number}": sent(10_000 * number, 6_000) for number in range(1, 4)}
    for batch_id, found in others.items():
        await heir.upload(staging.parts(import_id, found.rows, batch_id))
    torn = sent(100_000, 6_000)
    stop = asyncio.Event()

    async def half() -> AsyncIterator[Upload]:
        for message in list(staging.parts(import_id, torn.rows, "torn"))[:3]:
            yield message
        await stop.wait()

    call = caller.batches.UploadBatch(half())
    await committed_of(heir, import_id, "torn")
    sides.servers[dying].kill()
    with pytest.raises(aio.AioRpcError):
        await call
    stop.set()
    offset = (await heir.batch(import_id, "torn")).committed_offset
    assert 0 < offset <= 3_000
    rest = [records(torn.rows[offset:], import_id=import_id, batch_id="torn", offset=offset)]
    await heir.upload([*rest, Upload(finish=batch_pb2.Finish(total=len(torn.rows)))])
    ended = await heir.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED, ended.state_message
    expected = {"begun": 1}
    await finish_begun(sides, heir)
    for batch_id, found in {**others, "torn": torn}.items():
        await expect_fates(heir, import_id, found, batch_id)
        expected |= found.created
    assert await content(heir) == expected


async def committed_of(caller: Caller, import_id: str, batch_id: str) -> None:
    """Returns when something of a batch is committed."""
    while True:
        try:
            if (await caller.batch(import_id, batch_id)).committed_offset:
                return
        except aio.AioRpcError as error:
            assert error.code().name == "NOT_FOUND"


@pytest.mark.parametrize("dying", [OLD, NEW], ids=["the_old_one", "the_new_one"])
async def test_a_commit_is_finished_by_a_server_of_the_other_version(sides: Sides, dying: int) -> None:
    caller, heir = sides.callers[dying], sides.callers[1 - dying]
    import_id = await staging.begin(heir)
    await awaiting(caller, import_id)
    # So that it is the other one that commits.
    sides.servers[1 - dying].freeze()
    async with stop_at(sides.database_url) as stop:
        await commit(caller, import_id)
        await stop.reached()
        sides.servers[dying].kill()
        sides.servers[1 - dying].thaw()
    await expect_committed_once(heir, import_id)


async def test_a_retry_takes_what_the_other_version_has_rejected(sides: Sides) -> None:
    fields = [field_pb2.Field(name="n", type=field_pb2.FIELD_TYPE_TEXT)]
    update = ts.UpdateTableRequest(table=table_pb2.Table(table="people", fields=fields))
    update.update_mask.paths.append("fields")
    found = sent(0, 6_000)
    imports = []
    for caller in sides.callers:
        import_id = await caller.create("people", (), validate_only=True)
        await caller.upload(staging.parts(import_id, found.rows))
        imports.append((await caller.finish(import_id)).import_id)
    await sides.callers[NEW].tables.UpdateTable(update)
    readable = Counter(found.rejected.values())["INVALID_CUSTOM_ATTRIBUTE"]
    for import_id, caller in zip(imports, reversed(sides.callers), strict=True):
        answer = await caller.imports.RetryImport(im.RetryImportRequest(import_id=import_id))
        again = await caller.ended(answer.import_job.import_id)
        assert (again.counts.received, again.counts.rejected) == (readable, 0)
