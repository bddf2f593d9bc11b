"""How values are written that JSON has no form of its own for."""

import struct
from datetime import datetime, timedelta
from math import isfinite
from typing import Final

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone is said by whoever writes the text
# Every whole number up to here has a float of its own.
WHOLE_MAX: Final = 2.0**53


def number(value: float) -> float | int | str | None:
    """The float as a number: 5 for 5.0; None for NaN; `Infinity` and `-Infinity` as texts."""
    if not isfinite(value):
        return None if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - only NaN differs
    return int(value) if value.is_integer() and abs(value) <= WHOLE_MAX else value


def short_number(value: float, form: str) -> float | int | str | None:
    """The shortest number that a float of 32 bits (`f`) or 16 (`e`) cannot tell from `value`: 0.1, not 0.100000001."""
    if not isfinite(value) or isinstance(number(value), int):
        return number(value)
    exact = struct.pack(form, value)
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return number(next((short for short in map(float, texts) if _packed(form, short) == exact), value))


def timestamp(ticks: int, per_second: int, end: str) -> str:
    """A moment by its ticks since 1970, with all its digits; `end` is `Z`, or empty for a local time."""
    seconds, fraction = divmod(ticks, per_second)
    return f"{(EPOCH + timedelta(seconds=seconds)).isoformat()}{_fraction(fraction, per_second)}{end}"


def time_of_day(ticks: int, per_second: int) -> str:
    """A time by its ticks since midnight."""
    seconds, fraction = divmod(ticks, per_second)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{_fraction(fraction, per_second)}"


def duration(ticks: int, per_second: int) -> str:
    """A length of time as in ISO 8601, in hours at most: `PT30H`, `-PT1.5S`."""
    seconds, fraction = divmod(abs(ticks), per_second)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    rest = f"{seconds % 60}{_fraction(fraction, per_second)}"
    parts = (f"{hours}H" if hours else "", f"{minutes}M" if minutes else "", f"{rest}S" if rest != "0" else "")
    return f"{'-' if ticks < 0 else ''}PT{''.join(parts) or '0S'}"


def _fraction(ticks: int, per_second: int) -> str:
    return f".{ticks:0{len(str(per_second)) - 1}}" if ticks else ""


def _packed(form: str, value: float) -> bytes:
    try:
        return struct.pack(form, value)
    except OverflowError:
        # One digit of the largest float is more than that float.
        return b""
