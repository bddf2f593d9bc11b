"""The processor time that processes have taken."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def seconds_of(pid: int, *, but: int | None = None) -> float:
    """What a process and its descendants have taken so far, living and dead; without a child and its descendants."""
    return sum(_seconds(member) for member in _tree(pid, but))


def _tree(pid: int, but: int | None) -> Iterator[int]:
    if pid == but:
        return
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child), but)


def _seconds(pid: int) -> float:
    with suppress(OSError):
        # The name of the program, in parentheses, may hold anything. User and system, and those of children that ended.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    return 0.0
