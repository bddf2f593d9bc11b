"""A client process: one import after another, until its input ends; what it knows goes to stdout, a line of JSON each.

It may be killed at any time and started again with the number of the import that it was at.
"""

import asyncio
import gzip
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ingot_client import AsyncClient, Import, Progress, Transient, UploadInterrupted
from tests.faults.storm.jobs import TABLE, Job, job_of


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def trickle(job: Job) -> AsyncIterator[bytes]:
    """The records, as a slow source gives them."""
    for at, text in enumerate(job.texts):
        if at % 100 == 99:
            await asyncio.sleep(job.pause_seconds)
        yield text


async def run(ingot: AsyncClient, job: Job, number: int) -> None:
    """One import from its start, or from where it is, to its end."""

    def on_progress(moment: Progress) -> None:
        tell(number=number, import_id=moment.import_id, acknowledged=moment.counts.received)

    options: dict[str, Any] = {
        "key_fields": ["id"],
        "mode": job.mode,
        "staged": job.staged,
        "request_id": job.request_id,
        "on_progress": on_progress,
    }
    if job.form == "records":
        done = await ingot.import_records(TABLE, trickle(job), **options)
    else:
        content = b"\n".join(job.texts)
        packed = job.form.endswith(".gz")
        file = io.BytesIO(gzip.compress(content, mtime=0) if packed else content)
        done = await ingot.import_file(TABLE, file, type="ndjson", compression="GZIP" if packed else "NONE", **options)
    if done.awaits_commit:
        done = await ingot.commit(done.import_id)
    tell(number=number, import_id=done.import_id, ended=outcome(done))


def outcome(job: Import) -> dict[str, Any]:
    """How an import ended, as far as the model knows."""
    return {"state": job.state, "counts": {name: count for name, count in asdict(job.counts).items() if count}}


async def main() -> None:
    address, key, seed, client, first = sys.argv[1:]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    stopping = asyncio.create_task(reader.read())
    number = int(first)
    async with AsyncClient(address, key, timeout=5) as ingot:
        while True:
            try:
                await run(ingot, job_of(int(seed), int(client), number), number)
            except (Transient, UploadInterrupted):
                # What it raises when its patience is over; whoever asks again with the same id goes on.
                await asyncio.sleep(0.2)
                continue
            number += 1
            if stopping.done():
                return


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        asyncio.run(main())
