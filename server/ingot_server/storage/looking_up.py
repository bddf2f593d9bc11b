"""Looks many keys up at once: in one walk along an index, in a tenth of the time of a look for each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

LOOK_UPS_MANY = 100
"""For fewer it is not worth the round trips."""


@asynccontextmanager
async def looking_up_many(connection: "Connection", *, in_order: bool = False) -> AsyncIterator[None]:
    """Within the block, PostgreSQL reads no table from end to end if there is an index. Within a transaction.

    A plan that is made while the table is new, and nothing is known of its size, would otherwise read all of it for
    each chunk. Queries that are run here are run nowhere else, because plans are kept.

    With `in_order` rows are found in the order of the index, and not in that of the table: so that those who lock them
    do not wait for each other in a circle.
    """
    unwanted = ("enable_seqscan", "enable_bitmapscan") if in_order else ("enable_seqscan",)
    await connection.execute("; ".join(f"SET LOCAL {name} = off" for name in unwanted))
    yield
    # After an error the transaction is over, and the setting with it.
    await connection.execute("; ".join(f"SET LOCAL {name} = DEFAULT" for name in unwanted))
