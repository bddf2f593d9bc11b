"""NDJSON: each line is a record.

A line ends with LF or CRLF; the last one may end with the file. Each line has an index, empty ones too. A byte order
mark at the beginning is ignored. A line larger than RECORD_BYTES_MAX is rejected once, and the rest of it skipped
without being kept.
"""

from typing import Any

from ingot_server.domain.records import EMPTY_LINE, RECORD_BYTES_MAX, RECORD_TOO_LARGE, Decoded, Fault, Reject, reject
from ingot_server.pipeline.decoding.decoder import BYTE_ORDER_MARK
from ingot_server.pipeline.decoding.mended_lines import ADDED, restored_lines

_EMPTY = (EMPTY_LINE,)


class NdjsonDecoder:
    """Reads NDJSON in UTF-8. Nothing is done per record: lines are cut by one split."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._index: int = state.get("index", 0)
        self._skipping: bool = state.get("skipping", False)

    def state(self) -> dict[str, Any]:
        return {"index": self._index, "skipping": self._skipping}

    def feed(self, data: bytes, final: bool) -> tuple[Decoded, int]:
        start = 0
        if self._skipping:
            start = data.find(b"\n") + 1
            if not start:
                return Decoded(), len(data)
            self._skipping = False
        elif self._index == 0 and data.startswith(BYTE_ORDER_MARK):
            start = len(BYTE_ORDER_MARK)
        # A byte order mark alone is not consumed, for what follows it must still be known to be the first line.
        end = len(data) if final else data.rfind(b"\n") + 1
        decoded = self._lines(data[start:end])
        line = max(start, end)
        # One byte more than a record: it may be the CR of a CRLF.
        if len(data) - line > RECORD_BYTES_MAX + 1:
            decoded.rejects.append(self._too_large(self._index, data[line:]))
            decoded.received += 1
            self._index += 1
            self._skipping = True
            end = len(data)
        return decoded, end

    def lose(self, rest: bytes, fault: Fault) -> Decoded:
        self._index += 1
        return Decoded(rejects=[reject(self._index - 1, self._index, rest, fault)], received=1)

    def _lines(self, block: bytes) -> Decoded:
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        first, self._index = self._index, self._index + len(lines)
        indexes, numbers = range(first, self._index), range(first + 1, self._index + 1)
        decoded = Decoded(lines, indexes, numbers, [], len(lines), block=block)
        if not all(lines) or (len(block) > RECORD_BYTES_MAX and max(map(len, lines)) > RECORD_BYTES_MAX):
            decoded = self._without_unfit(decoded)
        return restored_lines(decoded) if ADDED in block else decoded

    def _without_unfit(self, decoded: Decoded) -> Decoded:
        """Rejects the lines that are empty or too large."""
        found = Decoded(received=decoded.received)
        indexes = []
        for index, line in zip(decoded.indexes, decoded.texts, strict=True):
            if not line:
                # Not with reject(), for a megabyte may hold a million of them.
                found.rejects.append(Reject(index, index + 1, "", False, _EMPTY))
            elif len(line) > RECORD_BYTES_MAX:
                found.rejects.append(self._too_large(index, line))
            else:
                found.texts.append(line)
                indexes.append(index)
        found.indexes, found.lines = indexes, [index + 1 for index in indexes]
        return found

    @staticmethod
    def _too_large(index: int, beginning: bytes) -> Reject:
        return reject(index, index + 1, beginning, RECORD_TOO_LARGE)
