"""The server's TLS certificate, which may be renewed while it runs.

The files are looked at whenever somebody connects. New ones are taken if they fit together; otherwise what was good
last stays in use, and the log says why. Connections that are open go on as they are.
"""

import asyncio
import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from ingot_server.settings import Settings

log = logging.getLogger(__name__)


class CertificatesUnfit(Exception):
    """The files cannot be used for TLS; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificate is, in PEM."""

    certificate: Path
    key: Path
    client_ca: Path | None
    """Whose certificates clients must have; if there is none, they need none."""

    def state(self) -> tuple[tuple[int, ...] | None, ...]:
        """What changes when a file is written, replaced or removed, or a link leads elsewhere."""
        return tuple(_state(file) for file in (self.certificate, self.key, self.client_ca) if file is not None)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """What gRPC takes. Raises CertificatesUnfit if it would not work."""
        try:
            pair = (self.key.read_bytes(), self.certificate.read_bytes())
            client_ca = self.client_ca.read_bytes() if self.client_ca is not None else None
        except OSError as error:
            raise CertificatesUnfit(f"{error.filename} cannot be read: {error.strerror}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without a password it would ask for one at the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError):
            raise CertificatesUnfit(
                f"{self.certificate} and {self.key} are not a certificate and its private key, in PEM and without"
                " a password"
            ) from None
        if client_ca is not None:
            try:
                context.load_verify_locations(cadata=client_ca.decode("ascii", "replace"))
            except (ssl.SSLError, ValueError):
                raise CertificatesUnfit(f"{self.client_ca} holds no certificates in PEM") from None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=client_ca)


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """Where the certificate is; None without TLS. Raises CertificatesUnfit if only a part of it is set."""
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate and key:
        return CertificateFiles(certificate, key, client_ca)
    if certificate or key or client_ca:
        raise CertificatesUnfit("it needs both INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY")
    return None


class Certificates:
    """The certificate in use; belongs to the running event loop."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises CertificatesUnfit."""
        self._files = files
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._seen = files.state()
        self.first = files.read()

    def credentials(self) -> grpc.ServerCredentials:
        """What a port needs to listen with this certificate, as it is at each moment."""
        return grpc.dynamic_ssl_server_credentials(
            self.first,
            self._renewed,  # type: ignore[arg-type]  # None is for: as before
            require_client_authentication=self._files.client_ca is not None,
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """New certificates if there are any. gRPC calls it from its own threads, and every handshake waits for it."""
        with self._lock:
            state = self._files.state()
            if state == self._seen:
                return None
            self._seen = state
            try:
                renewed = self._files.read()
            except CertificatesUnfit as unfit:
                self._say(logging.ERROR, f"the new TLS certificate is not used, the old one stays: {unfit}")
                return None
            if self._files.state() != state:
                # Somebody is writing them just now: what was read may be half of each.
                self._seen = ()
                return None
            self._say(logging.INFO, "a new TLS certificate is in use")
            return renewed

    def _say(self, level: int, message: str) -> None:
        # On the loop: logging in a thread of gRPC's may wait for a lock that waits for gRPC (grpc/grpc#43421).
        self._loop.call_soon_threadsafe(log.log, level, message)


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
