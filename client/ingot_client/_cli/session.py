"""What the commands share: the options of the root, and the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from ingot_client import Client

RETRY_MINUTES: Final = 5
"""For so long uploads and watches are tried again without any progress."""


@dataclass(frozen=True)
class Session:
    """One run of the command line."""

    address: str | None
    api_key: str | None
    json: bool

    def client(self) -> Client:
        """A client for the chosen server, to be used with `with`."""
        from ingot_client import Client  # noqa: PLC0415 - `--help` does not wait for grpc

        return Client(self.address, self.api_key, retry_timeout=60 * RETRY_MINUTES)


def session_of(context: typer.Context) -> Session:
    """The session that the root has put into the context."""
    found = context.obj
    if not isinstance(found, Session):
        raise TypeError("the root command has not run")
    return found
