"""The commands about values that no record may have: `blocked list|add|remove`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingot_client._cli import options
from ingot_client._cli.failing import FAILED, advice
from ingot_client._cli.printing import moment, plain, say, show, show_message, show_table
from ingot_client._cli.session import session_of

if TYPE_CHECKING:
    from ingot_client import BlockedValue

TYPES = ("EMAIL", "PHONE", "DOMAIN")
CALL_VALUES = 1000
DEFAULT_COUNTRY = ", or a default country for numbers without one"

Values = Annotated[list[str] | None, typer.Argument(metavar="VALUE…", help="E-mail addresses, phone numbers, domains.")]
ValueType = Annotated[
    str | None,
    typer.Option("--type", metavar="email|phone|domain", help="What the values are. Default: what they look like."),
]
ValuesFile = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Values from a file, one on a line; lines that are empty or begin with # are skipped; - is stdin.",
    ),
]

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List the blocked values; or block e-mail addresses, phone numbers and domains, and unblock them.",
)


@app.callback()
def blocked(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_values(context)


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

    A domain also blocks all below it. Phone numbers need their country code. What is stored already stays.
    """
    session = session_of(context)
    given = _given(values, type_, from_)
    with session.client() as ingot:
        blocked = _in_parts(given, ingot.block_values, "blocked")
    if session.json:
        # As BlockValuesResponse: in the JSON of protobuf a 64-bit number is a text.
        show(f'{{"blocked": "{blocked}"}}')
    else:
        one = f"blocked 1 value, {'a new one' if blocked else 'which was blocked already'}"
        say(one if len(given) == 1 else f"blocked {len(given):,} values, {blocked:,} of them new")


@app.command("remove")
def remove(context: typer.Context, values: Values = None, type_: ValueType = None, from_: ValuesFile = None) -> None:
    """Take values off the list. Values that are not on it are no error."""
    session = session_of(context)
    given = _given(values, type_, from_)
    with session.client() as ingot:
        unblocked = _in_parts(given, ingot.unblock_values, "unblocked")
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


@dataclass(frozen=True)
class Given:
    """A value, and where it came from: a line of a file, or nothing to be told."""

    value: BlockedValue
    where: str = ""


def _given(values: Sequence[str] | None, type_: str | None, path: str | None) -> list[Given]:
    from ingot_client import BlockedValue  # noqa: PLC0415 - `--help` does not wait for protobuf

    wanted = options.one_of(TYPES, type_, "--type") if type_ is not None else ""
    texts = [(text.strip(), "") for text in values or () if text.strip()]
    if path is not None:
        # Not splitlines: it knows more ends of lines than editors do, which count them.
        lines = (sys.stdin.read() if path == "-" else Path(path).read_text("utf-8-sig")).split("\n")
        called = "stdin" if path == "-" else path
        for number, line in enumerate(lines, 1):
            if (text := line.strip()) and not text.startswith("#"):
                texts.append((text, f"{called}, line {number:,}: "))
    if not texts and path is None:
        raise typer.BadParameter("say which values, or --from FILE", param_hint="VALUE…")
    return [Given(BlockedValue(wanted or likely_type(text), text), where) for text, where in texts]


def _in_parts(given: Sequence[Given], call: Callable[[list[BlockedValue]], int], done: str) -> int:
    """Sends as many as a call takes at a time; if that fails, says how far it came. Returns the sum of the answers."""
    from ingot_client import IngotError, InvalidRequest  # noqa: PLC0415 - as above

    changed = 0
    for first in range(0, len(given), CALL_VALUES):
        part = given[first : first + CALL_VALUES]
        try:
            changed += call([each.value for each in part])
        except IngotError as error:
            faults = _faults(part, error.violations) if isinstance(error, InvalidRequest) else []
            for fault in faults:
                say(f"error: {plain(fault)}")
            if not faults:
                say(f"error: {plain(error.message)}")
                if what_to_do := advice(error):
                    say(plain(what_to_do))
            # The server names only the first bad values, and has not seen those after this part.
            more = "; there may be more bad ones" if faults else ""
            say(
                f"{done} {first:,} of {len(given):,} values before it stopped{more}. "
                f"Calling again is safe: values that are {done} already do no harm."
            )
            raise typer.Exit(FAILED) from None
    return changed


def _faults(part: Sequence[Given], violations: Mapping[str, str]) -> list[str]:
    """What is wrong with which value; nothing if something else than values is wrong."""
    faults: list[str] = []
    for path, why in violations.items():
        found = re.fullmatch(r"values\[(\d+)\].*", path)
        if found is None or int(found[1]) >= len(part):
            return []
        # There is no default country here: a list of blocked values belongs to no table.
        faults.append(part[int(found[1])].where + why.replace(DEFAULT_COUNTRY, ""))
    return faults
