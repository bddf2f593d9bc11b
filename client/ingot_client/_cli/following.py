"""Shows how an import goes, and tells at the end what became of it and what comes next."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

from ingot_client._cli.advising import next_steps
from ingot_client._cli.bars import Bars
from ingot_client._cli.failing import INTERRUPTED, fail, interruptible
from ingot_client._cli.printing import plain, say
from ingot_client._cli.reporting import exit_code, report
from ingot_client._cli.session import Session
from ingot_client._errors import UploadInterrupted

if TYPE_CHECKING:
    from ingot_client import Batch, Client, Import, Progress

    Tell = Callable[[Progress], object]
    Work = Callable[[Client, Tell], Import]


def follow(
    session: Session,
    work: Work,
    *,
    stopped: Callable[[Progress | None], str],
    bars: Bars | None = None,
    remarks: Sequence[str] = (),
) -> NoReturn:
    """Does the work, shows how it goes, and ends the command as the import has ended.

    `stopped` says, after an interrupt, what becomes of the import and how to go on, from what was known of it last.
    `remarks` are made below the report, with those that the work has added.
    """
    done: Import | None = None
    unfetched: Sequence[Batch] = ()
    failure: KeyboardInterrupt | UploadInterrupted = KeyboardInterrupt()
    bars = bars or Bars()
    with interruptible(), bars, session.client() as ingot:
        try:
            done = work(ingot, bars.tell)
            unfetched = () if session.json else batches_not_fetched(ingot, done)
        except (KeyboardInterrupt, UploadInterrupted) as error:
            failure = error
    if done is not None:
        if done.already_ended:
            first = bars.first.state if bars.first is not None else ""
            what = "been uploaded" if first in {"PROCESSING", "AWAITING_COMMIT"} else "ended"
            say(f"import {plain(done.import_id)} had already {what}: nothing was sent")
        end(session, done, unfetched, remarks)
    what_now = stopped(bars.last)
    if isinstance(failure, UploadInterrupted):
        fail(f"the upload stopped: {failure.why.rstrip('.')}", what_now[0].upper() + what_now[1:])
    say(f"interrupted; {what_now}")
    raise typer.Exit(INTERRUPTED)


def end(session: Session, job: Import, unfetched: Sequence[Batch], remarks: Sequence[str]) -> NoReturn:
    """Reports the import and ends the command."""
    # The exit code says how the import ended, even if nobody reads the report.
    with contextlib.suppress(BrokenPipeError):
        report(session, job, unfetched=unfetched)
        for remark in remarks:
            say(remark)
        if not session.json:
            for step in next_steps(job):
                say(step)
    raise typer.Exit(exit_code(job))


def batches_not_fetched(ingot: Client, job: Import) -> list[Batch]:
    """The batches that the server could not fetch."""
    if job.upload.state not in {"FAILURE", "WARNING"}:
        return []
    return [batch for batch in ingot.list_batches(job.import_id) if batch.status_message]


def goes_on(import_id: str) -> str:
    """Says that an import needs nobody any more."""
    return f"the import goes on. Follow it with: ingot watch {plain(import_id)}"


def resumed_by(again: Sequence[str]) -> Callable[[Progress | None], str]:
    """Says what becomes of an upload that the command `again` has begun."""

    def stopped(last: Progress | None) -> str:
        if last is None:
            return "nothing was sent"
        if last.state != "RECEIVING":
            return goes_on(last.import_id)
        return f"what was sent is kept. Go on with: {plain(shlex.join([*again, '--resume', last.import_id]))}"

    return stopped
