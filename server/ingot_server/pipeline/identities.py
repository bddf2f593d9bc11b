"""Finds out which record of a table is meant by identifiers, of which each alone is enough.

The strongest identifier that somebody has decides. A weaker one counts only if the record that it belongs to has no
other value for a stronger one that came with it: an e-mail address that two people share must not make them one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingot_server.pipeline.kinds.kind import Name


class IdentityConflict(Exception):
    """The identifiers belong to different records."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def identifier(name: str, value: str) -> str:
    """An identifier as it is stored: `email:ada@example.org`."""
    return f"{name}:{value}"


@dataclass(slots=True)
class Identities:
    """Who has which identifiers in one table, as far as some records need it."""

    owners: dict[str, str] = field(default_factory=dict)
    """The key of the record that has an identifier."""
    held: dict[str, dict[str, str]] = field(default_factory=dict)
    """The identifiers that a record has, by its key: name to value."""
    taken: set[str] = field(default_factory=set)
    """Keys that new records cannot have."""
    changed: set[str] = field(default_factory=set)
    """Identifiers that were given or taken away."""

    @classmethod
    def of(cls, owners: Mapping[str, str], taken: Iterable[str] = ()) -> "Identities":
        """What is known from the database: `owners` with all identifiers of the records in it."""
        found = cls(dict(owners), taken=set(taken))
        for text, key in owners.items():
            name, _, value = text.partition(":")
            found.held.setdefault(key, {})[name] = value
        return found

    def find(self, names: Sequence[Name]) -> str | None:
        """The key of the record that is meant; None if there is none. Raises IdentityConflict."""
        key = first = None
        missed = []
        for name in names:
            owner = self.owners.get(f"{name.identifier}:{name.value}")
            if owner is None:
                if key is None:
                    missed.append(name)
            elif key is None:
                key, first = owner, name
                for stronger in missed:
                    other = self.held[key].get(stronger.identifier)
                    if other is not None:
                        raise IdentityConflict(
                            f"The {name.identifier} {name.value!r} belongs to the record {key!r}, which has the"
                            f" {stronger.identifier} {other!r} and not {stronger.value!r}: expected identifiers of one"
                            " record.",
                            name.field,
                        )
            elif owner != key and first is not None:
                raise IdentityConflict(
                    f"The {first.identifier} {first.value!r} belongs to the record {key!r}, and the {name.identifier}"
                    f" {name.value!r} to {owner!r}: expected identifiers of one record.",
                    name.field,
                )
        return key

    def take(self, record: dict[str, Any], names: Sequence[Name], identifiers: Sequence[str]) -> str:
        """Gives its identifiers to the record that is meant, a new one if there is none, and completes `record`.

        Returns the key. Raises IdentityConflict, and changes nothing then.
        """
        key = self.find(names)
        if key is None:
            key = self._new_key(identifier(names[0].identifier, names[0].value))
            self.held[key] = {}
        mine = self.held[key]
        for name in identifiers:
            old = mine.get(name)
            if name not in record:
                if old is not None:
                    record[name] = old
                continue
            value = record[name]
            if value == old:
                continue
            if old is not None:
                del mine[name]
                del self.owners[identifier(name, old)]
                self.changed.add(identifier(name, old))
            if value is not None:
                mine[name] = value
                self.owners[identifier(name, value)] = key
                self.changed.add(identifier(name, value))
        return key

    def _new_key(self, wanted: str) -> str:
        # The key is taken if it was made of an identifier that has since moved to another record.
        key, number = wanted, 1
        while key in self.taken or key in self.held:
            number += 1
            key = f"{wanted}~{number}"
        return key

    @property
    def given(self) -> dict[str, str]:
        """The identifiers that changed and belong to a record now, with its key."""
        return {text: self.owners[text] for text in sorted(self.changed) if text in self.owners}

    @property
    def removed(self) -> list[str]:
        """The identifiers that changed and belong to no record now."""
        return [text for text in self.changed if text not in self.owners]
