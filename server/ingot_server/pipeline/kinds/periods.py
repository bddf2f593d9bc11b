"""Spans of time between two fields."""

from collections.abc import Callable, Iterable

from ingot_server.domain.records import ErrorCode, Fault
from ingot_server.pipeline.kinds.kind import Record


def ends_after_start(start: str, end: str) -> Callable[[Record], Iterable[Fault]]:
    """The check that the end of a record does not come before its start; either may be missing."""

    def check(record: Record) -> Iterable[Fault]:
        begins, ends = record.get(start), record.get(end)
        # Both in UTC; without the Z, a second comes before its own fractions.
        if begins and ends and ends.rstrip("Z") < begins.rstrip("Z"):
            message = f"Expected a moment after `{start}`, {begins}, got {ends}."
            yield Fault(ErrorCode.INVALID_VALUE, message, end)

    return check
