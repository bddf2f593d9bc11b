"""The command `ingot`."""

import io
import os
import sys


def main() -> None:
    """Runs the command line of this process."""
    # The C core of grpc writes of every lost connection to stderr, in the midst of the bars. We tell it ourselves.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows only some characters must not end the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        from ingot_client._cli.app import app  # noqa: PLC0415 - an interrupt of this half second is told as any other

        app(prog_name="ingot")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
