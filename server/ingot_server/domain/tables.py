"""Tables: named sets of records, and the rules for what their records must be."""

from dataclasses import dataclass, replace
from datetime import datetime

from ingot_server.domain.fields import NO_READING, Field, Reading, UnknownFields

GENERIC = "GENERIC"
"""The kind of records about which nothing is known but their key."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the records of a table must be. An import keeps those that the table had when the import was created."""

    kind: str = GENERIC
    fields: tuple[Field, ...] = ()
    """Declared beside those of the kind."""
    unknown_fields: UnknownFields = UnknownFields.KEEP
    reading: Reading = NO_READING


@dataclass(frozen=True, slots=True)
class Table:
    """A named set of records, each identified by its key."""

    table_id: int
    name: str
    key_fields: tuple[str, ...] | None
    """Empty until an import or a record has named them; None where the kind identifies its records in another way."""
    rules: Rules
    declared: bool
    """Whether somebody has created or updated it; else it was made in passing, by an import or a write."""
    create_time: datetime
    update_time: datetime

    def rules_for(self, reading: Reading) -> Rules:
        """The rules for records that are to be read in this way; what it leaves open is the table's."""
        return replace(self.rules, reading=reading.over(self.rules.reading))
