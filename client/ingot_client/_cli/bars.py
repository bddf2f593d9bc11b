"""Shows how an import goes: two bars on a terminal, a line for each trouble elsewhere; always on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from ingot_client._cli.printing import plain, say

if TYPE_CHECKING:
    from types import TracebackType

    from ingot_client import Progress


class Bars:
    """Takes `Progress` and shows it. Remembers the first and the last one."""

    def __init__(self) -> None:
        self.first: Progress | None = None
        self.last: Progress | None = None
        self._rich = _RichBars() if sys.stderr.isatty() else None
        self._trouble = ""

    def tell(self, progress: Progress) -> None:
        """Shows the newest state."""
        self.first = self.first or progress
        self.last = progress
        self.tell_trouble(progress.trouble)
        if self._rich is not None:
            self._rich.show(progress)

    def tell_trouble(self, trouble: str) -> None:
        """Says why it does not go on, once, and when it does again: with an empty text."""
        if trouble and not self._trouble:
            self._say(f"{plain(trouble).rstrip('.')}; trying again")
        elif self._trouble and not trouble:
            self._say("going on")
        self._trouble = trouble

    def __enter__(self) -> Self:
        if self._rich is not None:
            self._rich.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.bars.stop()

    def _say(self, text: str) -> None:
        if self._rich is not None:
            self._rich.bars.console.print(text, markup=False, highlight=False)
        else:
            say(text)


class _RichBars:
    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - `--help` does not wait for rich
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self.bars = Progress(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._upload = self.bars.add_task("upload", total=None, amount="")
        self._processing = self.bars.add_task("processing", total=None, amount="", start=False)

    def show(self, progress: Progress) -> None:
        counts = progress.counts
        uploaded = progress.state != "RECEIVING"
        total = progress.committed if uploaded else progress.total
        self.bars.update(
            self._upload,
            total=total if not uploaded else max(progress.committed, 1),
            completed=progress.committed if not uploaded else max(progress.committed, 1),
            amount=amount(progress.committed, total, progress.unit),
        )
        if counts.received:
            self.bars.start_task(self._processing)
        done = counts.received - counts.pending
        rejected = f", {counts.rejected:,} rejected" if counts.rejected else ""
        self.bars.update(
            self._processing,
            total=counts.received or None,
            completed=done,
            amount=f"{done:,} of {counts.received:,} records{rejected}",
        )


def amount(done: int, total: int | None, unit: str) -> str:
    """How much of how much."""
    if unit == "BYTES":
        return f"{_bytes(done)} of {_bytes(total)}" if total is not None else _bytes(done)
    return f"{done:,} of {total:,} records" if total is not None else f"{done:,} records"


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
