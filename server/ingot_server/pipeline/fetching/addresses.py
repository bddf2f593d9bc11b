"""Which addresses are on the public internet, and sockets that connect to no others."""

import ipaddress
import socket
from typing import Any

# Public by number, but services of the cloud that answer only to the machines in it: Azure's wire server.
_PLATFORM = frozenset({ipaddress.IPv4Address("168.63.129.16")})
# Older Pythons take part of it for global; Oracle's metadata service lives there.
_PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TUNNELS = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32"))


class AddressRefused(OSError):
    """The address is not public.

    An OSError, so that it goes the way of a connection that failed: the host's other addresses are tried, and the text
    is the same for all addresses, so that it is still this error if none is left.
    """

    def __init__(self) -> None:
        super().__init__("the address is not public")


def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public internet, also where it is an IPv4 address within an IPv6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return _is_public_v4(ip)
    if ip.ipv4_mapped is not None:
        return _is_public_v4(ip.ipv4_mapped)
    if ip in _NAT64:
        return _is_public_v4(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
    # Tunnels wrap any IPv4 address, and nothing worth importing is behind them.
    return ip in _GLOBAL_UNICAST and ip.is_global and not any(ip in tunnel for tunnel in _TUNNELS)


def _is_public_v4(ip: ipaddress.IPv4Address) -> bool:
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip in _PROTOCOLS or ip in _PLATFORM)


def is_private_host(host: str) -> bool:
    """Whether a host is private by its looks, as `localhost`, `10.0.0.1` or `0x7f.1` are; False says nothing."""
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        # Takes all that the resolver takes for a number: octal, hexadecimal, one number instead of four.
        return not is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        pass
    try:
        return not is_public(host)
    except ValueError:
        return False


def guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that is about to be connected to; raises AddressRefused if it is not public."""
    family, type, protocol, _, address = info
    if not is_public(address[0]):
        raise AddressRefused
    return socket.socket(family, type, protocol)
