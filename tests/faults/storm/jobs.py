"""The imports of the clients: the same for the same seed, in every process."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TABLE = "storm"
KEYS = 5_000
"""How many keys a client has. They are its own, so its imports come one after another and the model stays plain."""
ROWS_MAX = 20_000
FORMS = ("records", "records", "ndjson", "ndjson.gz")
MODES = ("REPLACE", "REPLACE", "MERGE", "SKIP_EXISTING", "DELETE")


@dataclass(frozen=True)
class Job:
    """One import of one client."""

    request_id: str
    mode: str
    form: str
    """`records`, or the suffix of a file."""
    staged: bool
    pause_seconds: float
    """How long the source of records takes for a hundred."""
    texts: list[bytes]


def job_of(seed: int, client: int, number: int) -> Job:
    """The import of a client with this number, counted from 0."""
    chance = random.Random(f"{seed}/{client}/{number}")
    form = chance.choice(FORMS)
    return Job(
        request_id=f"storm-{seed}-{client}-{number}",
        mode=chance.choice(MODES),
        form=form,
        staged=chance.random() < 0.2,
        pause_seconds=chance.choice((0.0, 0.002, 0.01)),
        texts=list(_texts(chance, client, chance.choice((1, 500, 5_000, ROWS_MAX)))),
    )


def _texts(chance: random.Random, client: int, most: int) -> Iterator[bytes]:
    for _ in range(chance.randint(1, most)):
        row: dict[str, Any] = {"id": f"{client}-{chance.randrange(KEYS)}", "n": chance.randrange(3)}
        if chance.random() < 0.3:
            row["note"] = "x" * chance.randrange(200)
        if chance.random() < 0.01:
            del row["id"]
        yield json.dumps(row).encode()
