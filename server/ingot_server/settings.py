"""The server's settings, read from the environment (`INGOT_...`) and the command line."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_data_dir() -> Path:
    """`/var/lib/ingot` for root, otherwise `ingot` in the user's data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/ingot")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "ingot"


class Settings(BaseSettings):
    """Everything that can be set. Each field is the variable `INGOT_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="INGOT_", extra="ignore", frozen=True)

    address: Annotated[str, Field(description="Host and port to listen on; port 0 takes a free one.")] = (
        "127.0.0.1:7468"
    )
    allow_plaintext: Annotated[bool, Field(description="Listen without TLS on an address that is not loopback.")] = (
        False
    )
    tls_certificate: Annotated[Path | None, Field(description="File with the certificate chain, PEM.")] = None
    tls_key: Annotated[Path | None, Field(description="File with the certificate's private key, PEM.")] = None
    tls_client_ca: Annotated[
        Path | None,
        Field(description="File with the authorities whose certificates clients must have, PEM; none if not set."),
    ] = None
    failed_keys_per_minute: Annotated[
        int, Field(ge=1, description="How many wrong API keys may come from an address in a minute.")
    ] = 60
    database_url: Annotated[
        str | None, Field(description="A PostgreSQL of your own (15 or newer); embedded PostgreSQL if not set.")
    ] = None
    database_connections: Annotated[
        int, Field(ge=3, le=1000, description="How many connections to open at most, beside 4 for what takes long.")
    ] = 16
    data_dir: Annotated[Path, Field(description="Where embedded PostgreSQL and the local API key live.")] = Field(
        default_factory=default_data_dir
    )
    postgres_bin: Annotated[
        Path | None, Field(description="Folder with initdb and postgres to use instead of the bundled ones.")
    ] = None
    postgres_user: Annotated[
        str | None, Field(description="The user that runs embedded PostgreSQL when the server runs as root.")
    ] = None
    processes: Annotated[
        int,
        Field(ge=1, le=64, description="How many processes; each has workers, fetchers and connections of its own."),
    ] = 1
    workers: Annotated[int, Field(ge=0, le=64, description="How many batches to process at the same time.")] = 2
    lease_seconds: Annotated[
        float, Field(ge=1, le=3600, description="How long a batch stays with a worker that gives no sign of life.")
    ] = 15
    errors_limit: Annotated[
        int, Field(ge=0, description="How many errors of an import are kept in full; counts are exact beyond.")
    ] = 100_000
    chunk_retention_hours: Annotated[
        float, Field(ge=0, description="How long received data is kept after the end of its import.")
    ] = 24
    open_imports_max: Annotated[
        int,
        Field(
            ge=1, description="How many unfinished imports an account may have; those that only validate by themselves."
        ),
    ] = 10
    open_streams_max: Annotated[
        int,
        Field(
            ge=0,
            description="How many uploads, watches and exports an account may have open on one server; 0: no limit.",
        ),
    ] = 2_000
    requests_per_second_max: Annotated[
        float, Field(ge=0, description="How many calls a second an account may begin on one server; 0: no limit.")
    ] = 0
    import_records_max: Annotated[
        int, Field(ge=0, description="How many records an import may receive; 0: no limit.")
    ] = 0
    import_bytes_max: Annotated[
        int, Field(ge=0, description="How many bytes of records, as JSON, an import may receive; 0: no limit.")
    ] = 0
    queued_bytes_max: Annotated[
        int,
        Field(ge=0, description="How many bytes of an account's records may wait to be processed; 0: no limit."),
    ] = 0
    upload_idle_seconds: Annotated[
        float, Field(ge=0, description="After how long without a message an upload is ended; 0: never.")
    ] = 300
    abandoned_hours: Annotated[
        float, Field(gt=0, description="After how long an import that nobody goes on with is cancelled.")
    ] = 72
    fetchers: Annotated[
        int,
        Field(
            ge=0,
            le=64,
            description="How many referenced files to fetch at once; one account gets about a third of them.",
        ),
    ] = 16
    reference_private_networks: Annotated[
        bool, Field(description="Fetch referenced files also from hosts that are not on the public internet.")
    ] = False
    reference_folders: Annotated[
        str, Field(description="Folders, separated by colons, below which file:// URIs may be fetched; none if empty.")
    ] = ""
    reference_s3_buckets: Annotated[
        str,
        Field(description="S3 buckets, separated by commas, that may be fetched from with the server's credentials."),
    ] = ""
    reference_s3_endpoint: Annotated[str, Field(description="The address of the S3 service; Amazon's if empty.")] = ""
    reference_bytes_max: Annotated[int, Field(ge=1, description="How large a referenced file may be.")] = 1 << 40
    reference_copy_bytes_max: Annotated[
        int, Field(ge=1, description="How large a referenced workbook or Parquet file may be, which is copied first.")
    ] = 4 << 30
    reference_hours_max: Annotated[
        float, Field(gt=0, description="After how long it is given up to fetch a referenced file.")
    ] = 6
    reference_stall_seconds: Annotated[
        float, Field(gt=0, description="After how long without a byte a referenced file is asked for again.")
    ] = 60
    shutdown_grace_seconds: Annotated[
        float, Field(ge=0, le=600, description="How long calls may go on after a request to stop.")
    ] = 10
    log_format: Annotated[
        str, Field(pattern="^(auto|json|text)$", description="`json`, `text`, or `auto`: text on a terminal.")
    ] = "auto"
    log_level: Annotated[
        str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR.")
    ] = "INFO"

    @field_validator("reference_s3_endpoint")
    @classmethod
    def _endpoint_has_scheme(cls, endpoint: str) -> str:
        if endpoint and not endpoint.startswith(("https://", "http://")):
            raise ValueError("expected https://HOST or http://HOST, for example http://127.0.0.1:9000")
        return endpoint

    @field_validator("database_url")
    @classmethod
    def _database_url_is_one(cls, url: str | None) -> str | None:
        # A password that is not quoted splits the URL anywhere, and asyncpg's complaints show the pieces.
        try:
            parts = urlsplit(url or "postgresql://")
            hosts = parts.netloc.rpartition("@")[2].split(",")
            ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
            parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        except ValueError:
            parts, ports = urlsplit(""), []
        odd = parts.fragment or "@" in parts.path or any(port and not port.isdecimal() for port in ports)
        if odd or parts.scheme not in ("postgresql", "postgres"):
            raise ValueError(
                "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with what is special in URLs written as %XX,"
                " for example %2F for a slash in the password"
            )
        return url

    @field_validator("address")
    @classmethod
    def _address_has_port(cls, address: str) -> str:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError("expected HOST:PORT, for example 127.0.0.1:7468")
        return address

    @property
    def lease(self) -> timedelta:
        """How long a batch stays with a worker that gives no sign of life."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        host = self.address.rpartition(":")[0].strip("[]")
        return host in ("localhost", "::1") or host.startswith("127.")

    def expect_protected(self) -> None:
        """Raises ConfigurationError if others could read what clients send to the address."""
        if not self.listens_on_loopback and not self.tls_certificate and not self.allow_plaintext:
            raise ConfigurationError(
                f"INGOT_ADDRESS {self.address} can be reached from other machines, and without TLS keys and data would"
                " be readable on the way: set INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY, or INGOT_ALLOW_PLAINTEXT=true if"
                " something else protects the connection"
            )


class ConfigurationError(Exception):
    """The settings do not fit together; the message says what to change."""


def cannot_listen(address: str) -> ConfigurationError:
    """That the address cannot be listened on."""
    return ConfigurationError(
        f"cannot listen on {address}: is another server running there? Set INGOT_ADDRESS to another one"
    )
