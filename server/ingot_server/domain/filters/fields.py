"""The fields that filters and orders may name: under which name each is stored, and of which type it is."""

from collections.abc import Collection, Iterable

from ingot_server.domain.fields import Field, FieldType
from ingot_server.domain.filters.tree import FieldPath

_OPEN_TYPES = (FieldType.ANY, FieldType.OBJECT)
"""Unless its fields are known, such a value may hold any."""


class UnknownField(ValueError):
    """There is no such field, and can be none. The message names it."""


class KnownFields:
    """The fields of a table, by all their names."""

    def __init__(self, fields: Iterable[Field], *, only: bool = False, others: Collection[str] = ()) -> None:
        """`fields` come with all their aliases. With `only`, there are no fields but these and `others`."""
        self._fields = _by_name(fields)
        self._only = only
        self._others = others

    def stored(self, path: FieldPath) -> tuple[FieldPath, FieldType]:
        """The path by the names under which its fields are stored, and the type; ANY if it is not known.

        Raises UnknownField.
        """
        among = self._fields
        names: list[str] = []
        type_ = FieldType.ANY
        for name in path:
            field = among.get(name)
            if field is None:
                if self._only and not self._may_be_there(names, name, type_, has_fields=bool(among)):
                    raise UnknownField(f"the table has no field `{'.'.join(path)}`")
                return (*names, *path[len(names) :]), FieldType.ANY
            names.append(field.name)
            type_, among = field.type, _by_name(field.fields)
        return tuple(names), type_

    def _may_be_there(self, within: list[str], name: str, type_: FieldType, *, has_fields: bool) -> bool:
        return type_ in _OPEN_TYPES and not has_fields if within else name in self._others


def _by_name(fields: Iterable[Field]) -> dict[str, Field]:
    return {name: field for field in fields for name in (field.name, *field.aliases)}
