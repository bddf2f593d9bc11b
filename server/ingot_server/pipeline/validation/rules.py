"""Which fields the records of a table have, and under which names their values may come."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from ingot_server.domain.fields import Field
from ingot_server.domain.tables import Rules
from ingot_server.pipeline.kinds import KINDS

_WORD_START = re.compile(r"_([a-z0-9])")


def merged_fields(rules: Rules) -> tuple[Field, ...]:
    """The fields of the kind and the declared ones, each with all its aliases. KeyError for an unknown kind.

    A declared field with the name of one of the kind's narrows that one: `declaring` sees to it that it only narrows.
    """
    declared = {own.name: own for own in rules.fields}
    merged = [
        _narrowed(known, declared.pop(known.name)) if known.name in declared else known
        for known in _built_in(rules.kind)
    ]
    return (*merged, *declared.values())


@cache
def _built_in(kind: str) -> tuple[Field, ...]:
    return tuple(map(_with_all_names, KINDS[kind].fields))


def names_of(field: Field) -> Iterator[str]:
    """All names under which a value for the field may come."""
    yield field.name
    yield from field.aliases


def _with_all_names(known: Field) -> Field:
    """A field of a kind with its aliases in camelCase too, and all of them with a `_` in front."""
    plain = list(names_of(known))
    plain += [_WORD_START.sub(lambda found: found[1].upper(), name) for name in plain]
    names = dict.fromkeys((*plain, *(f"_{name}" for name in plain)))
    return replace(known, aliases=tuple(names)[1:], fields=tuple(map(_with_all_names, known.fields)))


def _narrowed(known: Field, own: Field) -> Field:
    return replace(
        known,
        required=own.required or known.required,
        aliases=(*known.aliases, *own.aliases),
        pattern=own.pattern or known.pattern,
        allowed=own.allowed or known.allowed,
        default=known.default if own.default is None else own.default,
        indexed=own.indexed,
        fields=known.fields or own.fields,
    )
