"""COPY of thousands of rows that are put together at once: asyncpg makes one value after the other, which takes longer.

Rows in the binary format cost PostgreSQL less than lines of text, and wide ones cost less to make: each value follows
its size, and is searched for nothing. Rows of two short texts are made faster as lines. Source:
https://www.postgresql.org/docs/current/sql-copy.html, Text Format and Binary Format
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, repeat
from struct import iter_unpack, pack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

Column = tuple[bytes | Iterable[bytes], ...]
"""The values of a column with their sizes, in pieces: each piece is the same for all rows, or there is one for each."""

# The backslash first: the others are escaped with it.
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\r": "\\r", "\n": "\\n"}
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_SIZE_OF_BIGINT = pack(">i", 8)
_JSONB_VERSION = 1


async def copy_rows(connection: "Connection", table: str, columns: Sequence[str], rows: bytes) -> None:
    """Copies rows of the binary format into columns of a table, within the caller's transaction."""
    await connection.copy_to_table(table, source=_source(rows), columns=columns, format="binary")


async def copy_lines(connection: "Connection", table: str, columns: Sequence[str], lines: bytes) -> None:
    """Copies lines of the text format into columns of a table, within the caller's transaction."""
    await connection.copy_to_table(table, source=_source(lines), columns=columns, format="text")


def _source(content: bytes) -> Any:
    # Bytes would be taken for a path. A file would be read in threads, and kept until the garbage collector comes:
    # for each of them asyncpg makes a class, which is a cycle.
    return memoryview(content)


def escaped(texts: Sequence[str]) -> Sequence[str]:
    """Texts, none of which has a NUL, as a line of the text format wants them. They are searched all at once."""
    joined = escaping = "\0".join(texts)
    for character, escape in _ESCAPES.items():
        if character in escaping:
            escaping = escaping.replace(character, escape)
    return texts if escaping is joined else escaping.split("\0")


def copied_rows(number: int, *columns: Column) -> bytes:
    """So many rows, as `copy_rows` takes them."""
    pieces: list[bytes | Iterable[bytes]] = [pack(">h", len(columns))]
    for piece in chain.from_iterable(columns):
        before = pieces[-1]
        if isinstance(piece, bytes) and isinstance(before, bytes):
            pieces[-1] = before + piece
        else:
            pieces.append(piece)
    rows = zip(*(repeat(piece, number) if isinstance(piece, bytes) else piece for piece in pieces), strict=True)
    return b"".join([_BEGIN, *chain.from_iterable(rows), _END])


def same_bigint(value: int) -> Column:
    """One number for all rows."""
    return (_SIZE_OF_BIGINT + pack(">q", value),)


def sent_bigints(sent: bytes) -> Column:
    """Numbers, or moments, of eight bytes each as PostgreSQL sends them."""
    return _SIZE_OF_BIGINT, chain.from_iterable(iter_unpack("8s", sent))


def texts(values: Sequence[str]) -> Column:
    """Texts, none of which has a NUL."""
    encoded = "\0".join(values).encode().split(b"\0") if values else []
    return map(_size, map(len, encoded)), encoded


def jsonbs(values: Sequence[bytes]) -> Column:
    """JSON texts for columns of the type jsonb."""
    return map(_size_of_jsonb, map(len, values)), values


@lru_cache(4096)
def _size(value_bytes: int) -> bytes:
    return pack(">i", value_bytes)


@lru_cache(4096)
def _size_of_jsonb(text_bytes: int) -> bytes:
    return pack(">ib", text_bytes + 1, _JSONB_VERSION)
