"""The errors that a caller of this package may meet.

    IngotError
    ├── SettingsInvalid         address, API key or certificates are missing or wrong
    ├── RecordUnencodable       a record cannot be written as JSON; also a ValueError and a TypeError
    ├── SourceDiffers           the data is not what the upload began with
    ├── UploadInterrupted       the upload stopped, and can go on where it stopped
    └── CallFailed              the server's answer: `code`, `reason`, `facts`
        ├── InvalidRequest      a field of the request is wrong: `violations`
        ├── ApiKeyInvalid
        ├── ScopeMissing
        ├── SandboxKey          nothing can be stored or taken away with this key
        ├── NotFound
        │   ├── ImportNotFound
        │   ├── BatchNotFound
        │   ├── TableNotFound
        │   └── RecordNotFound
        ├── Refused             the state of things does not allow it
        │   ├── ImportStateRefused
        │   ├── BatchUnfinished
        │   ├── BatchFinished
        │   ├── TotalMismatch
        │   ├── KeyFieldsDiffer
        │   ├── KindDiffers
        │   ├── TableExists
        │   ├── TableInUse
        │   ├── RequestIdReused
        │   ├── ContentDiffers
        │   ├── FilterTooSlow
        │   ├── TooManyImports
        │   ├── NothingToRetry
        │   ├── RejectsGone
        │   └── ImportTooLarge
        ├── ServerFault         a fault in the server
        └── Transient           the same call may succeed later: `retry_after_seconds`
            ├── OffsetGap
            ├── UploadConflict
            ├── ShuttingDown
            ├── TooManyStreams
            ├── TooManyRequests
            ├── QueueFull
            ├── UploadIdle
            ├── TooManyFailedKeys
            ├── DatabaseUnavailable
            └── Unreachable     no server answered

The message is for people: what is wrong, and where it helps what to do next. Everything else is for programs.
"""

from collections.abc import Mapping


class IngotError(Exception):
    """Something went wrong that the caller can understand."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or type(self).__doc__ or ""
        super().__init__(self.message)


class SettingsInvalid(IngotError):
    """The client's settings are wrong."""


class RecordUnencodable(IngotError, ValueError, TypeError):
    """A record cannot be written as JSON. `index` counts the records from 0."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"records[{index}] cannot be written as JSON: {why}")
        self.index = index


class SourceDiffers(IngotError):
    """The data is not what this upload began with."""


class UploadInterrupted(IngotError):
    """The upload made no progress for too long. What was sent up to `committed_offset` is kept, and it can go on."""

    def __init__(self, why: str, *, import_id: str, batch_id: str, committed_offset: int, unit: str) -> None:
        super().__init__(
            f"the upload stopped: {why.rstrip('.')}. The first {committed_offset:,} {unit.lower()} are kept: "
            f"go on by importing the same data with resume={import_id!r}"
        )
        self.why = why
        self.import_id = import_id
        self.batch_id = batch_id
        self.committed_offset = committed_offset


class CallFailed(IngotError):
    """A call was not carried out.

    `code` is the name of the gRPC status, as in `NOT_FOUND`; `reason` is that of the API, as in `IMPORT_NOT_FOUND`
    (empty if the answer did not come from Ingot); `facts` are the details that the API documents for the reason.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str = "",
        reason: str = "",
        facts: Mapping[str, str] | None = None,
        violations: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.facts = dict(facts or {})
        self.violations = dict(violations or {})
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(CallFailed):
    """The request is wrong. `violations` maps the path of each wrong field to what was expected of it."""


class ApiKeyInvalid(CallFailed):
    """The API key is missing, unknown, revoked or expired."""


class ScopeMissing(CallFailed):
    """The API key lacks the scope that this call needs, which is `facts["scope"]`."""


class SandboxKey(CallFailed):
    """The API key is a sandbox key, with which nothing can be stored or taken away."""


class NotFound(CallFailed):
    """There is no such thing."""


class ImportNotFound(NotFound):
    """The account has no import with this id."""


class BatchNotFound(NotFound):
    """The import has no batch with this id."""


class TableNotFound(NotFound):
    """The account has no table with this name."""


class RecordNotFound(NotFound):
    """The table has no record with this key."""


class Refused(CallFailed):
    """The state of things does not allow this."""


class ImportStateRefused(Refused):
    """The state of the import does not allow this."""


class BatchUnfinished(Refused):
    """The import cannot be finished: a batch has not been finished."""


class BatchFinished(Refused):
    """The batch is finished and takes nothing more."""


class TotalMismatch(Refused):
    """The batch cannot be finished: another total was sent than was received."""


class KeyFieldsDiffer(Refused):
    """The table is keyed by other fields, which are `facts["key_fields"]`."""


class KindDiffers(Refused):
    """The table's records are of another kind, which is `facts["kind"]`."""


class TableExists(Refused):
    """The account has a table with this name."""


class TableInUse(Refused):
    """The table has an unfinished import, which is `facts["import_id"]`, or records."""


class RequestIdReused(Refused):
    """The request id was used before, for a different import."""


class ContentDiffers(Refused):
    """What was sent again is not what was sent before: the batch id is in use for other data."""


class FilterTooSlow(Refused):
    """The filter or the order takes longer than `facts["seconds"]`: narrow it, or have the field indexed."""


class TooManyImports(Refused):
    """The account has `facts["limit"]` unfinished imports; one of them is `facts["import_id"]`.

    `retry_after_seconds` says when it may be worth another try. Nothing is tried again by itself: an import that waits
    to be committed may wait for days.
    """


class NothingToRetry(Refused):
    """The import has rejected no record that could be read and had a key."""


class RejectsGone(Refused):
    """What the import received is no longer kept, and the rejected records with it."""


class ImportTooLarge(Refused):
    """The import may not be as large as that: `facts["quota"]` and `facts["limit"]` say which limit it is."""


class ServerFault(CallFailed):
    """A fault in the server. `facts["error_id"]` finds it in the server's log."""


class Transient(CallFailed):
    """The same call may succeed later."""


class OffsetGap(Transient):
    """Something before this part of the upload is missing."""


class UploadConflict(Transient):
    """Another stream is uploading the same batch and got ahead."""


class ShuttingDown(Transient):
    """The server is shutting down."""


class TooManyStreams(Transient):
    """The account has `facts["limit"]` calls open that stream: uploads, watches and exports."""


class TooManyRequests(Transient):
    """The account may begin `facts["limit"]` requests a second, and has begun more."""


class QueueFull(Transient):
    """Of the account, `facts["queued_bytes"]` wait to be processed, and `facts["limit"]` may."""


class UploadIdle(Transient):
    """The upload sent nothing for `facts["seconds"]`, and the server ended it."""


class TooManyFailedKeys(Transient):
    """Too many wrong API keys came from this address lately; this one may be good."""


class DatabaseUnavailable(Transient):
    """The server cannot reach its database."""


class Unreachable(Transient):
    """No server answered."""
