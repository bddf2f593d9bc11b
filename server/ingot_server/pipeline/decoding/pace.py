"""How much to try at once."""

from ingot_server.domain.records import RECORD_BYTES_MAX

_BYTES_MIN = 4_096
# Below the limit, so that no record in a block can be too large.
_BYTES_MAX = RECORD_BYTES_MAX // 2
_CAREFUL_RECORDS = 32


class Pace:
    """Chooses between the fast way, which takes a whole block or fails, and the careful way, record by record.

    After a failure it goes carefully for a while and then tries small blocks first, so that the work stays linear in
    the size of the file however many bad records it holds. Only speed depends on it, never the result.
    """

    def __init__(self) -> None:
        self._bytes = _BYTES_MAX
        self._careful_records = 0

    def block_bytes(self) -> int:
        """The size of the block to try next; 0: take one record carefully."""
        if self._careful_records:
            self._careful_records -= 1
            return 0
        return self._bytes

    def succeeded(self) -> None:
        self._bytes = min(_BYTES_MAX, self._bytes * 2)

    def failed(self) -> None:
        self._bytes = _BYTES_MIN
        self._careful_records = _CAREFUL_RECORDS
