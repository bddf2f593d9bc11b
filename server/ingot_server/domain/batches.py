"""Batches: uploads within an import."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Self

from ingot_server.domain.formats import DataFormat
from ingot_server.domain.progress import Counts, Stage

BATCHES_MAX = 10_000
"""How many an import may have: it is the sum of its batches, and whatever tells of it looks at each."""


class OffsetUnit(StrEnum):
    """What the offsets of a batch count."""

    RECORDS = "RECORDS"
    BYTES = "BYTES"


class BatchStatus(StrEnum):
    """How far a batch has come as a whole."""

    UPLOADING = "UPLOADING"
    UPLOADED = "UPLOADED"
    PROCESSED = "PROCESSED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether the batch will not change any more."""
        return self in (BatchStatus.PROCESSED, BatchStatus.FAILED, BatchStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Source:
    """What the server fetches for a batch: one of the two."""

    uri: str = ""
    """Without its query."""
    query: str = ""
    """With its question mark. It may be a secret, and is forgotten when the batch is not to be fetched any more."""
    call_sha256: str = ""
    """By which the same call is known again."""
    retry_of: int = 0
    """The import whose rejected records these are."""
    retry_batch_seq: int = 0
    """The batch of that import."""
    records: int = 0
    """How many they are."""
    version: str = ""
    """Which version of the file is being fetched; empty before, or if it has none."""

    @classmethod
    def of(cls, uri: str, format: DataFormat) -> Self:
        """A file that is to be read as `format` says."""
        path, mark, query = uri.partition("?")
        # What is empty may not yet have been there when a call was made before.
        options = {name: value for name, value in asdict(format).items() if value}
        call = json.dumps([uri, options], sort_keys=True)
        return cls(uri=path, query=mark + query, call_sha256=sha256(call.encode()).hexdigest())

    @property
    def whole_uri(self) -> str:
        """The URI, for whoever fetches it."""
        return self.uri + self.query


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands."""

    import_id: int
    batch_id: str
    status: BatchStatus
    committed_offset: int
    unit: OffsetUnit | None
    """None while nothing was received."""
    format: DataFormat | None
    total: int | None
    finished: bool
    counts: Counts
    upload: Stage
    processing: Stage
    create_time: datetime
    update_time: datetime
    uri: str = ""
    """Where the server fetches it from, without the query; empty for an upload."""
    status_message: str = ""
    """Why the server could not fetch it."""
    any_errors: bool = False
    """Whether it has error groups."""


def batch_status(*, finished: bool, closed: bool, given_up: bool, done: bool, imported: int) -> BatchStatus:
    """The status of a batch; `done` says that every chunk received is processed."""
    if finished and done:
        return BatchStatus.PROCESSED if imported else BatchStatus.FAILED
    if closed:
        return BatchStatus.FAILED if given_up else BatchStatus.CANCELLED
    return BatchStatus.UPLOADED if finished else BatchStatus.UPLOADING
