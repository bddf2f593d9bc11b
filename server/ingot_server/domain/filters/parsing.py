"""The grammar of filters.

filter     = [all]
all        = any {["AND"] any}
any        = one {"OR" one}
one        = ["NOT" | "-"] (comparison | "(" all ")")
comparison = field operator value
"""

from collections.abc import Mapping

from ingot_server.domain.fields import FieldType
from ingot_server.domain.filters.comparing import Normalise, comparison
from ingot_server.domain.filters.scanning import DEPTH_MAX, KEYWORDS, Scanner
from ingot_server.domain.filters.tree import And, Condition, FieldPath, Not, Or

COMPARISONS_MAX = 50

_OPERATORS = ("!=", "<=", ">=", "=", "<", ">", ":")


def parse_filter(text: str, types: Mapping[FieldPath, FieldType], normalise: Normalise) -> Condition | None:
    """The condition that a filter states; None if it is empty. Raises FilterInvalid and nothing else.

    `types` are those of the declared fields: see `field_types`.
    """
    return _Parser(text, types, normalise).whole()


class _Parser:
    def __init__(self, text: str, types: Mapping[FieldPath, FieldType], normalise: Normalise) -> None:
        self._scanner = Scanner(text)
        self._types = types
        self._normalise = normalise
        self._comparisons = 0
        self._depth = 0

    def whole(self) -> Condition | None:
        self._scanner.skip_blanks()
        if not self._scanner.rest:
            return None
        condition = self._all()
        if self._scanner.rest:
            raise self._scanner.invalid("this parenthesis closes nothing")
        return condition

    def _all(self) -> Condition:
        operands = [self._any()]
        while self._scanner.rest and not self._scanner.rest.startswith(")"):
            self._keyword("AND")
            operands.append(self._any())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _any(self) -> Condition:
        operands = [self._one()]
        while self._keyword("OR"):
            operands.append(self._one())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _one(self) -> Condition:
        negated = self._keyword("NOT") or bool(self._scanner.take("-"))
        start = self._scanner.position
        if self._scanner.take("("):
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise self._scanner.invalid(f"expected parentheses at most {DEPTH_MAX} deep")
            self._scanner.skip_blanks()
            condition = self._all()
            if not self._scanner.take(")"):
                raise self._scanner.invalid(f"expected `)` for the parenthesis at character {start + 1}")
            self._depth -= 1
        else:
            condition = self._comparison()
        self._scanner.skip_blanks()
        return Not(condition) if negated else condition

    def _comparison(self) -> Condition:
        scanner = self._scanner
        start = scanner.position
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            raise scanner.invalid(f"expected at most {COMPARISONS_MAX} comparisons")
        field = scanner.field()
        written = scanner.written_since(start)
        scanner.skip_blanks()
        operator = scanner.take(*_OPERATORS)
        if not operator:
            raise scanner.invalid(_no_operator(written))
        scanner.skip_blanks()
        return comparison(field, operator, scanner.value(), self._types, self._normalise)

    def _keyword(self, keyword: str) -> bool:
        found = self._scanner.take_keyword(keyword)
        if found:
            self._scanner.skip_blanks()
        return found


def _no_operator(written: str) -> str:
    expected = f"expected one of {' '.join(_OPERATORS)} after the field `{written}`"
    if written.upper() in KEYWORDS:
        return f"{expected}; as a keyword write {written.upper()}"
    return f"{expected}; a value alone finds nothing: name the field that it is in, as in `name = {written}`"
