"""Several processes instead of one: what is there once is the parent's, and what takes time is done by its children.

    parent     embedded PostgreSQL, migrations, the port, the local key and the address in the data folder
      ├── child     API, workers and fetchers, or only some of them
      └── child     the same, on the same port and the same database

The children know nothing of each other; they are replicas, as servers on several machines are.
"""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from ingot_server.access import leave_address, leave_local_key
from ingot_server.opening import database_started, open_database, require_own_database, take_leases_back
from ingot_server.settings import Settings
from ingot_server.shared_port import shared_port
from ingot_server.supervisor import Supervisor


class Fleet:
    """The processes of one server."""

    def __init__(self, settings: Settings, *, serves: bool) -> None:
        """`serves`: whether they have an API, or only work."""
        self._settings = settings
        self._serves = serves
        self._supervisor = Supervisor("share", "serve" if serves else "work")
        self.port = 0
        """The port that they listen on, once they have started."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Fleet"]:
        """All of them, up; they are drained at the end.

        Raises ProcessFailed if one cannot be started, which has said why.
        """
        settings = self._settings
        with ExitStack() as stack:
            if self._serves:
                settings.expect_protected()
                self.port = stack.enter_context(shared_port(settings.address))
            else:
                require_own_database(settings)
            async with database_started(settings) as dsn:
                await self._prepare(settings.model_copy(update={"database_url": dsn}))
                try:
                    await self._supervisor.start(settings.processes, self._environment(dsn))
                    if settings.database_url is None:
                        leave_address(settings, self.port)
                    yield self
                finally:
                    await self._supervisor.stop()

    def kill(self) -> None:
        """Ends all of them at once."""
        self._supervisor.kill()

    async def _prepare(self, settings: Settings) -> None:
        async with open_database(settings) as database:
            if self._settings.database_url is None:
                await take_leases_back(database)
                await leave_local_key(database, settings.data_dir)

    def _environment(self, dsn: str) -> dict[str, str]:
        """Ours, with what the command line and we ourselves have decided."""
        settings = self._settings
        host = settings.address.rpartition(":")[0]
        decided = {
            "DATABASE_URL": dsn,
            "ADDRESS": f"{host}:{self.port}",
            "PROCESSES": 1,
            "WORKERS": settings.workers,
            "FETCHERS": settings.fetchers,
        }
        return {**os.environ, **{f"INGOT_{name}": str(value) for name, value in decided.items()}}
