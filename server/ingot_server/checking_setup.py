"""Finds what is wrong with a configuration, without changing anything."""

import errno
import os
import socket
from pathlib import Path

import asyncpg
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from ingot_server.certificates import CertificatesUnfit, certificate_files
from ingot_server.settings import ConfigurationError, Settings
from ingot_server.shared_port import PORT_NOT_SHARED, port_can_be_shared
from ingot_server.storage.database import UNHURRIED_CONNECTIONS, database_errors
from ingot_server.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from ingot_server.storage.migrating import SchemaError, schema_state

POSTGRES_VERSION_MIN = 150_000
ANSWER_SECONDS = 2
SERVICE = "ingot.v1.ImportService"
CLIENT_VARIABLES = {"INGOT_API_KEY", "INGOT_TLS", "INGOT_TLS_CA"}


async def find_problems(settings: Settings) -> list[str]:
    """One sentence per problem, each with what to do."""
    problems = [*_unknown_variables(), *(await _address_problems(settings)), *_tls_problems(settings)]
    if settings.processes > 1 and not port_can_be_shared():
        problems.append(PORT_NOT_SHARED)
    if settings.database_url is None:
        problems += await _embedded_problems(settings)
    else:
        of_each = settings.database_connections + UNHURRIED_CONNECTIONS
        problems += await _database_problems(settings.database_url, settings.processes * of_each)
    return problems


async def is_running(settings: Settings) -> bool:
    """Whether Ingot answers at the address, and it is the one that a server of the same data folder has left there.

    A server with TLS is not asked: nobody knows the name in its certificate.
    """
    if settings.tls_certificate:
        return False
    if settings.database_url is None:
        try:
            if (settings.data_dir / "address").read_text().strip() != settings.address:
                return False
        except OSError:
            return False
    async with grpc.aio.insecure_channel(settings.address) as channel:
        try:
            await HealthStub(channel).Check(HealthCheckRequest(service=SERVICE), timeout=ANSWER_SECONDS)  # type: ignore[attr-defined]
        except grpc.aio.AioRpcError:
            return False
    return True


async def _address_problems(settings: Settings) -> list[str]:
    host, _, port = settings.address.rpartition(":")
    try:
        settings.expect_protected()
        family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except ConfigurationError as error:
        return [str(error)]
    except OSError as error:
        if error.errno == errno.EADDRINUSE and await is_running(settings):
            return []
        return [f"INGOT_ADDRESS {settings.address} cannot be used: {error.strerror or error}"]
    return []


def _tls_problems(settings: Settings) -> list[str]:
    try:
        if files := certificate_files(settings):
            files.read()
    except CertificatesUnfit as unfit:
        return [f"TLS cannot be used: {unfit}"]
    return []


def _unknown_variables() -> list[str]:
    known = {f"INGOT_{name.upper()}" for name in Settings.model_fields} | CLIENT_VARIABLES
    unknown = sorted(name for name in os.environ if name.startswith("INGOT_") and name not in known)
    return [f"{name} is not a setting: is it misspelt?" for name in unknown]


async def _embedded_problems(settings: Settings) -> list[str]:
    problems = _folder_problems(settings.data_dir)
    if not problems:
        try:
            await EmbeddedPostgres(
                settings.data_dir, postgres_bin=settings.postgres_bin, postgres_user=settings.postgres_user
            ).check()
        except EmbeddedPostgresError as error:
            problems.append(str(error))
    return problems


def _folder_problems(data_dir: Path) -> list[str]:
    existing = next(folder for folder in (data_dir, *data_dir.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return [f"INGOT_DATA_DIR {data_dir} cannot be written: choose a folder of your own"]
    return []


async def _database_problems(url: str, connections: int) -> list[str]:
    try:
        with database_errors():
            connection = await asyncpg.connect(url, timeout=10)
    except Exception as error:
        reason = error.__cause__ or error
        return [f"INGOT_DATABASE_URL cannot be connected to: {type(reason).__name__}: {reason}"]
    try:
        version = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
        if version < POSTGRES_VERSION_MIN:
            return [f"PostgreSQL {version // 10_000} is too old: expected 15 or newer"]
        (await schema_state(connection)).refuse_unfit()
        allowed = int(await connection.fetchval("SELECT current_setting('max_connections')"))
        if connections > allowed:
            return [
                f"the processes may open {connections} connections together, and PostgreSQL allows {allowed}: set"
                " INGOT_DATABASE_CONNECTIONS, which is for each process, to fewer, or max_connections to more"
            ]
    except SchemaError as error:
        return [str(error)]
    finally:
        await connection.close()
    return []
