"""Folds records, one by one, into what the table holds, as a write mode wants it.

What the records of some keys are is known before, and held; what becomes of them is written afterwards, each key once.
So the outcome is that of applying the records one after the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from ingot_server.domain.modes import WriteMode
from ingot_server.domain.progress import Counts
from ingot_server.domain.records import RECORD_BYTES_MAX, ErrorCode, Fault
from ingot_server.pipeline import exact_json
from ingot_server.storage.records import HeldRecord, PutRecord

_EMPTY: tuple[Any, ...] = (None, "", [], {})


class Verdict(Enum):
    """What becomes of one record."""

    CREATED = auto()
    UPDATED = auto()
    UNCHANGED = auto()
    SUPERSEDED = auto()
    SKIPPED = auto()
    DELETED = auto()


@dataclass(slots=True)
class _Entry:
    """The record of a key, as far as the fold has come; None where there is none."""

    record: dict[str, Any] | None
    own: bool
    filled: set[str]
    existed: bool
    """Whether the table holds a record with the key."""
    changed: bool = False


@dataclass(slots=True)
class Fold:
    """Records of one table, while others are folded into them."""

    mode: WriteMode
    held: Mapping[str, HeldRecord]
    """What the table holds, of all keys that may be asked for."""
    verdicts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    _entries: dict[str, _Entry] = field(default_factory=dict)

    def skips(self, key: str) -> bool:
        """Whether a record with this key leaves the table's as it is."""
        entry = self._entry(key)
        return self.mode is WriteMode.SKIP_EXISTING and entry.record is not None and not entry.own

    def merged(self, key: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the record would be with `given` folded into it."""
        entry = self._entry(key)
        if entry.record is None or not self.mode.merges:
            return {**given}
        if self.mode is WriteMode.MERGE:
            return {**entry.record, **given}
        filling = {
            name: value
            for name, value in given.items()
            if value not in _EMPTY and (name in entry.filled or entry.record.get(name) in _EMPTY)
        }
        return entry.record | filling

    def put(self, key: str, record: dict[str, Any]) -> Verdict:
        """Takes the record that the key has from now on, and says what that makes of the one that was folded in."""
        entry = self._entry(key)
        held = entry.record
        if held is not None and same(held, record):
            return self._noted(Verdict.UNCHANGED)
        if self.mode is WriteMode.FILL_EMPTY:
            # Also what the rules of the table have put there, such as a default: a later record may override it.
            entry.filled |= {name for name, value in record.items() if held is None or not same(held.get(name), value)}
        verdict = Verdict.CREATED if held is None else Verdict.SUPERSEDED if entry.own else Verdict.UPDATED
        entry.record, entry.own, entry.changed = record, True, True
        return self._noted(verdict)

    def skip(self) -> Verdict:
        """Leaves the table's record as it is."""
        return self._noted(Verdict.SKIPPED)

    def delete(self, key: str) -> Verdict:
        """Takes the record of the key away."""
        entry = self._entry(key)
        if entry.record is None:
            return self._noted(Verdict.UNCHANGED)
        entry.record, entry.changed = None, True
        return self._noted(Verdict.DELETED)

    @property
    def counts(self) -> Counts:
        """What became of the records so far."""
        verdicts = self.verdicts
        return Counts(
            received=sum(verdicts.values()),
            created=verdicts[Verdict.CREATED],
            updated=verdicts[Verdict.UPDATED],
            unchanged=verdicts[Verdict.UNCHANGED],
            superseded=verdicts[Verdict.SUPERSEDED],
            skipped=verdicts[Verdict.SKIPPED],
            deleted=verdicts[Verdict.DELETED],
        )

    @property
    def new(self) -> int:
        """How many of the records to be written have a key that is new to the table."""
        return sum(entry.changed and entry.record is not None and not entry.existed for entry in self._entries.values())

    def to_put(self) -> list[PutRecord]:
        """The records that are to be written."""
        fills = self.mode is WriteMode.FILL_EMPTY
        return [
            PutRecord(key, exact_json.encode(entry.record).decode(), sorted(entry.filled) if fills else None)
            for key, entry in self._entries.items()
            if entry.changed and entry.record is not None
        ]

    def to_delete(self) -> list[str]:
        """The keys of the records that are to be deleted."""
        return [key for key, entry in self._entries.items() if entry.changed and entry.record is None and entry.existed]

    def _entry(self, key: str) -> _Entry:
        entry = self._entries.get(key)
        if entry is None:
            held = self.held.get(key)
            record = exact_json.decode(held.data.encode()) if held else None
            entry = self._entries[key] = _Entry(
                record, bool(held and held.own), set(held.filled) if held else set(), held is not None
            )
        return entry

    def _noted(self, verdict: Verdict) -> Verdict:
        self.verdicts[verdict] += 1
        return verdict


def too_large(record: Mapping[str, Any]) -> Fault | None:
    """The fault of a record that has become too large by being merged; None if it has not."""
    if (size := len(exact_json.encode(record))) <= RECORD_BYTES_MAX:
        return None
    message = f"The record would have {size:,} bytes with what is given: expected at most {RECORD_BYTES_MAX:,}."
    return Fault(ErrorCode.RECORD_TOO_LARGE, message)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same to PostgreSQL: 1.0 is 1, and true is not."""
    if one is other:
        # What a record merged has from the one before need not be gone through.
        return True
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, Decimal)) and isinstance(other, (int, Decimal)):
        return one == other
    return type(one) is type(other) and one == other
