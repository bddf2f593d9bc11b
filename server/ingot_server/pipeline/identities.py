"""Finds out which record of a table is meant by identifiers, of which each alone is enough.

The strongest identifier that somebody has decides. A weaker one counts only if the record that it belongs to has no
other value for a stronger one that came with it: an e-mail address that two people share must not make them one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingot_server.pipeline.kinds.kind import Name
from ingot_server.storage.identifiers import IdentifierChanges

_WAY_OUT = "send identifiers of one record; if they are one, delete one of the two and send this again."


class IdentityConflict(Exception):
    """The identifiers belong to different records."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def first_key(name: Name) -> str:
    """The key of a record that came with this identifier at first, if no other record has it: `email=ada@example.org`.

    It cannot be mistaken for the identifier, which may move to another record, and is written `email:ada@example.org`.
    """
    return f"{name.identifier}={name.value}"


def first_keys(named: Sequence[tuple[str, Sequence[str | None]]]) -> list[str]:
    """The `first_key` of each of some records: `named` has their values for each identifier, the strongest first."""
    (strongest, values), *others = named
    keys = [f"{strongest}={value}" if value else "" for value in values]
    for identifier, values in others if "" in keys else ():
        keys = [key or (f"{identifier}={value}" if value else "") for key, value in zip(keys, values, strict=True)]
    return keys


@dataclass(slots=True)
class Identities:
    """Who has which identifiers in one table, as far as some records need it."""

    owners: dict[str, str] = field(default_factory=dict)
    """The key of the record that has an identifier."""
    held: dict[str, dict[str, str]] = field(default_factory=dict)
    """The identifiers that a record has, by its key: name to value. One that is missing here has exactly those that the
    next record that means it comes with: see `untold`."""
    taken: set[str] = field(default_factory=set)
    """Keys that new records cannot have."""
    changed: set[str] = field(default_factory=set)
    """Identifiers that were given or taken away."""
    stored: frozenset[str] = frozenset()
    """Identifiers that belonged to a record at first."""

    def untold(self, named: Iterable[Sequence[Name]], identifiers: Sequence[str]) -> set[str]:
        """The records meant by `named` that may have identifiers which are not among these.

        What they hold must be known before they are asked for.
        """
        untold: set[str] = set()
        for names in named:
            found = {self.owners.get(name.text) for name in names}
            if len(found) > 1 or (len(names) < len(identifiers) and None not in found):
                untold.update(key for key in found if key is not None)
        return untold

    def find(self, names: Sequence[Name]) -> str | None:
        """The key of the record that is meant; None if there is none. Raises IdentityConflict."""
        key = first = None
        missed = []
        for name in names:
            owner = self.owners.get(name.text)
            if owner is None:
                if key is None:
                    missed.append(name)
            elif key is None:
                key, first = owner, name
                self._expect_no_other(key, name, missed)
            elif owner != key and first is not None:
                raise IdentityConflict(
                    f"The {first.identifier} {first.value!r} belongs to the record {key!r}, and the {name.identifier}"
                    f" {name.value!r} to {owner!r}: {_WAY_OUT}",
                    name.field,
                )
        return key

    def _expect_no_other(self, key: str, name: Name, missed: Iterable[Name]) -> None:
        for stronger in missed:
            other = self.held.get(key, {}).get(stronger.identifier)
            if other is not None:
                raise IdentityConflict(
                    f"The {name.identifier} {name.value!r} belongs to the record {key!r}, which has the"
                    f" {stronger.identifier} {other!r} and not {stronger.value!r}: {_WAY_OUT}",
                    name.field,
                )

    def take(self, record: dict[str, Any], names: Sequence[Name], identifiers: Sequence[str]) -> tuple[str, bool]:
        """Gives its identifiers to the record that is meant, a new one if there is none, and completes `record`.

        Returns the key, and whether `record` was completed by identifiers that it does not mention. Raises
        IdentityConflict, and changes nothing then.
        """
        key = self.find(names)
        if key is None:
            key = self._new_key(first_key(names[0]))
            self.held[key] = {name.identifier: name.value for name in names}
            texts = [name.text for name in names]
            self.owners.update(dict.fromkeys(texts, key))
            self.changed.update(texts)
            return key, False
        mine = self.held.get(key)
        if mine is None:
            # It has those that it comes with.
            self.held[key] = {name.identifier: name.value for name in names}
            return key, False
        completed = False
        for name in identifiers:
            old = mine.get(name)
            if name not in record:
                if old is not None:
                    record[name] = old
                    completed = True
                continue
            value = record[name]
            if value != old:
                self._change(key, mine, name, value)
        return key, completed

    def forget(self, key: str, identifiers: Sequence[str]) -> None:
        """Takes all its identifiers away from a record that is deleted, and must be held."""
        mine = self.held.get(key, {})
        for name in identifiers:
            self._change(key, mine, name, None)

    def know_held(self) -> None:
        """Knows the owners also of those identifiers of the records held that nobody has asked for."""
        held = {f"{name}:{value}": key for key, values in self.held.items() for name, value in values.items()}
        self.owners |= held
        self.stored |= held.keys()

    def learn(self, further: "Identities") -> None:
        """Adds what else is known of records that nobody changes here."""
        self.owners |= further.owners
        self.held |= further.held

    def _change(self, key: str, mine: dict[str, str], name: str, value: str | None) -> None:
        if (old := mine.pop(name, None)) is not None:
            self.owners.pop(f"{name}:{old}", None)
            self.changed.add(f"{name}:{old}")
        if value is not None:
            mine[name] = value
            self.owners[f"{name}:{value}"] = key
            self.changed.add(f"{name}:{value}")

    def _new_key(self, wanted: str) -> str:
        # The key is taken if it was made of an identifier that has since moved away.
        key, number = wanted, 1
        while key in self.taken or key in self.held:
            number += 1
            key = f"{wanted}~{number}"
        return key

    def changes(self) -> IdentifierChanges:
        """What is to be stored of all that was taken."""
        given = {text: self.owners[text] for text in self.changed if text in self.owners}
        return IdentifierChanges(
            new={text: key for text, key in given.items() if text not in self.stored},
            moved={text: key for text, key in given.items() if text in self.stored},
            removed=[text for text in self.changed if text not in given],
        )
