"""The root of the commands and the options they share."""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ingot_client._cli import blocked, continuing, errors, importing, imports, records, tables
from ingot_client._cli.failing import failures_told
from ingot_client._cli.printing import show
from ingot_client._cli.session import Session

FLAGS = ("--json",)
OPTIONS = ("--address", "--api-key")


class Root(TyperGroup):
    """Takes the shared options anywhere on the line, and tells failures in one place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return list(super().parse_args(ctx, shared_first(args)))

    def invoke(self, ctx: Any) -> Any:
        with failures_told():
            return super().invoke(ctx)


def shared_first(args: list[str]) -> list[str]:
    """The arguments with the shared options moved to the front; what follows `--` stays."""
    front: list[str] = []
    rest: list[str] = []
    remaining = iter(args)
    for arg in remaining:
        if arg == "--":
            rest += [arg, *remaining]
        elif arg in FLAGS or arg.startswith(tuple(f"{option}=" for option in OPTIONS)):
            front.append(arg)
        elif arg in OPTIONS:
            front += [arg, *(value for value in [next(remaining, None)] if value is not None)]
        else:
            rest.append(arg)
    return front + rest


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Environment: INGOT_ADDRESS and INGOT_API_KEY as above; INGOT_DATA_DIR, the data folder of a server on this "
        "machine, where both are found; INGOT_TLS=1 for a server with TLS, and INGOT_TLS_CA, the file of its root "
        "certificates, if it is not the system's; INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY, the files of your own "
        "certificate, if the server wants one."
    ),
)


def _version(asked: bool) -> None:
    if asked:
        show(f"ingot {version('ingot')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The server. Default: INGOT_ADDRESS, or one on this machine."),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Default: INGOT_API_KEY, or that of a server on this machine.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per result.")] = False,
    _asked_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Imports records into Ingot, and tells what became of every one.

    These options may stand anywhere on the line.
    """
    context.obj = Session(address, api_key, json)


app.command("import")(importing.import_file)
app.command("watch")(importing.watch)
app.command("imports")(imports.list_imports)
app.command("show")(imports.show_import)
app.command("batches")(imports.list_batches)
app.command("errors")(errors.errors)
app.command("commit")(continuing.commit)
app.command("retry")(continuing.retry)
app.command("cancel")(imports.cancel)
app.command("delete")(imports.delete)
app.command("kinds")(tables.kinds)
app.add_typer(tables.app, name="tables")
app.add_typer(records.app, name="records")
app.add_typer(blocked.app, name="blocked")
