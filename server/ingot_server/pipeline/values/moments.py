"""DATE and TIMESTAMP: days as they are, and moments in UTC."""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from ingot_server.domain.fields import Reading
from ingot_server.pipeline.values.outcomes import PADDED_CHARACTERS_MAX, Doubtful, Reader, unreadable

_CHARACTERS_MAX = 35
_DAY = r"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_COMMON_DAY = r"(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
_MINUTES = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"

_DATE = re.compile(_DAY)
_COMMON_DATE = re.compile(_COMMON_DAY)
_COMMON_TIMESTAMP = re.compile(rf"{_COMMON_DAY}T{_MINUTES}:[0-5][0-9]Z")
_TIMESTAMP = re.compile(
    rf"({_DAY})[Tt ]({_MINUTES})(:[0-5][0-9])?(?(3)(?:\.([0-9]{{1,9}}))?)([Zz]|[+-]{_MINUTES})?",
)
_EXPECTED_DATE = "a date such as 2026-03-31"
_EXPECTED_TIMESTAMP = "a time such as 2026-03-31T13:05:00Z or 2026-03-31T15:05:00+02:00"


def date_reader(_: Reading) -> Reader:
    """Reads days, written in full."""
    is_common = _COMMON_DATE.fullmatch

    def read(value: object) -> str:
        if type(value) is str and len(value) <= PADDED_CHARACTERS_MAX:
            text = value.strip()
            if is_common(text) or (_DATE.fullmatch(text) and _is_day(text)):
                return text
        raise unreadable(_EXPECTED_DATE, value)

    return read


def beginning(text: str) -> str:
    """The first moment of a day, as a time without an offset; any other text as it is."""
    return f"{text}T00:00" if _DATE.fullmatch(text) else text


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def timestamp_reader(reading: Reading) -> Reader:
    """Reads RFC 3339, and times without an offset in the time zone of the reading."""
    name = reading.time_zone
    if name and not is_time_zone(name):
        raise ValueError(f"there is no time zone {name!r}")
    zone: tzinfo = ZoneInfo(name) if name else UTC
    is_common = _COMMON_TIMESTAMP.fullmatch

    def read(value: object) -> object:
        if type(value) is str:
            if is_common(value):
                return value
            text = value.strip() if len(value) <= PADDED_CHARACTERS_MAX else ""
            if len(text) <= _CHARACTERS_MAX and (found := _TIMESTAMP.fullmatch(text)):
                try:
                    return _timestamp(text, found, zone)
                except (ValueError, OverflowError):
                    # No such day, or a year before 1 or after 9999 in UTC.
                    pass
            if len(text) <= _CHARACTERS_MAX and _DATE.fullmatch(text):
                # Whether it begins or ends with the day would be a guess.
                raise unreadable(f"a time and not a day alone, such as {text}T00:00", value)
        raise unreadable(_EXPECTED_TIMESTAMP, value)

    return read


def _timestamp(text: str, found: re.Match[str], zone: tzinfo) -> object:
    day, minutes, seconds, fraction, offset = found.groups("")
    local = datetime.fromisoformat(f"{day}T{minutes}{seconds}")
    fraction = fraction.rstrip("0")
    end = f".{fraction}Z" if fraction else "Z"
    if not offset and zone is not UTC:
        before, after = zone.utcoffset(local), zone.utcoffset(local.replace(fold=1))
        assert before is not None  # noqa: S101 - zones tell it of every time
        moment = f"{(local - before).isoformat()}{end}"
        if before == after:
            return moment
        return Doubtful(moment, _doubt(text, zone, moment, is_twice=after is not None and before > after))
    if offset and offset not in "Zz":
        shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
        local = local - shift if offset[0] == "+" else local + shift
    return f"{local.isoformat()}{end}"


def _doubt(text: str, zone: tzinfo, moment: str, *, is_twice: bool) -> str:
    when = "twice, when clocks were put back" if is_twice else "never, as clocks were put forward"
    return f"{text!r} was {when} in {zone}: took the offset from before the change, which gives {moment}"


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    # A name from this list cannot lead to other files, and means the same on each machine. Factory is no zone: it says
    # that none has been chosen.
    return frozenset((files("tzdata") / "zones").read_text("ascii").split()) - {"Factory"}


def is_time_zone(name: str) -> bool:
    """Whether this is the IANA name of a time zone."""
    return name in _time_zones()
