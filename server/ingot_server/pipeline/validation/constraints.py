"""What values must satisfy beyond their type: be one of some, or match a pattern."""

from collections.abc import Callable, Sequence
from typing import Any

import re2

from ingot_server.domain.fields import Field
from ingot_server.pipeline.values import Unreadable, shown

Constraint = Callable[[Any], Any]
"""Gives the value, perhaps in another spelling; raises Unreadable if it is not one of those that there may be."""
_PATTERN_BYTES_MAX = 256 * 1024
_MATCHED_CHARACTERS_MAX = 1_024
"""Of a text that is to match a pattern: together with the size of the pattern it bounds the time."""


def constraints_of(field: Field) -> Sequence[Constraint]:
    """What the values of a field must satisfy beyond its type."""
    constraints: list[Constraint] = []
    if field.allowed:
        constraints.append(_one_of(field.allowed))
    if field.pattern:
        constraints.append(_matching(field.pattern))
    return constraints


def _one_of(allowed: Sequence[str]) -> Constraint:
    spelling = {value.casefold(): value for value in allowed}
    if len(spelling) < len(allowed):
        spelling = {}
    exact = frozenset(allowed)
    expected = ", ".join(map(repr, allowed[:10])) + (", ..." if len(allowed) > 10 else "")

    def constrain(value: str) -> str:
        if value in exact:
            return value
        found = spelling.get(value.casefold())
        if found is None:
            raise Unreadable(f"expected one of {expected}, got {shown(value)}")
        return found

    return constrain


def _matching(pattern: str) -> Constraint:
    matches = matcher(pattern)

    def constrain(value: str) -> str:
        if len(value) > _MATCHED_CHARACTERS_MAX:
            raise Unreadable(f"expected at most {_MATCHED_CHARACTERS_MAX:,} characters, got {len(value):,}")
        if not matches(value):
            raise Unreadable(f"expected a text that matches {shown(pattern)}, got {shown(value)}")
        return value

    return constrain


def matcher(pattern: str) -> Callable[[str], object]:
    """What tells whether a whole text matches a regular expression of RE2. Raises ValueError if it is none.

    RE2 takes time linear in the text, and the memory it may use bounds the size of the pattern, which is the factor.
    """
    options = re2.Options()
    options.max_mem = _PATTERN_BYTES_MAX
    options.log_errors = False
    try:
        match: Callable[[str], object] = re2.compile(pattern, options).fullmatch
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(reason) from None
    return match
