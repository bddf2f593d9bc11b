"""A port that several processes listen on: the kernel gives each new connection to one of them."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ingot_server.settings import ConfigurationError, cannot_listen

PORT_NOT_SHARED = "INGOT_PROCESSES is more than 1, but only Linux shares a port among processes: set it to 1"


def port_can_be_shared() -> bool:
    """Whether the system gives each connection to one of several processes."""
    return sys.platform == "linux"


@contextmanager
def shared_port(address: str) -> Iterator[int]:
    """The port of an address, ours for as long as this lasts; our own processes may listen on it.

    Raises ConfigurationError if somebody else has it, and where processes cannot share a port.
    """
    if not port_can_be_shared():
        raise ConfigurationError(PORT_NOT_SHARED)
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        reserved = socket.socket(family, kind, protocol)
    except OSError:
        raise cannot_listen(address) from None
    with reserved:
        # Connections of an earlier run that have not quite ended do not count.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reserved.bind(target)
        except OSError:
            raise cannot_listen(address) from None
        # Only now: whoever binds alone is told if the port is taken, also by another server that shares its own.
        # A socket that does not listen gets no connections.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield reserved.getsockname()[1]
