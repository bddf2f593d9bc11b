"""What an import is to do, as the user says it."""

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict, cast

from ingot.v1.import_pb2 import ImportSpec, Reconcile
from ingot.v1.write_mode_pb2 import WriteMode
from ingot_client._formats import FileOptions
from ingot_client._translating import filled, names, number, spelled
from ingot_client._views import MENDED_FROM, Import, Reading

LABELS_MAX: Final = 16


class ImportOptions(TypedDict, total=False):
    """What an import is to do, beyond the table it goes to. All of it may be left out.

    What the records are and how they are read; what is not given is taken from the table:

    `key_fields`: the fields whose values make up a record's key.
    `kind`: one of `list_kinds`, as in CONTACTS, in any case; a new table gets it, and GENERIC if none is given.
    `country`: of phone numbers that name none, as in SE.
    `time_zone`: of times that come without an offset, as in Europe/Stockholm.
    `locale`: of numbers that come as text, as in sv: which decimal and group signs they have.

    What becomes of them:

    `mode`: what happens to a record whose key the table holds already, a word in any case: REPLACE, the default; MERGE,
        given fields override and others stay; FILL_EMPTY, only what is missing or empty is set; SKIP_EXISTING, it stays
        as it is; DELETE, it is deleted.
    `validate_only`: makes a rehearsal, which checks and tells everything and stores nothing.
    `staged`: writes nothing until `commit`; the import stops in AWAITING_COMMIT, to be looked at.
    `reconcile`: makes a full replacement: records of the table that the import does not name are deleted, all in one
        transaction. A number is the share of the table that may be deleted, from 0 to 1, and 0.2 by default: if it were
        more, nothing is written.
    `max_errors`: how many records may be rejected; with more, the import is FAILED.
    `max_error_ratio`: which share of the records may be rejected, from 0 to 1.

    `labels`: for finding the import again.
    """

    key_fields: Sequence[str]
    kind: str
    country: str
    time_zone: str
    locale: str
    mode: str
    validate_only: bool
    staged: bool
    reconcile: bool | float
    max_errors: int | None
    max_error_ratio: float | None
    labels: Mapping[str, str] | None


class FileImportOptions(ImportOptions, FileOptions):
    """What an import of a file is to do, and how the file is read."""


def apart(options: FileImportOptions) -> tuple[FileOptions, ImportOptions]:
    """How the file is read, and what the import is to do."""
    how = {name: value for name, value in options.items() if name in FileOptions.__annotations__}
    what = {name: value for name, value in options.items() if name not in how}
    return cast("FileOptions", how), cast("ImportOptions", what)


def import_spec(
    table: str,
    *,
    key_fields: Sequence[str] = (),
    kind: str = "",
    country: str = "",
    time_zone: str = "",
    locale: str = "",
    labels: Mapping[str, str] | None = None,
    mode: str = "",
    validate_only: bool = False,
    staged: bool = False,
    reconcile: bool | float = False,
    max_errors: int | None = None,
    max_error_ratio: float | None = None,
) -> ImportSpec:
    """The message that says what an import is to do."""
    return filled(
        ImportSpec,
        table=table,
        key_fields=names(key_fields),
        kind=spelled(kind),
        reading=Reading(country, time_zone, locale).write(),
        labels=labels,
        mode=write_mode(mode),
        validate_only=validate_only,
        staged=staged,
        reconcile=_reconcile(reconcile),
        max_errors=max_errors,
        max_error_ratio=max_error_ratio,
    )


def spec_again(job: Import) -> ImportSpec:
    """What an import was to do, for some of its records: never a full replacement, which would delete all others."""
    message = job.message
    labels = {**message.labels, MENDED_FROM: job.import_id}
    return ImportSpec(
        table=message.table,
        key_fields=message.key_fields,
        kind=message.kind,
        reading=message.reading,
        labels=labels if len(labels) <= LABELS_MAX else message.labels,
        mode=message.mode,
        validate_only=message.validate_only,
        staged=message.staged,
        max_errors=job.max_errors,
        max_error_ratio=job.max_error_ratio,
    )


def write_mode(word: str) -> WriteMode.ValueType:
    """The number of a write mode; that of none for an empty word."""
    found: WriteMode.ValueType = number(WriteMode, word, "WRITE_MODE_")
    return found


def _reconcile(given: bool | float | None) -> Reconcile | None:
    # 0 is a share: nothing may be deleted.
    if given is None or given is False:
        return None
    return Reconcile() if given is True else Reconcile(max_deleted_ratio=given)
