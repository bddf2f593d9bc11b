"""`ingot records write`: reads records, writes them a part at a time, and tells what became of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from ingot_client._cli.failing import FAILED, advice, fail
from ingot_client._cli.printing import plain, say, show, show_message
from ingot_client._cli.reporting import NOT_DONE, PARTIAL, error_line, words
from ingot_client._errors import IngotError

if TYPE_CHECKING:
    from ingot_client import Client, Written
    from ingot_client._cli.session import Session


@dataclass(frozen=True)
class Given:
    """Records as JSON text, and the line on which each begins; no lines if they are not one on a line."""

    texts: Sequence[bytes]
    lines: Sequence[int] = ()


def read_records(path: str) -> Given:
    """The records in a file or in stdin: an array of them, one alone, or one on a line."""
    called = "stdin" if path == "-" else path
    data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    return records_in(data.removeprefix(b"\xef\xbb\xbf"), called)


def records_in(data: bytes, called: str) -> Given:
    """The records in the data. Empty lines are none; what a line holds is left to the server to judge."""
    import msgspec  # noqa: PLC0415 - `--help` does not wait for it

    if data.lstrip().startswith(b"["):
        try:
            return Given([bytes(text) for text in msgspec.json.decode(data, type=list[msgspec.Raw])])
        except msgspec.DecodeError as error:
            fail(f"{called} begins as a JSON array and is none: {error}")
    with contextlib.suppress(msgspec.DecodeError):
        # One record may stand on several lines.
        return Given([bytes(msgspec.json.decode(data, type=msgspec.Raw))])
    lines = [(text.strip(), number) for number, text in enumerate(data.split(b"\n"), 1) if text.strip()]
    return Given([text for text, _ in lines], [number for _, number in lines])


def write_records(session: Session, ingot: Client, table: str, given: Given, **rules: Any) -> NoReturn:
    """Writes the records, prints their counts and errors, and ends the command as an import would."""
    from ingot_client._pieces import cut_records  # noqa: PLC0415 - `--help` does not wait for protobuf

    if not given.texts:
        say("error: there are no records to be written")
        raise typer.Exit(NOT_DONE)
    parts: list[Written] = []
    stopped: IngotError | None = None
    done = 0
    for piece in cut_records(given.texts):
        try:
            written = ingot.write_records(table, piece.content, **rules)
        except IngotError as error:
            stopped = error
            break
        parts.append(_placed(written, piece.offset, given.lines))
        done = piece.end
    if stopped is not None and not parts:
        raise stopped
    # The exit code says what became of the records, even if nobody reads the report.
    with contextlib.suppress(BrokenPipeError):
        told = _together(parts)
        if session.json:
            show_message(told.message)
        else:
            what = "wrote nothing, in a rehearsal," if told.validate_only else "wrote"
            show(f"{what} to {plain(table)}: {words(told.counts, would_be=told.validate_only)}")
            for fault in told.errors:
                show(f"  {error_line(fault)}")
    if stopped is not None:
        say(f"error: {plain(stopped.message)}")
        if what_to_do := advice(stopped):
            say(plain(what_to_do))
        say(
            f"It stopped after {done:,} of {len(given.texts):,} records. Calling again is safe: "
            "records that are written already stay as they are."
        )
        raise typer.Exit(FAILED)
    counts = told.counts
    raise typer.Exit(NOT_DONE if counts.rejected == counts.received else PARTIAL if counts.rejected else 0)


def _placed(written: Written, offset: int, lines: Sequence[int]) -> Written:
    """The answer with the places of its errors among all the records, and not only among those of one call."""
    for message in written.message.errors:
        message.index += offset
        if lines:
            message.line = lines[message.index]
    return type(written).read(written.message)


def _together(parts: Sequence[Written]) -> Written:
    """All answers as if they were one."""
    from ingot.v1.record_service_pb2 import WriteRecordsResponse  # noqa: PLC0415 - as above
    from ingot_client import Written  # noqa: PLC0415

    whole = WriteRecordsResponse()
    whole.counts.SetInParent()
    whole.validate_only = any(part.validate_only for part in parts)
    for part in parts:
        for count in whole.counts.DESCRIPTOR.fields:
            setattr(whole.counts, count.name, getattr(whole.counts, count.name) + getattr(part.counts, count.name))
        whole.errors.extend(part.message.errors)
    return Written.read(whole)
