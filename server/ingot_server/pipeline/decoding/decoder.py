"""What every decoder does."""

from typing import Any, Protocol

from ingot_server.domain.records import Decoded, Fault

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Decoder(Protocol):
    """Reads a file piece by piece."""

    def feed(self, data: bytes, final: bool) -> tuple[Decoded, int]:
        """The records in `data`, and how many of its bytes were consumed.

        `data` begins with the first byte not yet consumed: pass the rest again, with more bytes behind it. With `final`
        no more bytes come, and all of `data` is consumed. Of a record that is not yet complete at most a few more than
        RECORD_BYTES_MAX bytes (in UTF-8) stay unconsumed, so the rest does not grow without limit.
        """
        ...

    def lose(self, rest: bytes, fault: Fault) -> Decoded:
        """Gives up: the next record, which begins with `rest`, is rejected for `fault`, unless all is lost already.

        Nothing is fed after it.
        """
        ...

    def state(self) -> dict[str, Any]:
        """All that another decoder needs to go on after the consumed bytes, for JSON."""
        ...
