"""How imports live, in plain Python, written from the manual alone: modes, batches, budgets, states, commits, retries.

Nothing here comes from the server: the tests compare the two. What the manual leaves to the server, such as how far it
had come when somebody cancelled, is taken from what is seen, and must then explain everything else that is seen.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from tests.api.kinds_model import (
    IDENTIFIERS,
    Blocked,
    Reader,
    Reading,
    Spec,
    Stored,
    Table,
    Told,
    has_key,
    holder_of,
    identified,
    key_of,
    of_contact,
)
from tests.api.model import comparable, decoded, read_record

MODES = ("REPLACE", "MERGE", "FILL_EMPTY", "SKIP_EXISTING", "DELETE")
OUTCOMES = ("created", "updated", "unchanged", "skipped", "deleted", "superseded", "rejected")
FINAL = ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED")
DELETED_RATIO = 0.2

Counts = Counter[str]
"""How many records had each outcome, with `received` and `pending`."""


# --------------------------------------------------------------------------------------------------------- one record


@dataclass(frozen=True)
class Fate:
    """What became of a record: its outcome and its key, if that is known, and where and why it was rejected."""

    outcome: str
    key: str | None
    stage: str = ""
    told: frozenset[Told] = frozenset()
    torn_between: frozenset[str] = frozenset()
    """The keys of the records to which the identifiers belong, if these are several."""

    @property
    def names_nothing(self) -> bool:
        """Whether it is a line or a record without content."""
        return bool(self.told) and {one.code for one in self.told} <= {"EMPTY_LINE", "EMPTY_RECORD"}


@dataclass
class Holding(Table):
    """A table that also knows which fields the last writer of a record has filled; None is all of them."""

    filled: dict[str, frozenset[str] | None] = field(default_factory=dict)

    def copy(self) -> "Holding":
        return replace(self, rows=dict(self.rows), filled=dict(self.filled))

    def under(self, declared: tuple[Spec, ...]) -> "Holding":
        """The same records under the rules of another moment."""
        return replace(self, declared=declared)

    @property
    def content(self) -> Counter[Any]:
        return Counter(comparable(row.record) for row in self.rows.values())


def fault_on_receipt(table: Table, text: bytes) -> Fate | None:
    """What the upload stage finds."""
    given, codes = read_record(decoded(text, "utf-8"), ())
    if not codes and not all(has_key(given, name, table.specs) for name in table.key_fields):
        codes = {"MISSING_KEY"}
    return Fate("rejected", None, "UPLOAD", frozenset(map(Told, codes))) if codes else None


def fate_of(table: Holding, text: bytes, mode: str, writer: int) -> Fate:
    """Applies one record that was received without a fault."""
    record, _ = read_record(decoded(text, "utf-8"), ())
    if table.kind != "GENERIC":
        record.pop("derived", None)
    names = table.key_fields or IDENTIFIERS
    specs = [replace(spec, required=False, default=None) for spec in table.specs]
    if mode == "DELETE":
        # Unknown fields are taken as they come.
        specs = [spec for spec in specs if spec.name in names]
    reader = Reader(Reading(), Blocked(), rejects_unknown=False)
    given = reader.object(specs, record)
    told = reader.told
    unreadable = {one.field for one in told} & set(names)
    key = key_in(table, given, told)
    if unreadable:
        key = None
    held = table.rows.get(key) if key is not None else None
    if mode == "DELETE":
        if table.kind == "CONTACTS" and not told and all(given.get(name) is None for name in IDENTIFIERS):
            told.add(Told("TOO_LITTLE_INFORMATION"))
        if told:
            return rejected(key, told, table, given)
        if key is None or held is None:
            return Fate("unchanged", key)
        del table.rows[key]
        return Fate("deleted", key)
    is_own = held is not None and held.import_number == writer
    filled = table.filled.get(key or "", frozenset()) if is_own else frozenset()
    taken = given
    if held is not None and mode in ("MERGE", "FILL_EMPTY"):
        before = {name: value for name, value in held.record.items() if name != "derived" or table.kind == "GENERIC"}
        if mode == "FILL_EMPTY":
            taken = {
                name: value
                for name, value in given.items()
                if not is_empty(value) and (is_empty(before.get(name)) or filled is None or name in filled)
            }
        after = {**before, **taken}
    else:
        after = given
        if held is not None and table.kind == "CONTACTS":
            after = {name: held.record[name] for name in IDENTIFIERS if held.record.get(name) is not None} | given
    complete(table, after, told)
    if told or key is None:
        return rejected(key, told, table, given)
    if table.kind == "CONTACTS" and (derived := of_contact(after)):
        after = {**after, "derived": derived}
    if held is not None and mode == "SKIP_EXISTING" and not is_own:
        return Fate("skipped", key)
    if held is not None and comparable(held.record) == comparable(after):
        return Fate("unchanged", key)
    table.rows[key] = Stored(after, writer)
    table.filled[key] = None if held is None or filled is None else filled | taken.keys()
    return Fate("created" if held is None else "superseded" if is_own else "updated", key)


def rejected(key: str | None, told: set[Told], table: Holding, given: dict[str, Any]) -> Fate:
    torn_between: frozenset[str] = frozenset()
    if any(one.code == "CONFLICTING_IDENTIFIERS" for one in told):
        holders = (table.holder(name, given[name]) for name in IDENTIFIERS if given.get(name) is not None)
        torn_between = frozenset(key for key in holders if key is not None)
    return Fate("rejected", key, "PROCESSING", frozenset(told), torn_between)


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def key_in(table: Holding, given: dict[str, Any], told: set[Told]) -> str | None:
    """The key of the record that is meant; None, and told why, if there is none."""
    if table.kind != "CONTACTS":
        bad = {Told("INVALID_VALUE", name) for name in table.key_fields if isinstance(given.get(name), dict | list)}
        told |= bad
        return key_of(table, given) if given.keys() >= set(table.key_fields) and not bad else None
    named = {name: given[name] for name in IDENTIFIERS if given.get(name) is not None}
    _, conflict = holder_of(table, named)
    if conflict:
        told.add(Told("CONFLICTING_IDENTIFIERS", conflict))
        return None
    return identified(table, dict(given), set()) or None


def complete(table: Holding, record: dict[str, Any], told: set[Told]) -> None:
    """Adds defaults to a record, and tells what it still lacks."""
    unreadable = {one.field for one in told}
    for spec in table.specs:
        if record.get(spec.name) is None and spec.default is not None:
            record[spec.name] = spec.default
        if record.get(spec.name) is None and spec.required and spec.name not in unreadable:
            told.add(Told("TOO_LITTLE_INFORMATION", spec.name))
    if (
        table.kind == "CONTACTS"
        and all(record.get(name) is None for name in IDENTIFIERS)
        and not unreadable & set(IDENTIFIERS)
    ):
        told.add(Told("TOO_LITTLE_INFORMATION"))


# -------------------------------------------------------------------------------------------------------- one import


@dataclass(frozen=True)
class Plan:
    """What an import is to do. `reconcile` is the share of the table that may be deleted."""

    table: str
    mode: str = "REPLACE"
    validate_only: bool = False
    staged: bool = False
    reconcile: float | None = None
    max_errors: int | None = None
    max_error_ratio: float | None = None

    @property
    def writes_at_once(self) -> bool:
        """Whether records are written as they come."""
        return not self.validate_only and not self.staged and self.reconcile is None

    @property
    def keeps_counts(self) -> bool:
        """Whether what was processed counts, also if the import does not come to its end."""
        return self.writes_at_once or self.validate_only


@dataclass
class Batch:
    """What one upload has brought; the fate of a record that is not processed yet is None."""

    lane: int | None
    is_file: bool = False
    texts: list[bytes] = field(default_factory=list)
    fates: list[Fate | None] = field(default_factory=list)
    is_finished: bool = False

    def receive(self, table: Holding, text: bytes) -> None:
        self.texts.append(text)
        self.fates.append(fault_on_receipt(table, text))

    @property
    def size(self) -> int:
        """Where the next record begins: its index, or its place in the file."""
        return self.size_of(self.texts)

    def size_of(self, texts: Sequence[bytes]) -> int:
        return sum(len(text) + 1 for text in texts) if self.is_file else len(texts)

    @property
    def processed(self) -> int:
        """How many records, from the start, have a fate."""
        return next((at for at, fate in enumerate(self.fates) if fate is None), len(self.fates))

    @property
    def counts(self) -> Counts:
        found = Counter("pending" if fate is None else fate.outcome for fate in self.fates)
        return found + Counter(received=len(self.texts))

    def dropped(self) -> "Batch":
        """The batch of an import that has ended without writing: what was not rejected is pending."""
        return replace(self, fates=[fate if fate and fate.outcome == "rejected" else None for fate in self.fates])


@dataclass
class Import:
    """An import. If it `is_stale`, the table has changed below its trial, and only what must always hold is known."""

    number: int
    plan: Plan
    declared: tuple[Spec, ...]
    request_id: str = ""
    retry_of: int | None = None
    batches: dict[str, Batch] = field(default_factory=dict)
    state: str = "RECEIVING"
    trial: Holding | None = None
    is_stale: bool = False
    is_finish_asked: bool = False
    is_cancel_asked: bool = False
    is_committing: bool = False
    was_committed: bool = False
    is_deleted: bool = False
    removed: frozenset[str] = frozenset()

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def fates(self) -> Iterator[Fate | None]:
        return (fate for batch in self.batches.values() for fate in batch.fates)

    @property
    def counts(self) -> Counts:
        return sum((batch.counts for batch in self.batches.values()), Counts())

    @property
    def is_over_budget(self) -> bool:
        """Whether more was rejected than may be, as far as that can be known."""
        counts = self.counts
        most, ratio = self.plan.max_errors, self.plan.max_error_ratio
        is_ratio_known = self.is_finish_asked and ratio is not None
        return (most is not None and counts["rejected"] > most) or (
            is_ratio_known and ratio is not None and counts["rejected"] > ratio * counts["received"]
        )

    @property
    def end(self) -> str:
        """The final state that the fates of all records give."""
        counts = self.counts
        if counts["received"] == counts["rejected"] or self.is_over_budget:
            return "FAILED"
        has_empty = any(not batch.texts for batch in self.batches.values())
        return "PARTIALLY_SUCCEEDED" if counts["rejected"] or has_empty else "SUCCEEDED"

    def drop(self) -> None:
        """Ends an import that was to write everything at once, and has not."""
        if not self.plan.keeps_counts:
            self.batches = {batch_id: batch.dropped() for batch_id, batch in self.batches.items()}

    @property
    def errors(self) -> Counter[tuple[str, int, str, Told]]:
        """What is listed, by batch, index and stage."""
        found = Counter(
            (batch_id, index, fate.stage, told)
            for batch_id, batch in self.batches.items()
            for index, fate in enumerate(batch.fates)
            if fate is not None
            for told in fate.told
        )
        empty = [name for name, batch in self.batches.items() if batch.is_finished and not batch.texts]
        return found + Counter((batch_id, 0, "UPLOAD", Told("EMPTY_PAYLOAD")) for batch_id in empty)

    def not_named(self, table: Holding) -> frozenset[str]:
        """The keys that a full replacement deletes."""
        done = [fate for fate in self.fates if fate is not None]
        nameless = [fate for fate in done if fate.key is None and not fate.torn_between and not fate.names_nothing]
        if self.plan.reconcile is None or nameless:
            return frozenset()
        named = {fate.key for fate in done}.union(*(fate.torn_between for fate in done))
        return frozenset(table.rows.keys() - named)

    def retried(self) -> dict[str, list[bytes]]:
        """The records that a retry takes up, by batch."""
        found = {
            batch_id: [
                text
                for text, fate in zip(batch.texts, batch.fates, strict=True)
                if fate is not None and fate.stage == "PROCESSING"
            ]
            for batch_id, batch in self.batches.items()
        }
        return {batch_id: texts for batch_id, texts in found.items() if texts}


@dataclass(frozen=True)
class Seen:
    """An import as the server shows it. The content of the table is None if it does not exist."""

    state: str
    batches: dict[str, Counts]
    content: Counter[Any] | None
    removed: int

    @property
    def counts(self) -> Counts:
        return sum(self.batches.values(), Counts())


# ----------------------------------------------------------------------------------------------------------- accounts


class Account:
    """An account's tables and imports. Each import and each call that writes has a number of its own."""

    def __init__(self, tables: dict[str, Holding], unmade: dict[str, Holding], imports_max: int) -> None:
        self.tables = tables
        self.unmade = unmade
        """Tables that the first import makes."""
        self.imports_max = imports_max
        self.imports: list[Import] = []
        self._writers = 0

    def next_writer(self) -> int:
        self._writers += 1
        return self._writers

    def create(self, plan: Plan, request_id: str = "", retry_of: int | None = None) -> Import:
        if not plan.validate_only and plan.table in self.unmade:
            self.tables[plan.table] = self.unmade.pop(plan.table)
        table = self.table(plan.table)
        made = Import(self.next_writer(), plan, table.declared, request_id, retry_of)
        self.imports.append(made)
        return made

    def table(self, name: str) -> Holding:
        return self.tables.get(name) or self.unmade[name]

    def asked_before(self, request_id: str) -> Import | None:
        """The import that was made with a request id, if it is still there."""
        return next(
            (one for one in self.imports if request_id and one.request_id == request_id and not one.is_deleted), None
        )

    def is_full(self, validate_only: bool) -> bool:
        open_now = [one for one in self.imports if not one.is_final and one.plan.validate_only == validate_only]
        return len(open_now) >= self.imports_max

    def write(self, table: str, texts: list[bytes], mode: str, validate_only: bool) -> list[Fate]:
        """Writes records in one call; what became of each."""
        if not validate_only and table in self.unmade:
            self.tables[table] = self.unmade.pop(table)
        into = self.table(table)
        if validate_only:
            into = into.copy()
        writer = self.next_writer()
        before = into.content
        fates = [fault_on_receipt(into, text) or fate_of(into, text, mode, writer) for text in texts]
        if not validate_only and into.content != before:
            self._changed(table, None)
        return fates

    def delete(self, table: str, keys: Iterable[str]) -> None:
        """Deletes records that are there."""
        rows = self.table(table).rows
        gone = [rows.pop(key) for key in keys]
        if gone:
            self._changed(table, None)

    def process(self, one: Import) -> None:
        """Gives all records their fates."""
        for batch_id, batch in one.batches.items():
            self._process_until(one, batch_id, len(batch.texts))

    def _process_until(
        self, one: Import, batch_id: str, end: int, told_until: int = 0, left_out: range = range(0)
    ) -> None:
        """Gives the first records of a batch their fates; of those that follow only the faulty ones, up to a place."""
        table = self._target(one)
        before = table.content
        batch = one.batches[batch_id]
        for at in range(batch.processed, end):
            if at not in left_out:
                batch.fates[at] = batch.fates[at] or fate_of(table, batch.texts[at], one.plan.mode, one.number)
        if one.plan.writes_at_once and table.content != before:
            self._changed(one.plan.table, one)
        table = table.copy()
        for at in range(end, told_until):
            fate = batch.fates[at] or fate_of(table, batch.texts[at], one.plan.mode, one.number)
            batch.fates[at] = fate if fate.outcome == "rejected" else None

    def _target(self, one: Import) -> Holding:
        live = self.table(one.plan.table)
        if one.plan.writes_at_once:
            return live.under(one.declared)
        if one.trial is None or not any(fate and fate.stage != "UPLOAD" for fate in one.fates):
            one.trial = live.copy().under(one.declared)
            one.is_stale = False
        return one.trial

    def _changed(self, table: str, by: Import | None) -> None:
        for one in self.imports:
            if one is not by and one.plan.table == table and one.trial is not None and not one.is_final:
                one.is_stale = any(fate and fate.stage != "UPLOAD" for fate in one.fates) or one.is_stale

    def conclude(self, one: Import) -> None:
        """What follows when all is received and processed."""
        one.state = one.end
        if one.state == "FAILED":
            one.drop()
            return
        if one.trial is not None and one.plan.reconcile is not None:
            one.removed = one.not_named(self.table(one.plan.table))
            if self._removes_too_much(one):
                one.state, one.removed = "FAILED", frozenset()
                one.drop()
                return
        if one.plan.staged:
            one.state = "AWAITING_COMMIT"
        elif one.plan.reconcile is not None and not one.plan.validate_only:
            self.commit(one)

    def _removes_too_much(self, one: Import) -> bool:
        assert one.plan.reconcile is not None
        return len(one.removed) > one.plan.reconcile * len(self.table(one.plan.table).rows)

    def commit(self, one: Import) -> None:
        """Applies everything again, to what the table holds now: all or nothing."""
        live = self.table(one.plan.table)
        after = live.copy().under(one.declared)
        one.is_committing, one.was_committed = False, True
        one.is_stale = False
        for batch in one.batches.values():
            batch.fates = [
                fault_on_receipt(after, text) or fate_of(after, text, one.plan.mode, one.number) for text in batch.texts
            ]
        one.state = one.end
        one.removed = one.not_named(live)
        if one.state == "FAILED" or (one.plan.reconcile is not None and self._removes_too_much(one)):
            # The manual does not say what the counts of a commit are that did not come about.
            one.state, one.removed, one.is_stale = "FAILED", frozenset(), True
            return
        for key in one.removed:
            del after.rows[key]
        has_changed = after.content != live.content
        live.rows, live.filled = after.rows, after.filled
        if has_changed:
            self._changed(one.plan.table, one)

    # ------------------------------------------------------------------------------------------------------- settling

    def expected_state(self, one: Import) -> str:
        """The state that the import will come to, if nobody cancels it."""
        world = deepcopy(self)
        same = next(other for other in world.imports if other.number == one.number)
        world._settle_fully(same)
        return same.state

    def _settle_fully(self, one: Import) -> None:
        self.process(one)
        if one.is_committing:
            self.commit(one)
        elif one.is_over_budget:
            one.state = "FAILED"
            one.drop()
        elif one.is_finish_asked and one.state in ("RECEIVING", "PROCESSING"):
            self.conclude(one)

    def settle(self, one: Import, seen: Seen) -> list[str]:
        """Brings an import to where it is seen to be; what cannot be explained."""
        if one.is_stale and not one.is_committing and seen.state == "FAILED":
            one.state = "FAILED"
            return self.differences_of_table(one.plan.table, seen.content)
        found: list[str] = []
        for world, same in self._ends(one, seen):
            differences = world.differences(same, seen)
            if not found or not differences:
                found, best = differences, world
            if not differences:
                break
        self._become(best)
        return found

    def _ends(self, one: Import, seen: Seen) -> Iterator[tuple["Account", Import]]:
        """What may have become of an import: it came to its end, or was stopped somewhere."""
        at = self.imports.index(one)
        world = deepcopy(self)
        world._settle_fully(world.imports[at])
        yield world, world.imports[at]
        if seen.state == "CANCELLED" and one.is_cancel_asked and one.is_committing:
            # What the counts of a commit are that was taken back, the manual does not say.
            world = deepcopy(self)
            world.imports[at].state, world.imports[at].is_stale = "CANCELLED", True
            yield world, world.imports[at]
        elif seen.state == "FAILED" or (seen.state == "CANCELLED" and one.is_cancel_asked):
            world = deepcopy(self)
            same = world.imports[at]
            same.state = seen.state
            same.batches = {name: batch for name, batch in same.batches.items() if name in seen.batches}
            for batch_id, batch in same.batches.items():
                received = seen.batches[batch_id]["received"]
                del batch.texts[received:], batch.fates[received:]
            for stopped in world._stopped(at, seen, list(same.batches)):
                if seen.state == "CANCELLED" or stopped.imports[at].is_over_budget:
                    yield stopped, stopped.imports[at]

    def _stopped(self, at: int, seen: Seen, batch_ids: list[str]) -> Iterator["Account"]:
        """All ways in which these batches may have come to the counts that are seen.

        The records with which an import goes over its budget may be written, or only the faulty ones of them be told.
        Some may have been written before others that came earlier, of the keys of which they have none.
        """
        if not batch_ids:
            self.imports[at].drop()
            yield self
            return
        batch = self.imports[at].batches[batch_ids[0]]
        ends = range(batch.processed, len(batch.texts) + 1)
        in_order = (
            (end, told_until, range(0))
            for end in ends
            for told_until in range(end, len(batch.texts) + 1 if seen.state == "FAILED" else end + 1)
        )
        others_first = (
            (end, end, range(first, last))
            for end in ends
            for first in range(batch.processed, end)
            for last in range(first + 1, end)
        )
        for end, told_until, left_out in chain(in_order, others_first):
            world = deepcopy(self)
            same = world.imports[at]
            world._process_until(same, batch_ids[0], end, told_until, left_out)
            done = same.batches[batch_ids[0]]
            if seen.batches[batch_ids[0]] == (done if same.plan.keeps_counts else done.dropped()).counts:
                yield from world._stopped(at, seen, batch_ids[1:])

    def _become(self, world: "Account") -> None:
        """Takes over another's state; imports and tables stay the same objects for whoever holds them."""
        for ours, theirs in zip(self.imports, world.imports, strict=True):
            ours.__dict__.update(theirs.__dict__)
        self.tables, self.unmade = world.tables, world.unmade

    def differences(self, one: Import, seen: Seen) -> list[str]:
        """Where an import, and the table that it writes to, differ from what is seen."""
        total = seen.counts
        known = sum(total[name] for name in (*OUTCOMES, "pending"))
        found = [] if known == total["received"] else [f"counts do not add up: {total}"]
        if one.is_stale and not one.was_committed:
            # What it will come to depends on what the table held at which moment.
            one.state = seen.state
            return found
        if seen.state != one.state:
            found.append(f"state: {seen.state}, expected {one.state}")
        if not one.is_stale:
            for batch_id in {**one.batches, **seen.batches}:
                got = seen.batches.get(batch_id)
                expected = one.batches[batch_id].counts if batch_id in one.batches else None
                if got != expected:
                    found.append(f"counts of {batch_id}: {got}, expected {expected}")
            if seen.state not in ("FAILED", "CANCELLED") and seen.removed != len(one.removed):
                found.append(f"removed: {seen.removed}, expected {len(one.removed)}")
        return found + self.differences_of_table(one.plan.table, seen.content)

    def differences_of_table(self, name: str, content: Counter[Any] | None) -> list[str]:
        expected = self.tables[name].content if name in self.tables else None
        if content == expected:
            return []
        if content is None or expected is None:
            return [f"{name} exists: {content is not None}, expected {expected is not None}"]
        return [f"{name} has {dict(content - expected)}, and not {dict(expected - content)}"]
