"""Records whose values have been read together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from ingot_server.domain.fields import FieldType
from ingot_server.pipeline.kinds.kind import Name
from ingot_server.pipeline.validation.columns import Columns
from ingot_server.pipeline.validation.rows import Row


@dataclass(slots=True)
class ReadRecords:
    """Records whose values have been read: each is in columns, with those of its shape, or in a row of its own."""

    identifiers: Sequence[str] = ()
    """Those of the kind, the strongest first."""
    columns: list[Columns] = field(default_factory=list)
    """Records in which nothing is wrong."""
    rows: list[Row] = field(default_factory=list)

    def addresses(self) -> Iterator[tuple[FieldType, str, str]]:
        """The e-mail addresses and phone numbers in the records: type, value, path."""
        for columns in self.columns:
            for type_, name in columns.addresses:
                yield from ((type_, value, name) for value in columns.values[name] if value is not None)
        for row in self.rows:
            yield from row.addresses

    def take_rows(self) -> list[Row]:
        """All records in rows, in their order; from then on none is in columns."""
        if self.columns:
            self.rows = sorted(
                [*self.rows, *(row for columns in self.columns for row in _rows(columns, self.identifiers))],
                key=attrgetter("position"),
            )
            self.columns = []
        return self.rows


def _rows(columns: Columns, identifiers: Sequence[str]) -> Iterator[Row]:
    names = [(name, columns.values[name]) for name in identifiers if name in columns.values]
    addresses = [(type_, name, columns.values[name]) for type_, name in columns.addresses]
    texts = columns.texts or [b""] * len(columns.records)
    for number, record in enumerate(columns.records):
        yield Row(
            columns.positions[number],
            record,
            addresses=[
                (type_, values[number], name) for type_, name, values in addresses if values[number] is not None
            ],
            names=[Name(name, values[number], name) for name, values in names if values[number]],
            text=texts[number],
        )
