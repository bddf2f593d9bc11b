"""The kinds of records: what each has for fields, what identifies it, what it refers to, what is derived from it.

A kind is one module here, with its `Kind` as `KIND`; being here is all it takes to be known. `kind.py` is the language
they are written in; `contact_reference.py` is shared by those that refer to contacts. Everything here is pure.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from ingot_server.pipeline.kinds.kind import Kind
from ingot_server.storage.tables import TableUse


def _found() -> dict[str, Kind]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    by_name = {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}
    for kind in kinds:
        if by_name[kind.name] is not kind or not {*kind.refers_to} <= by_name.keys():
            raise ValueError(f"{kind.name}: the name is not its alone, or it refers to a kind that does not exist")
    return by_name


KINDS = MappingProxyType(_found())
"""All kinds, by name."""


def use_of_table(name: str, kind: str, key_fields: tuple[str, ...]) -> TableUse:
    """What a call expects of its table that names a kind, or none, and key fields, or none."""
    known = KINDS.get(kind)
    of_kind = None if known and known.identifies_itself else known.key_fields if known else ()
    return TableUse(name, kind, key_fields, of_kind)
