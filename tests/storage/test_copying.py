"""Lines that are copied into a table."""

import gc
import sys

from ingot_server.storage.copying import copy_lines
from ingot_server.storage.database import Database


async def test_what_was_copied_is_not_kept_until_the_collector_comes(database: Database) -> None:
    lines = b"".join(b"email:%d\tkey\t1\n" % number for number in range(10_000))
    gc.collect()
    gc.disable()
    try:
        before = sys.getrefcount(lines)
        async with database.rehearsal() as connection:
            await copy_lines(connection, "record_identifier", ["identifier", "key", "table_id"], lines)
            assert await connection.fetchval("SELECT count(*) FROM record_identifier") == 10_000
        assert sys.getrefcount(lines) == before
    finally:
        gc.enable()
