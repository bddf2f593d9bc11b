"""The commands about values that no record may have: `blocked list|add|remove`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingot_client._cli import options
from ingot_client._cli.printing import moment, say, show, show_message, show_table
from ingot_client._cli.session import session_of

if TYPE_CHECKING:
    from ingot_client import BlockedValue

TYPES = ("EMAIL", "PHONE", "DOMAIN")
CALL_VALUES = 1000

Values = Annotated[list[str] | None, typer.Argument(metavar="VALUE…", help="E-mail addresses, phone numbers, domains.")]
ValueType = Annotated[
    str | None,
    typer.Option("--type", metavar="email|phone|domain", help="What the values are. Default: what they look like."),
]
ValuesFile = Annotated[
    str | None, typer.Option("--from", metavar="FILE", help="Values from a file, one on a line; - is stdin.")
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Block e-mail addresses, phone numbers and domains.",
)


@app.command("list")
def list_values(
    context: typer.Context,
    type_: Annotated[str | None, typer.Option("--type", metavar="email|phone|domain", help="Only these.")] = None,
) -> None:
    """List the blocked values."""
    session = session_of(context)
    wanted = options.one_of(TYPES, type_, "--type") if type_ is not None else ""
    with session.client() as ingot:
        found = list(ingot.list_blocked_values(type=wanted, page_size=1000))
    if session.json:
        for value in found:
            show_message(value.write())
    elif not found:
        say("no blocked values")
    else:
        rows = ((value.type, value.value, moment(value.create_time)) for value in found)
        show_table(("TYPE", "VALUE", "BLOCKED AT"), rows)


@app.command("add")
def add(context: typer.Context, values: Values = None, type_: ValueType = None, from_: ValuesFile = None) -> None:
    """Block values: records with them are rejected, in all tables.

    A domain also blocks all below it. What is stored already stays.
    """
    session = session_of(context)
    given = _given(values, type_, from_)
    with session.client() as ingot:
        blocked = sum(ingot.block_values(some) for some in _in_parts(given))
    if session.json:
        # As BlockValuesResponse: in the JSON of protobuf a 64-bit number is a text.
        show(f'{{"blocked": "{blocked}"}}')
    else:
        say(f"blocked {len(given):,} values, {blocked:,} of them new")


@app.command("remove")
def remove(context: typer.Context, values: Values = None, type_: ValueType = None, from_: ValuesFile = None) -> None:
    """Take values off the list. Values that are not on it are no error."""
    session = session_of(context)
    given = _given(values, type_, from_)
    with session.client() as ingot:
        unblocked = sum(ingot.unblock_values(some) for some in _in_parts(given))
    if session.json:
        show(f'{{"unblocked": "{unblocked}"}}')
    else:
        say(f"unblocked {unblocked:,} of {len(given):,} values")


def likely_type(value: str) -> str:
    """What the value looks like; `@example.org` is a domain too. Without a letter it can only be a phone number."""
    if "@" in value[1:]:
        return "EMAIL"
    if value.startswith("+") or not any(map(str.isalpha, value)):
        return "PHONE"
    return "DOMAIN"


def _given(values: Sequence[str] | None, type_: str | None, path: str | None) -> list[BlockedValue]:
    from ingot_client import BlockedValue  # noqa: PLC0415 - `--help` does not wait for protobuf

    wanted = options.one_of(TYPES, type_, "--type") if type_ is not None else ""
    lines: Sequence[str] = ()
    if path is not None:
        lines = (sys.stdin.read() if path == "-" else Path(path).read_text("utf-8-sig")).splitlines()
    texts = [text.strip() for text in (*(values or ()), *lines) if text.strip()]
    if not texts:
        raise typer.BadParameter("say which values, or --from FILE", param_hint="VALUE…")
    return [BlockedValue(wanted or likely_type(text), text) for text in texts]


def _in_parts(values: list[BlockedValue]) -> Iterator[list[BlockedValue]]:
    """As many as a call takes at a time."""
    return (values[first : first + CALL_VALUES] for first in range(0, len(values), CALL_VALUES))
