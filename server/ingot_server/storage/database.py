"""The pool of connections, and the one place where PostgreSQL's errors become ours."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from weakref import WeakValueDictionary

import asyncpg

from ingot_server.domain.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

T = TypeVar("T")

# 28 and 3D concern connecting: a wrong password or a missing database is mended outside, not by the caller.
_TRANSIENT_CLASSES = ("08", "28", "3D", "53", "57P", "58", "XX")
_TRANSIENT_STATES = ("40001", "40P01", "40003", "55P03", "25006", "57014", "25P03", "55000")
_REFUSED_CLASSES = ("22", "23", "54")
_SET_LIMITS = "SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS given (name, value)"
# The number of a transaction that a crash has taken back is given to another one. The statistics begin anew then.
_SINCE = "(SELECT stats_reset::text FROM pg_stat_bgwriter)"
_NUMBERED = f"SELECT pg_current_xact_id()::text AS number, {_SINCE} AS since, set_config('lock_timeout', $1, true)"
_STATUS = f"SELECT pg_xact_status($1::text::xid8) AS status, {_SINCE} AS since"
STATEMENT_SECONDS = 60.0
"""How long a statement may take, where nothing else is said."""
SILENCE_SECONDS = 5.0
"""How much longer than its time limit a statement may take to be answered. PostgreSQL would have ended it by then, so
the way to it is broken."""
IDLE_SECONDS = 300.0
"""How long a connection is kept that nobody uses."""
UNHURRIED_CONNECTIONS = 4
"""Beside the others, for statements that may take an hour: of three commits, and of an index."""
BRIEF_LOCK_SECONDS = 0.9
"""How long those who write a few records wait for others. PostgreSQL looks for deadlocks after a second, and ends
whoever has waited so long: that must not be a commit, which has written for minutes, but whoever is in its way."""

BUILT_IN_TYPE_MAX = 9_999
"""Types above it have other numbers in another version of PostgreSQL, or in another database."""

_built_in_types: dict[frozenset[int], Any] = {}
"""What asyncpg was told about some of them."""

account_served: ContextVar[int | None] = ContextVar("account_served", default=None)
"""The account whose call is being served; None where the server does its own work."""


@contextmanager
def served_for_all() -> Iterator[None]:
    """What is done for a call here, others wait for too: it must not wait for the share of one account."""
    before = account_served.set(None)
    try:
        yield
    finally:
        account_served.reset(before)


class DataRefused(Exception):
    """The database refused the data itself; sending it again would not help.

    `sqlstate` and `condition` name the reason, without any of the data.
    """

    def __init__(self, sqlstate: str, condition: str) -> None:
        super().__init__(f"{sqlstate} {condition}")
        self.sqlstate = sqlstate
        self.condition = condition


class _TypesKnown(asyncpg.Connection):
    """Asks PostgreSQL once what its own types are, not once for each connection.

    asyncpg asks about arrays of anything but texts, and PostgreSQL takes three times as long for that as to open the
    connection (MagicStack/asyncpg#530). Should it come to ask by another method, this has no effect.
    """

    async def _introspect_types(self, types: Iterable[int], *rest: Any, **named: Any) -> Any:
        ask: Callable[..., Awaitable[Any]] = super()._introspect_types  # type: ignore[misc]
        asked = frozenset(types)
        if max(asked) > BUILT_IN_TYPE_MAX:
            return await ask(types, *rest, **named)
        if asked not in _built_in_types:
            _built_in_types[asked] = await ask(types, *rest, **named)
        return _built_in_types[asked]


@contextmanager
def database_errors() -> Iterator[None]:
    """Raises DatabaseUnavailable for what may pass and DataRefused for what will not; lets the rest through."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if isinstance(error, asyncpg.LockNotAvailableError):
            raise DatabaseUnavailable(
                "Somebody else is writing the same records, perhaps an import that is being committed: try again."
            ) from error
        # A table was altered, as by the migration of a newer server; within a transaction asyncpg does not try again.
        outdated = isinstance(error, asyncpg.InvalidCachedStatementError)
        if outdated or state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES:
            raise DatabaseUnavailable from error
        if state.startswith(_REFUSED_CLASSES):
            raise DataRefused(state, type(error).__name__) from error
        raise
    # A server that crashes in the middle of a statement shows as InternalClientError; see asyncpg#490.
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        raise DatabaseUnavailable from error


class Database:
    """Pools of connections to one PostgreSQL database."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        unhurried: "asyncpg.Pool[asyncpg.Record]",
        acquire_timeout_seconds: float,
        statement_timeout_seconds: float,
    ) -> None:
        self.pool = pool
        self._unhurried = unhurried
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._statement_timeout_seconds = statement_timeout_seconds
        connections = pool.get_max_size()
        self._calls = asyncio.Semaphore(max(1, connections - max(1, connections // 4)))
        self._share = max(1, connections // 2)
        self._shares: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        max_connections: int,
        idle_in_transaction_seconds: float = 15,
        acquire_timeout_seconds: float = 10,
        statement_timeout_seconds: float = STATEMENT_SECONDS,
    ) -> "Database":
        """Opens the pools; DatabaseUnavailable if the database cannot be reached.

        A process that hangs within a transaction keeps its locks for `idle_in_transaction_seconds`; nobody can take
        over its work before.
        """
        milliseconds = _milliseconds(statement_timeout_seconds)

        async def opened(
            connections_min: int, connections_max: int, answer_seconds: float | None, idle_seconds: float
        ) -> Any:
            return await asyncpg.create_pool(
                dsn,
                min_size=connections_min,
                max_size=connections_max,
                timeout=acquire_timeout_seconds,
                command_timeout=answer_seconds,
                max_inactive_connection_lifetime=idle_seconds,
                # Nothing of ours changes a session, so the round trip that resets it is saved.
                reset=_no_reset,
                connection_class=_TypesKnown,
                server_settings={
                    "application_name": "ingot",
                    "statement_timeout": milliseconds,
                    "lock_timeout": milliseconds,
                    "idle_in_transaction_session_timeout": _milliseconds(idle_in_transaction_seconds),
                    # The plans are simple; compiling them costs more than running them.
                    "jit": "off",
                    "client_min_messages": "warning",
                },
            )

        with database_errors():
            pool = await opened(1, max_connections, statement_timeout_seconds + SILENCE_SECONDS, IDLE_SECONDS)
            # Nobody would notice that one of these has fallen silent since its last use, so none is kept.
            unhurried = await opened(0, UNHURRIED_CONNECTIONS, None, 1)
        return cls(pool, unhurried, acquire_timeout_seconds, statement_timeout_seconds)

    @asynccontextmanager
    async def connection(self, *, unhurried: bool = False) -> "AsyncIterator[Connection]":
        """A connection; an unhurried one if its statements have no time limit, or a long one.

        The calls of one account have half of the connections at most, and those of all accounts three quarters: however
        many they are, others are served, and the server's own work goes on.

        Raises DatabaseUnavailable if none is free in time, and if a statement gets no answer.
        """
        pool = self._unhurried if unhurried else self.pool
        with database_errors():
            async with (
                self._one_of_share(account_served.get()),
                pool.acquire(timeout=self._acquire_timeout_seconds) as connection,
            ):
                try:
                    with ended_if_silent(connection):
                        yield connection
                except (asyncpg.ReadOnlySQLTransactionError, asyncpg.InterfaceError, TimeoutError):
                    # After a failover the others lead to the wrong server too, or nowhere, and none of them says so.
                    await pool.expire_connections()
                    raise

    @asynccontextmanager
    async def _one_of_share(self, account_id: int | None) -> "AsyncIterator[None]":
        if account_id is None:
            yield
            return
        share = self._shares.setdefault(account_id, asyncio.Semaphore(self._share))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._acquire_timeout_seconds):
                    await held.enter_async_context(share)
                    await held.enter_async_context(self._calls)
            except TimeoutError:
                raise DatabaseUnavailable(
                    "Too many calls are under way, of the account or of all together: make fewer at once, or try again."
                ) from None
            yield

    @asynccontextmanager
    async def transaction(
        self, *, statement_timeout_seconds: float | None = None, lock_timeout_seconds: float | None = None
    ) -> "AsyncIterator[Connection]":
        """A connection of the pool within a transaction, whose statements may have time limits of their own."""
        limits = {"statement_timeout": statement_timeout_seconds, "lock_timeout": lock_timeout_seconds}
        unhurried = (statement_timeout_seconds or 0) > self._statement_timeout_seconds
        async with self.connection(unhurried=unhurried) as connection, connection.transaction():
            with ended_if_silent(connection):
                await _limit(connection, limits)
                yield connection

    @asynccontextmanager
    async def rehearsal(self) -> "AsyncIterator[Connection]":
        """A connection of the pool within a transaction that is rolled back in any case, and waits for nobody long."""
        async with self.connection() as connection, rolled_back(connection):
            with ended_if_silent(connection):
                await _limit(connection, {"lock_timeout": BRIEF_LOCK_SECONDS})
                yield connection

    async def retrying(self, attempt: Callable[[], Awaitable[T]], *, tries: int = 5) -> T:
        """The result of `attempt`, tried again on a fresh connection while the database is unavailable.

        `attempt` must be idempotent: after a connection is lost during COMMIT nobody knows whether it took effect.
        """
        for tried in range(1, tries):
            try:
                return await attempt()
            except DatabaseUnavailable:
                await asyncio.sleep(min(5.0, 0.05 * 2**tried) * random.uniform(0.5, 1.5))  # noqa: S311 jitter
        return await attempt()

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of one statement."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row of one statement."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> int:
        """Runs one statement; the number of rows it touched."""
        async with self.connection() as connection:
            return rows_touched(await connection.execute(query, *arguments))

    async def close(self) -> None:
        """Closes the pools; connections that are still in use after a while are cut."""
        for pool in (self._unhurried, self.pool):
            try:
                async with asyncio.timeout(10):
                    await pool.close()
            except TimeoutError:
                pool.terminate()


class Once(Generic[T]):
    """A transaction that takes effect once, however often it is tried: its outcome is known even if the answer to its
    COMMIT is lost.

    After a crash of PostgreSQL it is not known, and the transaction is tried again: it must do no harm then.
    """

    def __init__(self, database: Database, *, lock_timeout_seconds: float) -> None:
        self._database = database
        self._lock_timeout_seconds = lock_timeout_seconds
        self._last: tuple[str, str, T] | None = None

    async def run(self, attempt: Callable[["Connection"], Awaitable[T]]) -> T:
        """What `attempt` returns, or did in the run before, if that has taken effect. To be run in `retrying`."""
        if self._last is not None:
            number, since, outcome = self._last
            if await self._has_committed(number, since):
                return outcome
            self._last = None
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_NUMBERED, _milliseconds(self._lock_timeout_seconds))
            assert row is not None  # noqa: S101 it has no FROM
            outcome = await attempt(connection)
            self._last = row["number"], row["since"], outcome
        self._last = None
        return outcome

    async def _has_committed(self, number: str, since: str) -> bool:
        try:
            row = await self._database.fetchrow(_STATUS, number)
        except DataRefused:
            # After a failover to a server that never heard of it.
            return False
        assert row is not None  # noqa: S101 it has no FROM
        if row["status"] == "in progress":
            raise DatabaseUnavailable
        return bool(row["status"] == "committed" and row["since"] == since)


@contextmanager
def ended_if_silent(connection: "Connection") -> Iterator[None]:
    """Ends a connection that can only read, or does not answer. To be used within each transaction and savepoint.

    Their ROLLBACK would wait without limit for the answer that did not come.
    """
    try:
        yield
    except (asyncpg.ReadOnlySQLTransactionError, TimeoutError):
        connection.terminate()
        raise


@asynccontextmanager
async def rolled_back(connection: "Connection") -> "AsyncIterator[Connection]":
    """A transaction, or a part of one, that is rolled back in any case."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()


async def plan_for_all_rows(connection: "Connection") -> None:
    """Keeps the planner, for our transaction, from looking into one table for each row of another.

    For a table that has just been filled it may take that for the best way, and it would never end.
    """
    await connection.execute("SELECT set_config('enable_nestloop', 'off', true)")


async def _limit(connection: "Connection", limits: Mapping[str, float | None]) -> None:
    """Gives our transaction those time limits, in seconds, that are not None."""
    given = {name: _milliseconds(seconds) for name, seconds in limits.items() if seconds is not None}
    if given:
        await connection.execute(_SET_LIMITS, list(given), list(given.values()))


async def _no_reset(connection: object) -> None:
    """Leaves the session as it is."""


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


def rows_touched(command_tag: str) -> int:
    """The number at the end of a command tag such as `UPDATE 3`."""
    return int(command_tag.rsplit(" ", 1)[-1])
