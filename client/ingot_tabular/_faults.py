"""What can go wrong with a file, and with the installation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

INSTALL: Final = "pip install '.[tabular]' in a checkout of Ingot"


class TabularUnavailable(ImportError):
    """Excel and Parquet files are read with libraries that are not installed."""

    def __init__(self) -> None:
        self.message = f"Excel and Parquet files need the extra `tabular`: {INSTALL}"
        super().__init__(self.message)


class TabularFault(ValueError):
    """The file cannot be read as what its name says. `message` says why, for people."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


@contextmanager
def extra_needed() -> Iterator[None]:
    """Around the imports of the extra's libraries: says what is missing."""
    try:
        yield
    except ImportError as error:
        raise TabularUnavailable from error


@contextmanager
def faults_told(name: str, what: str) -> Iterator[None]:
    """Around the libraries' work on the file `name`: what they raise about its content becomes a TabularFault.

    A file that is not there, or may not be read, stays an OSError.
    """
    try:
        yield
    except (TabularFault, TabularUnavailable):
        raise
    except OSError as error:
        # Arrow says with a bare OSError that the content is damaged; the system's errors have a number.
        if error.errno is not None:
            raise
        raise TabularFault(f"{name} cannot be read as {what}: {error}") from error
    except Exception as error:
        # The libraries raise whatever the damage leads to: KeyError, TypeError, struct.error, errors of XML and of zip.
        raise TabularFault(f"{name} cannot be read as {what}: {_why(error)}") from error


def _why(error: BaseException) -> str:
    # openpyxl wraps what it found into three lines with the whole path, which is not for everyone to see.
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).partition("\n")[0] or type(error).__name__
