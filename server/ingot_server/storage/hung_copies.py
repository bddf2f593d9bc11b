"""Copies that hang: a process was frozen while it sent the data of a COPY.

PostgreSQL ends no statement for its time limit while it waits for such data, so everybody who wants to write the same
records would wait for as long as that process hangs.
"""

from datetime import timedelta

from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

sql = Queries("hung_copies.sql")


async def hung_copy_end(database: Database, after: timedelta) -> int:
    """Ends the sessions in which a COPY has waited so long for its data; how many there were."""
    row = await database.fetchrow(sql.hung_copy_end, after)
    assert row is not None  # noqa: S101 an aggregate always has one row
    return int(row[0])
