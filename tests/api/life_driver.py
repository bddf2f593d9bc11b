"""Lives the life of imports on real servers and in the model, step by step, and compares all that can be seen.

An import that was sent something is `busy` until somebody waits for it: several calls may follow each other before.
Whatever else would depend on how far the server has come waits first.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from grpc import aio

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, record_pb2, record_service_pb2, stage_pb2, write_mode_pb2
from ingot.v1 import batch_service_pb2 as bs
from ingot.v1 import import_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from tests.api.kinds_model import Told
from tests.api.life_model import FINAL, OUTCOMES, Account, Batch, Counts, Import, Plan, Seen
from tests.api.model import comparable, parsed
from tests.api.test_kinds_model import message_of
from tests.calling import Caller, Upload, reason_of

SETTLE_SECONDS = 20
COUNTS = ("received", *OUTCOMES, "pending")
Answer = TypeVar("Answer")
Content = bytes | list[bytes]


class Driver:
    """One account on several servers, and what the model says of it."""

    def __init__(
        self,
        callers: Sequence[Caller],
        sandbox: Caller,
        account: Account,
        expire_leases: Callable[[], Awaitable[object]],
    ) -> None:
        self.callers = callers
        self.sandbox = sandbox
        self.account = account
        self.ids: dict[int, str] = {}
        self.busy: set[int] = set()
        self.refused: set[int] = set()
        self.is_expiring = False
        """Whether leases do not last while imports are waited for."""
        self._expire_leases = expire_leases
        self._calls = count()

    @property
    def caller(self) -> Caller:
        """The servers take turns."""
        return self.callers[next(self._calls) % len(self.callers)]

    # ------------------------------------------------------------------------------------------------------- moves

    async def create(self, plan: Plan, request_id: str = "", *, in_sandbox: bool = False) -> Import | None:
        await self.settle_all()
        spec = self.spec_of(plan)
        if in_sandbox:
            # Its imports only validate, whether they say so or not.
            plan = replace(plan, validate_only=True)
        earlier = self.account.asked_before(request_id)
        expected = {""}
        if (plan.staged and plan.validate_only) or (plan.reconcile is not None and plan.mode == "DELETE"):
            expected = {"INVALID_REQUEST"} | ({"REQUEST_ID_REUSED"} if earlier else set())
        elif earlier is not None and (earlier.plan != plan or earlier.retry_of is not None):
            expected = {"REQUEST_ID_REUSED"}
        elif earlier is None and self.account.is_full(plan.validate_only):
            expected = {"TOO_MANY_IMPORTS"}
        request = pb.CreateImportRequest(spec=spec, request_id=request_id)
        caller = self.sandbox if in_sandbox else self.caller
        answer = await self.answered(caller.imports.CreateImport(request), *expected)
        if answer is None:
            return None
        job = answer.import_job
        if earlier is None:
            made = self.account.create(plan, request_id)
            assert job.import_id not in self.ids.values()
            self.ids[made.number] = job.import_id
            shown = (job.validate_only, job.staged, job.HasField("reconcile"))
            assert shown == (plan.validate_only, plan.staged, plan.reconcile is not None)
            return made
        assert job.import_id == self.ids[earlier.number]
        return None

    async def upload(
        self,
        one: Import,
        batch_id: str,
        parts: Sequence[Sequence[bytes]],
        *,
        is_last: bool,
        is_torn: bool,
        is_file: bool,
        lane: int | None,
        mishap: str = "",
        cut: int = 0,
    ) -> None:
        """Sends records, or a file of them, to a batch, in one call or, torn, in several; a mishap precedes each."""
        await self.alone(one)
        expected = self._if_receiving(one)
        batch = one.batches.get(batch_id)
        if batch is None:
            batch = Batch(lane, is_file)
        elif one.retry_of is not None:
            # The server brings the batch by itself.
            expected |= {"INVALID_REQUEST"}
        elif batch.is_finished and expected == {""}:
            expected = {"BATCH_FINISHED"}
        streams = [[part] for part in parts] if is_torn and len(parts) > 1 else [list(parts)]
        for number, stream in enumerate(streams):
            offset = batch.size
            sent = [text for part in stream for text in part]
            ends = is_last and number == len(streams) - 1
            messages = self._messages(one, batch_id, batch, stream)
            if ends:
                messages.append(Upload(finish=batch_pb2.Finish(total=offset + batch.size_of(sent))))
            if "" not in expected and not sent and batch_id in one.batches:
                # Nothing is asked for.
                return
            if "" in expected and mishap:
                await self._suffer(mishap, cut, messages, expected)
            answer = await self.answered(self.caller.batches.UploadBatch(iter(messages)), *expected)
            if answer is None and "" not in expected:
                return
            one.batches[batch_id] = batch
            self.busy.add(one.number)
            rules = self.account.table(one.plan.table).under(one.declared)
            for text in sent:
                batch.receive(rules, text)
            if answer is None:
                self.refused.add(one.number)
                return
            batch.is_finished = ends

    def _messages(self, one: Import, batch_id: str, batch: Batch, stream: Sequence[Sequence[bytes]]) -> list[Upload]:
        """The messages with some parts, of which the first has nothing else."""
        messages = [Upload(import_id=self.ids[one.number], batch_id=batch_id, offset=batch.size)]
        if batch.is_file:
            messages[0].format.type = batch_pb2.FILE_TYPE_NDJSON
            return messages + [Upload(data=b"".join(text + b"\n" for text in part)) for part in stream]
        return messages + [Upload(records=[record_pb2.Record(json=text) for text in part]) for part in stream]

    async def _suffer(self, mishap: str, cut: int, messages: Sequence[Upload], expected: set[str]) -> None:
        """Lets something go wrong before an upload; whatever comes of it, the upload can be made as it was meant."""
        first, *parts = messages
        content = joined(parts)
        size = len(content)
        refused = expected - {""}
        upload = self.caller.batches.UploadBatch
        match mishap:
            case "twins":
                calls = [caller.batches.UploadBatch(iter(messages)) for caller in self.callers]
                await asyncio.gather(*(self.answered(call, *expected, "UPLOAD_CONFLICT") for call in calls))
            case "gap" if size:
                early = copied(first, content, offset=first.offset + 1 + cut)
                await self.answered(upload(iter([early])), *refused, "OFFSET_GAP")
            case "reordered" if size > 1:
                middle = 1 + cut % (size - 1)
                late = copied(first, content[middle:], offset=first.offset + middle)
                await self.answered(upload(iter([late, copied(first, content[:middle])])), *refused, "OFFSET_GAP")
            case "wrong total":
                wrong = copied(first)
                wrong.finish.total = first.offset + 1 + cut
                await self.answered(upload(iter([wrong])), *refused, "TOTAL_MISMATCH")
            case "cut":
                await self._cut_off(copied(first, content[: cut % (size + 1)]))
                await self._go_on(first, parts, content, expected)

    async def _cut_off(self, message: Upload) -> None:
        """Begins an upload, and goes away when a message was sent."""
        sent, never = asyncio.Event(), asyncio.Event()

        async def stream() -> AsyncIterator[Upload]:
            yield message
            sent.set()
            await never.wait()

        call = self.caller.batches.UploadBatch(stream())
        ended = asyncio.ensure_future(call.code())
        ended.add_done_callback(lambda _: sent.set())
        await sent.wait()
        call.cancel()

    async def _go_on(self, first: Upload, parts: Sequence[Upload], content: Content, expected: set[str]) -> None:
        """Goes on with an upload that was cut off from where it has come to, until nobody else is about it."""
        finish = [Upload(finish=part.finish) for part in parts if part.HasField("finish")]
        request = bs.GetBatchRequest(import_id=first.import_id, batch_id=first.batch_id)
        while True:
            found = await self.answered(self.caller.batches.GetBatch(request), "", "BATCH_NOT_FOUND")
            committed = found.batch.committed_offset if found else first.offset
            assert first.offset <= committed <= first.offset + len(content)
            rest = copied(first, content[committed - first.offset :], offset=committed)
            try:
                await self.caller.batches.UploadBatch(iter([rest, *finish]))
            except aio.AioRpcError as error:
                reason = reason_of(error).reason
                assert reason in {*expected, "UPLOAD_CONFLICT"}, reason
                if reason == "UPLOAD_CONFLICT":
                    continue
            return

    async def finish(self, one: Import) -> None:
        await self.alone(one)
        expected = {""}
        is_open = any(not batch.is_finished for batch in one.batches.values())
        if one.is_deleted:
            expected = {"IMPORT_NOT_FOUND"}
        elif one.state == "CANCELLED" or one.is_cancel_asked:
            expected = {"IMPORT_STATE"}
        elif one.state == "RECEIVING" and is_open:
            # With a limit it may have failed meanwhile.
            expected = {"BATCH_UNFINISHED"} | ({""} if self._may_fail(one) else set())
        answer = await self.answered(
            self.caller.imports.FinishImport(pb.FinishImportRequest(import_id=self.ids[one.number])), *expected
        )
        if answer is not None and one.state == "RECEIVING" and not is_open:
            one.is_finish_asked = True
            self.busy.add(one.number)

    async def cancel(self, one: Import) -> None:
        await self.alone(one)
        expected = {""}
        if one.is_deleted:
            expected = {"IMPORT_NOT_FOUND"}
        elif one.is_final and one.state != "CANCELLED":
            expected = {"IMPORT_STATE"}
        elif one.number in self.busy:
            expected = {"", "IMPORT_STATE"}
        answer = await self.answered(
            self.caller.imports.CancelImport(pb.CancelImportRequest(import_id=self.ids[one.number])), *expected
        )
        if answer is not None and not one.is_final:
            one.is_cancel_asked = True
            self.busy.add(one.number)

    async def commit(self, one: Import) -> None:
        await self.settle_all()
        expected = {"IMPORT_STATE"}
        if one.is_deleted:
            expected = {"IMPORT_NOT_FOUND"}
        elif one.state == "AWAITING_COMMIT" or (one.was_committed and one.plan.staged and one.state != "FAILED"):
            expected = {""}
        elif one.was_committed:
            # The manual leaves open whether a commit that failed is one that was.
            expected = {"", "IMPORT_STATE"}
        answer = await self.answered(
            self.caller.imports.CommitImport(pb.CommitImportRequest(import_id=self.ids[one.number])), *expected
        )
        if answer is not None and one.state == "AWAITING_COMMIT":
            one.state, one.is_committing = "PROCESSING", True
            self.busy.add(one.number)

    async def delete(self, one: Import) -> None:
        await self.settle_all()
        expected = {""} if one.is_final else {"IMPORT_STATE"}
        if one.is_deleted:
            expected = {"IMPORT_NOT_FOUND"}
        answer = await self.answered(
            self.caller.imports.DeleteImport(pb.DeleteImportRequest(import_id=self.ids[one.number])), *expected
        )
        if answer is not None:
            one.is_deleted = True
            await self.answered(
                self.caller.imports.GetImport(pb.GetImportRequest(import_id=self.ids[one.number])), "IMPORT_NOT_FOUND"
            )

    async def retry(self, one: Import, request_id: str = "") -> Import | None:
        await self.settle_all()
        texts = one.retried()
        keys = [key for name in texts for key in {fate.key for fate in one.batches[name].fates if fate} if key]
        is_contacts = self.account.table(one.plan.table).kind == "CONTACTS"
        if one.is_final and (one.is_stale or len(keys) != len(set(keys)) or (is_contacts and len(texts) > 1)):
            # What is rejected is not known, or its batches are in no order and touch the same keys.
            return None
        earlier = self.account.asked_before(request_id)
        expected = {""}
        if one.is_deleted:
            expected = {"IMPORT_NOT_FOUND"} | ({"", "REQUEST_ID_REUSED"} if earlier else set())
        elif earlier is not None:
            expected = {""} if earlier.retry_of == one.number else {"REQUEST_ID_REUSED"}
        elif not one.is_final:
            expected = {"IMPORT_STATE"}
        elif not texts:
            expected = {"NOTHING_TO_RETRY"}
        elif self.account.is_full(one.plan.validate_only):
            expected = {"TOO_MANY_IMPORTS"}
        request = pb.RetryImportRequest(import_id=self.ids[one.number], request_id=request_id)
        answer = await self.answered(self.caller.imports.RetryImport(request), *expected)
        if answer is None:
            return None
        job = answer.import_job
        if earlier is not None:
            assert job.import_id == self.ids[earlier.number]
            return None
        assert job.retry_of == self.ids[one.number]
        again = self.account.create(replace(one.plan, reconcile=None), request_id, one.number)
        self.ids[again.number] = job.import_id
        rules = self.account.table(one.plan.table).under(again.declared)
        for batch_id, rejected in texts.items():
            batch = again.batches[batch_id] = Batch(None, is_finished=True)
            for text in rejected:
                batch.receive(rules, text)
        again.is_finish_asked = True
        self.busy.add(again.number)
        return again

    async def trespass(self, one: Import) -> None:
        """Tries with a sandbox key to change an import that is none of the sandbox."""
        if one.plan.validate_only:
            return
        expected = "IMPORT_NOT_FOUND" if one.is_deleted else "SANDBOX_KEY"
        import_id = self.ids[one.number]
        imports = self.sandbox.imports
        await self.answered(imports.FinishImport(pb.FinishImportRequest(import_id=import_id)), expected)
        await self.answered(imports.CancelImport(pb.CancelImportRequest(import_id=import_id)), expected)
        await self.answered(imports.CommitImport(pb.CommitImportRequest(import_id=import_id)), expected)
        await self.answered(imports.DeleteImport(pb.DeleteImportRequest(import_id=import_id)), expected)
        message = Upload(import_id=import_id, batch_id="b0", records=[record_pb2.Record(json=b'{"id":1}')])
        await self.answered(self.sandbox.batches.UploadBatch(iter([message])), expected)

    async def write(
        self, table: str, mode: str, texts: Sequence[bytes], *, validate_only: bool, in_sandbox: bool
    ) -> None:
        await self.settle_all()
        request = record_service_pb2.WriteRecordsRequest(
            table=table,
            key_fields=self.account.table(table).key_fields,
            kind=self.account.table(table).kind,
            records=[record_pb2.Record(json=text) for text in texts],
            mode=write_mode_pb2.WriteMode.Value(f"WRITE_MODE_{mode}"),
            validate_only=validate_only,
        )
        answer = await (self.sandbox if in_sandbox else self.caller).records.WriteRecords(request)
        fates = self.account.write(table, list(texts), mode, validate_only or in_sandbox)
        expected = Counter(fate.outcome for fate in fates) + Counter(received=len(texts))
        assert counts_of(answer.counts) == expected, f"{counts_of(answer.counts)}, expected {expected}"
        told = Counter((error.index, told_of(error)) for error in answer.errors)
        assert told == Counter((at, one) for at, fate in enumerate(fates) for one in fate.told), told
        await self.check_table(table)

    async def remove(self, table: str, keys: Sequence[str], *, in_sandbox: bool) -> None:
        await self.settle_all()
        request = record_service_pb2.DeleteRecordsRequest(table=table, keys=keys)
        unmade = {"TABLE_NOT_FOUND"} if table in self.account.unmade else {""}
        caller = self.sandbox if in_sandbox else self.caller
        answer = await self.answered(caller.records.DeleteRecords(request), *unmade)
        if answer is not None:
            there = self.account.table(table).rows.keys() & set(keys)
            assert answer.deleted == len(there)
            if not in_sandbox:
                self.account.delete(table, there)
            await self.check_table(table)

    async def require(self, table: str, name: str, required: bool) -> None:
        """Changes whether a field is required, for imports to come."""
        await self.settle_all()
        held = self.account.table(table)
        held.declared = tuple(replace(one, required=required) if one.name == name else one for one in held.declared)
        request = ts.UpdateTableRequest()
        request.table.table = table
        request.table.fields.extend(map(message_of, held.declared))
        request.update_mask.paths.append("fields")
        await self.caller.tables.UpdateTable(request)

    # ----------------------------------------------------------------------------------------------------- settling

    async def alone(self, one: Import) -> None:
        """Waits for all other imports into the same table."""
        for other in self.account.imports:
            if other is not one and other.plan.table == one.plan.table and other.number in self.busy:
                await self.settle(other)

    async def settle_all(self) -> None:
        for one in self.account.imports:
            await self.settle(one)

    async def settle(self, one: Import) -> None:
        """Waits until nothing more happens to an import, and compares."""
        if one.number not in self.busy:
            return
        await self._wait(one)
        shown, seen = await self.seen(one)
        found = self.account.settle(one, seen)
        assert not found, f"{one.plan} {one.number}: {found}; {shown.state_message}"
        self.busy.discard(one.number)
        await self.check(one)

    async def _wait(self, one: Import) -> None:
        expected = self.account.expected_state(one)
        total = sum(len(batch.texts) for batch in one.batches.values())
        before: Counts = Counts()
        is_twice = one.is_committing or one.plan.reconcile is not None
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                request = pb.WatchImportRequest(import_id=self.ids[one.number])
                async for update in self.caller.imports.WatchImport(request):
                    if self.is_expiring:
                        await self._expire_leases()
                    job = update.import_job
                    state, counts = state_of(job), counts_of(job.counts)
                    back = [name for name in ("received", *OUTCOMES) if counts[name] < before[name]]
                    is_dropped = state in ("FAILED", "CANCELLED") and not one.plan.keeps_counts
                    assert is_twice or is_dropped or not back, (
                        f"{one.plan} {state}: {back} went back from {before} to {counts}"
                    )
                    before = counts
                    if state in FINAL:
                        return
                    if one.is_cancel_asked or one.number in self.refused or (expected in FINAL and not one.is_stale):
                        continue
                    if one.is_committing or (one.is_finish_asked and state != "AWAITING_COMMIT"):
                        continue
                    if counts["received"] == total and not counts["pending"]:
                        return
        except TimeoutError:
            raise AssertionError(f"{one.plan} {one.number} is {state} {counts}, expected {expected}") from None

    async def seen(self, one: Import) -> tuple[import_pb2.Import, Seen]:
        caller = self.caller
        job = await caller.get(self.ids[one.number])
        request = bs.ListBatchesRequest(import_id=self.ids[one.number])
        batches = (await caller.batches.ListBatches(request)).batches
        by_batch = {batch.batch_id: counts_of(batch.counts) for batch in batches}
        total = sum(by_batch.values(), Counts())
        assert counts_of(job.counts) == total, f"{counts_of(job.counts)}, but the batches have {total}"
        return job, Seen(state_of(job), by_batch, await self.content(one.plan.table), job.removed)

    # ----------------------------------------------------------------------------------------------------- comparing

    async def check(self, one: Import) -> None:
        """Compares all that an import shows."""
        job, seen = await self.seen(one)
        found = self.account.differences(one, seen)
        assert not found, f"{one.plan} {one.number}: {found}"
        assert job.HasField("finish_time") == one.is_final
        if one.state in ("AWAITING_COMMIT", "FAILED", "CANCELLED"):
            assert job.state_message, f"{one.state} without a reason"
        if one.state == "SUCCEEDED" and not one.plan.validate_only:
            assert not job.state_message, f"{one.state}: {job.state_message}"
        if one.is_stale:
            return
        errors = await self.caller.errors(self.ids[one.number])
        told = Counter((error.batch_id, error.index, stage_name(error.stage), told_of(error)) for error in errors)
        if told != one.errors:
            differing = (told - one.errors) | (one.errors - told)
            texts = {name: dict(enumerate(batch.texts)) for name, batch in one.batches.items()}
            shown = [(*place, place in told, texts[place[0]].get(place[1])) for place in differing]
            raise AssertionError(f"{one.plan} {one.number}: errors, and whether they are listed: {shown}")
        groups = Counter[tuple[str, str]]()
        for group in (*job.upload.error_groups, *job.processing.error_groups):
            groups[stage_name(group.stage), code_of(group)] += group.count
        expected = Counter((stage, told.code) for _, _, stage, told in one.errors.elements())
        assert groups == expected, f"groups {groups}, expected {expected}"
        done = [fate for fate in one.fates if fate is not None]
        of_upload = [fate for fate in done if fate.stage == "UPLOAD"]
        of_processing = [fate for fate in done if fate.stage == "PROCESSING"]
        received = one.counts["received"]
        assert (job.upload.accepted, job.upload.rejected) == (received - len(of_upload), len(of_upload))
        processed = (len(done) - len(of_upload) - len(of_processing), len(of_processing))
        assert (job.processing.accepted, job.processing.rejected) == processed

    async def check_table(self, table: str) -> None:
        found = self.account.differences_of_table(table, await self.content(table))
        assert not found, found

    async def check_all(self) -> None:
        """Compares everything."""
        await self.settle_all()
        for one in self.account.imports:
            if not one.is_deleted:
                await self.check(one)
        for table in (*self.account.tables, *self.account.unmade):
            await self.check_table(table)
        listed = (await self.caller.imports.ListImports(pb.ListImportsRequest(page_size=1000))).imports
        shown = [(job.import_id, state_of(job)) for job in listed]
        there = [one for one in reversed(self.account.imports) if not one.is_deleted]
        assert shown == [(self.ids[one.number], one.state) for one in there]

    async def look(self, one: Import) -> None:
        """Compares what a staged import would do."""
        await self.settle_all()
        expected = {""} if one.plan.staged and not one.is_final else {"IMPORT_STATE"}
        if one.is_deleted:
            expected = {"IMPORT_NOT_FOUND"}
        elif not one.is_final and (one.plan.validate_only or one.plan.reconcile is not None):
            # These have something to show as well, and may.
            expected = {"", "IMPORT_STATE", "TABLE_NOT_FOUND"}
        shown: list[dict[str, Any]] = []
        for part in (record_service_pb2.STAGED_PART_WRITTEN, record_service_pb2.STAGED_PART_DELETED):
            request = record_service_pb2.ListRecordsRequest(
                table=one.plan.table, staged_import_id=self.ids[one.number], staged_part=part, page_size=1000
            )
            answer = await self.answered(self.caller.records.ListRecords(request), *expected)
            if answer is None:
                return
            shown.append({record.key: parsed(record.json) for record in answer.records})
        if one.is_stale:
            return
        written, deleted = shown
        live = self.account.table(one.plan.table)
        trial = one.trial or live
        ours = {key: comparable(row.record) for key, row in trial.rows.items() if row.import_number == one.number}
        before = {key: comparable(row.record) for key, row in live.rows.items()}
        # What ends as it was before may be shown or not.
        assert written == {key: row for key, row in ours.items() if before.get(key) != row or key in written}, written
        if one.plan.reconcile is None or one.state == "AWAITING_COMMIT":
            gone = (before.keys() - trial.rows.keys()) | one.removed
            assert deleted == {key: before[key] for key in gone}, deleted

    async def content(self, table: str) -> Counter[Any] | None:
        request = record_service_pb2.ExportRecordsRequest(table=table)
        try:
            text = "".join([piece.lines async for piece in self.caller.records.ExportRecords(request)])
        except aio.AioRpcError as error:
            assert reason_of(error).reason == "TABLE_NOT_FOUND"
            return None
        return Counter(map(parsed, text.split("\n")[:-1]))

    # ------------------------------------------------------------------------------------------------------- calling

    async def answered(self, call: Awaitable[Answer], *expected: str) -> Answer | None:
        """The answer of a call, or None if it was refused; either must be expected."""
        try:
            answer = await call
        except aio.AioRpcError as error:
            info = reason_of(error)
            assert info.reason in expected, f"refused with {info}, expected {expected}: {error.details()}"
            return None
        assert "" in expected, f"not refused, expected {expected}: {answer}"
        return answer

    def _may_fail(self, one: Import) -> bool:
        return one.plan.max_errors is not None

    def _if_receiving(self, one: Import) -> set[str]:
        if one.is_deleted:
            return {"IMPORT_NOT_FOUND"}
        if one.state != "RECEIVING" or one.is_finish_asked or one.is_cancel_asked:
            return {"IMPORT_STATE"}
        return {"", "IMPORT_STATE"} if self._may_fail(one) else {""}

    def spec_of(self, plan: Plan) -> import_pb2.ImportSpec:
        table = self.account.table(plan.table)
        reconcile = None
        if plan.reconcile is not None:
            reconcile = import_pb2.Reconcile(max_deleted_ratio=plan.reconcile)
        return import_pb2.ImportSpec(
            table=plan.table,
            key_fields=table.key_fields,
            kind=table.kind,
            mode=write_mode_pb2.WriteMode.Value(f"WRITE_MODE_{plan.mode}"),
            validate_only=plan.validate_only,
            staged=plan.staged,
            reconcile=reconcile,
            max_errors=plan.max_errors,
            max_error_ratio=plan.max_error_ratio,
        )


def joined(parts: Sequence[Upload]) -> Content:
    """The records, or the bytes, of messages."""
    data = b"".join(part.data for part in parts)
    return data or [record.json for part in parts for record in part.records]


def copied(first: Upload, content: Content = b"", **fields: Any) -> Upload:
    """A first message with something in it."""
    copy = Upload()
    copy.CopyFrom(first)
    copy.MergeFrom(Upload(**fields))
    if isinstance(content, bytes):
        copy.data = content
    else:
        copy.records.extend(record_pb2.Record(json=text) for text in content)
    return copy


def counts_of(counts: stage_pb2.RecordCounts) -> Counts:
    return Counter({name: getattr(counts, name) for name in COUNTS})


def state_of(job: import_pb2.Import) -> str:
    return import_pb2.ImportState.Name(job.state).removeprefix("IMPORT_STATE_")


def code_of(told: record_error_pb2.RecordError | stage_pb2.ErrorGroup) -> str:
    return record_error_pb2.RecordErrorCode.Name(told.code).removeprefix("RECORD_ERROR_CODE_")


def told_of(error: record_error_pb2.RecordError) -> Told:
    """An error; the field is compared where it is one of values."""
    is_upload = error.stage == record_error_pb2.ERROR_STAGE_UPLOAD
    return Told(code_of(error), "" if is_upload else error.field)


def stage_name(stage: record_error_pb2.ErrorStage.ValueType) -> str:
    return record_error_pb2.ErrorStage.Name(stage).removeprefix("ERROR_STAGE_")


def as_text(record: Any) -> bytes:
    return record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()
