"""Records whose values have been read."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ingot_server.domain.fields import FieldType
from ingot_server.domain.records import FAULTS_MAX, ErrorCode, Fault, Severity
from ingot_server.pipeline.kinds.kind import Name, Reference


class Row(msgspec.Struct, gc=False):
    """A record whose values have been read.

    A struct of msgspec, of which thousands are made in a third of the time of dataclasses. What most rows do not have
    is made when it is needed: empty lists and sets would be a fifth of all memory.
    """

    position: int
    """Where it was among the texts."""
    record: dict[str, Any] = {}
    """Its fields in their normal forms, without those that could not be read."""
    faults: list[Fault] | tuple[()] = ()
    is_faulty: bool = False
    """Whether it cannot be imported."""
    full: frozenset[Severity] = frozenset()
    """Of which faults there are as many as are told."""
    addresses: list[tuple[FieldType, str, str]] | tuple[()] = ()
    """The e-mail addresses and phone numbers in it: type, value, path."""
    unread: set[str] | frozenset[str] = frozenset()
    """The paths of the fields that could not be read."""
    names: Sequence[Name] = ()
    """What identifies it, the strongest first, if its kind has identifiers."""
    references: Sequence[Reference] = ()
    text: bytes = b""
    """It as JSON, as long as mapping adds nothing to it; empty for one with faults."""
    key: str = ""
    """Empty while it is not known."""

    def take_key(self, key: str | Fault) -> None:
        """Takes the key that was found, or notes why there is none."""
        if isinstance(key, Fault):
            self.accuse(key)
        else:
            self.key = key

    def note_address(self, type: FieldType, value: str, path: str) -> None:
        """Notes an e-mail address or a phone number in it."""
        if isinstance(self.addresses, tuple):
            self.addresses = []
        self.addresses.append((type, value, path))

    def note_unread(self, path: str) -> None:
        """Notes that a field could not be read."""
        if isinstance(self.unread, frozenset):
            self.unread = set()
        self.unread.add(path)

    def blame(self, code: ErrorCode, message: str, path: str = "") -> None:
        """Notes a fault. Of many only the first are told, of warnings and of errors."""
        self.accuse(Fault(code, message, path))

    def accuse(self, fault: Fault) -> None:
        """Notes a fault, as `blame`."""
        severity = fault.code.severity
        if severity is Severity.ERROR:
            self.is_faulty = True
        if severity in self.full:
            return
        self.faults = [*self.faults, fault]
        # Counted only as long as there is room: a hostile record has a fault in each of 300,000 fields.
        if sum(other.code.severity is severity for other in self.faults) == FAULTS_MAX:
            self.full |= {severity}
