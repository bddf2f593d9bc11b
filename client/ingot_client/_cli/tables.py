"""The commands about tables: `tables list|show|create|update|delete`; and `kinds`."""

from __future__ import annotations

import sys
import textwrap
from typing import Annotated, Any

import typer

from ingot_client._cli import options
from ingot_client._cli.definitions import changed_fields, differing, field_of, fields_of, rules_of, table_of
from ingot_client._cli.describing import describe_kind, describe_table
from ingot_client._cli.failing import FAILED, fail
from ingot_client._cli.options import TableName
from ingot_client._cli.printing import ask, moment, plain, say, show, show_message, show_table
from ingot_client._cli.session import session_of

UNKNOWN_FIELDS = ("KEEP", "REJECT")

FieldsFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="All declared fields, as a JSON list or as in `tables show --json`; - is stdin."),
]
UnknownFields = Annotated[
    str | None, typer.Option(metavar="keep|reject", help="What becomes of fields that nobody knows; keep by default.")
]
FIELD_METAVAR = "NAME[:TYPE][:required][:many][:indexed]"

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List the tables; or show, create, change and delete one.",
)


@app.callback()
def tables(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_tables(context)


@app.command("list")
def list_tables(context: typer.Context) -> None:
    """List the tables with their kinds and keys."""
    session = session_of(context)
    with session.client() as ingot:
        found = list(ingot.list_tables(page_size=1000))
    if session.json:
        for table in found:
            show_message(table.message)
    elif not found:
        say("no tables")
    else:
        rows = ((table.table, table.kind, ",".join(table.key_fields), moment(table.create_time)) for table in found)
        show_table(("TABLE", "KIND", "KEY", "CREATED AT"), rows)


@app.command("show")
def show_one(context: typer.Context, table: TableName) -> None:
    """Show a table's rules and fields.

    With --json it prints what `tables create --from` takes, also on another server.
    """
    session = session_of(context)
    with session.client() as ingot:
        found = ingot.get_table(table)
    describe_table(session, found)


@app.command("create")
def create(
    context: typer.Context,
    table: TableName,
    kind: options.Kind = None,
    key: options.Key = None,
    field: Annotated[
        list[str] | None, typer.Option(metavar=FIELD_METAVAR, help="A field beside those of the kind; repeatable.")
    ] = None,
    fields: FieldsFile = None,
    unknown_fields: UnknownFields = None,
    country: options.Country = None,
    time_zone: options.TimeZone = None,
    locale: options.Locale = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="All of this as `tables show --json` prints it; options come first. - is stdin.",
        ),
    ] = None,
) -> None:
    """Create a table with its rules.

    The types of fields are TEXT (if none is given), IDENTIFIER, EMAIL, PHONE, URL, BOOLEAN, INTEGER, NUMBER, DATE,
    TIMESTAMP, COUNTRY, CURRENCY, LANGUAGE, OBJECT and ANY.
    """
    session = session_of(context)
    rules = _rules(kind, key, unknown_fields, country, time_zone, locale)
    added = [field_of(text, "--field") for text in field or ()]
    if from_ is not None:
        given = table_of(from_)
        copied = {
            "kind": given.kind,
            "key_fields": given.key_fields,
            "unknown_fields": given.unknown_fields,
            "country": given.reading.country,
            "time_zone": given.reading.time_zone,
            "locale": given.reading.locale,
        }
        rules = copied | rules
    declared = fields_of(fields) if fields is not None else given.fields if from_ is not None else ()
    with session.client() as ingot:
        made = ingot.create_table(table, fields=[*declared, *added], **rules)
    describe_table(session, made)


@app.command("update")
def update(
    context: typer.Context,
    table: TableName,
    add_field: Annotated[
        list[str] | None, typer.Option(metavar=FIELD_METAVAR, help="Declare one more field; repeatable.")
    ] = None,
    remove_field: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Declare this field no longer; repeatable.")
    ] = None,
    fields: FieldsFile = None,
    unknown_fields: UnknownFields = None,
    country: options.Country = None,
    time_zone: options.TimeZone = None,
    locale: options.Locale = None,
    kind: options.Kind = None,
    key: options.Key = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="All that the file names, as `tables show --json` prints it; options come first. - is stdin.",
        ),
    ] = None,
) -> None:
    """Change the rules that are named, and no others.

    They hold for imports that begin from now on. The kind and the key can be changed only while the table is empty.
    An empty text takes a setting away: --country ''.

    With --from the fields, what becomes of unknown ones, the country, time zone and locale, the key and the kind become
    those of the file, each as a whole, as far as the file names them and they differ.
    """
    session = session_of(context)
    rules = _rules(kind, key, unknown_fields, country, time_zone, locale)
    added = [field_of(text, "--add-field") for text in add_field or ()]
    removed = remove_field or []
    if not (rules or added or removed or fields is not None or from_ is not None):
        raise typer.BadParameter("say what to change: see `ingot tables update --help`", param_hint="OPTIONS")
    if from_ is not None:
        rules = rules_of(from_) | rules
    if fields is not None:
        rules["fields"] = fields_of(fields)
    with session.client() as ingot:
        if added or removed:
            known = rules["fields"] if "fields" in rules else ingot.get_table(table).fields
            rules["fields"] = changed_fields(known, removed, added)
        if from_ is not None:
            now = ingot.get_table(table)
            rules = differing(rules, now)
        changed = ingot.update_table(table, **rules) if rules else now
    if not rules:
        say("nothing differs: the table is as it was")
    describe_table(session, changed)


@app.command("delete")
def delete(
    context: typer.Context,
    table: TableName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a table with all its records."""
    session = session_of(context)
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("this deletes all records of the table: say --yes if you mean it", param_hint="--yes")
    if not yes and not ask(f"Delete the table {plain(table)} with all its records?"):
        say("nothing was deleted")
        raise typer.Exit(FAILED)
    with session.client() as ingot:
        ingot.delete_table(table)
    if session.json:
        show("{}")
    else:
        say(f"deleted table {plain(table)}")


def kinds(
    context: typer.Context,
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="Show this one with its fields.")] = None,
) -> None:
    """List the kinds of records, or show one with its fields."""
    session = session_of(context)
    with session.client() as ingot:
        known = list(ingot.list_kinds())
    wanted = options.kind_name(kind)
    found = [each for each in known if wanted in {None, each.kind}]
    if not found:
        fail(f"there is no kind {kind!r}", f"The server knows {', '.join(each.kind for each in known)}.")
    if session.json:
        for each in found:
            show_message(each.message)
    elif wanted is not None:
        describe_kind(found[0])
    else:
        show_table(
            ("KIND", "IDENTIFIED BY", "REFERS TO", "WHAT"),
            (
                (
                    each.kind,
                    ", ".join(each.identifiers or each.identity or each.key_fields),
                    ", ".join(each.references),
                    textwrap.shorten(each.description.partition(". ")[0].rstrip("."), 60, placeholder="…"),
                )
                for each in found
            ),
        )


def _rules(
    kind: str | None,
    key: list[str] | None,
    unknown_fields: str | None,
    country: str | None,
    time_zone: str | None,
    locale: str | None,
) -> dict[str, Any]:
    """Those that were given, by their names in the client."""
    rules = {
        "kind": options.kind_name(kind),
        "key_fields": options.names(key) if key else None,
        "unknown_fields": options.one_of(UNKNOWN_FIELDS, unknown_fields, "--unknown-fields")
        if unknown_fields is not None
        else None,
        "country": country,
        "time_zone": time_zone,
        "locale": locale,
    }
    return {name: value for name, value in rules.items() if value is not None}
