"""Follows an import until nothing more happens by itself, over lost connections."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from ingot.v1.import_service_pb2 import WatchImportRequest
from ingot_client._connection import Connection
from ingot_client._errors import Transient
from ingot_client._patience import Patience
from ingot_client._translating import filled
from ingot_client._views import Import

OnTrouble = Callable[[str], object]


async def follow(
    connection: Connection, import_id: str, retry_timeout: float, tell: Callable[[str], Awaitable[object]]
) -> AsyncGenerator[Import, None]:
    """The import as it changes, until it has ended or awaits its commit.

    `tell` gets the reason after each failed attempt, and an empty text when the server answers again.
    """
    request = filled(WatchImportRequest, import_id=import_id)
    patience = connection.patience()
    troubled = ended = False
    while True:
        try:
            stream = connection.stream(connection.imports.WatchImport, request)
            async with aclosing(stream) as answers:
                async for answer in answers:
                    if troubled:
                        troubled = False
                        await tell("")
                    if not answer.heartbeat:
                        patience = Patience(retry_timeout)
                        job = Import.read(answer.import_job)
                        yield job
                        if job.awaits_commit:
                            return
                        # The server ends the watch by itself then. A call that is given up costs it something.
                        ended = job.final
            trouble = Transient("the server ended the watch early")
        except Transient as error:
            trouble = error
        if ended:
            return
        # A server that never answered is no trouble on the way: the address may be wrong.
        if connection.answered:
            troubled = True
            await tell(trouble.message)
        if not await patience.wait_after(trouble):
            raise trouble
