"""Every move in every state: what is done, or what is said to be possible instead; and what stays when one cancels."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from grpc import StatusCode, aio

from ingot.v1 import batch_service_pb2, import_pb2, write_mode_pb2
from ingot.v1 import import_service_pb2 as im
from tests.api.test_life import done, numbers, staged
from tests.calling import Caller, reason_of, records
from tests.faults.staging import Stop, commit, stop_at

Maker = Callable[[Caller], Awaitable[str]]
Move = Callable[[Caller, str], Awaitable[Any]]
BAD = [1]
STOP = [{"id": "stop", "n": 1}]


# ------------------------------------------------------------------------------------------------------------- moves

MOVES: dict[str, Move] = {
    "finish": lambda caller, one: caller.imports.FinishImport(im.FinishImportRequest(import_id=one)),
    "commit": lambda caller, one: caller.imports.CommitImport(im.CommitImportRequest(import_id=one)),
    "cancel": lambda caller, one: caller.imports.CancelImport(im.CancelImportRequest(import_id=one)),
    "delete": lambda caller, one: caller.imports.DeleteImport(im.DeleteImportRequest(import_id=one)),
    "retry": lambda caller, one: caller.imports.RetryImport(im.RetryImportRequest(import_id=one)),
    "upload": lambda caller, one: caller.upload([records([{"id": 5}], import_id=one, batch_id="new", finish=True)]),
    "reference": lambda caller, one: caller.batches.ReferenceBatch(
        batch_service_pb2.ReferenceBatchRequest(import_id=one, batch_id="file", uri="https://example.org/a.csv")
    ),
}

REFUSED = {
    "RECEIVING": {"commit": "not staged", "delete": "cancel it", "retry": "when it has ended"},
    "RECEIVING staged": {"commit": "finish it", "delete": "cancel it", "retry": "when it has ended"},
    "PROCESSING": {
        "commit": "not staged",
        "delete": "cancel it",
        "retry": "when it has ended",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "PROCESSING staged": {
        "commit": "wait for AWAITING_COMMIT",
        "delete": "cancel it",
        "retry": "when it has ended",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "PROCESSING committing": {
        "delete": "cancel it",
        "retry": "when it has ended",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "AWAITING_COMMIT": {
        "delete": "cancel it",
        "retry": "when it has ended",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "CANCELLING": {
        "finish": "create another",
        "commit": "not staged",
        "delete": "wait for its end",
        "retry": "when it has ended",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "SUCCEEDED": {
        "commit": "not staged",
        "cancel": "nothing left to cancel",
        "retry": "NOTHING_TO_RETRY",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "SUCCEEDED staged": {
        "cancel": "nothing left to cancel",
        "retry": "NOTHING_TO_RETRY",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "PARTIALLY_SUCCEEDED": {
        "commit": "not staged",
        "cancel": "nothing left to cancel",
        "retry": "NOTHING_TO_RETRY",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "FAILED staged": {
        "commit": "create another",
        "cancel": "nothing left to cancel",
        "retry": "NOTHING_TO_RETRY",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "CANCELLED": {
        "finish": "create another",
        "commit": "not staged",
        "retry": "NOTHING_TO_RETRY",
        "upload": "no new batch",
        "reference": "no new batch",
    },
    "CANCELLED staged": {
        "finish": "create another",
        "commit": "create another",
        "retry": "NOTHING_TO_RETRY",
        "upload": "no new batch",
        "reference": "no new batch",
    },
}
"""What is refused in a state, and the words that say what is possible instead. All else is done."""


# ------------------------------------------------------------------------------------------------------------ states


async def receiving(caller: Caller, rows: Any = STOP, *, finish: bool = True, **spec: Any) -> str:
    import_id = await caller.create(**spec)
    await caller.upload([records(rows, import_id=import_id, batch_id="b", finish=finish)])
    return import_id


async def processing(caller: Caller, **spec: Any) -> str:
    """Not further than that, as long as somebody holds the record."""
    import_id = await receiving(caller, **spec)
    await caller.imports.FinishImport(im.FinishImportRequest(import_id=import_id))
    return import_id


async def ready(caller: Caller) -> str:
    return (await staged(caller, STOP)).import_id


async def committing(caller: Caller) -> str:
    import_id = await ready(caller)
    await commit(caller, import_id)
    return import_id


async def cancelling(caller: Caller) -> str:
    """Not further than that, as long as somebody holds its batches."""
    return await receiving(caller)


async def ended(caller: Caller, rows: Any, **spec: Any) -> str:
    return (await done(caller, rows, **spec)).import_id


async def committed(caller: Caller) -> str:
    import_id = (await staged(caller, [{"id": 1}])).import_id
    await commit(caller, import_id)
    return (await caller.ended(import_id)).import_id


async def cancelled(caller: Caller, **spec: Any) -> str:
    return (await caller.ended_by_cancel(await caller.create(**spec))).import_id


MAKERS: dict[str, Maker] = {
    "RECEIVING": lambda caller: receiving(caller, [{"id": 1}]),
    "RECEIVING staged": lambda caller: receiving(caller, [{"id": 1}], staged=True),
    "PROCESSING": processing,
    "PROCESSING staged": lambda caller: processing(caller, staged=True),
    "PROCESSING committing": committing,
    "AWAITING_COMMIT": ready,
    "CANCELLING": cancelling,
    "SUCCEEDED": lambda caller: ended(caller, [{"id": 1}]),
    "SUCCEEDED staged": committed,
    "PARTIALLY_SUCCEEDED": lambda caller: ended(caller, [{"id": 1}, BAD]),
    "FAILED staged": lambda caller: ended(caller, [BAD], staged=True),
    "CANCELLED": cancelled,
    "CANCELLED staged": lambda caller: cancelled(caller, staged=True),
}
"""How to get an import into each state."""


@asynccontextmanager
async def kept(caller: Caller, database_url: str, state: str, import_id: str) -> AsyncIterator[None]:
    """Keeps an import in CANCELLING, by holding its batches; others keep their states by themselves."""
    if state != "CANCELLING":
        yield
        return
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM batch WHERE import_id = $1 FOR UPDATE", int(import_id))
            asking = asyncio.ensure_future(MOVES["cancel"](caller, import_id))
            await Stop(connection).reached()
            yield
    finally:
        await connection.close()
    await asking


@pytest.mark.parametrize("state", MAKERS)
async def test_every_move_is_done_or_refused_with_the_state_and_what_is_possible_instead(
    caller: Caller, database_url: str, state: str
) -> None:
    await caller.run([{"id": "stop", "n": 0}])
    async with stop_at(database_url) as stop:
        if state == "PROCESSING staged":
            # A trial changes no record of the table, but notes which it looks at.
            await stop.connection.execute("LOCK TABLE branch_key IN SHARE MODE")
        for move, call in MOVES.items():
            import_id = await MAKERS[state](caller)
            async with kept(caller, database_url, state, import_id):
                before = await caller.get(import_id)
                assert import_pb2.ImportState.Name(before.state) == f"IMPORT_STATE_{state.partition(' ')[0]}"
                if move not in REFUSED[state]:
                    asking = asyncio.ensure_future(call(caller, import_id))
                else:
                    with pytest.raises(aio.AioRpcError) as refused:
                        await call(caller, import_id)
                    expect_refusal(refused.value, state, REFUSED[state][move])
                    assert (await caller.get(import_id)).state == before.state
            if move not in REFUSED[state]:
                await asking


def expect_refusal(refused: aio.AioRpcError, state: str, words: str) -> None:
    assert refused.code() == StatusCode.FAILED_PRECONDITION
    info = reason_of(refused)
    if words == info.reason == "NOTHING_TO_RETRY":
        return
    assert info.reason == "IMPORT_STATE"
    assert info.metadata["state"] == state.partition(" ")[0]
    assert info.metadata["state"] in (refused.details() or "")
    assert words in (refused.details() or "")


# ---------------------------------------------------------------------------------------------------------- cancelling


async def test_what_was_written_stays_and_is_told(caller: Caller) -> None:
    await caller.run([{"id": 1}, {"id": 2}, {"id": 3}])
    import_id = await caller.create()
    rows = [{"id": 1, "n": 1}, {"id": 1, "n": 2}, {"id": 2}, {"id": 4}, {"id": 5}, BAD]
    await caller.upload([records(rows, import_id=import_id, batch_id="b")])
    while (await caller.get(import_id)).counts.pending or not (await caller.get(import_id)).counts.received:
        pass
    found = await caller.ended_by_cancel(import_id)
    for words in ("2 created", "1 updated", "1 superseded", "1 unchanged", "1 record was rejected"):
        assert words in found.state_message
    assert "dropped" not in found.state_message
    assert numbers(found) == {"received": 6, "created": 2, "updated": 1, "superseded": 1, "unchanged": 1, "rejected": 1}
    assert [row["id"] for row in await caller.table()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("wrong", [{"offset": 5}, {"finish": 5}], ids=str)
async def test_that_an_import_is_over_comes_before_what_is_wrong_with_a_message(
    caller: Caller, wrong: dict[str, Any]
) -> None:
    """Who goes on from where it believes to be is not sent back to send anew what nobody wants."""
    import_id = await caller.create()
    await caller.upload([records([{"id": 1}], import_id=import_id, batch_id="b")])
    await caller.ended_by_cancel(import_id)
    rows = [] if "finish" in wrong else [{"id": 2}]
    with pytest.raises(aio.AioRpcError) as refused:
        await caller.upload([records(rows, import_id=import_id, batch_id="b", **{"offset": 1} | wrong)])
    assert reason_of(refused.value).reason == "IMPORT_STATE"


@pytest.mark.parametrize(
    ("how", "mode"),
    [
        ({}, write_mode_pb2.WRITE_MODE_REPLACE),
        ({}, write_mode_pb2.WRITE_MODE_MERGE),
        ({}, write_mode_pb2.WRITE_MODE_SKIP_EXISTING),
        ({}, write_mode_pb2.WRITE_MODE_DELETE),
        ({"staged": True}, write_mode_pb2.WRITE_MODE_REPLACE),
        ({"validate_only": True}, write_mode_pb2.WRITE_MODE_REPLACE),
        ({"reconcile": import_pb2.Reconcile()}, write_mode_pb2.WRITE_MODE_REPLACE),
    ],
    ids=str,
)
async def test_a_cancel_in_the_middle_explains_every_number(
    caller: Caller, how: dict[str, Any], mode: "write_mode_pb2.WriteMode.ValueType"
) -> None:
    """In the middle of two uploads: each is told, and what the counts say is what is there."""
    await caller.run([{"id": row} for row in range(500)])
    import_id = await caller.create(mode=mode, **how)
    asked, over, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def uploading(first: int) -> AsyncIterator[batch_service_pb2.UploadBatchRequest]:
        number = first
        yield records([], import_id=import_id, batch_id=f"from-{first}")
        while not asked.is_set():
            yield records([{"id": row, "n": 1} for row in range(number, number + 100)])
            number += 100
            await asyncio.sleep(0)
        await over.wait()
        yield records([{"id": number}])
        # What is sent once the server has hung up would hide its answer (grpc.aio).
        await never.wait()

    calls = {first: caller.batches.UploadBatch(uploading(first)) for first in (0, 1_000_000)}
    while not (await caller.get(import_id)).processing.accepted:
        pass
    asked.set()
    found = await caller.ended_by_cancel(import_id)
    over.set()
    for first, call in calls.items():
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        if refused.value.code() is StatusCode.INTERNAL:
            # A chunk was on its way, so the server had hung up by then, and grpc.aio hides why: asks again.
            batch_id = f"from-{first}"
            offset = (await caller.batch(import_id, batch_id)).committed_offset
            with pytest.raises(aio.AioRpcError) as refused:
                await caller.upload([records([{"id": -1}], import_id=import_id, batch_id=batch_id, offset=offset)])
        assert reason_of(refused.value).reason == "IMPORT_STATE"
        assert reason_of(refused.value).metadata["state"] == "CANCELLED"
    assert await caller.get(import_id) == found
    counts = found.counts
    processed = counts.created + counts.updated + counts.unchanged + counts.superseded + counts.skipped + counts.deleted
    assert counts.received == processed + counts.rejected + counts.pending
    assert f"{counts.pending:,} record" in found.state_message or not counts.pending
    there = len(await caller.table())
    if how:
        assert "Nothing was written" in found.state_message
        assert there == 500
        assert processed == 0 or "validate_only" in how
    else:
        assert there == 500 + counts.created - counts.deleted
