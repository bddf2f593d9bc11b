"""Filters and orders of records: the texts of callers, read into a small tree. `storage.filtering` makes SQL of it.

    country = SE AND (points >= 10 OR tags:vip)   ->   And((Comparison(...), Or((Comparison(...), Has(...)))))
    points desc                                   ->   Order(("points",), Form.NUMBER, descending=True)

The manual is docs/filters.md. A text goes through `scanning` (names, values, signs) and `parsing` (the grammar); then
`fields` finds the name under which the field is stored, and its type, by which `comparing` brings the value to its
normal form and decides as what the two compare. `hints` is for those who write another language. All that can be wrong
is a FilterInvalid, which says where.
"""

from ingot_server.domain.filters.comparing import NUMBER_CHARACTERS_MAX, Normalise
from ingot_server.domain.filters.fields import KnownFields
from ingot_server.domain.filters.ordering import BY_KEY, Order, parse_order
from ingot_server.domain.filters.parsing import parse_filter
from ingot_server.domain.filters.scanning import FilterInvalid
from ingot_server.domain.filters.tree import (
    Absent,
    And,
    Comparison,
    Condition,
    FieldPath,
    Form,
    Has,
    Not,
    Operator,
    Or,
    Own,
    Present,
    form_of,
)

__all__ = [
    "BY_KEY",
    "NUMBER_CHARACTERS_MAX",
    "Absent",
    "And",
    "Comparison",
    "Condition",
    "FieldPath",
    "FilterInvalid",
    "Form",
    "Has",
    "KnownFields",
    "Normalise",
    "Not",
    "Operator",
    "Or",
    "Order",
    "Own",
    "Present",
    "form_of",
    "parse_filter",
    "parse_order",
]
