"""Checks what a table declares about its fields, before it is stored."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from ingot_server.domain.fields import (
    ALIASES_MAX,
    ALLOWED_MAX,
    FIELD_DEPTH_MAX,
    FIELD_NAME_BYTES_MAX,
    FIELDS_MAX,
    INDEXED_MAX,
    PATTERN_CHARACTERS_MAX,
    Field,
    FieldType,
    Reading,
)
from ingot_server.domain.tables import GENERIC, Rules
from ingot_server.pipeline.kinds import KINDS
from ingot_server.pipeline.kinds.kind import DERIVED
from ingot_server.pipeline.validation.constraints import matcher
from ingot_server.pipeline.validation.objects import ObjectReader, as_sent
from ingot_server.pipeline.validation.rows import Row
from ingot_server.pipeline.validation.rules import merged_fields, names_of
from ingot_server.pipeline.values import shown

_NAME = (
    f"expected 1 to {FIELD_NAME_BYTES_MAX} bytes without NUL characters and brackets; nested fields go into `fields`"
)
DEFAULT_CHARACTERS_MAX = 500
"""Each default is stored with each record that lacks the field: large ones would make large records of small ones."""
DEFAULTS_MAX = 50
_NOT_INDEXABLE = (FieldType.ANY, FieldType.OBJECT)


def field_violations(fields: Sequence[Field], reading: Reading, path: str) -> Mapping[str, str]:
    """What is wrong with fields, each by itself: the path of each fault, and what was expected."""
    if _count(fields) > FIELDS_MAX:
        return {path: f"expected at most {FIELDS_MAX} fields, nested ones included, got {_count(fields)}"}
    if (defaults := _count_defaults(fields)) > DEFAULTS_MAX:
        return {path: f"expected at most {DEFAULTS_MAX} fields with a default, got {defaults}"}
    return dict(
        chain.from_iterable(_violations(field, reading, f"{path}[{number}]", 1) for number, field in enumerate(fields))
    )


def table_violations(rules: Rules, key_fields: Sequence[str], path: str) -> Mapping[str, str]:
    """What is wrong between the fields, and between them, those of the kind and the key fields."""
    found: dict[str, str] = {}
    if repeated := dict(_repeated(rules.fields, path)):
        return repeated
    if (indexed := sum(field.indexed for field in rules.fields)) > INDEXED_MAX:
        found[path] = f"expected at most {INDEXED_MAX} indexed fields, got {indexed}"
    built_in = {known.name: known for known in KINDS[rules.kind].fields}
    for number, own in enumerate(rules.fields):
        at = f"{path}[{number}]"
        known = built_in.get(own.name)
        if known is not None and (own.type, own.many) != (known.type, known.many):
            many = ", many" if known.many else ""
            found[f"{at}.type"] = f"expected {known.type}{many}: the kind {rules.kind} has a field {own.name!r}"
        if known is not None and known.fields and own.fields:
            found[f"{at}.fields"] = f"expected none: the kind {rules.kind} knows the fields of {own.name!r}"
        if known is not None and known.pattern and own.pattern:
            found[f"{at}.pattern"] = f"expected none: the kind {rules.kind} has one for {own.name!r}"
        if known is not None and known.allowed and not {*own.allowed} <= {*known.allowed}:
            found[f"{at}.allowed_values"] = f"expected some of the kind's own: {', '.join(known.allowed)}"
        if own.name == DERIVED and rules.kind != GENERIC:
            found[f"{at}.name"] = f"expected another name: {DERIVED!r} holds what Ingot derives from the record"
    merged = merged_fields(rules)
    found.update(_clashes(merged, path))
    found.update(key_field_violations(merged, key_fields))
    if not found:
        numbers = {own.name: number for number, own in enumerate(rules.fields)}
        for field in merged:
            if field.name in numbers:
                found.update(_default_violations(field, rules.reading, f"{path}[{numbers[field.name]}]"))
                if field.default is not None and field.name in KINDS[rules.kind].identifiers:
                    found[f"{path}[{numbers[field.name]}].default_value"] = (
                        "expected none: the field identifies records"
                    )
    return found


def key_field_violations(fields: Sequence[Field], key_fields: Sequence[str]) -> Mapping[str, str]:
    """What is wrong with naming these key fields for records with these fields."""
    stored = {alias: field.name for field in fields for alias in field.aliases}
    for name in key_fields:
        if name in stored:
            return {"table.key_fields": f"expected the name under which it is stored, {stored[name]!r}, got {name!r}"}
    return {}


def _clashes(fields: Sequence[Field], path: str) -> Iterator[tuple[str, str]]:
    owners: dict[str, str] = {}
    for field in fields:
        for name in names_of(field):
            owner = owners.setdefault(name, field.name)
            if owner != field.name or list(names_of(field)).count(name) > 1:
                yield path, f"expected different names, but {name!r} names {owner!r} and {field.name!r}"
        yield from _clashes(field.fields, path)
    yield from _repeated(fields, path)


def _repeated(fields: Sequence[Field], path: str) -> Iterator[tuple[str, str]]:
    names = [field.name for field in fields]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield path, f"expected each field once, but {twice[0]!r} comes several times"


def _count_defaults(fields: Sequence[Field]) -> int:
    return sum((field.default is not None) + _count_defaults(field.fields) for field in fields)


def _count(fields: Sequence[Field]) -> int:
    return sum(1 + _count(field.fields) for field in fields)


def _violations(field: Field, reading: Reading, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if not _is_name(field.name):
        yield f"{path}.name", f"{_NAME}, got {shown(field.name)}"
    if len(field.aliases) > ALIASES_MAX or not all(map(_is_name, field.aliases)):
        yield f"{path}.aliases", f"expected at most {ALIASES_MAX} names, each of 1 to {FIELD_NAME_BYTES_MAX} bytes"
    if "\0" in field.description or len(field.description) > 1_000:
        yield f"{path}.description", "expected at most 1,000 characters, without NUL characters"
    if (field.pattern or field.allowed) and not field.type.is_text:
        yield f"{path}.type", f"expected a type whose values are texts beside a pattern or values, got {field.type}"
    if field.indexed and (depth > 1 or field.many or field.type in _NOT_INDEXABLE):
        yield f"{path}.indexed", "expected only for a single value at the top level, of a type but ANY and OBJECT"
    if field.fields and field.type is not FieldType.OBJECT:
        yield f"{path}.fields", f"expected only for OBJECT, got {field.type}"
    if depth > FIELD_DEPTH_MAX:
        yield f"{path}.fields", f"expected at most {FIELD_DEPTH_MAX} levels"
        return
    allowed = list(_allowed_violations(field, f"{path}.allowed_values"))
    pattern = list(_pattern_violations(field, f"{path}.pattern"))
    yield from (*allowed, *pattern)
    nested = [
        violation
        for number, inner in enumerate(field.fields)
        for violation in _violations(inner, reading, f"{path}.fields[{number}]", depth + 1)
    ]
    yield from nested
    if field.default is not None and len(repr(field.default)) > DEFAULT_CHARACTERS_MAX:
        yield f"{path}.default_value", f"expected at most {DEFAULT_CHARACTERS_MAX:,} characters"


def _is_name(name: str) -> bool:
    return 0 < len(name.encode()) <= FIELD_NAME_BYTES_MAX and not any(sign in name for sign in "\0[]")


def _allowed_violations(field: Field, path: str) -> Iterator[tuple[str, str]]:
    distinct = len(set(field.allowed)) == len(field.allowed) <= ALLOWED_MAX
    if not distinct or not all(value and "\0" not in value and len(value) <= 255 for value in field.allowed):
        yield path, f"expected at most {ALLOWED_MAX:,} different values of 1 to 255 characters, without NUL characters"


def _pattern_violations(field: Field, path: str) -> Iterator[tuple[str, str]]:
    if len(field.pattern) > PATTERN_CHARACTERS_MAX:
        yield path, f"expected at most {PATTERN_CHARACTERS_MAX:,} characters"
    elif field.pattern:
        try:
            matcher(field.pattern)
        except ValueError as error:
            yield path, f"expected a regular expression: {error}"


def _default_violations(field: Field, reading: Reading, path: str) -> Iterator[tuple[str, str]]:
    for number, nested in enumerate(field.fields):
        yield from _default_violations(nested, reading, f"{path}.fields[{number}]")
    if field.default is None:
        return
    row, sent = Row(0), as_sent(field.default)
    read = ObjectReader([field], reading, rejects_unknown=False, own=frozenset()).read({field.name: sent}, "", row)
    if row.faults and row.is_faulty:
        yield f"{path}.default_value", row.faults[0].message
    elif "\\x00" in repr(sent):
        yield f"{path}.default_value", "expected a value without NUL characters"
    elif read.get(field.name) != sent:
        yield f"{path}.default_value", f"expected the value in its normal form, {shown(read.get(field.name))}"
