"""Full replacements: when what an import does not name may be deleted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Removal:
    """Whether records may be removed; if not, `message` says why."""

    message: str = ""
    is_fatal: bool = False
    """Whether nothing of the import may be written either."""


def removal_refused(unnamed: int, records: int, max_deleted_ratio: float | None, *, nameless: bool) -> Removal:
    """Whether those `unnamed` of a table's `records` must not be removed that an import does not name.

    `nameless` says that the import has lost records of which nobody knows which they are: any of them may be named.
    """
    if not unnamed:
        return Removal()
    if nameless:
        return Removal(
            "Nothing is deleted: a record that was rejected without a key that could be read, or a file that could not"
            " be fetched or read, may name what the import does not name. Mend that, and import all again."
        )
    if max_deleted_ratio is not None and unnamed > max_deleted_ratio * records:
        return Removal(
            f"A full replacement would have deleted {unnamed:,} of {records:,} records, more than max_deleted_ratio"
            f" allows ({max_deleted_ratio:g}). Nothing was written. Check that the upload is complete, or allow more.",
            is_fatal=True,
        )
    return Removal()
