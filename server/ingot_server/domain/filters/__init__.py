"""Filters and orders of records: the texts of callers, read into a small tree. `storage.filtering` makes SQL of it.

The language is a subset of AIP-160 (https://google.aip.dev/160).

    country = SE AND points >= 10
    (city = "New York" OR city = Oslo) AND NOT blocked = true
    name = "Ad*"  -email:*  tags:vip  address.zip = "01234"

Comparisons: `field = value`, `!=`, `<`, `<=`, `>`, `>=`, and `field:value`. They are joined with `AND`, `OR` and
parentheses; those that merely stand side by side are joined with AND. `NOT` or `-` before one, or before a
parenthesis, turns it round. OR binds tighter than AND, as AIP-160 has it:
`a = 1 AND b = 2 OR c = 3` is `a = 1 AND (b = 2 OR c = 3)`. A value without a field is refused.

Fields: `name`; within objects `address.city`. Letters, digits, `_` and `-` need no quotes, any other name does:
`"first name"."of \\"all\\""`. Elements of a list have no names: `items.0` is refused, `items."0"` is a field called
0. Four names are the record's own data: `_key`, `_create_time`, `_update_time`, and `_import_id`, the import that
last wrote the record (null if WriteRecords did). In quotes (`"_key"`) they are fields like any other.

Values: texts, in `"..."` or `'...'` with a backslash before `"`, `'`, `*` and the backslash itself, or without quotes
if they consist of letters, digits and `_-.@+:/`; and without quotes the numbers of JSON, `true`, `false` and `null`.

What is compared: if the table or its kind declares the field, its type decides. NUMBER and INTEGER compare as
numbers, BOOLEAN as true and false (false is less), TIMESTAMP as moments, all others as texts, in the order of their
bytes. The value is brought into the normal form of the type first, so that `email = Ada@Example.org` finds what was
stored; but with `<`, `<=`, `>`, `>=` only for DATE and TIMESTAMP. Without a declared type (or with ANY or OBJECT) the
value decides: a number finds numbers only, true and false find themselves, and a text compares with the text of a
string, a number or a boolean, so that `zip = "123"` finds both "123" and 123. Numbers that take more than 400
characters to write out compare with nothing.

Missing fields: `field = null` finds records in which the field is missing or null, `field:*` those in which it is
neither. Apart from that, a comparison with a field that is missing, null, an object, a list, within a list, or of
another type is false. `a != 1` is the exact opposite of `a = 1`, and so is true in these cases, just as `NOT` is
always the exact opposite.

Prefixes: a text that ends with `*` stands for all that begin so, with `=`, `!=` and `:`. `\\*` in quotes is a star.

`:` looks into lists, in the field and on the way to it, but not into lists that are directly in lists: `tags:vip`
finds records whose `tags` is a list that contains the text vip, or is that text itself; or is an object that has such
a field, or a list with such an object. `items.sku:X` finds records of which any item has this sku.

Limits: 2,000 characters, 50 comparisons, parentheses and names 20 deep.

Orders: `points`, or `points desc` for the largest first. One field; records with the same value come by key, in the
same direction. Fields compare as in filters, undeclared ones as texts; texts compare by their first 250 characters
here. Records in which the field is missing, or is not of its type, come last in both directions. By key if the order
is empty.
"""

from ingot_server.domain.filters.comparing import Normalise, field_types
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
    "Absent",
    "And",
    "Comparison",
    "Condition",
    "FieldPath",
    "FilterInvalid",
    "Form",
    "Has",
    "Normalise",
    "Not",
    "Operator",
    "Or",
    "Order",
    "Own",
    "Present",
    "field_types",
    "form_of",
    "parse_filter",
    "parse_order",
]
