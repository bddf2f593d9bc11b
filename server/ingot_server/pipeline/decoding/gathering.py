"""What one feed has found so far."""

from collections.abc import Sequence

from ingot_server.domain.records import Decoded, Fault, Reject, reject


class Gathering:
    """Collects runs of records and single rejects, in the order of the file."""

    def __init__(self, next_index: int) -> None:
        self.next_index = next_index
        self._first_index = next_index
        self._runs: list[tuple[list[bytes], Sequence[int], Sequence[int]]] = []
        self._rejects: list[Reject] = []

    def add(self, texts: list[bytes], lines: Sequence[int]) -> None:
        """Takes records that follow each other."""
        first, self.next_index = self.next_index, self.next_index + len(texts)
        self.add_some(texts, range(first, self.next_index), lines)

    def add_some(self, texts: list[bytes], indexes: Sequence[int], lines: Sequence[int]) -> None:
        """Takes records whose indexes have been counted already."""
        if texts:
            self._runs.append((texts, indexes, lines))

    def reject(self, line: int, raw: bytes, *faults: Fault) -> None:
        """Takes the next record as one that could not be read."""
        self.reject_at(self.next_index, line, raw, *faults)
        self.next_index += 1

    def reject_at(self, index: int, line: int, raw: bytes, *faults: Fault) -> None:
        """Takes a reject whose index has been counted already."""
        self._rejects.append(reject(index, line, raw, *faults))

    def decoded(self) -> Decoded:
        """All of it. One run keeps its ranges: nothing is done per record."""
        received = self.next_index - self._first_index
        if len(self._runs) == 1:
            return Decoded(*self._runs[0], self._rejects, received)
        merged = Decoded(rejects=self._rejects, received=received)
        indexes: list[int] = []
        lines: list[int] = []
        for run in self._runs:
            merged.texts += run[0]
            indexes += run[1]
            lines += run[2]
        merged.indexes, merged.lines = indexes, lines
        return merged
