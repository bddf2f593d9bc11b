"""The command `ingot-server`."""

import sys
from importlib.util import find_spec

LOADED_LATER = ("aiohttp", "botocore")


def main() -> None:
    """Runs the command; explains itself where only the client is installed."""
    try:
        for name in LOADED_LATER:
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)
        from ingot_server.commands import cli  # noqa: PLC0415 needs the extra that may be missing
    except ModuleNotFoundError as missing:
        sys.exit(f"ingot-server needs {missing.name}: run `pip install '.[server]'` in a checkout of Ingot.")
    cli()


if __name__ == "__main__":
    main()
