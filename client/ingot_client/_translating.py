"""Between the values of messages and those of Python: words for enums, moments, JSON values, names, texts."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

P = ParamSpec("P")
M = TypeVar("M")


class Enum(Protocol):
    """An enum of protobuf."""

    def Name(self, number: Any) -> str: ...  # noqa: N802 - protobuf's name

    def items(self) -> list[tuple[str, Any]]: ...


def word(enum: Enum, number: int, prefix: str) -> str:
    """The enum's word for the number, without the prefix that all of them have."""
    try:
        return enum.Name(number).removeprefix(prefix)
    except ValueError:
        # A newer server may know more words.
        return str(number)


def spelled(word: str, prefix: str = "") -> str:
    """The word as the API spells it, which people write in any case, and maybe with its prefix."""
    if not isinstance(word, str):
        raise TypeError(f"{word!r} is {type_of(word)}, not a word")
    return word.upper().removeprefix(prefix)


def number(enum: Enum, word: str, prefix: str) -> Any:
    """The number of the word; 0 for an empty one. ValueError, which lists the words, if there is no such word."""
    numbers = {name.removeprefix(prefix): number for name, number in enum.items()}
    name = spelled(word, prefix)
    # What `word` made of a number that only a newer server knows.
    if name.isdecimal():
        return int(name)
    if (found := numbers.get(name.replace("-", "_") or "UNSPECIFIED")) is None:
        raise ValueError(f"{word!r} is not one of {', '.join(name for name, number in numbers.items() if number)}")
    return found


def moment(message: Any, name: str) -> datetime | None:
    """The time in this field of the message; None if it is not set."""
    if not message.HasField(name):
        return None
    stamp: Timestamp = getattr(message, name)
    return stamp.ToDatetime(UTC)


def stamp(time: datetime | None) -> Timestamp | None:
    """The time as messages carry it."""
    if time is None:
        return None
    if not isinstance(time, datetime):
        raise TypeError(f"{time!r} is {type_of(time)}, not a datetime")
    stamp = Timestamp()
    # astimezone takes a time without a zone for local time, as Python does everywhere; protobuf would not.
    stamp.FromDatetime(time.astimezone(UTC))
    return stamp


def value(message: Value) -> Any:
    """The JSON value. Whole numbers are ints, which protobuf does not know in JSON."""
    return _with_ints(MessageToDict(message))


def value_message(value: Any) -> Value:
    """The message that carries a JSON value."""
    return ParseDict(value, Value())


def names(names: Iterable[str]) -> list[str]:
    """The names as a list. One name alone is taken for what it is, not for a list of letters."""
    if isinstance(names, str):
        return [names]
    if not isinstance(names, Iterable):
        raise TypeError(f"{names!r} is {type_of(names)}, not a list of names")
    found = list(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is {type_of(name)}, not a name")
    return found


def filled(kind: Callable[P, M], /, *args: P.args, **fields: P.kwargs) -> M:
    """The message with these fields. TypeError, which names the field, if one should be a text and is none."""
    try:
        return kind(*args, **fields)
    except TypeError:
        # That of protobuf says neither which field it is, nor what was expected.
        empty = cast(Any, kind)()
        for name, value in fields.items():
            if isinstance(getattr(empty, name), str) and not isinstance(value, str | None):
                raise TypeError(f"{name} must be a str, got {value!r}") from None
        raise


def type_of(value: object) -> str:
    """Names the value's class, for messages: a str, an int."""
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _with_ints(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_ints(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_ints(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
