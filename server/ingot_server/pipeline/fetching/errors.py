"""Why a file was not read.

    ReferenceRefused   it may not be read: nobody needs to try again
    FetchFailed        it could not be read, and no further try is made
      FileChanged      what came before was of another file
    Fault              it could not be read just now; does not leave this package

The messages are for whoever gave the URI. They hold nothing of its query, which may be a signature, and no addresses,
which would tell of a network that they cannot see.
"""


class ReferenceRefused(Exception):
    """The file may not be read."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class FetchFailed(Exception):
    """The file could not be read."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class FileChanged(FetchFailed):
    """The file is no longer the one of which a part was read."""

    def __init__(self) -> None:
        super().__init__("the file changed while it was read")


class Fault(Exception):
    """Another try may help, after `wait_seconds` if the source named a time."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.wait_seconds = wait_seconds
