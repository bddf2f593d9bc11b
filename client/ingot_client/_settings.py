"""Where the server is and with which key: from the arguments, the environment, or a server on this machine.

    address    argument, INGOT_ADDRESS, <data folder>/address, localhost:7468
    API key    argument, INGOT_API_KEY, <data folder>/api-key (only for a server on this machine)
    TLS        arguments, INGOT_TLS_CA (a file), INGOT_TLS=1
    our own certificate, if the server wants one: argument, INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY (files)

The data folder is that of an embedded server: INGOT_DATA_DIR, or /var/lib/ingot for root, or ~/.local/share/ingot.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeAlias

from ingot_client._errors import SettingsInvalid

PemFile: TypeAlias = str | os.PathLike[str] | bytes
"""Where PEM is, or the PEM itself."""

DEFAULT_PORT: Final = 7468

LOCAL_KEY_ADVICE: Final = (
    "With embedded PostgreSQL the server leaves one in its data folder, which it names at its start: "
    "set INGOT_DATA_DIR to it; otherwise make one with `ingot-server keys create`"
)


@dataclass(frozen=True)
class Settings:
    """All that is needed to call a server."""

    address: str
    api_key: str = field(repr=False)
    tls: bool = False
    root_certificates: bytes | None = None
    certificate: tuple[bytes, bytes] | None = field(default=None, repr=False)
    """Our own, with its private key: PEM."""

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(self.address)


def find_settings(
    address: str | None = None,
    api_key: str | None = None,
    *,
    tls: bool | None = None,
    root_certificates: PemFile | None = None,
    certificate: tuple[PemFile, PemFile] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings from the arguments or else from where the module's docstring says; or SettingsInvalid."""
    folder = data_folder(environ)
    local_address = _read_line(folder / "address")
    found_address = _checked_address(address or environ.get("INGOT_ADDRESS") or local_address)
    roots = root_certificates or environ.get("INGOT_TLS_CA") or None
    own = certificate or _own_certificate(environ)
    if tls is None:
        tls = roots is not None or own is not None or environ.get("INGOT_TLS", "").lower() in {"1", "true", "yes", "on"}
    return Settings(
        found_address,
        _find_key(api_key, found_address, local_address, folder, environ),
        tls,
        _pem(roots, "root certificates") if tls and roots is not None else None,
        (_pem(own[0], "certificate"), _pem(own[1], "private key")) if tls and own is not None else None,
    )


def data_folder(environ: Mapping[str, str]) -> Path:
    """Where an embedded server on this machine keeps its key and its address."""
    if given := environ.get("INGOT_DATA_DIR"):
        return Path(given).expanduser()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/ingot")
    return Path(environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()) / "ingot"


def is_loopback(address: str) -> bool:
    """Whether the address can only be a server on this machine."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _find_key(given: str | None, address: str, local_address: str, folder: Path, environ: Mapping[str, str]) -> str:
    key_file = folder / "api-key"
    looked = ["the argument api_key (--api-key)", "INGOT_API_KEY"]
    key = given or environ.get("INGOT_API_KEY") or ""
    # The key of the server on this machine is told to no other: INGOT_ADDRESS may name a server of someone else.
    if not key and (is_loopback(address) or (local_address and address == _checked_address(local_address))):
        looked.append(str(key_file))
        try:
            key = key_file.read_text(encoding="utf-8")
        except PermissionError:
            raise SettingsInvalid(
                f"no API key: {key_file} belongs to another user. Ask them for a key and set INGOT_API_KEY"
            ) from None
        except (OSError, UnicodeDecodeError):
            key = ""
    key = key.strip()
    if not key:
        raise SettingsInvalid(
            f"no API key: looked in {', '.join(looked[:-1])} and {looked[-1]}. "
            + (LOCAL_KEY_ADVICE if len(looked) > 2 else f"{address} is not on this machine: ask there for a key")
        )
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise SettingsInvalid("the API key contains spaces or characters that no key has: was it copied whole?")
    return key


def _checked_address(address: str) -> str:
    """The address with a port, and one that can be called."""
    address = address.strip() or f"localhost:{DEFAULT_PORT}"
    if address.startswith(("unix:", "dns:", "ipv4:", "ipv6:")):
        return address
    if "/" in address or "@" in address or re.search(r"[\s\x00-\x1f]", address):
        raise SettingsInvalid(f"{address!r} is not an address: write host:port, and choose TLS by INGOT_TLS=1")
    if (address.startswith("[") and address.endswith("]")) or ":" not in address:
        address = f"{address}:{DEFAULT_PORT}"
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or (":" in host and not host.startswith("[")):
        raise SettingsInvalid(f"{address!r} is not an address: write host:port, as in localhost:{DEFAULT_PORT}")
    # A server that listens everywhere writes so; nobody can call "everywhere".
    return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host) + f":{port}"  # noqa: S104 - replaced, not bound


def _own_certificate(environ: Mapping[str, str]) -> tuple[PemFile, PemFile] | None:
    certificate, key = environ.get("INGOT_TLS_CERTIFICATE"), environ.get("INGOT_TLS_KEY")
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise SettingsInvalid("a certificate needs its private key: set both INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY")
    return certificate, key


def _pem(file: PemFile, what: str) -> bytes:
    if isinstance(file, bytes):
        return file
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"cannot read the {what} {os.fspath(file)}: {error.strerror}") from None


def _read_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
