"""Records with their keys, in columns: what is to be done with thousands of them is done with a column at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import compress, islice, repeat
from operator import gt, not_
from struct import unpack

from xxhash import xxh3_64_digest

from ingot_server.storage.arrays import text_array
from ingot_server.storage.copying import escaped, escaped_lines

COPIED = ["key", "data", "digest", "table_id", "writer"]
"""The columns of the lines that `copy_lines` makes."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From which PostgreSQL counts the microseconds of a time that it sends."""
_SIGN = b"\x80" + bytes(7)


@dataclass(slots=True)
class KeyedRecords:
    """Records, in some order."""

    keys: Sequence[str]
    texts: Sequence[bytes]
    """The JSON text of each, on one line."""
    _is_ascending: bool | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def is_ascending(self) -> bool:
        """Whether each key is greater than the one before."""
        if self._is_ascending is None:
            self._is_ascending = all(map(gt, islice(self.keys, 1, None), self.keys))
        return self._is_ascending

    @property
    def is_distinct(self) -> bool:
        """Whether no key comes twice."""
        return self.is_ascending or len(set(self.keys)) == len(self.keys)

    def in_order(self) -> "KeyedRecords":
        """The records in the order of their keys, and those of one key in the order that they have."""
        if self.is_ascending:
            return self
        order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
        return KeyedRecords([self.keys[at] for at in order], [self.texts[at] for at in order])

    def selected(self, selectors: Iterable[object]) -> "KeyedRecords":
        """Those records for which there is something true."""
        selectors = list(selectors)
        return KeyedRecords(list(compress(self.keys, selectors)), list(compress(self.texts, selectors)))

    def split_repeated(self) -> tuple["KeyedRecords", "KeyedRecords"]:
        """The first record of each key, and all others, both in order."""
        if self.is_distinct:
            return self, KeyedRecords([], [])
        first: dict[str, int] = {}
        is_first = [first.setdefault(key, at) == at for at, key in enumerate(self.keys)]
        return self.selected(is_first), self.selected(map(not_, is_first))

    def key_array(self) -> str:
        """The keys, as PostgreSQL reads an array."""
        return text_array(self.keys)

    def decoded(self) -> list[str]:
        """The JSON texts."""
        return b"\n".join(self.texts).decode().split("\n") if self.texts else []

    def sent_digests(self) -> bytes:
        """The digests of the texts, as PostgreSQL sends bigints: eight bytes each.

        XXH3, less 2**63: of two different texts it is the same once in 2**64 times.
        """
        digests = b"".join(map(xxh3_64_digest, self.texts))
        # To take 2**63 away is to change the sign.
        signs = int.from_bytes(_SIGN * len(self.texts), "big")
        return (int.from_bytes(digests, "big") ^ signs).to_bytes(len(digests), "big")

    def digests(self) -> Sequence[int]:
        """The same as numbers."""
        return bigints(self.sent_digests())

    def copy_lines(self, table_id: int, writer: int, create_times: Sequence[int] = ()) -> bytes:
        """The text format of COPY: the columns COPIED of each record and, if there are any, its time of creation.

        `create_times` are in the order of the keys, in microseconds since the year 2000.
        """
        # Sorted by key, because two who write the same keys in different orders wait for each other.
        records = self.in_order()
        end = f"\t{table_id}\t{writer}"
        # Many were created in the same transaction.
        end_of = {time: f"{end}\t{(_EPOCH + timedelta(microseconds=time)).isoformat()}\n" for time in set(create_times)}
        ends = [end_of[time] for time in create_times] if create_times else repeat(f"{end}\n", len(records))
        # A key has no NUL.
        columns = (escaped(records.keys, "\0"), escaped_lines(records.texts), records.digests())
        rows = zip(*columns, ends, strict=True)
        return "".join([f"{key}\t{text}\t{digest}{end}" for key, text, digest, end in rows]).encode()


def bigints(sent: bytes) -> Sequence[int]:
    """Numbers, of eight bytes each as PostgreSQL sends them."""
    return unpack(f">{len(sent) // 8}q", sent)
