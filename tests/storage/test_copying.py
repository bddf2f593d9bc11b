"""What is copied into a table, thousands of rows at once."""

import gc
import sys

import pytest

from ingot_server.storage.copying import copied_rows, copy_lines, copy_rows, same_bigint, texts
from ingot_server.storage.database import Database
from ingot_server.storage.keyed_records import COPIED, STAGED, KeyedRecords
from ingot_server.storage.sql import Queries

TEXTS = {
    "": b"{}",
    "plain": b'{"a":1}',
    "back\\slash\ttab\nline\rreturn": rb'{"a":"\\ \t \n \r \\N \\."}',
    "\\.": rb'"\\."',
    "Zoë 🦊": '{"a":"Zoë 🦊"}'.encode(),
    "large": b'{"a":"' + b"x" * 2_000_000 + b'"}',
    "k" * 1_000: b"[1, 2.50, null]",
}


async def test_records_are_stored_as_they_were_copied(database: Database) -> None:
    records = KeyedRecords(list(TEXTS), list(TEXTS.values()))
    async with database.rehearsal() as connection:
        await copy_rows(connection, "record", COPIED, records.copied(2**62, -(2**62)))
        rows = await connection.fetch(
            "SELECT key, data, digest, table_id, writer, create_time = now() AS just_now FROM record ORDER BY key"
        )
        expected = await connection.fetch(
            "SELECT key, data::jsonb::text AS data FROM unnest($1::text[], $2::text[]) AS given (key, data)",
            list(TEXTS),
            records.decoded(),
        )
    normalised = {row["key"]: row["data"] for row in expected}
    digests = dict(zip(records.keys, records.digests(), strict=True))
    assert [tuple(row) for row in rows] == [
        (key, normalised[key], digests[key], 2**62, -(2**62), True) for key in sorted(TEXTS)
    ]


async def test_records_keep_the_times_of_creation_that_they_are_copied_with(database: Database) -> None:
    records = KeyedRecords(["b", "a"], [b"{}", b"{}"])
    async with database.rehearsal() as connection:
        sent = await connection.fetchval(
            "SELECT timestamptz_send('1999-12-31 23:59:59.999999+00') || timestamptz_send('2026-01-02 03:04:05+00')"
        )
        await copy_rows(connection, "record", [*COPIED, "create_time"], records.copied(1, 1, sent))
        times = await connection.fetch("SELECT create_time::text FROM record ORDER BY key")
    assert [time for (time,) in times] == ["1999-12-31 23:59:59.999999+00", "2026-01-02 03:04:05+00"]


@pytest.mark.parametrize("records", [KeyedRecords([], []), KeyedRecords(["b", "a"], [b"{}", b"[]"])])
async def test_staged_records_keep_their_order(database: Database, records: KeyedRecords) -> None:
    async with database.rehearsal() as connection:
        await connection.execute(Queries("records.sql").record_stage)
        await copy_rows(connection, "incoming", STAGED, records.staged())
        rows = await connection.fetch("SELECT key, data FROM incoming ORDER BY ctid")
    assert [(key, data.encode()) for key, data in rows] == list(zip(records.keys, records.texts, strict=True))


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        copied_rows(2, same_bigint(1), texts(["only one"]))


async def test_what_was_copied_is_not_kept_until_the_collector_comes(database: Database) -> None:
    lines = b"".join(b"email:%d\tkey\t1\n" % number for number in range(10_000))
    rows = KeyedRecords([str(number) for number in range(10_000)], [b"{}"] * 10_000).copied(1, 1)
    gc.collect()
    gc.disable()
    try:
        before = sys.getrefcount(lines), sys.getrefcount(rows)
        async with database.rehearsal() as connection:
            await copy_lines(connection, "record_identifier", ["identifier", "key", "table_id"], lines)
            await copy_rows(connection, "record", COPIED, rows)
            assert await connection.fetchval("SELECT count(*) FROM record_identifier") == 10_000
            assert await connection.fetchval("SELECT count(*) FROM record") == 10_000
        assert (sys.getrefcount(lines), sys.getrefcount(rows)) == before
    finally:
        gc.enable()
