"""Feeds a decoder as the upload does: what it does not consume is passed again, with more behind it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from ingot_server.domain.formats import DataFormat
from ingot_server.domain.records import ErrorCode, Reject
from ingot_server.pipeline.decoding import decoder

Place = tuple[int, int]
"""The index and the line of a record."""


@dataclass
class Read:
    """All that was decoded."""

    records: list[tuple[bytes, int, int]] = field(default_factory=list)
    """Text, index and line of each record."""
    rejects: list[Reject] = field(default_factory=list)
    received: int = 0

    @property
    def texts(self) -> list[bytes]:
        return [text for text, _, _ in self.records]

    @property
    def codes(self) -> list[tuple[int, int, ErrorCode]]:
        """Index, line and code of each fault."""
        return [(found.index, found.line, fault.code) for found in self.rejects for fault in found.faults]


def read(format: DataFormat, data: bytes, cuts: Sequence[int] = (), swaps: Collection[int] = ()) -> Read:
    """Feeds `data` cut at `cuts`; after the pieces whose numbers are in `swaps` another decoder takes over."""
    result = Read()
    reading = decoder(format)
    rest = b""
    edges = [0, *sorted(cuts), len(data)]
    for number, (start, end) in enumerate(pairwise(edges)):
        final = number == len(edges) - 2
        rest += data[start:end]
        decoded, consumed = reading.feed(rest, final)
        assert 0 <= consumed <= len(rest)
        rest = rest[consumed:]
        assert len(decoded.texts) == len(decoded.indexes) == len(decoded.lines)
        result.records += zip(decoded.texts, decoded.indexes, decoded.lines, strict=True)
        result.rejects += decoded.rejects
        result.received += decoded.received
        if number in swaps:
            reading = decoder(format, msgspec.json.decode(msgspec.json.encode(reading.state())))
    assert rest == b""
    assert sorted([index for _, index, _ in result.records] + [found.index for found in result.rejects]) == list(
        range(result.received)
    )
    result.records.sort(key=lambda record: record[1])
    result.rejects.sort(key=lambda found: found.index)
    return result
