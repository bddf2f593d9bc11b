"""The compiled rules of a table."""

import re
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from ingot_server.domain.fields import Field, UnknownFields
from ingot_server.domain.records import ErrorCode, Severity
from ingot_server.domain.tables import GENERIC, Rules
from ingot_server.pipeline import exact_json
from ingot_server.pipeline.kinds import KINDS
from ingot_server.pipeline.kinds.kind import DERIVED, Name, no_fields, nothing
from ingot_server.pipeline.validation.columns import Columns
from ingot_server.pipeline.validation.objects import ObjectReader
from ingot_server.pipeline.validation.read_records import ReadRecords
from ingot_server.pipeline.validation.rows import Row
from ingot_server.pipeline.validation.rules import merged_fields

_PATH_END = re.compile(r"[.\[]")


class Validator:
    """The compiled rules of a table."""

    def __init__(self, rules: Rules, key_fields: Sequence[str] = ()) -> None:
        """`key_fields` are known fields too. Raises KeyError for a kind that this server does not know."""
        self.kind = kind = KINDS[rules.kind]
        self.is_plain = rules.kind == GENERIC and not rules.fields and rules.unknown_fields is UnknownFields.KEEP
        """Whether there is nothing to be read: any record will do."""
        names = ", ".join(f"`{name}`" for name in self.kind.needs_one_of)
        self._needed = f"Too little information: expected a value for one of {names}."
        built_in = {known.name for known in self.kind.fields}
        fields = merged_fields(rules)
        self.field_names = frozenset(field.name for field in fields)
        self._identifying = None if kind.key_parts else frozenset((*kind.identifiers, *kind.identity, *key_fields))
        if not self.field_names.issuperset(kind.identity):
            # Something derived from what the record refers to identifies it.
            self._identifying = self._identifying and self._identifying.union(kind.needs_one_of)
        known_names = {field.name for field in fields}
        fields += tuple(Field(name) for name in key_fields if name not in known_names)
        self._reader = ObjectReader(
            fields,
            rules.reading,
            rejects_unknown=rules.unknown_fields is UnknownFields.REJECT,
            own=frozenset(field.name for field in fields if field.name not in built_in),
        )

    def read(self, texts: Sequence[bytes], positions: Sequence[int]) -> ReadRecords:
        """The records with their values. `texts` have passed `checking.check`."""
        sent = list(map(exact_json.decode, texts))
        if self.kind.name != GENERIC:
            for record in sent:
                record.pop(DERIVED, None)
        columns, left = self._reader.read_columns(sent)
        read = ReadRecords(self.kind.identifiers)
        for number in left:
            row = Row(positions[number])
            row.record = self._reader.read(sent[number], "", row)
            read.rows.append(row)
        for together in columns:
            together.positions = [positions[number] for number in together.positions]
            if self._is_sound(together):
                self._derive_together(together)
                together.texts = exact_json.encode_all(together.records)
                read.columns.append(together)
            else:
                read.rows += ReadRecords(columns=[together]).take_rows()
        for row in read.rows:
            self._examine(row)
        read.rows.sort(key=attrgetter("position"))
        good = [row for row in read.rows if not row.is_faulty]
        for row, text in zip(good, exact_json.encode_all([row.record for row in good]), strict=True):
            row.text = text
        return read

    def read_parts(self, texts: Sequence[bytes], positions: Iterable[int]) -> ReadRecords:
        """Records that are only to be merged with others: nothing is missing from them but what identifies them."""
        rows = [self._read_part(text, position) for position, text in zip(positions, texts, strict=True)]
        return ReadRecords(self.kind.identifiers, rows=rows)

    def read_names(self, texts: Sequence[bytes], positions: Iterable[int]) -> ReadRecords:
        """Records of which only matters what identifies them: other fields may hold anything."""
        read = self.read_parts(texts, positions)
        if self._identifying is not None:
            for row in read.rows:
                if row.faults:
                    row.faults = [fault for fault in row.faults if self._identifies(fault.field)]
                    row.is_faulty = any(fault.code.severity is Severity.ERROR for fault in row.faults)
                    row.full = frozenset()
        return read

    def _identifies(self, path: str) -> bool:
        return not path or _PATH_END.split(path, maxsplit=1)[0] in (self._identifying or ())

    def read_whole(self, record: dict[str, Any], position: int, given: Container[str]) -> Row:
        """A record that was put together from a part that was `given` and one that was there.

        What was there of fields that the rules do not know, and reject, stays: nobody has sent it now.
        """
        row = Row(position)
        if self.kind.name != GENERIC:
            record.pop(DERIVED, None)
        old = {name: value for name, value in record.items() if name not in given and self._reader.refuses(name)}
        sent = {name: value for name, value in record.items() if name not in old} if old else record
        row.record = self._reader.read(sent, "", row)
        self._examine(row)
        row.record |= old
        return row

    def is_name(self, name: str, field: str) -> bool:
        """Whether a value under this name is one for the field."""
        return self._reader.stored_name(name) == field

    def derive(self, record: dict[str, Any]) -> None:
        """Derives what follows from the fields of a record, anew."""
        kind = self.kind
        singly = ((each.name, each.together([record.get(each.field)])[0]) for each in kind.derived)
        derived = {name: value for name, value in singly if value is not None}
        if derived := derived | kind.derive(record):
            record[DERIVED] = derived
        elif kind.name != GENERIC:
            record.pop(DERIVED, None)

    def _examine(self, row: Row) -> None:
        """Asks what is wrong between the fields of a row, names it, and derives what follows."""
        kind, record = self.kind, row.record
        self._expect_some(row)
        if kind.check is not nothing:
            for fault in kind.check(record):
                row.accuse(fault)
        self._name(row)
        if not row.is_faulty:
            self.derive(record)

    def _is_sound(self, columns: Columns) -> bool:
        """Whether there is nothing to be asked about records but what follows from single fields."""
        kind, values = self.kind, columns.values
        if kind.check is not nothing or kind.references is not nothing or kind.derive is not no_fields:
            return False
        return not kind.needs_one_of or any(name in values and all(values[name]) for name in kind.needs_one_of)

    def _derive_together(self, columns: Columns) -> None:
        """As `derive`. Records of which the same follows share it."""
        found = [
            (derived.name, derived.together(columns.values[derived.field]))
            for derived in self.kind.derived
            if derived.field in columns.values
        ]
        if not found:
            return
        names = [name for name, _ in found]
        made: dict[tuple[str | None, ...], dict[str, str]] = {}
        for record, values in zip(columns.records, zip(*[values for _, values in found], strict=True), strict=True):
            derived = made.get(values)
            if derived is None:
                derived = made[values] = {n: value for n, value in zip(names, values, strict=True) if value is not None}
            if derived:
                record[DERIVED] = derived

    def _read_part(self, text: bytes, position: int) -> Row:
        row, kind = Row(position), self.kind
        sent = exact_json.decode(text)
        if kind.name != GENERIC:
            sent.pop(DERIVED, None)
        row.record = self._reader.read(sent, "", row, whole=False)
        if kind.identifiers:
            self._expect_some(row)
        self._name(row)
        return row

    def _expect_some(self, row: Row) -> None:
        for name in self.kind.needs_one_of:
            if row.record.get(name) or name in row.unread:
                return
        if self.kind.needs_one_of:
            row.blame(ErrorCode.TOO_LITTLE_INFORMATION, self._needed)

    def _name(self, row: Row) -> None:
        kind, record = self.kind, row.record
        if kind.identifiers:
            row.names = [Name(name, value, name) for name in kind.identifiers if (value := record.get(name))]
        if kind.references is not nothing:
            row.references = list(kind.references(record))


@lru_cache(maxsize=256)
def validator(rules: str, key_fields: tuple[str, ...]) -> Validator:
    """The validator for the JSON text of `Rules`. Raises KeyError for a kind that this server does not know."""
    return Validator(msgspec.json.decode(rules, type=Rules), key_fields)
