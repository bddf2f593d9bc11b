"""What an account may have: unfinished imports, how long they may be left alone, and how many records may be wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode, aio

from ingot.v1 import batch_pb2, import_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as pb
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.api.test_life import done, numbers, staged
from tests.calling import Caller, Upload, details_of, reason_of, records
from tests.conftest import running_app

LIMIT = 10
BAD = [1]
"""A record that is rejected as it arrives."""


@asynccontextmanager
async def callers(database_url: str, database: Database, **settings: Any) -> AsyncIterator[tuple[Caller, Caller]]:
    """The same account on two servers."""
    key = await create_key(database, "acme", list(SCOPES), "test", None)
    settings.setdefault("open_imports_max", LIMIT)
    async with running_app(database_url, **settings) as one, running_app(database_url, **settings) as other:
        async with Caller(f"127.0.0.1:{one.port}", key.text) as first:
            async with Caller(f"127.0.0.1:{other.port}", key.text) as second:
                yield first, second


async def creating(caller: Caller, **spec: Any) -> str | aio.AioRpcError:
    """The id of a new import, or why there is none."""
    try:
        return await caller.create(**spec)
    except aio.AioRpcError as refused:
        return refused


def expect_too_many(refused: str | aio.AioRpcError, oldest: str) -> None:
    assert isinstance(refused, aio.AioRpcError)
    assert refused.code() == StatusCode.RESOURCE_EXHAUSTED
    info = reason_of(refused)
    assert (info.reason, info.metadata["limit"], info.metadata["import_id"]) == (
        "TOO_MANY_IMPORTS",
        str(LIMIT),
        oldest,
    )
    kinds = {detail.TypeName() for detail in details_of(refused)}
    assert {"google.rpc.QuotaFailure", "google.rpc.RetryInfo"} <= kinds
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in details_of(refused))
    assert retry.retry_delay.ToMilliseconds() > 0


async def test_an_account_has_ten_unfinished_imports_however_many_ask_at_once(
    database_url: str, database: Database
) -> None:
    async with callers(database_url, database) as (first, second):
        wanted = [creating(caller, table=f"t{number % 3}") for number in range(8) for caller in (first, second)]
        answers = await asyncio.gather(*wanted)
        made = sorted((answer for answer in answers if isinstance(answer, str)), key=int)
        assert len(made) == LIMIT
        for answer in answers:
            if not isinstance(answer, str):
                expect_too_many(answer, made[0])
        # Those that only validate are counted by themselves.
        rehearsals = await asyncio.gather(*(creating(second, validate_only=True) for _ in range(LIMIT + 1)))
        made_too = sorted((answer for answer in rehearsals if isinstance(answer, str)), key=int)
        assert len(made_too) == LIMIT
        (refused,) = (answer for answer in rehearsals if not isinstance(answer, str))
        expect_too_many(refused, made_too[0])
        # Somebody else's are none of ours.
        key = await create_key(database, "other", list(SCOPES), "test", None)
        async with Caller(first.address, key.text) as stranger:
            await stranger.create()


async def test_a_refused_import_leaves_no_table(database_url: str, database: Database) -> None:
    async with callers(database_url, database, open_imports_max=1) as (first, _):
        await first.create("one")
        assert isinstance(await creating(first, table="two"), aio.AioRpcError)
        assert [row["name"] for row in await database.fetch("SELECT name FROM record_table")] == ["one"]


async def test_a_repeated_request_is_answered_where_there_is_no_room(database_url: str, database: Database) -> None:
    async with callers(database_url, database) as (first, second):
        made = [await first.create(request_id=f"r{number}") for number in range(LIMIT)]
        assert await second.create(request_id="r3") == made[3]
        expect_too_many(await creating(second, request_id="new"), made[0])
        differs = await creating(second, table="others", request_id="r3")
        assert isinstance(differs, aio.AioRpcError)
        assert reason_of(differs).reason == "REQUEST_ID_REUSED"


async def test_the_end_of_an_import_makes_room(database_url: str, database: Database) -> None:
    """Whether it is finished, committed, cancelled or has failed; one that awaits its commit takes room."""
    async with callers(database_url, database) as (first, second):
        await done(first, [{"id": 1}])
        ready = (await staged(first, [{"id": 2}])).import_id
        failing = await first.create(max_errors=0)
        made = [await first.create() for _ in range(LIMIT - 2)]
        expect_too_many(await creating(second), ready)

        await first.imports.CommitImport(im.CommitImportRequest(import_id=ready))
        await first.ended(ready)
        await second.create()
        expect_too_many(await creating(second), failing)

        await first.upload([records([BAD], import_id=failing, batch_id="b", finish=True)])
        assert (await first.ended(failing)).state == import_pb2.IMPORT_STATE_FAILED
        await second.create()
        expect_too_many(await creating(second), made[0])

        await first.ended_by_cancel(made[0])
        await second.create()
        expect_too_many(await creating(second), made[1])

        await first.upload([records([{"id": 3}], import_id=made[1], batch_id="b", finish=True)])
        await first.finish(made[1])
        await second.create()
        expect_too_many(await creating(second), made[2])


async def test_a_retry_needs_room_as_well(database_url: str, database: Database) -> None:
    async with callers(database_url, database, open_imports_max=1) as (first, _):
        rejected = await done(first, [{"id": 1}, {"email": "none"}], table="people", key_fields=(), kind="CONTACTS")
        await first.create()
        with pytest.raises(aio.AioRpcError) as refused:
            await first.imports.RetryImport(im.RetryImportRequest(import_id=rejected.import_id))
        assert reason_of(refused.value).reason == "TOO_MANY_IMPORTS"


async def age(database: Database, import_id: str, hours: int) -> None:
    """Makes an import, and its batches, look so much older."""
    for query in ("UPDATE import SET update_time", "UPDATE batch SET update_time"):
        await database.execute(
            f"{query} = now() - make_interval(hours => $2) WHERE import_id = $1", int(import_id), hours
        )


async def test_imports_that_nobody_goes_on_with_are_cancelled(caller: Caller, database: Database) -> None:
    """Also those that await their commit; not those whose upload, or whose state, has moved since."""
    left = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=left, batch_id="b")])
    while not (await caller.get(left)).counts.created:
        pass
    ready = (await staged(caller, [{"id": 2}])).import_id
    uploading, young = await caller.create(), await caller.create()
    await caller.upload([records([{"id": 3}], import_id=uploading, batch_id="b")])
    for import_id in (left, ready):
        await age(database, import_id, 73)
    await age(database, young, 71)
    await database.execute(
        "UPDATE import SET update_time = now() - interval '73 h' WHERE import_id = $1", int(uploading)
    )
    one, other = await caller.ended(left), await caller.ended(ready)
    assert one.state == other.state == import_pb2.IMPORT_STATE_CANCELLED
    assert "72 hours" in one.state_message
    assert "1 created" in one.state_message
    assert "72 hours" in other.state_message
    assert "Nothing was written" in other.state_message
    assert numbers(other) == {"received": 1, "pending": 1}
    assert [(await caller.get(kept)).state for kept in (uploading, young)] == [import_pb2.IMPORT_STATE_RECEIVING] * 2
    assert {row["id"] for row in await caller.table()} == {1, 3}


async def test_hours_may_be_few(database_url: str, database: Database) -> None:
    async with callers(database_url, database, abandoned_hours=1 / 3_600_000) as (first, _):
        ended = await first.ended(await first.create())
        assert ended.state == import_pb2.IMPORT_STATE_CANCELLED


async def test_a_spent_budget_ends_the_import_and_the_open_upload_is_told_why(caller: Caller) -> None:
    """With a second upload at the same time; nothing is counted after the end."""
    import_id = await caller.create(max_errors=2)
    ended_already, never = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[Upload]:
        yield records([{"id": row} for row in range(100)], import_id=import_id, batch_id="open")
        await ended_already.wait()
        yield records([{"id": 100}])
        # What is sent once the server has hung up would hide its answer (grpc.aio).
        await never.wait()

    call = caller.batches.UploadBatch(slowly())
    while not (await caller.get(import_id)).counts.created:
        pass
    await caller.upload([records([BAD, {"id": "x"}, BAD], import_id=import_id, batch_id="b", finish=True)])
    await caller.upload([records([BAD, {"id": "y"}], import_id=import_id, batch_id="c", finish=True)])
    ended = await caller.ended(import_id)
    ended_already.set()
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    assert refused.value.code() == StatusCode.FAILED_PRECONDITION
    info = reason_of(refused.value)
    assert (info.reason, info.metadata["state"]) == ("IMPORT_STATE", "FAILED")
    assert "max_errors" in (refused.value.details() or "")
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert "max_errors" in ended.state_message
    counts = ended.counts
    assert counts.rejected == 3
    assert counts.received == counts.created + counts.rejected + counts.pending
    assert len(await caller.table()) == counts.created
    batches = [await caller.batch(import_id, name) for name in ("open", "b", "c")]
    assert sum(batch.counts.received for batch in batches) == counts.received
    assert batches[0].status == batch_pb2.BATCH_STATUS_FAILED
    assert ended == await caller.get(import_id)


async def test_a_share_of_errors_is_judged_when_everything_is_received(caller: Caller) -> None:
    import_id = await caller.create(max_error_ratio=0.5)
    await caller.upload([records([BAD, BAD, {"id": 1}], import_id=import_id, batch_id="a", finish=True)])
    await caller.upload([records([{"id": 2}], import_id=import_id, batch_id="b", finish=True)])
    assert (await caller.finish(import_id)).state == import_pb2.IMPORT_STATE_PARTIALLY_SUCCEEDED
    import_id = await caller.create(max_error_ratio=0.5)
    await caller.upload([records([BAD, BAD, {"id": 1}], import_id=import_id, batch_id="a", finish=True)])
    ended = await caller.finish(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert "max_error_ratio" in ended.state_message


@pytest.mark.parametrize(("max_errors", "is_spent"), [(2, True), (3, False)])
async def test_errors_of_both_stages_count(caller: Caller, max_errors: int, is_spent: bool) -> None:
    rows = [{"email": "a@example.org"}, BAD, {"email": "none"}, {"email": "none either"}]
    found = await done(caller, rows, table="people", key_fields=(), kind="CONTACTS", max_errors=max_errors)
    assert (found.upload.rejected, found.processing.rejected) == (1, 2)
    assert (found.state == import_pb2.IMPORT_STATE_FAILED) is is_spent


async def test_the_budget_of_a_staged_import_is_judged_again_at_its_commit(caller: Caller) -> None:
    """What refers to a contact that is gone by then is rejected, and that is one too many."""
    await done(caller, [{"id": 1}, {"id": 2}], table="people", key_fields=(), kind="CONTACTS")
    consents = [{"contact_id": contact, "channel": "email", "granted": True} for contact in (1, 2)]
    spec: dict[str, Any] = {"table": "consents", "key_fields": (), "kind": "CONSENTS"}
    import_id = (await staged(caller, consents, max_errors=0, **spec)).import_id
    await caller.records.DeleteRecords(pb.DeleteRecordsRequest(table="people", keys=["id:2"]))
    await caller.imports.CommitImport(im.CommitImportRequest(import_id=import_id))
    ended = await caller.ended(import_id)
    assert ended.state == import_pb2.IMPORT_STATE_FAILED
    assert "max_errors" in ended.state_message
    assert "Nothing was written" in ended.state_message
    assert await caller.table("consents") == []
