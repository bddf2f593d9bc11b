"""Records of as many fields as fit, and of more: bounded memory, a precise answer, and others do not notice."""

import asyncio
import string
import time
from itertools import islice, product

import msgspec

from ingot.v1 import (
    batch_pb2,
    field_pb2,
    import_pb2,
    record_error_pb2,
    record_pb2,
    stage_pb2,
    table_pb2,
    write_mode_pb2,
)
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from ingot_server.domain.fields import UnknownFields
from ingot_server.domain.records import FAULTS_MAX, RECORD_BYTES_MAX
from ingot_server.domain.tables import Rules
from ingot_server.pipeline.validation import Validator
from ingot_server.rpc.structures import record_texts
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.load.test_crowds import crowd_at

NDJSON = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_NDJSON)
LETTERS = string.ascii_letters + string.digits
TOO_LARGE = record_error_pb2.RECORD_ERROR_CODE_RECORD_TOO_LARGE
MANY = 230_000
"""Nearly as many fields as fit."""


def wide(number: int, begins: str = '"id":1', ends: str = "") -> bytes:
    """A record with so many more fields, whose names are short and end alike."""
    letters = islice(product(LETTERS, repeat=3 if number <= len(LETTERS) ** 3 else 4), number)
    fields = [f'"{name}{ends}":1' for name in map("".join, letters)]
    return f"{{{begins},{','.join(fields)}}}".encode()


async def test_a_record_of_a_million_fields_is_one_reject_and_records_of_as_many_as_fit_are_kept(
    database_url: str, database: Database
) -> None:
    fitting = [wide(MANY, f'"id":{number}') for number in range(4)]
    assert RECORD_BYTES_MAX * 0.85 < len(fitting[0]) <= RECORD_BYTES_MAX
    async with crowd_at(database_url, database) as there:
        lines = [b'{"id":"before"}', wide(1_000_000), *fitting, b'{"id":"after"}']
        importing = asyncio.create_task(there.crowd.run_file(b"\n".join(lines), NDJSON))
        await there.expect_unharmed()
        ended = await importing
        assert ended.counts == stage_pb2.RecordCounts(received=7, created=6, rejected=1)
        found = [(error.index, error.line, error.code) for error in await there.crowd.errors(ended.import_id)]
        assert found == [(1, 2, TOO_LARGE)]
        assert sorted(len(row) for row in await there.crowd.table()) == [1, 1, *[MANY + 1] * 4]
        assert there.grown_mib() < 200


async def test_a_merge_that_would_have_too_many_fields_is_a_reject_and_changes_nothing(
    database_url: str, database: Database
) -> None:
    async with crowd_at(database_url, database) as there:
        await there.crowd.run([wide(MANY // 2)])
        import_id = await there.crowd.create(mode=write_mode_pb2.WRITE_MODE_MERGE)
        await there.crowd.upload([records([wide(MANY, ends="x")], import_id=import_id, batch_id="b", finish=True)])
        merging = asyncio.create_task(there.crowd.finish(import_id))
        await there.expect_unharmed()
        assert (await merging).state == import_pb2.IMPORT_STATE_FAILED
        assert [error.code for error in await there.crowd.errors(import_id)] == [TOO_LARGE]
        assert [len(row) for row in await there.crowd.table()] == [MANY // 2 + 1]
        assert there.grown_mib() < 200


async def test_of_many_fields_that_are_refused_the_first_are_told(database_url: str, database: Database) -> None:
    async with crowd_at(database_url, database) as there:
        table = table_pb2.Table(table="things", key_fields=["id"], unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT)
        table.fields.add(name="id", type=field_pb2.FIELD_TYPE_INTEGER)
        await there.crowd.tables.CreateTable(ts.CreateTableRequest(table=table))
        importing = asyncio.create_task(there.crowd.run([wide(MANY), b'{"id":2}']))
        await there.expect_unharmed()
        ended = await importing
        assert (ended.counts.created, ended.counts.rejected) == (1, 1)
        assert len(await there.crowd.errors(ended.import_id)) == FAULTS_MAX
        assert there.grown_mib() < 200


def test_fields_that_are_refused_take_little_more_time_than_those_that_are_kept() -> None:
    seconds = []
    for unknown in (UnknownFields.KEEP, UnknownFields.REJECT):
        validator = Validator(Rules(unknown_fields=unknown))
        began = time.thread_time()
        rows = validator.read([wide(MANY)], [0]).take_rows()
        seconds.append(time.thread_time() - began)
        assert rows[0].is_faulty == (unknown is UnknownFields.REJECT)
    assert seconds[1] < 10 * seconds[0]


async def test_a_structure_of_many_fields_is_read_beside_other_work() -> None:
    """Wherever in a message it is."""
    large = record_pb2.Record()
    large.struct.update(msgspec.json.decode(wide(MANY)))
    reading = asyncio.create_task(record_texts([record_pb2.Record(json=b"{}"), large]))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    texts = await reading
    assert [len(msgspec.json.decode(text)) for text in texts] == [0, MANY + 1]


async def test_a_record_of_many_fields_comes_back_in_either_view(caller: Caller) -> None:
    await caller.run([wide(MANY // 4)])
    for view in (record_pb2.RECORD_VIEW_JSON, record_pb2.RECORD_VIEW_STRUCT):
        found = await caller.records.GetRecord(pb.GetRecordRequest(table="things", key="1", view=view))
        listed = await caller.records.ListRecords(pb.ListRecordsRequest(table="things", view=view))
        assert list(listed.records) == [found.record]
        structure = found.record.struct.fields
        assert len(structure or msgspec.json.decode(found.record.json)) == MANY // 4 + 1
