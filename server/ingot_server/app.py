"""Builds the server from its settings, and stops it in reverse: the one place that knows all parts."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
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
from ingot_server.access import leave_address, leave_local_key
from ingot_server.certificates import Certificates, CertificatesUnfit, certificate_files
from ingot_server.domain.errors import DatabaseUnavailable
from ingot_server.heap import give_pages_back, keep_heap_whole
from ingot_server.opening import open_database, require_own_database, take_leases_back
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
from ingot_server.settings import ConfigurationError, Settings, cannot_listen
from ingot_server.storage.database import Database
from ingot_server.storage.import_creation import ImportLimits

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
METADATA_BYTES_MAX = 16 * 1024
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
    # Clients may ask as often: some do every 10 seconds, a little early.
    ("grpc.http2.min_ping_interval_without_data_ms", 9_000),
]


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
            self._workers.end_if_due,
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
        self._aside: list[asyncio.Task[None]] = []
        self.port = 0
        """The port that the server listens on, once it has started."""

    async def start(self) -> None:
        """Listens and works. Raises ConfigurationError if it may not, or cannot, listen on the address."""
        await self._listen()
        self.work()
        self._progress.start()
        self._aside.append(asyncio.create_task(self._watch_health()))

    def work(self) -> None:
        """Works, without an API."""
        self._workers.start()
        self._fetching.start()
        self._aside.append(asyncio.create_task(give_pages_back()))

    async def _listen(self) -> None:
        server, database = self._server, self._database
        import_service_pb2_grpc.add_ImportServiceServicer_to_server(
            ImportService(
                database, self._receiver, self._progress, self._import_limits, self._wake, self._workers.end_if_due
            ),
            server,
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
        for task in self._aside:
            task.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)
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


def _give_fetchers_threads(settings: Settings) -> None:
    """Gives fetchers threads beside those that compute: a large workbook, or a slow disk, may take one for minutes."""
    threads = min(32, (os.cpu_count() or 1) + 4) + settings.fetchers
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, "asyncio"))


@asynccontextmanager
async def running(settings: Settings, *, shares_port: bool = False) -> AsyncIterator[App]:
    """A server that is up; it is drained at the end."""
    settings.expect_protected()
    keep_heap_whole()
    _give_fetchers_threads(settings)
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
    keep_heap_whole()
    _give_fetchers_threads(settings)
    async with open_database(settings) as database:
        app = App(settings, database)
        app.work()
        try:
            yield
        finally:
            await app.stop()
