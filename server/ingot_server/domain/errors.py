"""The errors that a caller may meet.

    IngotError
    ├── InvalidRequest          a field of the request is wrong
    ├── ApiKeyInvalid           no usable API key
    ├── ScopeMissing            the key does not allow it
    ├── SandboxKey              nothing can be stored with the key
    ├── NotFound
    │   ├── ImportNotFound
    │   ├── BatchNotFound
    │   ├── TableNotFound
    │   └── RecordNotFound
    ├── Refused                 the state of things does not allow it
    │   ├── ImportStateRefused
    │   ├── BatchUnfinished
    │   ├── BatchFinished
    │   ├── OffsetGap
    │   ├── TotalMismatch
    │   ├── KeyFieldsDiffer
    │   ├── KindDiffers
    │   ├── TableExists
    │   ├── TableInUse
    │   ├── RequestIdReused
    │   ├── ContentDiffers
    │   ├── FilterTooSlow
    │   ├── NothingToRetry
    │   ├── RejectsGone
    │   └── ImportTooLarge
    └── Transient               the same call may succeed later
        ├── UploadConflict
        ├── ShuttingDown
        ├── TooManyImports
        ├── TooManyStreams
        ├── TooManyRequests
        ├── QueueFull
        ├── UploadIdle
        ├── TooManyFailedKeys
        └── DatabaseUnavailable

The message says what is wrong and what to do next. `facts` are for programs: they travel to the caller as the metadata
of the error. `rpc.status` gives each class its status code.
"""

from collections.abc import Mapping
from datetime import timedelta


class IngotError(Exception):
    """Something went wrong that the caller can understand."""

    def __init__(self, message: str | None = None, /, **facts: object) -> None:
        super().__init__(message or type(self).__doc__)
        self.message = message or type(self).__doc__ or ""
        self.facts: dict[str, str] = {name: str(value) for name, value in facts.items()}


class InvalidRequest(IngotError):
    """The request is wrong."""

    def __init__(self, violations: Mapping[str, str]) -> None:
        """`violations` maps the path of each wrong field to what was expected of it."""
        super().__init__("; ".join(f"{field}: {expected}" for field, expected in violations.items()))
        self.violations = dict(violations)


class ApiKeyInvalid(IngotError):
    """The API key is missing, unknown, revoked or expired: send `authorization: Bearer <key>` with a valid key."""


class ScopeMissing(IngotError):
    """The API key lacks the scope that this call needs."""


class SandboxKey(IngotError):
    """The API key is a sandbox key, with which nothing can be stored or taken away: use another key."""


class NotFound(IngotError):
    """There is no such thing."""


class ImportNotFound(NotFound):
    """The account has no import with this id."""


class BatchNotFound(NotFound):
    """The import has no batch with this id."""


class TableNotFound(NotFound):
    """The account has no table with this name."""


class RecordNotFound(NotFound):
    """The table has no record with this key."""


class Refused(IngotError):
    """The state of things does not allow this."""


class ImportStateRefused(Refused):
    """The import's state does not allow this."""


class BatchUnfinished(Refused):
    """A batch of the import is not finished: send the rest of it with `finish`, or cancel the import."""


class BatchFinished(Refused):
    """The batch is finished and takes nothing more: send further data as another batch."""


class OffsetGap(Refused):
    """The message begins after the committed end: send from `expected_offset`."""


class TotalMismatch(Refused):
    """The finish names another total than was received: send what is missing, or correct the total."""


class KeyFieldsDiffer(Refused):
    """The table is keyed by other fields: leave `key_fields` empty, or choose another table."""


class KindDiffers(Refused):
    """The table is of another kind: leave `kind` empty, or choose another table."""


class TableExists(Refused):
    """The account has a table with this name."""


class TableInUse(Refused):
    """The table has records or an unfinished import, and this is possible only without."""


class RequestIdReused(Refused):
    """The `request_id` was used before for a different import: choose a new one."""


class ContentDiffers(Refused):
    """What was sent again is not what was sent before: choose another batch id for other data."""


class FilterTooSlow(Refused):
    """The filter or the order takes too long: narrow the filter, or declare the field as indexed."""


class NothingToRetry(Refused):
    """The import has rejected no record that could be read and had a key."""


class RejectsGone(Refused):
    """What the import received is no longer kept, and the rejected records with it."""


class ImportTooLarge(Refused):
    """The import may not be as large as that: finish it, and send the rest in another one."""


class Transient(IngotError):
    """The same call may succeed later."""


class UploadConflict(Transient):
    """Another stream is uploading the same batch: read the batch and go on from its committed offset."""


class ShuttingDown(Transient):
    """The server is shutting down: go on from the committed offset, on any server."""


class TooManyImports(Transient):
    """The account has as many unfinished imports as it may have: finish, commit or cancel one."""


class TooManyStreams(Transient):
    """The account has as many calls open that stream as it may have: end one, or wait for the end of one."""


class TooManyRequests(Transient):
    """The account makes more requests than it may: make them slower."""

    def __init__(self, message: str, /, *, retry_after: timedelta, **facts: object) -> None:
        """`retry_after` is when there is room for one more."""
        super().__init__(message, **facts)
        self.retry_after = retry_after


class QueueFull(Transient):
    """As much of the account waits to be processed as may: go on later."""


class UploadIdle(Transient):
    """No message has come for too long: go on from the committed offset."""


class TooManyFailedKeys(Transient):
    """Too many wrong API keys came from this address lately: check the key, and try again in some seconds."""


class DatabaseUnavailable(Transient):
    """The database cannot be reached or is overloaded: try again."""
