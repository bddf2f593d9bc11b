"""One record for each contact, each identifier with its record: while many write, some delete, and a server dies."""

import asyncio
import json
import random
from collections import defaultdict
from typing import Any

from ingot.v1 import field_pb2, record_pb2, table_pb2
from ingot.v1 import record_service_pb2 as pb
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller, records
from tests.conftest import running_app
from tests.faults.processes import server_process

PEOPLE = 200
RECORDS = 3_000
BATCHES = 3


def contact(chance: random.Random) -> dict[str, Any]:
    """Some of a person's identifiers, and now and then somebody else's, or none."""
    person, other = chance.randrange(PEOPLE), chance.randrange(PEOPLE)
    whole = {"id": f"i{person}", "email": f"e{person}@example.org", "phone": f"+4670174{person:04}"}
    row: dict[str, Any] = {name: whole[name] for name in chance.sample(list(whole), chance.randint(1, 3))}
    if chance.random() < 0.2:
        row["email"] = f"e{other}@example.org"
    if chance.random() < 0.1 and len(row) > 1:
        row["phone"] = None
    return {**row, "points": chance.random()}


async def test_contacts_and_identifiers_agree_whatever_happens(database_url: str, database: Database) -> None:
    chance = random.Random(7)
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    stop = asyncio.Event()
    async with running_app(database_url) as app, Caller(f"127.0.0.1:{app.port}", key) as caller:
        table = table_pb2.Table(table="people", kind="CONTACTS")
        await caller.tables.CreateTable(ts.CreateTableRequest(table=table))
        import_id = await caller.create("people", ())
        rows = [[contact(chance) for _ in range(RECORDS)] for _ in range(BATCHES)]

        async def write() -> None:
            while not stop.is_set():
                texts = [json.dumps(contact(chance)).encode() for _ in range(30)]
                sent = [record_pb2.Record(json=text) for text in texts]
                await caller.records.WriteRecords(pb.WriteRecordsRequest(table="people", records=sent))

        async def delete() -> None:
            while not stop.is_set():
                keys = [f"email:e{chance.randrange(PEOPLE)}@example.org"]
                await caller.records.DeleteRecords(pb.DeleteRecordsRequest(table="people", keys=keys))

        async def declare() -> None:
            while not stop.is_set():
                changed = table_pb2.Table(table="people", reading=field_pb2.ReadingOptions(country="SE"))
                request = ts.UpdateTableRequest(table=changed)
                request.update_mask.paths.append("reading")
                await caller.tables.UpdateTable(request)

        others = [asyncio.create_task(work()) for work in (write, write, delete, declare)]
        # A second server works on the same batches, and is killed in the middle.
        async with server_process(database_url=database_url, workers=2, lease_seconds=1) as second:
            uploads = [
                caller.upload([records(rows[number], import_id=import_id, batch_id=f"b{number}", finish=True)])
                for number in range(BATCHES)
            ]
            await asyncio.gather(*uploads)
            second.kill()
        ended = await caller.finish(import_id)
        stop.set()
        await asyncio.gather(*others)
    counts = ended.counts
    assert counts.received == BATCHES * RECORDS
    assert counts.created + counts.updated + counts.unchanged + counts.superseded + counts.rejected == counts.received
    await expect_agreement(database)


async def expect_agreement(database: Database) -> None:
    """Each record has exactly the identifiers that belong to it, and no two have the same."""
    held = defaultdict(set)
    for row in await database.fetch("SELECT identifier, key FROM record_identifier"):
        held[row["key"]].add(row["identifier"])
    stored = {}
    for row in await database.fetch("SELECT key, data FROM record"):
        data = json.loads(row["data"])
        stored[row["key"]] = {f"{name}:{data[name]}" for name in ("id", "email", "phone") if data.get(name)}
    assert stored == dict(held)
    everything = [identifier for identifiers in stored.values() for identifier in identifiers]
    assert len(everything) == len(set(everything)) > PEOPLE
