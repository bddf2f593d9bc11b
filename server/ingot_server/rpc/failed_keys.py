"""How many wrong API keys each address has sent lately, so that nobody keeps the database busy with guesses.

An address has a number of wrong keys to spend, which come back one by one. Nobody can lock others out with it: a key
that was good lately is not counted against its address, and is looked at whatever its neighbours send.
"""

import ipaddress
import time
from collections import OrderedDict
from urllib.parse import unquote

from ingot_server.rpc.memories import remember

_WINDOW_SECONDS = 60.0


class FailedKeys:
    """The account of it. `per_minute` wrong keys may come at once, and as many in each minute."""

    def __init__(self, per_minute: int) -> None:
        self._cost_seconds = _WINDOW_SECONDS / per_minute
        self._paid_until: OrderedDict[str, float] = OrderedDict()
        """When each address will have all of its wrong keys back."""
        self._limited: OrderedDict[str, float] = OrderedDict()

    def spend(self, peer: str) -> bool:
        """Takes one from an address, before its key is looked at; False if it has none left."""
        now = time.monotonic()
        until = max(now, self._paid_until.get(peer, now)) + self._cost_seconds
        if until > now + _WINDOW_SECONDS:
            return False
        remember(self._paid_until, peer, until)
        return True

    def give_back(self, peer: str) -> None:
        """Gives it back, because the key was good, or nobody could tell."""
        if peer in self._paid_until:
            self._paid_until[peer] -= self._cost_seconds

    def is_news(self, peer: str) -> bool:
        """Whether this is the first time in a while that the address has none left."""
        now = time.monotonic()
        told = self._limited.get(peer)
        if told is not None and told > now:
            return False
        remember(self._limited, peer, now + _WINDOW_SECONDS)
        return True


def peer_host(peer: str) -> str:
    """The address in what gRPC calls a peer, without its port; of IPv6 the network, in which a host has them all."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return kind
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(ip, ipaddress.IPv4Address):
        return host
    return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip), 64), strict=False))
