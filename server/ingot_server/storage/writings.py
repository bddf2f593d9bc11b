"""How an import writes its records to a table: as they come, or all at once in its commit."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from ingot_server.domain.modes import WriteMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """An import that writes to a table."""

    import_id: int
    account_id: int
    table_id: int
    """The table that is written to: a branch, before a commit."""
    base_id: int | None
    """The table of which that is a branch; None if it is none, or if there is no such table."""
    rules: str
    """The rules for the records, as JSON text."""
    key_fields: tuple[str, ...]
    own_keys: bool
    """Whether a record's `keys` field is an instruction: the import itself named no key fields."""
    mode: WriteMode
    alone: bool
    """Whether no records may be written before those that come before them."""


def writing_fields(row: asyncpg.Record, branch_id: int | None = None) -> dict[str, Any]:
    """The fields of a Writing, but for `alone`, of a row of `import` with the key fields of its table."""
    return {
        "import_id": row["import_id"],
        "account_id": row["account_id"],
        "table_id": branch_id or row["table_id"],
        "base_id": row["table_id"] if branch_id not in (None, row["table_id"]) else None,
        "rules": row["rules"],
        "key_fields": tuple(row["key_fields"] or row["table_key_fields"] or ()),
        "own_keys": not row["key_fields"],
        "mode": WriteMode(row["mode"]),
    }
