"""Packs checked records into the payload of a chunk, and back.

A payload is NDJSON, compressed with zstd. The keys that were read on the way stand beside it. Rejected records leave
gaps in the indexes, and multi-line CSV rows leave gaps in the line numbers, so a chunk carries `runs`: triples
(position, index, line), from which on both count up by one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ingot_server.domain.records import Decoded
from ingot_server.pipeline.libzstd import zstd

# The default takes longer for a few percent: the log is short-lived.
_COMPRESSION_LEVEL = 1
# No record has one.
_KEY_END = "\0"


@dataclass(frozen=True, slots=True)
class Packed:
    """Records, as a chunk has them."""

    payload: bytes
    keys: bytes | None
    runs: list[int]


def pack(pieces: Sequence[Decoded]) -> Packed:
    """The records of `pieces`. Takes milliseconds: call it in a thread."""
    texts = b"\n".join([_without_end(piece.joined()) for piece in pieces if piece.indexes])
    runs: list[int] = []
    position = 0
    for piece in pieces:
        for start in _run_starts(piece):
            index, line = piece.indexes[start], piece.lines[start]
            if start or not _continues(runs, position + start, index, line):
                runs += (position + start, index, line)
        position += len(piece.indexes)
    return Packed(zstd.compress(texts, _COMPRESSION_LEVEL), _pack_keys(pieces), runs)


def _without_end(block: bytes) -> bytes | memoryview:
    return memoryview(block)[:-1] if block.endswith(b"\n") else block


def _pack_keys(pieces: Sequence[Decoded]) -> bytes | None:
    keys: list[str] = []
    for piece in pieces:
        if piece.indexes:
            if piece.keys is None:
                return None
            keys += piece.keys
    return zstd.compress(_KEY_END.join(keys).encode(), _COMPRESSION_LEVEL) if keys else None


def unpack_texts(payload: bytes) -> list[bytes]:
    """The records of a payload, in order."""
    texts = zstd.decompress(payload)
    return texts.split(b"\n") if texts else []


def unpack_keys(keys: bytes | None) -> list[str] | None:
    """The key of each record of a payload; None if they are to be read."""
    return None if keys is None else zstd.decompress(keys).decode().split(_KEY_END)


class Origins:
    """Where the records of a chunk came from."""

    def __init__(self, runs: Sequence[int]) -> None:
        self._runs = list(zip(runs[::3], runs[1::3], runs[2::3], strict=True))
        self._starts = runs[::3]

    def __getitem__(self, position: int) -> tuple[int, int]:
        """The index and the line of the record at `position` of the chunk."""
        first, index, line = self._runs[bisect_right(self._starts, position) - 1]
        return index + position - first, line + position - first if line else 0


def _run_starts(piece: Decoded) -> Sequence[int]:
    if not piece.indexes:
        return []
    if piece.is_one_run:
        return [0]
    if piece.starts is not None:
        return piece.starts
    starts = [0]
    origins = zip(piece.indexes, piece.lines, strict=True)
    for position, ((index, line), (next_index, next_line)) in enumerate(pairwise(origins), start=1):
        if next_index != index + 1 or (next_line != line + 1 and line):
            starts.append(position)
    return starts


def _continues(runs: list[int], position: int, index: int, line: int) -> bool:
    if not runs:
        return False
    first, first_index, first_line = runs[-3:]
    steps = position - first
    return index == first_index + steps and line == (first_line + steps if first_line else 0)
