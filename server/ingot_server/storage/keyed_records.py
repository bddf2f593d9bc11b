"""Records with their keys, in columns: what is to be done with thousands of them is done with a column at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from operator import gt, not_
from struct import unpack

from xxhash import xxh3_64_digest

from ingot_server.storage.arrays import text_array
from ingot_server.storage.copying import Column, copied_rows, jsonbs, same_bigint, sent_bigints, texts

STAGED = ["key", "data", "digest"]
COPIED = ["table_id", "writer", *STAGED]
"""The columns of the rows that `staged` and `copied` make."""

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

    def followed_by(self, others: "KeyedRecords") -> "KeyedRecords":
        """The records, and others after them."""
        if not self or not others:
            return self or others
        return KeyedRecords([*self.keys, *others.keys], [*self.texts, *others.texts])

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

    def copied(self, table_id: int, writer: int, create_times: bytes = b"") -> bytes:
        """As COPY takes them: the columns COPIED and, if there are any, the times of creation.

        `create_times` are in the order of the keys, as PostgreSQL sends them.
        """
        # Sorted by key, because two who write the same keys in different orders wait for each other.
        records = self.in_order()
        columns = [same_bigint(table_id), same_bigint(writer), *records._columns()]
        if create_times:
            columns.append(sent_bigints(create_times))
        return copied_rows(len(self), *columns)

    def staged(self) -> bytes:
        """As COPY takes them, in the order that they have: the columns STAGED."""
        return copied_rows(len(self), *self._columns())

    def _columns(self) -> list[Column]:
        """The columns STAGED."""
        return [texts(self.keys), jsonbs(self.texts), sent_bigints(self.sent_digests())]


def bigints(sent: bytes) -> Sequence[int]:
    """Numbers, of eight bytes each as PostgreSQL sends them."""
    return unpack(f">{len(sent) // 8}q", sent)
