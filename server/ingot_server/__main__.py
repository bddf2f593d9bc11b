"""The command `ingot-server`."""

import sys


def main() -> None:
    """Runs the command; explains itself where only the client is installed."""
    try:
        from ingot_server.commands import cli  # noqa: PLC0415 needs the extra that may be missing
    except ModuleNotFoundError as missing:
        sys.exit(f"ingot-server needs {missing.name}: run `pip install '.[server]'` in a checkout of Ingot.")
    cli()


if __name__ == "__main__":
    main()
