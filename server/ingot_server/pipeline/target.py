"""Where records go, and how."""

from dataclasses import dataclass

from ingot_server.domain.modes import WriteMode
from ingot_server.pipeline.validation import Validator


@dataclass(frozen=True, slots=True)
class Target:
    """Where records go, and how."""

    account_id: int
    table_id: int
    rules: Validator
    key_fields: tuple[str, ...]
    """Empty if they are not known yet, or the kind needs none."""
    own_keys: bool
    """Whether a record's `keys` field is an instruction."""
    mode: WriteMode = WriteMode.REPLACE
    base_id: int | None = None
    """The table of which that one is a branch; None if it is none."""
