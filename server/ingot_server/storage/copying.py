"""The text format of COPY, which is made for thousands of values at once in less time than the binary one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot_server.storage.database import Connection

# The backslash first: the others are escaped with it.
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\r": "\\r", "\n": "\\n"}


async def copy_lines(connection: "Connection", table: str, columns: Sequence[str], lines: bytes) -> None:
    """Copies lines of this format into columns of a table, within the caller's transaction."""
    # Bytes would be taken for a path. A file would be read in threads, and kept until the garbage collector comes:
    # for each of them asyncpg makes a class, which is a cycle.
    source: Any = memoryview(lines)
    await connection.copy_to_table(table, source=source, columns=columns, format="text")


def escaped(texts: Sequence[str], separator: str) -> Sequence[str]:
    """Texts as COPY wants them. They are searched, and escaped, all at once; none holds the separator."""
    joined = separator.join(texts)
    found = _escaped(joined, separator)
    return texts if found is joined else found.split(separator)


def escaped_lines(texts: Sequence[bytes]) -> list[str]:
    """The same for texts of one line each."""
    return _escaped(b"\n".join(texts).decode(), "\n").split("\n") if texts else []


def _escaped(joined: str, separator: str) -> str:
    for character, escape in _ESCAPES.items():
        if character in joined and character != separator:
            joined = joined.replace(character, escape)
    return joined
