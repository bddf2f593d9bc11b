"""Whatever is asked of imports, and in whatever order: they become what a plain model of the manual predicts.

`INGOT_LIFE_EXAMPLES=500 pytest tests/api/test_life_model.py` tries as many lives, others each time. Of one that goes
wrong, hypothesis shows the shortest.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ingot.v1 import table_pb2
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.app import App
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.api.kinds_model import Spec
from tests.api.life_driver import Driver
from tests.api.life_model import MODES, Account, Holding, Import, Plan
from tests.api.test_kinds_model import message_of
from tests.calling import Caller
from tests.conftest import running_app

EXAMPLES = int(os.environ.get("INGOT_LIFE_EXAMPLES", "0"))
STEPS = 25
STEP_SECONDS = 60
IMPORTS_MAX = 4
KEYS = 6
"""Of two batches in parallel one has the lower half of the keys, and one the upper."""
RULES = (
    Spec("id", "IDENTIFIER"),
    Spec("n", "INTEGER", required=True),
    Spec("size", "TEXT", allowed=("S", "M"), default="M"),
    Spec("mail", "EMAIL"),
)
PLAIN = {"things": Holding("GENERIC", ("id",)), "strict": Holding("GENERIC", ("id",), RULES)}
PEOPLE = {"people": Holding("CONTACTS")}

# ------------------------------------------------------------------------------------------------------------ records

Draft = tuple[int, dict[str, Any]] | str
"""A key and fields, of which a record is made; or a text that is none."""

ABSENT = "absent"
OWN = "own"
NEXT = "next"


def mostly(good: Sequence[Any], *others: Any) -> st.SearchStrategy[Any]:
    """One of the good values; the others together are as likely as one in six."""
    return st.integers(0, 5).flatmap(lambda dice: st.sampled_from(others if dice == 5 and others else good))


ANYTHING: st.SearchStrategy[Any] = st.sampled_from([None, "", [], {}, 0, False, 1, 1.0, 2, "x", {"p": 1}, ABSENT])
PLAIN_FIELDS = st.fixed_dictionaries(
    {
        "n": mostly([1, 2, "2"], "x", None, "", ABSENT),
        "size": mostly([ABSENT, "S", "m", None], "XL"),
        "mail": mostly([ABSENT, "A@example.org", "b@example.org", None, ""], "bad"),
        "c": ANYTHING,
        "is_text": st.booleans(),
    }
)
PEOPLE_FIELDS = st.fixed_dictionaries(
    {
        "id": mostly([OWN, ABSENT], NEXT, None),
        "email": mostly([OWN, OWN, ABSENT], NEXT, None, "bad"),
        "phone": mostly([OWN, ABSENT], NEXT, None),
        "name": mostly(["x", "y", ABSENT, "", None]),
        "points": mostly([1, "2", ABSENT, None], "many"),
        "tags": mostly([ABSENT, ["a"], [], "b", None]),
    }
)
NO_RECORDS = ["{", "[]", "{}", " ", '{"c":1}', '{"id":null,"n":1}', '{"id":[1],"n":1}']


def drafts(fields: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[Draft]]:
    good = st.tuples(st.integers(0, KEYS - 1), fields)
    one = st.integers(0, 11).flatmap(lambda dice: st.sampled_from(NO_RECORDS) if dice == 11 else good)
    return st.lists(one, max_size=6)


def text_of(table: Holding, draft: Draft, lane: int | None) -> bytes:
    if isinstance(draft, str):
        return draft.encode()
    key, fields = draft
    half = KEYS // 2
    if lane is not None:
        key = key % half + lane * half
    if table.kind == "CONTACTS":
        record = {
            name: identifier(name, key if value == OWN else key // half * half + (key + 1) % half)
            if value in (OWN, NEXT)
            else value
            for name, value in fields.items()
        }
    else:
        record = {"id": str(key) if fields["is_text"] else key, **fields}
        del record["is_text"]
    return json.dumps({name: value for name, value in record.items() if value != ABSENT}).encode()


def identifier(name: str, person: int) -> str:
    return {"id": f"p{person}", "email": f"person{person}@example.org", "phone": f"+467017406{person:02}"}[name]


# ------------------------------------------------------------------------------------------------------------- plans

MOVES = ["finish", "finish", "commit", "commit", "cancel", "delete", "retry", "retry", "look", "trespass"]
SELDOM = mostly([False], True)
MODE = st.sampled_from(MODES)
WHICH = st.integers(0, 9)
"""Which import: mostly one of those that are not over."""
MISHAP = st.sampled_from(["", "", "", "cut", "cut", "twins", "twins", "gap", "reordered", "wrong total"])
CUT = st.integers(0, 300)
LANE = st.sampled_from([None, None, 0, 1])
REQUEST_ID = st.sampled_from(["", "", "", "a", "b"])
FLAVOUR = st.sampled_from(
    ["", "", "", "validate_only", "staged", "staged", "reconcile", "staged reconcile", "validate_only reconcile"]
)
PLANS = st.builds(
    lambda mode, flavour, share, most, ratio: Plan(
        "",
        mode,
        "validate_only" in flavour,
        "staged" in flavour,
        share if "reconcile" in flavour and mode != "DELETE" else None,
        most,
        ratio,
    ),
    MODE,
    FLAVOUR,
    st.sampled_from([0.0, 0.2, 0.5, 1.0, 1.0]),
    mostly([None], 0, 1, 2),
    mostly([None], 0.0, 0.3, 0.5),
)


SOME: st.SearchStrategy[list[Draft]] = st.runner().flatmap(lambda lives: lives.records)
PARTS = st.lists(SOME, min_size=1, max_size=3)


class Lives(RuleBasedStateMachine):
    """Moves in the life of imports, in any order. What is drawn does not depend on what has come of it."""

    tables: dict[str, Holding]
    unmade: tuple[str, ...] = ()
    records: st.SearchStrategy[list[Draft]]

    def __init__(self, stage: "Stage") -> None:
        super().__init__()
        self.stage = stage
        tables = {name: table.copy() for name, table in self.tables.items()}
        unmade = {name: tables.pop(name) for name in self.unmade}
        self.driver = self.wait(stage.driver(tables, unmade))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        self.is_well = False
        answer = asyncio.run_coroutine_threadsafe(work, self.stage.loop).result(STEP_SECONDS)
        self.is_well = True
        return answer

    def teardown(self) -> None:
        if self.is_well:
            self.wait(self.driver.check_all())
        self.wait(self.stage.end(self.driver))

    def which(self, number: int) -> Import | None:
        imports = self.driver.account.imports
        there = [one for one in imports if not one.is_final] if number < 7 else imports
        return there[-1 - number % len(there)] if there else None

    def table(self, number: int) -> str:
        return list(self.tables)[number % len(self.tables)]

    def texts(self, table: str, found: Sequence[Draft], lane: int | None) -> list[bytes]:
        return [text_of(self.driver.account.table(table), draft, lane) for draft in found]

    # ------------------------------------------------------------------------------------------------------- moves

    @initialize(found=st.lists(SOME, min_size=2, max_size=2))
    def write_first(self, found: list[list[Draft]]) -> None:
        for number, some in enumerate(found):
            self.write(number, "REPLACE", False, False, some)

    @rule(
        number=st.integers(0, 1),
        plan=PLANS,
        request_id=REQUEST_ID,
        parts=PARTS,
        is_last=st.booleans(),
        in_sandbox=SELDOM,
    )
    def begin(
        self, number: int, plan: Plan, request_id: str, parts: list[list[Draft]], is_last: bool, in_sandbox: bool
    ) -> None:
        plan = replace(plan, table=self.table(number), staged=plan.staged and not in_sandbox)
        one = self.wait(self.driver.create(plan, request_id, in_sandbox=in_sandbox))
        if one:
            self.wait(self.uploaded(one, parts, is_last=is_last, is_torn=True, is_new=True))

    @rule(number=st.integers(0, 1))
    def create_nonsense(self, number: int) -> None:
        table = self.table(number)
        self.wait(self.driver.create(Plan(table, validate_only=True, staged=True)))
        self.wait(self.driver.create(Plan(table, "DELETE", reconcile=1.0)))

    @rule(
        which=WHICH,
        move=st.sampled_from(MOVES),
        request_id=REQUEST_ID,
    )
    def move(self, which: int, move: str, request_id: str) -> None:
        if one := self.which(which):
            self.wait(self.driver.retry(one, request_id) if move == "retry" else getattr(self.driver, move)(one))

    @rule(is_expiring=st.booleans())
    def let_leases_expire(self, is_expiring: bool) -> None:
        self.driver.is_expiring = is_expiring

    @rule()
    def look_at_all(self) -> None:
        self.wait(self.driver.check_all())

    @rule(number=st.integers(0, 1), keys=st.lists(st.integers(0, KEYS - 1), min_size=1, max_size=2), in_sandbox=SELDOM)
    def remove(self, number: int, keys: list[int], in_sandbox: bool) -> None:
        table = self.table(number)
        rows = list(self.driver.account.table(table).rows)
        named = [rows[key % len(rows)] if rows else str(key) for key in keys]
        self.wait(self.driver.remove(table, named, in_sandbox=in_sandbox))

    @rule(
        which=WHICH,
        parts=PARTS,
        is_last=st.booleans(),
        is_torn=st.booleans(),
        is_new=st.booleans(),
        is_file=mostly([False, True]),
        lane=LANE,
        mishap=MISHAP,
        cut=CUT,
    )
    def upload(self, which: int, parts: list[list[Draft]], **how: Any) -> None:
        if one := self.which(which):
            self.wait(self.uploaded(one, parts, **how))

    @rule(which=WHICH, lower=PARTS, upper=PARTS)
    def upload_two_at_once(self, which: int, lower: list[list[Draft]], upper: list[list[Draft]]) -> None:
        one = self.which(which)
        if one and all(batch.is_finished for batch in one.batches.values()):
            self.wait(self.two_uploaded(one, lower, upper))

    @rule(
        number=st.integers(0, 1),
        plan=PLANS,
        batches=st.lists(PARTS, min_size=1, max_size=2),
        is_torn=st.booleans(),
        last=st.sampled_from(["", "commit", "commit", "retry", "cancel"]),
    )
    def live(self, number: int, plan: Plan, batches: list[list[list[Draft]]], is_torn: bool, last: str) -> None:
        """A whole life, in haste."""
        self.wait(self.lived(replace(plan, table=self.table(number)), batches, is_torn, last))

    @rule(number=st.integers(0, 1), mode=MODE, validate_only=SELDOM, in_sandbox=SELDOM, found=SOME)
    def write(self, number: int, mode: str, validate_only: bool, in_sandbox: bool, found: list[Draft]) -> None:
        table = self.table(number)
        texts = self.texts(table, found, None)
        if texts:
            self.wait(self.driver.write(table, mode, texts, validate_only=validate_only, in_sandbox=in_sandbox))

    async def uploaded(
        self,
        one: Import,
        parts: list[list[Draft]],
        *,
        is_last: bool,
        is_torn: bool,
        is_new: bool,
        is_file: bool = False,
        lane: int | None = None,
        **mishap: Any,
    ) -> None:
        opened = {name: batch for name, batch in one.batches.items() if not batch.is_finished}
        lanes = {batch.lane for batch in opened.values()}
        batch_id = f"b{len(one.batches)}"
        if opened and (not is_new or None in lanes or len(lanes) > 1):
            batch_id = next(iter(opened))
            lane = opened[batch_id].lane
        elif opened:
            lane = 1 - next(lane for lane in lanes if lane is not None)
        texts = [self.texts(one.plan.table, part, lane) for part in parts]
        await self.driver.upload(
            one, batch_id, texts, is_last=is_last, is_torn=is_torn, is_file=is_file, lane=lane, **mishap
        )

    async def two_uploaded(self, one: Import, lower: list[list[Draft]], upper: list[list[Draft]]) -> None:
        await self.driver.alone(one)
        start = len(one.batches)
        await asyncio.gather(
            *(
                self.driver.upload(
                    one,
                    f"b{start + lane}",
                    [self.texts(one.plan.table, part, lane) for part in parts],
                    is_last=True,
                    is_torn=True,
                    is_file=lane == 1,
                    lane=lane,
                )
                for lane, parts in enumerate((lower, upper))
            )
        )

    async def lived(self, plan: Plan, batches: list[list[list[Draft]]], is_torn: bool, last: str) -> None:
        one = await self.driver.create(plan)
        if one is None:
            return
        for number, parts in enumerate(batches):
            texts = [self.texts(plan.table, part, None) for part in parts]
            await self.driver.upload(one, f"b{number}", texts, is_last=True, is_torn=is_torn, is_file=False, lane=None)
        await self.driver.finish(one)
        if last in ("commit", "retry") and plan.staged:
            await self.driver.look(one)
            await self.driver.commit(one)
        if last == "retry":
            await self.driver.retry(one)
        elif last == "cancel":
            await self.driver.cancel(one)


class PlainLives(Lives):
    """Records without a kind: as they come, and with declared fields."""

    tables = PLAIN
    records = drafts(PLAIN_FIELDS)
    unmade = ("things",)

    @rule(required=st.booleans())
    def require(self, required: bool) -> None:
        self.wait(self.driver.require("strict", "n", required))


class LivesOfPeople(Lives):
    """Contacts: which record is meant depends on the records that are there."""

    tables = PEOPLE
    records = drafts(PEOPLE_FIELDS)


# ------------------------------------------------------------------------------------------------------------- stage


class Stage:
    """Two servers on one database, on which each life has an account of its own."""

    def __init__(self, servers: Sequence[App], database: Database) -> None:
        self.servers = servers
        self.database = database
        self.loop = asyncio.get_running_loop()
        self._accounts = count(1)

    async def driver(self, tables: dict[str, Holding], unmade: dict[str, Holding]) -> Driver:
        name = f"account_{next(self._accounts)}"
        key = await create_key(self.database, name, list(SCOPES), "test", None)
        sandbox = await create_key(self.database, name, list(SCOPES), "test", None, sandbox=True)
        callers = [Caller(f"127.0.0.1:{server.port}", key.text) for server in self.servers]
        for name, table in tables.items():
            message = table_pb2.Table(
                table=name, kind=table.kind, key_fields=table.key_fields, fields=map(message_of, table.declared)
            )
            await callers[0].tables.CreateTable(ts.CreateTableRequest(table=message))
        in_sandbox = Caller(f"127.0.0.1:{self.servers[0].port}", sandbox.text)
        return Driver(callers, in_sandbox, Account(tables, unmade, IMPORTS_MAX), self.expire_leases)

    async def expire_leases(self) -> None:
        """Takes from all workers what they have in hand, without their knowledge."""
        await self.database.execute(
            """
            WITH batches AS (
                SELECT batch_seq FROM batch WHERE lease_until > clock_timestamp() FOR UPDATE SKIP LOCKED
            ), imports AS (
                SELECT import_id FROM import WHERE commit_lease_until > clock_timestamp() FOR UPDATE SKIP LOCKED
            ), expired AS (
                UPDATE batch SET lease_until = clock_timestamp() FROM batches WHERE batch.batch_seq = batches.batch_seq
            )
            UPDATE import SET commit_lease_until = clock_timestamp() FROM imports
            WHERE import.import_id = imports.import_id
            """
        )

    async def end(self, driver: Driver) -> None:
        for one in (*driver.callers, driver.sandbox):
            await one.channel.close()


@pytest.fixture
async def stage(database_url: str, database: Database) -> AsyncIterator[Stage]:
    limits = {"open_imports_max": IMPORTS_MAX}
    async with running_app(database_url, **limits) as one, running_app(database_url, **limits) as other:
        yield Stage([one, other], database)


async def all_lived(stage: Stage, lives: type[Lives], examples: int) -> None:
    many = settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=STEPS,
        derandomize=not EXAMPLES,
        # Finding the shortest takes minutes.
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )

    class OnStage(lives):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            super().__init__(stage)

    await asyncio.to_thread(run_state_machine_as_test, OnStage, settings=many)


@pytest.mark.timeout(0 if EXAMPLES else 240)
async def test_imports_of_plain_records_live_as_the_model_predicts(stage: Stage) -> None:
    await all_lived(stage, PlainLives, 30)


@pytest.mark.timeout(0 if EXAMPLES else 240)
async def test_imports_of_contacts_live_as_the_model_predicts(stage: Stage) -> None:
    await all_lived(stage, LivesOfPeople, 25)
