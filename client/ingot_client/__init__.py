"""Imports records into Ingot.

    from ingot_client import Client

    with Client() as ingot:
        done = ingot.import_records("contacts", [{"id": 1, "name": "Ada"}], key_fields=["id"])
        print(done.state, done.counts.created)

`AsyncClient` is the same for asyncio. Both survive lost connections and restarted servers: what was sent is counted
once.
"""

__all__ = [
    "ApiKeyInvalid",
    "AsyncClient",
    "Batch",
    "BatchFinished",
    "BatchNotFound",
    "BatchUnfinished",
    "BlockedValue",
    "CallFailed",
    "Client",
    "ContentDiffers",
    "Counts",
    "DatabaseUnavailable",
    "Deleted",
    "ErrorGroup",
    "Field",
    "FileImportOptions",
    "FileOptions",
    "FilterTooSlow",
    "Import",
    "ImportNotFound",
    "ImportOptions",
    "ImportStateRefused",
    "ImportTooLarge",
    "IngotError",
    "InvalidRequest",
    "KeyFieldsDiffer",
    "Kind",
    "KindDiffers",
    "NotFound",
    "NothingToRetry",
    "OffsetGap",
    "Pages",
    "Progress",
    "QueueFull",
    "Reading",
    "RecordError",
    "RecordNotFound",
    "RecordUnencodable",
    "Refused",
    "RejectsGone",
    "RequestIdReused",
    "SandboxKey",
    "ScopeMissing",
    "ServerFault",
    "SettingsInvalid",
    "ShuttingDown",
    "SourceDiffers",
    "Stage",
    "StoredRecord",
    "Table",
    "TableExists",
    "TableInUse",
    "TableNotFound",
    "TooManyFailedKeys",
    "TooManyImports",
    "TooManyRequests",
    "TooManyStreams",
    "TotalMismatch",
    "Transient",
    "Unreachable",
    "UploadConflict",
    "UploadIdle",
    "UploadInterrupted",
    "Written",
]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingot_client._async_client import AsyncClient
    from ingot_client._definitions import BlockedValue, Field, Kind, Table
    from ingot_client._errors import (
        ApiKeyInvalid,
        BatchFinished,
        BatchNotFound,
        BatchUnfinished,
        CallFailed,
        ContentDiffers,
        DatabaseUnavailable,
        FilterTooSlow,
        ImportNotFound,
        ImportStateRefused,
        ImportTooLarge,
        IngotError,
        InvalidRequest,
        KeyFieldsDiffer,
        KindDiffers,
        NotFound,
        NothingToRetry,
        OffsetGap,
        QueueFull,
        RecordNotFound,
        RecordUnencodable,
        Refused,
        RejectsGone,
        RequestIdReused,
        SandboxKey,
        ScopeMissing,
        ServerFault,
        SettingsInvalid,
        ShuttingDown,
        SourceDiffers,
        TableExists,
        TableInUse,
        TableNotFound,
        TooManyFailedKeys,
        TooManyImports,
        TooManyRequests,
        TooManyStreams,
        TotalMismatch,
        Transient,
        Unreachable,
        UploadConflict,
        UploadIdle,
        UploadInterrupted,
    )
    from ingot_client._formats import FileOptions
    from ingot_client._options import FileImportOptions, ImportOptions
    from ingot_client._outcomes import Counts, Deleted, ErrorGroup, RecordError, Stage, StoredRecord, Written
    from ingot_client._paging import Pages
    from ingot_client._sync_client import Client
    from ingot_client._views import Batch, Import, Progress, Reading


# Loaded when first used, because `ingot --help` imports this package too and should not have to wait for grpc.
def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = (
        "_errors",
        "_paging",
        "_outcomes",
        "_views",
        "_formats",
        "_options",
        "_definitions",
        "_async_client",
        "_sync_client",
    )
    for module in modules:
        found: object = getattr(import_module(f"{__name__}.{module}"), name, None)
        if found is not None:
            globals()[name] = found
            return found
    raise AttributeError(name)
