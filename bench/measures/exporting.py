"""Reading a whole table."""

import time
from typing import Any

from bench.measures.importing import connected
from ingot_client import AsyncClient


async def export_records(table: str, path: str) -> dict[str, Any]:
    """All records, into a file."""
    async with AsyncClient() as ingot:
        await connected(ingot)
        began = time.perf_counter()
        size_bytes = await ingot.export_records(table, path)
        return {"seconds": time.perf_counter() - began, "bytes": size_bytes}
