"""The grammar of filters.

filter     = [all]
all        = any {["AND"] any}
any        = one {"OR" one}
one        = ["NOT" | "-"] (comparison | "(" all ")")
comparison = field operator value
"""

from dataclasses import replace

from ingot_server.domain.fields import FieldType
from ingot_server.domain.filters.comparing import Normalise, comparison
from ingot_server.domain.filters.fields import KnownFields, UnknownField
from ingot_server.domain.filters.hints import OPERATORS, no_operator
from ingot_server.domain.filters.scanning import DEPTH_MAX, FilterInvalid, Literal, Scanner
from ingot_server.domain.filters.tree import And, Condition, FieldPath, Not, Or, Own

COMPARISONS_MAX = 50


def parse_filter(text: str, fields: KnownFields, normalise: Normalise) -> Condition | None:
    """The condition that a filter states; None if it is empty. Raises FilterInvalid and nothing else."""
    return _Parser(text, fields, normalise).whole()


class _Parser:
    def __init__(self, text: str, fields: KnownFields, normalise: Normalise) -> None:
        self._scanner = Scanner(text)
        self._fields = fields
        self._normalise = normalise
        self._before: tuple[str, Literal] | None = None
        """What was compared with which word right before, without a sign in between: `city =` and `New`."""
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
        if negated:
            self._before = None
        start = self._scanner.position
        if self._scanner.take("("):
            self._before = None
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise self._scanner.invalid(f"expected parentheses at most {DEPTH_MAX} deep")
            self._scanner.skip_blanks()
            condition = self._all()
            if not self._scanner.take(")"):
                raise self._scanner.invalid(f"expected `)` for the parenthesis at character {start + 1}")
            self._depth -= 1
            self._before = None
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
        operator = scanner.take(*OPERATORS)
        if not operator:
            raise scanner.invalid(no_operator(written, scanner.rest, self._before))
        scanner.skip_blanks()
        compared = scanner.written_since(start).rstrip()
        literal = scanner.value()
        self._before = (compared, literal)
        if isinstance(field, Own):
            return comparison(field, FieldType.ANY, operator, literal, self._normalise)
        path, type_ = self._stored(field, start)
        if operator == ":" and type_ is FieldType.OBJECT and not literal.prefix:
            # It may name a field in the object.
            (*_, name), _ = self._stored((*path, literal.text), literal.position)
            literal = replace(literal, text=name)
        return comparison(path, type_, operator, literal, self._normalise)

    def _stored(self, field: FieldPath, position: int) -> tuple[FieldPath, FieldType]:
        try:
            return self._fields.stored(field)
        except UnknownField as unknown:
            raise FilterInvalid(position, str(unknown)) from None

    def _keyword(self, keyword: str) -> bool:
        found = self._scanner.take_keyword(keyword)
        if found:
            self._before = None
            self._scanner.skip_blanks()
        return found
