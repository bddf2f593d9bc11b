"""Shows how an import goes: bars on a terminal, a line for each trouble elsewhere; always on stderr.

There is one bar for what is received, one for what is processed, and one for the commit, if there is any: then the
records are processed a second time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from ingot_client._cli.printing import plain, say
from ingot_client._cli.session import RETRY_MINUTES

if TYPE_CHECKING:
    from types import TracebackType

    from ingot_client import Import, Progress


class Bars:
    """Takes `Progress` and shows it, from the first one on. Remembers the first and the last one."""

    def __init__(self, *, receiving: str = "upload", committing: bool = False) -> None:
        """`receiving` is what that bar is called; `committing` says that the commit is what is waited for."""
        self.first: Progress | None = None
        self.last: Progress | None = None
        self._rich = _RichBars(receiving, committing=committing) if sys.stderr.isatty() else None
        self._trouble = ""

    def tell(self, progress: Progress) -> None:
        """Shows the newest state."""
        self.first = self.first or progress
        self.last = progress
        self.tell_trouble(progress.trouble)
        if self._rich is not None:
            self._rich.bars.start()
            self._rich.show(progress)

    def tell_trouble(self, trouble: str) -> None:
        """Says why it does not go on, once, and when it does again: with an empty text."""
        if trouble and not self._trouble:
            how_long = f"for {RETRY_MINUTES} minutes, or until Ctrl-C: what was sent is kept"
            self._say(f"{plain(trouble).rstrip('.')}; trying again {how_long}")
        elif self._trouble and not trouble:
            self._say("going on")
        self._trouble = trouble

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None and self.last is not None:
            # Bars that have never moved are taken away before an error is told.
            self._rich.bars.live.transient = error is not None and not self.last.committed
            self._rich.bars.stop()

    def _say(self, text: str) -> None:
        if self._rich is not None:
            self._rich.bars.console.print(text, markup=False, highlight=False)
        else:
            say(text)


class _RichBars:
    def __init__(self, receiving: str, *, committing: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - `--help` does not wait for rich
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self.bars = Progress(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._upload = self.bars.add_task(receiving, total=None, amount="")
        self._processing = self.bars.add_task("processing", total=None, amount="", start=False)
        self._commit = self.bars.add_task("commit", total=None, amount="", start=False, visible=committing)
        self._committing = committing

    def show(self, progress: Progress) -> None:
        self._show_received(progress)
        counts = progress.counts
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
        if progress.job is not None:
            self._show_commit(progress.job)

    def _show_received(self, progress: Progress) -> None:
        job, committed = progress.job, progress.committed
        over = progress.state != "RECEIVING"
        cut_off = progress.state in {"CANCELLING", "CANCELLED", "FAILED"} and committed < (progress.total or 0)
        # What the server fetches may still be under way when no more uploads are expected.
        if over and not cut_off and (job is None or job.upload.state not in {"PENDING", "RUNNING"}):
            full = max(committed, 1)
            of_all = amount(committed, committed, progress.unit)
            self.bars.update(self._upload, total=full, completed=full, amount=of_all)
        elif progress.total is None and job is not None and job.upload.percent is not None:
            of_all = f"{amount(committed, None, progress.unit)}, {job.upload.percent:.0f} %"
            self.bars.update(self._upload, total=100, completed=job.upload.percent, amount=of_all)
        else:
            of_all = amount(committed, progress.total, progress.unit)
            self.bars.update(self._upload, total=progress.total, completed=committed, amount=of_all)

    def _show_commit(self, job: Import) -> None:
        percent = job.processing.percent
        self._committing |= job.being_committed
        if not self._committing:
            return
        self.bars.start_task(self._commit)
        if job.final:
            self.bars.stop_task(self._commit)
            # What was not committed to the end is not there.
            percent = 0 if job.would_be else 100
        elif percent == 100:
            # That is the first pass: the second has not begun.
            percent = None
        if percent is not None:
            done = round(job.counts.received * percent / 100)
            of_all = f"{done:,} of {job.counts.received:,} records"
            self.bars.update(self._commit, visible=True, total=100, completed=percent, amount=of_all)


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
