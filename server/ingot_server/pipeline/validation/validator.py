"""The compiled rules of a table."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from ingot_server.domain.fields import Field, UnknownFields
from ingot_server.domain.records import ErrorCode
from ingot_server.domain.tables import GENERIC, Rules
from ingot_server.pipeline import exact_json
from ingot_server.pipeline.kinds import KINDS
from ingot_server.pipeline.kinds.kind import DERIVED, Name
from ingot_server.pipeline.validation.objects import ObjectReader
from ingot_server.pipeline.validation.rows import Row
from ingot_server.pipeline.validation.rules import merged_fields


class Validator:
    """The compiled rules of a table."""

    def __init__(self, rules: Rules, key_fields: Sequence[str] = ()) -> None:
        """`key_fields` are known fields too. Raises KeyError for a kind that this server does not know."""
        self.kind = KINDS[rules.kind]
        self.is_plain = rules.kind == GENERIC and not rules.fields and rules.unknown_fields is UnknownFields.KEEP
        """Whether there is nothing to be read: any record will do."""
        names = ", ".join(f"`{name}`" for name in self.kind.needs_one_of)
        self._needed = f"Too little information: expected a value for one of {names}."
        built_in = {known.name for known in self.kind.fields}
        fields = merged_fields(rules)
        known_names = {field.name for field in fields}
        fields += tuple(Field(name) for name in key_fields if name not in known_names)
        self._reader = ObjectReader(
            fields,
            rules.reading,
            rejects_unknown=rules.unknown_fields is UnknownFields.REJECT,
            own=frozenset(field.name for field in fields if field.name not in built_in),
        )

    def read(self, texts: Sequence[bytes], positions: Iterable[int]) -> list[Row]:
        """The records with their values. `texts` have passed `checking.check`."""
        return [self._read(text, position) for position, text in zip(positions, texts, strict=True)]

    def is_name(self, name: str, field: str) -> bool:
        """Whether a value under this name is one for the field."""
        return self._reader.stored_name(name) == field

    def derive(self, record: dict[str, Any]) -> None:
        """Derives what follows from the fields of a record, anew."""
        if derived := self.kind.derive(record):
            record[DERIVED] = dict(derived)
        elif self.kind.name != GENERIC:
            record.pop(DERIVED, None)

    def _read(self, text: bytes, position: int) -> Row:
        row, kind = Row(position), self.kind
        sent = exact_json.decode(text)
        if kind.name != GENERIC:
            sent.pop(DERIVED, None)
        row.record = record = self._reader.read(sent, "", row)
        for name in kind.needs_one_of:
            if record.get(name) or name in row.unread:
                break
        else:
            if kind.needs_one_of:
                row.blame(ErrorCode.TOO_LITTLE_INFORMATION, self._needed)
        for fault in kind.check(record):
            row.accuse(fault)
        row.names = [Name(name, record[name], name) for name in kind.identifiers if record.get(name)]
        row.references = list(kind.references(record))
        if not row.is_faulty:
            self.derive(record)
            row.text = exact_json.encode(record)
        return row


@lru_cache(maxsize=256)
def validator(rules: str, key_fields: tuple[str, ...]) -> Validator:
    """The validator for the JSON text of `Rules`. Raises KeyError for a kind that this server does not know."""
    return Validator(msgspec.json.decode(rules, type=Rules), key_fields)
