"""How far an import or a batch has come: counts, stages and their states."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from operator import add

from ingot_server.domain.records import ErrorCode, ErrorStage


class StageState(StrEnum):
    """Whether a stage has begun and how it ended."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    FAILURE = "FAILURE"


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records received, counted once each."""

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0
    skipped: int = 0
    deleted: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(add, astuple(self), astuple(other)))

    @property
    def imported(self) -> int:
        """Records that were accepted to the end, whether or not anything had to be written for them."""
        return self.created + self.updated + self.unchanged + self.superseded + self.skipped + self.deleted

    @property
    def pending(self) -> int:
        """Records received and not yet processed."""
        return self.received - self.imported - self.rejected


@dataclass(frozen=True, slots=True)
class RecordError:
    """One reason why one record was rejected, as it is stored and listed."""

    batch_id: str
    index: int
    stage: ErrorStage
    code: ErrorCode
    field: str
    key: str
    message: str
    raw: str
    raw_truncated: bool
    line: int


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """All errors of one stage, code and field."""

    stage: ErrorStage
    code: ErrorCode
    field: str
    count: int
    example: RecordError


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the two stages, upload and processing."""

    state: StageState
    accepted: int
    rejected: int
    percent: float | None
    """From 0 to 100; None while the total is not known."""
    groups: Sequence[ErrorGroup] = ()

    def with_groups_of(self, stage: ErrorStage, groups: Sequence[ErrorGroup]) -> "Stage":
        """This stage with those of `groups` that belong to `stage`."""
        return replace(self, groups=[group for group in groups if group.stage is stage])


def stage_state(*, begun: bool, over: bool, accepted: int, rejected: int) -> StageState:
    """The state of a stage that has accepted and rejected so many records."""
    if not over:
        return StageState.RUNNING if begun else StageState.PENDING
    if accepted == 0:
        return StageState.FAILURE
    return StageState.WARNING if rejected else StageState.SUCCESS


def percent(done: int, total: int | None) -> float | None:
    """`done` of `total` in percent; None where the total is unknown, 100 where there is nothing to do."""
    if total is None:
        return None
    return 100.0 if total == 0 else min(100.0, 100.0 * done / total)
