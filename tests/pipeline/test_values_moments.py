from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Doubtful, Unreadable, is_time_zone, reader

ZONES = ["", "UTC", "Europe/Stockholm", "America/New_York", "Asia/Kathmandu", "Africa/Monrovia", "Pacific/Apia"]
ZONES += ["Australia/Lord_Howe", "America/Sao_Paulo"]

date = reader(FieldType.DATE, Reading())


def timestamp(value: object, time_zone: str = "") -> object:
    return reader(FieldType.TIMESTAMP, Reading(time_zone=time_zone))(value)


@pytest.mark.parametrize("value", ["2026-03-31", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"])
def test_a_date_is_a_day_written_in_full(value: str) -> None:
    assert date(value) == value
    assert date(f" {value}\n") == value


@pytest.mark.parametrize(
    "value",
    [
        *(
            "2026-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01-32",
            "0000-01-01",
        ),
        *("2026-1-1", "20260101", "2026-W01-1", "2026-001", "01/02/2026", "2026/01/02", "26-01-02", "12026-01-01", " "),
        *(
            "2026-01-01T00:00:00Z",
            "2026-01-01 00:00",
            "-2026-01-01",
            "２０２６-01-01",
            "2026-01-0١",
            "today",
            "2026-01-01Z",
        ),
        *(20260101, 1767225600, True, [], {}),
    ],
)
def test_what_is_no_real_day_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a date such as 2026-03-31, got "):
        date(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-31T13:05:00Z", "2026-03-31T13:05:00Z"),
        ("2026-03-31t13:05:00z", "2026-03-31T13:05:00Z"),
        (" 2026-03-31 13:05 ", "2026-03-31T13:05:00Z"),
        ("2026-03-31T13:05Z", "2026-03-31T13:05:00Z"),
        ("2026-03-31T15:05:00+02:00", "2026-03-31T13:05:00Z"),
        ("2026-03-31T15:05+02:00", "2026-03-31T13:05:00Z"),
        ("2026-03-31 08:35:00-04:30", "2026-03-31T13:05:00Z"),
        ("2026-03-31T13:05:00-00:00", "2026-03-31T13:05:00Z"),
        ("2025-12-31T23:59:59-00:01", "2026-01-01T00:00:59Z"),
        ("2026-03-31T13:05:00.5Z", "2026-03-31T13:05:00.5Z"),
        ("2026-03-31T13:05:00.120000000+00:00", "2026-03-31T13:05:00.12Z"),
        ("2026-03-31T13:05:00.000000001Z", "2026-03-31T13:05:00.000000001Z"),
        ("2026-03-31T13:05:00.000Z", "2026-03-31T13:05:00Z"),
        ("2024-02-29T00:00:00+23:59", "2024-02-28T00:01:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.9Z", "9999-12-31T23:59:59.9Z"),
    ],
)
def test_a_timestamp_is_told_in_utc(value: str, expected: str) -> None:
    assert timestamp(value) == timestamp(value, "Europe/Stockholm" if value[-1] != " " else "") == expected


@pytest.mark.parametrize(
    ("time_zone", "value", "expected"),
    [
        ("", "2026-07-01T12:00:00", "2026-07-01T12:00:00Z"),
        ("UTC", "2026-07-01T12:00:00", "2026-07-01T12:00:00Z"),
        ("Europe/Stockholm", "2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        ("Europe/Stockholm", "2026-01-01T12:00:00.25", "2026-01-01T11:00:00.25Z"),
        ("Asia/Kathmandu", "2026-01-01 00:00", "2025-12-31T18:15:00Z"),
        ("Africa/Monrovia", "1950-01-01T00:00:00", "1950-01-01T00:44:30Z"),
    ],
)
def test_a_time_without_an_offset_is_of_the_zone_of_the_reading(time_zone: str, value: str, expected: str) -> None:
    assert timestamp(value, time_zone) == expected


@pytest.mark.parametrize(
    ("time_zone", "value", "expected", "words"),
    [
        ("Europe/Stockholm", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z", "was never, as clocks were put forward"),
        ("Europe/Stockholm", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z", "was twice, when clocks were put back"),
        ("America/New_York", "2026-03-08 02:00", "2026-03-08T07:00:00Z", "never"),
        ("America/New_York", "2026-11-01 01:59:59.5", "2026-11-01T05:59:59.5Z", "twice"),
        ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00Z", "never"),
    ],
)
def test_a_time_that_was_never_or_twice_is_doubtful(time_zone: str, value: str, expected: str, words: str) -> None:
    found = timestamp(value, time_zone)
    assert isinstance(found, Doubtful)
    assert found.value == expected
    assert words in found.message
    assert time_zone in found.message
    assert timestamp(expected, time_zone) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("2026-03-31", "1767225600", 1767225600, "1767225600000", "2026-03-31T24:00:00Z", "2026-03-31T23:60:00Z", " "),
        *("2026-03-31T23:59:60Z", "2026-02-29T00:00:00Z", "2026-03-31T13Z", "2026-03-31T1305Z", "20260331T130500Z"),
        *("2026-03-31T13:05:00.Z", "2026-03-31T13:05:00.0000000001Z", "2026-03-31T13:05:00,5Z", "2026-03-31T13:05.5Z"),
        *(
            "2026-03-31T13:05:00+0200",
            "2026-03-31T13:05:00+02",
            "2026-03-31T13:05:00+24:00",
            "2026-03-31T13:05:00+02:60",
        ),
        *("2026-03-31  13:05:00Z", "2026-03-31\u00a013:05", "2026-03-31T13:05:00 Z", "2026-03-31T13:05:00 UTC", "now"),
        *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:00-00:01", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z"),
        *("２026-03-31T13:05:00Z", "2026-03-31_13:05:00Z", "31 Mar 2026 13:05", "13:05:00Z", True, [], {}),
    ],
)
def test_what_is_no_moment_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match="expected a time "):
        timestamp(value)


@pytest.mark.parametrize(
    ("time_zone", "value"), [("Asia/Tokyo", "0001-01-01T00:00:00"), ("America/New_York", "9999-12-31T23:59:59")]
)
def test_a_moment_outside_the_years_that_there_are_is_refused(time_zone: str, value: str) -> None:
    with pytest.raises(Unreadable):
        timestamp(value, time_zone)


@settings(max_examples=1_000)
@given(moment=st.datetimes(timezones=st.sampled_from(ZONES[1:]).map(ZoneInfo), allow_imaginary=False))
def test_a_local_time_is_read_as_python_reads_it(moment: datetime) -> None:
    try:
        expected = moment.replace(fold=0).astimezone(UTC)
    except OverflowError:
        return
    assert moment.tzinfo is not None
    found = timestamp(moment.replace(tzinfo=None).isoformat(), str(moment.tzinfo))
    is_twice = moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()
    assert isinstance(found, Doubtful) == is_twice
    text = found.value if isinstance(found, Doubtful) else found
    assert isinstance(text, str)
    assert datetime.fromisoformat(text) == expected
    assert timestamp(text, str(moment.tzinfo)) == text


@pytest.mark.parametrize("name", ["UTC", "Europe/Stockholm", "America/Argentina/Ushuaia", "Etc/GMT+5", "US/Eastern"])
def test_a_zone_of_iana_is_one(name: str) -> None:
    assert is_time_zone(name)
    assert timestamp("2026-03-31T13:05:00Z", name) == "2026-03-31T13:05:00Z"


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../etc/passwd", "/etc/localtime", "/usr/share/zoneinfo/UTC", "Europe/../UTC", "Europe"),
        *("Europe/", "europe/stockholm", "Mars/Olympus", "localtime", "posixrules", "right/UTC", "posix/UTC"),
        *("Factory", "zone.tab", "+02:00", "UTC\0", "\0", "UTC ", "Å", "x" * 100_000, "zones", "tzdata.zi", "C:\\"),
    ],
)
def test_no_other_name_is_a_zone(name: str) -> None:
    assert not is_time_zone(name)


def test_who_sends_a_day_for_a_time_is_told_what_is_missing() -> None:
    with pytest.raises(Unreadable, match="a time and not a day alone, such as 2026-12-31T00:00"):
        reader(FieldType.TIMESTAMP, Reading())("2026-12-31")
