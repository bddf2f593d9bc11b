"""What a field and a value have in common: the form in which they compare."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from ingot_server.domain.fields import FieldType
from ingot_server.domain.filters.scanning import FilterInvalid, Literal
from ingot_server.domain.filters.tree import (
    Absent,
    Comparison,
    Condition,
    FieldPath,
    Form,
    Has,
    Not,
    Operator,
    Own,
    Present,
    form_of,
)
from ingot_server.domain.records import EXPONENT_MAX

Normalise: TypeAlias = Callable[[FieldType, str], str]
"""The normal form of a text as a value of a type whose values are texts. Raises ValueError with what was expected."""

NUMBER_CHARACTERS_MAX = 400
"""A number that takes more to write out compares with nothing: it has no place in an index."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]+))?")
_UNDECIDED = (FieldType.ANY, FieldType.OBJECT)
# In normal form these are in the order of time.
_DAYS = (FieldType.DATE, FieldType.TIMESTAMP)
# What the normal forms of whole values tell about the beginnings of them.
_CASES: dict[FieldType, Callable[[str], str]] = {
    FieldType.EMAIL: str.lower,
    FieldType.COUNTRY: str.upper,
    FieldType.CURRENCY: str.upper,
}
_OWN_FORMS = {
    Own.KEY: Form.TEXT,
    Own.CREATE_TIME: Form.TIME,
    Own.UPDATE_TIME: Form.TIME,
    Own.IMPORT_ID: Form.NUMBER,
}


def own_form(own: Own) -> Form:
    """As what the record's own data compare."""
    return _OWN_FORMS[own]


def comparison(
    field: FieldPath | Own, type_: FieldType, operator: str, literal: Literal, normalise: Normalise
) -> Condition:
    """The condition that the field of that type compares so with the literal. Raises FilterInvalid if it cannot."""
    if operator == "!=":
        return Not(comparison(field, type_, "=", literal, normalise))
    if _is_word(literal, "null"):
        if operator != "=":
            raise FilterInvalid(literal.position, "null goes with = and != only; `field:*` says that there is a value")
        return Absent(field)
    if literal.prefix and not literal.text:
        if operator != ":":
            raise FilterInvalid(
                literal.position, "expected a text before the star; `field:*` says that there is a value"
            )
        return Not(Absent(field)) if isinstance(field, Own) else Present(field)
    if literal.prefix and operator not in ("=", ":"):
        raise FilterInvalid(literal.position, "a prefix goes with =, != and : only")
    compares = Operator.PREFIX if literal.prefix else Operator.EQUAL if operator == ":" else Operator(operator)
    if isinstance(field, Own):
        form = own_form(field)
        value = _own_value(field, form, compares, literal, normalise)
        return Comparison(field, form, compares, value)
    form = _literal_form(literal) if type_ in _UNDECIDED else form_of(type_)
    value = _value(type_, form, compares, literal, normalise)
    if operator == ":":
        return Has(field, form, compares, value)
    return Comparison(field, form, compares, value)


def _literal_form(literal: Literal) -> Form:
    if literal.quoted or literal.prefix:
        return Form.TEXT
    if literal.text in ("true", "false"):
        return Form.BOOLEAN
    return Form.NUMBER if _NUMBER.fullmatch(literal.text) else Form.TEXT


def _own_value(own: Own, form: Form, operator: Operator, literal: Literal, normalise: Normalise) -> str:
    if form is not Form.TIME:
        return _value(FieldType.ANY, form, operator, literal, normalise)
    if literal.prefix:
        raise FilterInvalid(literal.position, f"{own} is a moment: a prefix goes with texts only")
    value = _normal(FieldType.TIMESTAMP, literal, normalise)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise FilterInvalid(literal.position, f"expected a moment that the database knows, got {value}") from None
    return value


def _value(type_: FieldType, form: Form, operator: Operator, literal: Literal, normalise: Normalise) -> str:
    match form:
        case Form.NUMBER:
            return _number(literal)
        case Form.BOOLEAN:
            if literal.prefix or literal.text not in ("true", "false"):
                raise FilterInvalid(literal.position, "expected true or false")
            return literal.text
        case Form.TIME | Form.TEXT:
            value = _text(type_, operator, literal, normalise)
            return value.removesuffix("Z") if form is Form.TIME else value


def _text(type_: FieldType, operator: Operator, literal: Literal, normalise: Normalise) -> str:
    if operator is Operator.PREFIX:
        return _CASES.get(type_, str)(literal.text)
    has_normal_form = type_.is_text and type_ is not FieldType.TEXT
    in_order = operator is not Operator.EQUAL and type_ not in _DAYS
    return _normal(type_, literal, normalise) if has_normal_form and not in_order else literal.text


def _normal(type_: FieldType, literal: Literal, normalise: Normalise) -> str:
    try:
        return normalise(type_, literal.text)
    except ValueError as error:
        raise FilterInvalid(literal.position, str(error)) from error


def _number(literal: Literal) -> str:
    found = None if literal.prefix else _NUMBER.fullmatch(literal.text)
    if found is None:
        raise FilterInvalid(literal.position, "expected a number, such as -1.5 or 2e3")
    if abs(int(found[1] or 0)) > EXPONENT_MAX or len(literal.text) > NUMBER_CHARACTERS_MAX:
        raise FilterInvalid(
            literal.position,
            f"expected a number of at most {NUMBER_CHARACTERS_MAX} characters, its exponent at most {EXPONENT_MAX}",
        )
    return literal.text


def _is_word(literal: Literal, word: str) -> bool:
    return not literal.quoted and not literal.prefix and literal.text == word
