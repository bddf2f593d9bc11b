"""What an account may send: how much in one import, and how much that waits to be processed."""

from dataclasses import dataclass

from ingot_server.domain.errors import ImportTooLarge, QueueFull
from ingot_server.storage.batches import OpenBatch
from ingot_server.storage.database import Database
from ingot_server.storage.usages import usage_get


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much; 0 is no limit. Bytes are those of the records as JSON, uncompressed, whatever they came in."""

    import_records: int = 0
    """How many records an import may receive, good and bad."""
    import_bytes: int = 0
    queued_bytes: int = 0
    """Of all imports of an account: how much may wait to be processed."""

    async def expect_room(self, database: Database, batch: OpenBatch, records: int, bytes: int) -> None:
        """Raises ImportTooLarge or QueueFull if a batch may not receive so much more.

        Uploads that run in parallel do not wait for each other: each may go beyond a limit by one chunk.
        """
        if not (self.import_records or self.import_bytes or self.queued_bytes):
            return
        usage = await usage_get(database, batch.account_id, batch.import_id)
        for what, limit, total in (
            ("records", self.import_records, usage.records + records),
            ("bytes", self.import_bytes, usage.bytes + bytes),
        ):
            if limit and total > limit:
                raise ImportTooLarge(
                    f"Import {batch.import_id} may have {limit:,} {what}, and with these it would have {total:,}:"
                    " finish it with what is committed, and send the rest in another import.",
                    quota=f"import_{what}",
                    limit=limit,
                )
        # What is alone in the queue may be as large as it is: it would never get through otherwise.
        if self.queued_bytes and usage.queued_bytes and usage.queued_bytes + bytes > self.queued_bytes:
            raise QueueFull(
                f"{usage.queued_bytes:,} bytes of the account's imports wait to be processed, and {self.queued_bytes:,}"
                " may: go on from the committed offset when some are.",
                limit=self.queued_bytes,
                queued_bytes=usage.queued_bytes,
            )
