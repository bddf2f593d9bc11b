"""The order of records: by one field, then by key."""

from dataclasses import dataclass

from ingot_server.domain.filters.comparing import own_form
from ingot_server.domain.filters.fields import KnownFields, UnknownField
from ingot_server.domain.filters.scanning import FilterInvalid, Scanner
from ingot_server.domain.filters.tree import FieldPath, Form, Own, form_of


@dataclass(frozen=True, slots=True)
class Order:
    """By the field, then by key in the same direction. Records without a value of the form come last in any case."""

    field: FieldPath | Own
    form: Form
    descending: bool = False


BY_KEY = Order(Own.KEY, Form.TEXT)


def parse_order(text: str, fields: KnownFields) -> Order:
    """The order that a caller asks for, by key if empty. Raises FilterInvalid and nothing else."""
    scanner = Scanner(text)
    scanner.skip_blanks()
    if not scanner.rest:
        return BY_KEY
    start = scanner.position
    field = scanner.field()
    blank = scanner.skip_blanks()
    rest = scanner.rest.rstrip()
    if "," in rest:
        raise scanner.invalid("one field is supported; records with the same value come by key")
    if rest and not (blank and rest in ("asc", "desc")):
        raise scanner.invalid("expected desc, or nothing, after the field; a name with other signs needs quotes")
    if isinstance(field, Own):
        return Order(field, own_form(field), rest == "desc")
    try:
        path, type_ = fields.stored(field)
    except UnknownField as unknown:
        raise FilterInvalid(start, str(unknown)) from None
    return Order(path, form_of(type_), rest == "desc")
