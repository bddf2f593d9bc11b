"""The commands about records: `records write|get|list|export|delete`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from ingot_client._cli import options, writing
from ingot_client._cli.options import Filter, OrderBy, Output, TableName
from ingot_client._cli.printing import plain, say, show_json, show_message, stdout_file
from ingot_client._cli.session import session_of

Staged = Annotated[
    str,
    typer.Option("--staged", metavar="IMPORT", help="What this staged import would write, not what is there."),
]
Deleted = Annotated[bool, typer.Option("--deleted", help="With --staged: what it would delete.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Write, read and delete the records of a table.")


@app.command("write")
def write(
    context: typer.Context,
    table: TableName,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="JSON objects, one per line or in one array; - is stdin, the default."),
    ] = "-",
    key: options.Key = None,
    kind: options.Kind = None,
    country: options.Country = None,
    time_zone: options.TimeZone = None,
    locale: options.Locale = None,
    mode: options.Mode = None,
    validate_only: options.ValidateOnly = False,
) -> None:
    """Write records directly, 1,000 at a time, and tell what became of them. For large amounts see `ingot import`.

    The key, the kind, the country, the time zone and the locale are the table's if they are not given.
    """
    session = session_of(context)
    if file.lower().endswith(options.NOT_JSON):
        raise typer.BadParameter("this reads JSON; use `ingot import` for other files", param_hint="FILE")
    given = writing.read_records(file)
    rules: dict[str, Any] = {
        "kind": options.kind_name(kind) or "",
        "country": country or "",
        "time_zone": time_zone or "",
        "locale": locale or "",
        "mode": options.mode_name(mode),
        "validate_only": validate_only,
    }
    with session.client() as ingot:
        writing.write_records(session, ingot, table, given, key_fields=options.names(key), **rules)


@app.command("get")
def get(
    context: typer.Context,
    table: TableName,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help='The record\'s key; of several fields: \'["DE","4711"]\'; of contacts: email:ada@example.org.',
        ),
    ],
) -> None:
    """Print one record as JSON."""
    session = session_of(context)
    with session.client() as ingot:
        record = ingot.get_record(table, key)
    if session.json:
        show_message(record.message)
    else:
        show_json(record.json)


@app.command("list")
def list_records(
    context: typer.Context,
    table: TableName,
    filter_: Filter = "",
    order_by: OrderBy = "",
    staged: Staged = "",
    deleted: Deleted = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> None:
    """Print the first records of a table, or of those that a filter finds, as JSON, one per line.

    With --staged they are those that a staged import would write or delete.
    """
    session = session_of(context)
    with session.client() as ingot:
        found = ingot.list_records(
            table,
            filter=filter_,
            order_by=order_by,
            page_size=min(limit, 1000),
            **_shown(staged, deleted=deleted),
        )
        for record in islice(found, limit):
            if session.json:
                show_message(record.message)
            else:
                show_json(record.json)
        if not session.json and next(found, None) is not None:
            say(f"There are more: say --limit N, or `ingot records export {plain(table)}` for all.")


@app.command("export")
def export(
    context: typer.Context,
    table: TableName,
    filter_: Filter = "",
    order_by: OrderBy = "",
    staged: Staged = "",
    deleted: Deleted = False,
    output: Output = None,
) -> None:
    """Print the records of a table, all or those that a filter finds, as JSON, one per line; or save them as a file."""
    session = session_of(context)
    output = options.named_file(output)
    if output is not None and output.name.lower().endswith(options.NOT_JSON):
        raise typer.BadParameter("only NDJSON can be written: say FILE.ndjson", param_hint="--output")
    with session.client() as ingot:
        target = output if output is not None else stdout_file(json=True)
        ingot.export_records(table, target, filter=filter_, order_by=order_by, **_shown(staged, deleted=deleted))
    if output is not None:
        say(f"wrote {plain(str(output))}")


@app.command("delete")
def delete(
    context: typer.Context,
    table: TableName,
    keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="The keys of the records.")],
) -> None:
    """Delete records by their keys. Keys without a record are no error."""
    session = session_of(context)
    with session.client() as ingot:
        parts = [ingot.delete_records(table, keys[first : first + 1000]) for first in range(0, len(keys), 1000)]
    deleted, rehearsed = sum(part.deleted for part in parts), parts[0].validate_only
    if session.json:
        # As DeleteRecordsResponse: in the JSON of protobuf a 64-bit number is a text.
        show_json(f'{{"deleted": "{deleted}", "validateOnly": {str(rehearsed).lower()}}}')
    else:
        what = "deleted nothing, in a rehearsal; would be: deleted" if rehearsed else "deleted"
        say(f"{what} {deleted:,} of {len(keys):,} records")


def _shown(staged: str, *, deleted: bool) -> dict[str, str]:
    """Which records are shown, for the client: those of the table, or what a staged import would do."""
    if deleted and not staged:
        raise typer.BadParameter("say --staged IMPORT too", param_hint="--deleted")
    return {"staged_import": staged, "part": "DELETED" if deleted else ""}
