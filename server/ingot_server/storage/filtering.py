"""Filters as SQL over the table `record`, and the indexes that make them, and orders, fast.

What comes from callers travels as arguments. Only the names of fields and the table's id are part of the text: an index
on an expression, and a partial one, is used where its own text stands in the query, also by a plan for any arguments.

A filter without an index reads all records of the table; statement_timeout bounds it. So does one with a single bound,
as in `points < 10`, if the order is not that of the field: PostgreSQL does not use its statistics of partial indexes,
expects a third of all records, and looks for them by key.
"""

import hashlib
import json
import re
from datetime import datetime
from typing import assert_never

from ingot_server.domain.fields import FieldType
from ingot_server.domain.filters import (
    NUMBER_CHARACTERS_MAX,
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

INDEXED_CHARACTERS = 250
"""Of a longer text only the beginning is indexed and ordered by: with the longest key it just fits into an index entry
(2,704 bytes), and into a page token."""

_OWN_COLUMNS = {
    Own.KEY: "key",
    Own.CREATE_TIME: "create_time",
    Own.UPDATE_TIME: "update_time",
    Own.IMPORT_ID: "(CASE WHEN writer > 0 THEN writer END)::numeric",
}
_SHOWN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_SIMPLE_NAME = re.compile(r"[a-z0-9_]{1,16}")


class Arguments:
    """What a query is called with, in the order of its placeholders."""

    def __init__(self, first: int = 1) -> None:
        self.values: list[object] = []
        self._next = first

    def add(self, value: object, type_: str) -> str:
        """The placeholder of a further argument, sent as that type."""
        self.values.append(value)
        self._next += 1
        return f"${self._next - 1}::{type_}"


def index_expression(name: str, type_: FieldType) -> str:
    """What is indexed of a top-level field: the same text as in conditions and orders."""
    return compared_expression((name,), form_of(type_))


def index_name(table_id: int, name: str, type_: FieldType) -> str:
    """The index's name: always the same, of at most 63 lower-case letters, digits and underscores."""
    # A simple name has at most 16 characters, this one has 17.
    called = name if _SIMPLE_NAME.fullmatch(name) else "x" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"record_{table_id}_{type_.lower()}_{called}"


def index_create(table_id: int, name: str, type_: FieldType) -> str:
    """Makes the index of a top-level field, unless there is one of its name. Not within a transaction."""
    return (
        f'CREATE INDEX CONCURRENTLY IF NOT EXISTS "{index_name(table_id, name, type_)}"'
        f" ON record (({index_expression(name, type_)}), key)"
        f" WHERE table_id = {table_id:d}"
    )


def index_drop(table_id: int, name: str, type_: FieldType) -> str:
    """Drops the index of a field if it exists. Not within a transaction."""
    return f'DROP INDEX CONCURRENTLY IF EXISTS "{index_name(table_id, name, type_)}"'


def condition_sql(condition: Condition, arguments: Arguments) -> str:
    """The condition on a row of `record`; what it compares with is added to the arguments.

    It may be NULL instead of false: as part of WHERE that is the same, and lets indexes be used.
    """
    match condition:
        case And(operands):
            text = " AND ".join(condition_sql(operand, arguments) for operand in operands)
        case Or(operands):
            text = " OR ".join(condition_sql(operand, arguments) for operand in operands)
        case Not(operand):
            text = f"{condition_sql(operand, arguments)} IS NOT TRUE"
        case Absent(field):
            text = f"{_OWN_COLUMNS[field] if isinstance(field, Own) else _access(field, '->>')} IS NULL"
        case Present(field):
            text = _exists(_jsonpath(field), "item <> 'null'", arguments)
        case Comparison(field, form, operator, value):
            text = _comparison(field, form, operator, value, arguments)
        case Has():
            text = _has(condition, arguments)
        case _:
            assert_never(condition)
    return f"({text})"


def _comparison(field: FieldPath | Own, form: Form, operator: Operator, value: str, arguments: Arguments) -> str:
    if isinstance(field, Own) and form is Form.TIME:
        return f"{_OWN_COLUMNS[field]} {operator} {arguments.add(datetime.fromisoformat(value), 'timestamptz')}"
    return _compared(compared_expression(field, form, whole=_is_long(value)), form, operator, value, arguments)


def _has(has: Has, arguments: Arguments) -> str:
    item = _expression("item", "item #>> '{}'", has.form, whole=_is_long(has.value))
    condition = _compared(item, has.form, has.operator, has.value, arguments)
    if has.form is Form.TEXT and has.operator is Operator.EQUAL:
        # The test of the type is needed: `?` finds texts too, and in lists.
        condition = f"({condition} OR jsonb_typeof(item) = 'object' AND item ? {arguments.add(has.value, 'text')})"
    exact = _exists(f"{_jsonpath(has.field)}[*]", condition, arguments)
    # Some times as fast as the exact test, which few records are left for.
    roughly = arguments.add(f"{_jsonpath(has.field)} ? ({_roughly(has)})", "jsonpath")
    return f"jsonb_path_exists(data, {roughly}) AND {exact}"


def _roughly(has: Has) -> str:
    """A predicate of jsonpath that is true of all items that have the value, and of few others.

    It cannot be exact: numbers have no text there, and it also looks into lists that are directly in lists.
    """
    match has.form:
        case Form.NUMBER | Form.BOOLEAN:
            return f"@ == {has.value}"
        case Form.TIME:
            return f"@ starts with {json.dumps(has.value)}"
        case Form.TEXT if has.operator is Operator.PREFIX:
            return f'@ starts with {json.dumps(has.value)} || @.type() == "number" || @.type() == "boolean"'
        case Form.TEXT:
            predicate = f"@ == {json.dumps(has.value)} || exists(@.{json.dumps(has.value)})"
            may_be_shown = _SHOWN_NUMBER.fullmatch(has.value) or has.value in ("true", "false")
            return f'{predicate} || @.type() == "number" || @.type() == "boolean"' if may_be_shown else predicate


def _exists(path: str, condition: str, arguments: Arguments) -> str:
    placeholder = arguments.add(path, "jsonpath")
    return f"EXISTS (SELECT FROM jsonb_path_query(data, {placeholder}) AS found (item) WHERE {condition})"


def _compared(expression: str, form: Form, operator: Operator, value: str, arguments: Arguments) -> str:
    if form is Form.NUMBER:
        return f"{expression} {operator} {arguments.add(value, 'text')}::numeric"
    if operator is not Operator.PREFIX:
        return f"{expression} {operator} {arguments.add(value, 'text')}"
    # Not LIKE, which finds its bounds only while planning, and so not in a plan for any arguments.
    condition = f"{expression} >= {arguments.add(value, 'text')}"
    end = _prefix_end(value)
    return f"({condition} AND {expression} < {arguments.add(end, 'text')})" if end else condition


def _prefix_end(prefix: str) -> str:
    """The least text that is greater than all with this prefix, in the order of UTF-8; empty if there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return ""
    # D800 to DFFF are no characters.
    last = "\ue000" if kept[-1] == "\ud7ff" else chr(ord(kept[-1]) + 1)
    return kept[:-1] + last


def _is_long(text: str) -> bool:
    """Whether what is indexed does not tell how a text compares with this one."""
    return len(text) >= INDEXED_CHARACTERS


def compared_expression(field: FieldPath | Own, form: Form, *, whole: bool = False) -> str:
    """What compares of a field: NULL if nothing does; of long texts the beginning, unless `whole`."""
    if isinstance(field, Own):
        return _OWN_COLUMNS[field]
    return _expression(_access(field, "->"), _access(field, "->>"), form, whole=whole)


def _expression(value: str, text: str, form: Form, *, whole: bool = False) -> str:
    """What compares of the jsonb `value`, whose text is `text`; NULL if nothing does."""
    begin = text if whole else f"left({text}, {INDEXED_CHARACTERS})"
    match form:
        case Form.TEXT:
            kinds = "'string', 'number', 'boolean'"
            return f'(CASE WHEN jsonb_typeof({value}) IN ({kinds}) THEN {begin} END) COLLATE "C"'
        case Form.NUMBER:
            fits = f"jsonb_typeof({value}) = 'number' AND length({text}) <= {NUMBER_CHARACTERS_MAX}"
            return f"(CASE WHEN {fits} THEN ({value})::numeric END)"
        case Form.BOOLEAN:
            return f"(CASE WHEN jsonb_typeof({value}) = 'boolean' THEN {text} END) COLLATE \"C\""
        case Form.TIME:
            return f"(CASE WHEN jsonb_typeof({value}) = 'string' THEN rtrim({begin}, 'Z') END) COLLATE \"C\""


def _access(path: FieldPath, last: str) -> str:
    """The value of a field, without a look into lists. The names are typed: an untyped '0' would be an element."""
    *names, name = path
    return "data" + "".join(f"->{_literal(name)}::text" for name in names) + f"{last}{_literal(name)}::text"


def _literal(text: str) -> str:
    """A text as a literal of SQL that means the same whatever standard_conforming_strings is."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"


def _jsonpath(path: FieldPath) -> str:
    """A field with a look into the lists on the way to it."""
    return "$" + "".join(f".{json.dumps(name)}" for name in path)
