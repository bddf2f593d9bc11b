"""Tables: named sets of records."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Table:
    """A named set of records, each identified by its key."""

    table_id: int
    name: str
    key_fields: tuple[str, ...]
    """Empty until an import or a record has named them; never changed after."""
    create_time: datetime
