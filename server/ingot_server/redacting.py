"""What a log may say of a fault: where it happened and of what kind it is, never what the data was.

The text of an exception may hold anything: a value that could not be read, a row that PostgreSQL complains of, a piece
of SQL, the address of a database with its password. So texts are told only of kinds that speak of the program or of the
machine. What slips through all the same, such as a key or a password in another library's message, is blotted out by
its looks.
"""

import re
import traceback
from collections.abc import Iterator

import asyncpg

WITHHELD = "(text withheld: it may hold data)"

_OF_THE_PROGRAM = (AssertionError, AttributeError, ImportError, NameError, NotImplementedError, TimeoutError, TypeError)
_OF_DATA_OR_SQL = ("22", "23", "42", "44", "P0")
"""Classes of PostgreSQL's errors: bad values, violated constraints, faulty statements, what a trigger says."""
_CHARACTERS_MIN = 4
"""Shorter texts are no secret, and may stand anywhere in a message by chance."""

_SECRETS = (
    (re.compile(r"(ingot_[0-9a-zA-Z]{10}_)[0-9a-zA-Z]{8,}"), r"\1…"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/]+@"), r"\1…@"),
    (re.compile(r"(?i)(password['\"]?\s?[=:]\s?['\"]?)[^\s'\"&,]+"), r"\1…"),
    (re.compile(r"(?i)(bearer )\S+"), r"\1…"),
)


def without_secrets(text: str) -> str:
    """The text, with whatever looks like an API key or a password blotted out."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def told_trace(error: BaseException) -> str:
    """The traceback of an exception and of those that led to it, with what may be told of each."""
    parts = []
    for one in _chain(error):
        where = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{where}{_told(one)}")
    return "\n\n".join(parts)


def without_texts(message: str, error: BaseException) -> str:
    """A message without the texts of an exception and of those that led to it, which other libraries put there."""
    for one in _chain(error):
        for text in (repr(one), str(one)):
            if len(text) >= _CHARACTERS_MIN and text not in _told(one):
                message = message.replace(text, _told(one))
    return message


def _told(error: BaseException) -> str:
    name = type(error).__qualname__
    if isinstance(error, asyncpg.PostgresError):
        names = (error.sqlstate, error.table_name, error.column_name, error.constraint_name)
        facts = " ".join(str(given) for given in names if given)
        withheld = (error.sqlstate or "").startswith(_OF_DATA_OR_SQL)
        text = WITHHELD if withheld else str(error.args[0] if error.args else "").partition("\n")[0]
        return f"{name}: {facts} {text}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    # Values that cannot be sent to the database are told in the text of an InterfaceError that is a ValueError too.
    if isinstance(error, (asyncpg.InterfaceError, *_OF_THE_PROGRAM)) and not isinstance(error, ValueError):
        return f"{name}: {error}".splitlines()[0]
    return f"{name}: {WITHHELD}" if str(error) else name


def _chain(error: BaseException) -> Iterator[BaseException]:
    """What led to an exception, the oldest first, and the exception; each member of a group by itself."""
    found: list[BaseException] = []
    left = [error]
    while left:
        one = left.pop()
        if one in found:
            continue
        found.append(one)
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if before is not None:
            left.append(before)
    return reversed(found)
