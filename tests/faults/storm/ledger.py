"""What imports do to a table, in plain Python, written from the manual alone."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """A record, and the import that wrote it."""

    row: Row
    writer: tuple[int, int]


class Ledger:
    """A table, by the keys of its records."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}

    def apply(self, texts: list[bytes], mode: str, writer: tuple[int, int]) -> Counter[str]:
        """Imports records; how many had each outcome, with `received`."""
        counts = Counter(self._outcome(json.loads(text), mode, writer) for text in texts)
        counts["received"] = len(texts)
        return counts

    def _outcome(self, row: Row, mode: str, writer: tuple[int, int]) -> str:
        if (key := row.get("id")) is None:
            return "rejected"
        held = self.held.get(key)
        if mode == "DELETE":
            return "unchanged" if self.held.pop(key, None) is None else "deleted"
        if held is None:
            self.held[key] = Held(row, writer)
            return "created"
        is_own = held.writer == writer
        if mode == "SKIP_EXISTING" and not is_own:
            return "skipped"
        after = {**held.row, **row} if mode == "MERGE" else row
        if after == held.row:
            return "unchanged"
        self.held[key] = Held(after, writer)
        return "superseded" if is_own else "updated"
