"""Prints docs/kinds.md, the manual of the kinds, from the kinds themselves: `make docs`."""

from collections.abc import Iterator

from ingot_server.domain.fields import Field
from ingot_server.pipeline.kinds import KINDS
from ingot_server.pipeline.kinds.kind import Kind

_HEAD = """# Kinds

<!-- Made by `make docs` from server/ingot_server/pipeline/kinds/. -->

A kind says which fields records have, what identifies them, what they refer to, and what is derived from them.
A table has one kind, GENERIC unless it is named; `ListKinds` and `ingot kinds` tell what this page tells.

* A field of a kind is known by its name and its other names, whatever their case, blanks, hyphens and underscores: `first_name`, `firstName`, `_first_name` and `First Name` are one field.
  It is stored under its name.
  Fields that a table declares are known by their exact names only.
* A value is read as the field's type and stored in that type's normal form; [field.proto](../protos/ingot/v1/field.proto) explains each type.
  What cannot be read rejects the record with `INVALID_VALUE`; nothing is guessed.
* Null is no value, and stored as null; the empty string, where the field is not a single TEXT, is as if the field were missing.
  A record without a value for a required field is rejected with `TOO_LITTLE_INFORMATION`.
* A single value for a list becomes a list of one.
* Other fields are kept as they come, unless the table rejects unknown fields; a table can declare fields of its own.
* A record that refers to a contact is stored with the contact's key and table, `derived.contact` and `derived.contact_table`.
  It names the contact by any of its identifiers, under the rules of [CONTACTS](#contacts); of several tables of contacts, the one that knows the strongest identifier counts, and of those the oldest.
  A contact that comes later does not mend a record that was rejected: try it again, `ingot retry IMPORT` or `RetryImport`.
* The key of a contact is made of the identifier it came with at first, as in `email=ada@example.org`, and never changes; if another contact has that key already, `~2` follows.
  To ask by an identifier that it has now, write `email:ada@example.org`.
* `derived` holds what Ingot derived from the record; what is sent under this name is ignored.
"""


def main() -> None:
    """Prints the page."""
    print(_HEAD)
    print("\n".join(line for kind in KINDS.values() for line in _kind(kind)).rstrip())


def _kind(kind: Kind) -> Iterator[str]:
    yield f"## {kind.name}\n"
    yield kind.description.replace(". ", ".\n") + "\n"
    if kind.key_fields:
        yield f"Key fields: {_names(kind.key_fields)}.\n"
    if kind.identifiers:
        yield f"Identifiers, the strongest first: {_names(kind.identifiers)}.\n"
    if kind.identity:
        yield f"Identified by: {_names(kind.identity)}.\n"
    if kind.needs_one_of:
        yield f"Needed: at least one of {_names(kind.needs_one_of)}.\n"
    if kind.refers_to:
        yield f"Refers to: {', '.join(kind.refers_to)}.\n"
    if kind.fields:
        yield "| field | type | other names | what |"
        yield "|---|---|---|---|"
        yield from _fields(kind.fields, "")
        yield ""


def _fields(fields: tuple[Field, ...], prefix: str) -> Iterator[str]:
    for field in fields:
        path = f"{prefix}{field.name}{'[]' if field.many else ''}"
        type_ = f"{field.type}{', required' if field.required else ''}"
        what = field.description + (f" One of {_names(field.allowed)}." if field.allowed else "")
        what += f" Matches `{field.pattern}`." if field.pattern else ""
        what += f" `{field.default}` if missing." if field.default is not None else ""
        yield f"| `{path}` | {type_} | {_names(field.aliases)} | {what} |"
        yield from _fields(field.fields, f"{path}.")


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
