"""A certification authority for tests, and what it issues."""

import ssl
import subprocess
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import grpc

from tests.conftest import skip_without

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, in files."""

    certificate: Path
    key: Path
    serial: int


class Authority:
    """Issues certificates for this machine."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        skip_without("openssl", "it makes the certificates")
        self._folder = folder
        self._name = name
        self._serials = count(1)
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl(
            "req", "-x509", *_CURVE, "-nodes", "-days", "2", "-subj", f"/CN={name}", "-out", self.certificate,
            "-keyout", self._key,
        )  # fmt: skip

    def issue(self, *, password: str = "") -> Issued:
        """A new certificate for 127.0.0.1 and localhost, or for a client."""
        serial = next(self._serials)
        stem = self._folder / f"{self._name}-{serial}"
        certificate, key, request = (stem.with_suffix(suffix) for suffix in (".pem", ".key", ".csr"))
        extensions = stem.with_suffix(".ext")
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        secret = ("-passout", f"pass:{password}") if password else ("-nodes",)
        _openssl("req", "-new", *_CURVE, *secret, "-subj", "/CN=127.0.0.1", "-out", request, "-keyout", key)
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-set_serial", str(serial),
            "-days", "2", "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return Issued(certificate, key, serial)

    def credentials(self, client: Issued | None = None) -> grpc.ChannelCredentials:
        """Trust in this authority, and a certificate of one's own."""
        pair = (client.key.read_bytes(), client.certificate.read_bytes()) if client else (None, None)
        return grpc.ssl_channel_credentials(self.certificate.read_bytes(), *pair)

    def serial_at(self, port: int) -> int:
        """The serial number of the certificate that a new connection is shown."""
        import socket

        context = ssl.create_default_context(cafile=str(self.certificate))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                shown = connection.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
