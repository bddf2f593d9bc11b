"""Builds the server from its settings, and stops it in reverse: the one place that knows all parts."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health import OVERALL_HEALTH
from grpc_health.v1.health_pb2 import HealthCheckResponse

from ingot.v1 import (
    batch_service_pb2_grpc,
    import_service_pb2_grpc,
    record_service_pb2_grpc,
    table_service_pb2_grpc,
)
from ingot_server import audit
from ingot_server.certificates import Certificates, CertificatesUnfit, certificate_files
from ingot_server.domain.api_keys import SCOPES, ApiKey, api_key_new, api_key_parse
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.pipeline.allowances import Allowance
from ingot_server.pipeline.fetching import Fetcher, FetchRules
from ingot_server.pipeline.progress import Progress
from ingot_server.pipeline.receiving import ChunkLimits, Receiver
from ingot_server.pipeline.referencing import Fetching, FetchSettings
from ingot_server.pipeline.worker import Workers, WorkerSettings
from ingot_server.rpc.batch_service import BatchService
from ingot_server.rpc.guard import Guard
from ingot_server.rpc.import_service import ImportService
from ingot_server.rpc.quotas import QuotaLimits, Quotas
from ingot_server.rpc.record_service import RecordService
from ingot_server.rpc.reflection import add_reflection
from ingot_server.rpc.table_service import TableService
from ingot_server.settings import Settings
from ingot_server.storage import accounts, batches, commits, references
from ingot_server.storage.database import STATEMENT_SECONDS, UNHURRIED_CONNECTIONS, Database
from ingot_server.storage.embedded import EmbeddedPostgres
from ingot_server.storage.import_creation import ImportLimits
from ingot_server.storage.migrating import migrate

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
METADATA_BYTES_MAX = 16 * 1024
DEFAULT_ACCOUNT = "default"
LOCAL_KEY_LABEL = "local client, made at the first start"
SERVICES = (
    "ingot.v1.ImportService",
    "ingot.v1.BatchService",
    "ingot.v1.RecordService",
    "ingot.v1.TableService",
    "grpc.health.v1.Health",
)
_HEALTH_SECONDS = 1.0
_GRPC_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # Between the two, gRPC would refuse some calls by chance.
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    # A client whose machine has vanished is noticed within 30 seconds.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this the time above has no effect, and it takes another minute.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
]


class ConfigurationError(Exception):
    """The settings do not fit together; the message says what to change."""


def cannot_listen(address: str) -> ConfigurationError:
    """That the address cannot be listened on."""
    return ConfigurationError(
        f"cannot listen on {address}: is another server running there? Set INGOT_ADDRESS to another one"
    )


def require_own_database(settings: Settings) -> None:
    """Raises ConfigurationError if the settings name no database."""
    if settings.database_url is None:
        raise ConfigurationError(
            "embedded PostgreSQL belongs to `ingot-server serve`: set INGOT_DATABASE_URL to the database that the"
            " servers share"
        )


@asynccontextmanager
async def database_started(settings: Settings) -> AsyncIterator[str]:
    """The URL of the database of the settings; embedded PostgreSQL runs meanwhile if it is used."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    async with _embedded_postgres(settings) as dsn:
        yield dsn


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database of the settings, migrated; embedded PostgreSQL runs meanwhile if it is used."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(database_started(settings))
        database = await Database.connect(
            dsn,
            max_connections=settings.database_connections,
            idle_in_transaction_seconds=settings.lease_seconds,
            # Writing a chunk may take two leases, and is no reason for an unhurried connection.
            statement_timeout_seconds=max(STATEMENT_SECONDS, 2 * settings.lease_seconds),
        )
        stack.push_async_callback(database.close)
        async with database.connection(unhurried=True) as connection:
            await migrate(connection)
        yield database


@asynccontextmanager
async def join_database(settings: Settings) -> AsyncIterator[Database]:
    """The database of the settings, for a short errand beside a server that may be running on it."""
    dsn = settings.database_url
    postgres = EmbeddedPostgres(
        settings.data_dir, postgres_bin=settings.postgres_bin, postgres_user=settings.postgres_user
    )
    if dsn is None:
        if not postgres.exists():
            raise ConfigurationError(
                f"there is no Ingot database in {settings.data_dir}: set INGOT_DATA_DIR to the folder that the server"
                " printed at its start, or INGOT_DATABASE_URL, or start a server there first"
            )
        dsn = await postgres.dsn_of_running()
    if dsn is None:
        async with open_database(settings) as database:
            yield database
        return
    database = await Database.connect(dsn, max_connections=3)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _embedded_postgres(settings: Settings) -> AsyncIterator[str]:
    postgres = EmbeddedPostgres(
        settings.data_dir,
        postgres_bin=settings.postgres_bin,
        postgres_user=settings.postgres_user,
        max_connections=settings.processes * (settings.database_connections + UNHURRIED_CONNECTIONS) + 20,
    )
    await postgres.start()
    keeping = asyncio.create_task(_keep_running(postgres))
    try:
        yield postgres.dsn
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await postgres.stop()


async def _keep_running(postgres: EmbeddedPostgres) -> None:
    while True:
        code = await postgres.wait()
        log.error("embedded PostgreSQL ended unexpectedly; starting it again", extra={"exit_code": code})
        try:
            await postgres.start()
        except Exception:
            log.exception("embedded PostgreSQL does not start; trying again")
            await asyncio.sleep(5)


class App:
    """A running server: the API and the workers on one database."""

    def __init__(self, settings: Settings, database: Database, *, shares_port: bool = False) -> None:
        """`shares_port`: other processes of the same server listen on it too."""
        self._settings = settings
        self._database = database
        self._progress = Progress(database)
        self._workers = Workers(
            database,
            WorkerSettings(
                workers=settings.workers,
                lease=settings.lease,
                errors_limit=settings.errors_limit,
                chunk_retention=timedelta(hours=settings.chunk_retention_hours),
                abandoned_after=timedelta(hours=settings.abandoned_hours),
            ),
            self._progress.look_at,
        )
        self._import_limits = ImportLimits(settings.open_imports_max)
        allowance = Allowance(settings.import_records_max, settings.import_bytes_max, settings.queued_bytes_max)
        self._receiver = Receiver(database, ChunkLimits(), allowance, settings.errors_limit, self._workers.wake)
        self._fetching = Fetching(
            database,
            self._receiver,
            Fetcher(_fetch_rules(settings)),
            FetchSettings(
                at_once=settings.fetchers,
                lease=settings.lease,
                longest=timedelta(hours=settings.reference_hours_max),
                copy_bytes_max=settings.reference_copy_bytes_max,
            ),
        )
        quotas = Quotas(
            QuotaLimits(settings.open_streams_max, settings.requests_per_second_max, settings.upload_idle_seconds)
        )
        self._guard = Guard(
            database,
            quotas,
            reflection_is_open=settings.listens_on_loopback,
            failed_keys_per_minute=settings.failed_keys_per_minute,
        )
        self._health = HealthServicer()
        # Otherwise a second server on the same port is a mistake, not a way to share the load.
        options = [*_GRPC_OPTIONS, ("grpc.so_reuseport", int(shares_port))]
        self._server = aio.server(interceptors=[self._guard], options=options)
        self._watching: asyncio.Task[None] | None = None
        self.port = 0
        """The port that the server listens on, once it has started."""

    async def start(self) -> None:
        """Listens and works. Raises ConfigurationError if it may not, or cannot, listen on the address."""
        await self._listen()
        self.work()
        self._progress.start()
        self._watching = asyncio.create_task(self._watch_health())

    def work(self) -> None:
        """Works, without an API."""
        self._workers.start()
        self._fetching.start()

    async def _listen(self) -> None:
        server, database = self._server, self._database
        import_service_pb2_grpc.add_ImportServiceServicer_to_server(
            ImportService(database, self._receiver, self._progress, self._import_limits, self._wake), server
        )
        batch_service_pb2_grpc.add_BatchServiceServicer_to_server(
            BatchService(database, self._receiver, self._progress, self._fetching), server
        )
        record_service_pb2_grpc.add_RecordServiceServicer_to_server(RecordService(database), server)
        table_service_pb2_grpc.add_TableServiceServicer_to_server(TableService(database), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        add_reflection(server, SERVICES)
        self.port = self._bind()
        await self._set_health(serving=True)
        await server.start()

    async def stop(self) -> None:
        """Drains: uploads are told where to go on, chunks in hand are finished, then everything ends."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._health.enter_graceful_shutdown()
        self._receiver.drain()
        await self._fetching.stop()
        await self._progress.stop()
        # Returns without waiting for the handlers that it has cut off (grpc/grpc#37239): the guard knows them.
        await self._server.stop(self._settings.shutdown_grace_seconds)
        await self._guard.calls_ended()
        await self._workers.stop()

    def _wake(self) -> None:
        self._workers.wake()
        self._workers.wake_commits()
        self._fetching.wake()

    def _bind(self) -> int:
        address, settings = self._settings.address, self._settings
        try:
            if files := certificate_files(settings):
                return self._server.add_secure_port(address, Certificates(files).credentials())
            if not settings.listens_on_loopback and not settings.allow_plaintext:
                raise ConfigurationError(
                    f"INGOT_ADDRESS {address} can be reached from other machines, and without TLS keys and data would"
                    " be readable on the way: set INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY, or"
                    " INGOT_ALLOW_PLAINTEXT=true if something else protects the connection"
                )
            return self._server.add_insecure_port(address)
        except RuntimeError:
            raise cannot_listen(address) from None
        except CertificatesUnfit as unfit:
            raise ConfigurationError(f"TLS cannot be used: {unfit}") from None

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_SECONDS)
            try:
                await self._database.fetchrow("SELECT 1")
            except DatabaseUnavailable:
                await self._set_health(serving=False)
            except Exception:
                log.exception("the database cannot be used")
                await self._set_health(serving=False)
            else:
                await self._set_health(serving=True)

    async def _set_health(self, *, serving: bool) -> None:
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        for service in (OVERALL_HEALTH, *SERVICES):
            await self._health.set(service, status)


def _fetch_rules(settings: Settings) -> FetchRules:
    return FetchRules(
        private_networks=settings.reference_private_networks,
        folders=tuple(Path(folder) for folder in settings.reference_folders.split(":") if folder),
        s3_buckets=tuple(bucket.strip() for bucket in settings.reference_s3_buckets.split(",") if bucket.strip()),
        s3_endpoint=settings.reference_s3_endpoint,
        bytes_max=settings.reference_bytes_max,
        stall_seconds=settings.reference_stall_seconds,
    )


@asynccontextmanager
async def running(settings: Settings, *, shares_port: bool = False) -> AsyncIterator[App]:
    """A server that is up; it is drained at the end."""
    async with open_database(settings) as database:
        if settings.database_url is None:
            await take_leases_back(database)
        app = App(settings, database, shares_port=shares_port)
        await app.start()
        try:
            if settings.database_url is None:
                await leave_local_key(database, settings.data_dir)
                leave_address(settings, app.port)
            yield app
        finally:
            await app.stop()


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Workers and fetchers without an API; what they have in hand is finished at the end."""
    require_own_database(settings)
    async with open_database(settings) as database:
        app = App(settings, database)
        app.work()
        try:
            yield
        finally:
            await app.stop()


async def take_leases_back(database: Database) -> None:
    """For embedded PostgreSQL: the lock on its folder proves that nobody else works, under whatever lease.

    What is left of a killed server's processes may still want to write; it finds that its leases are gone.
    """
    for release_all in (batches.batch_release_all, references.reference_release_all, commits.commit_release_all):
        await release_all(database)


async def create_key(
    database: Database,
    account: str,
    scopes: list[str],
    label: str,
    lifetime: timedelta | None,
    *,
    sandbox: bool = False,
) -> ApiKey:
    """Makes an API key, and its account if needed; with a sandbox key nothing can be stored."""
    account_id = await accounts.account_ensure(database, account)
    key = api_key_new()
    await accounts.api_key_create(
        database, key.key_id, account_id, key.secret_sha256, scopes, label, lifetime, sandbox=sandbox
    )
    audit.key_created(key.key_id, account, scopes, sandbox=sandbox)
    return key


async def leave_local_key(database: Database, data_dir: Path) -> Path:
    """The file in the data folder that holds a key for the local client; made if there is none that works."""
    file = data_dir / "api-key"
    with contextlib.suppress(OSError):
        key = api_key_parse(file.read_text().strip())
        stored = await accounts.api_key_find(database, key.key_id) if key else None
        if key and stored and stored.usable and key.matches(stored.secret_sha256):
            return file
    key = await create_key(database, DEFAULT_ACCOUNT, list(SCOPES), LOCAL_KEY_LABEL, None)
    _write_private(file, key.text + "\n")
    return file


def leave_address(settings: Settings, port: int) -> None:
    """Leaves in the data folder where the server listens."""
    host = settings.address.rpartition(":")[0]
    _write_private(settings.data_dir / "address", f"{host}:{port}\n")


def _write_private(file: Path, text: str) -> None:
    """Writes a file for our eyes only, whole or not at all."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    unfinished.replace(file)
