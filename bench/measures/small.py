"""Little at a time: imports of a few records, and records written without an import."""

from typing import Any

from bench.measures.importing import connected
from bench.measures.latency import repeated
from bench.records import fields
from ingot_client import AsyncClient


async def small_imports(
    table: str, records: int, callers: int, seconds: float, api_key: str | None = None
) -> dict[str, Any]:
    """Whole imports, each until it has ended; with a key they are those of another account."""
    async with AsyncClient(api_key=api_key) as ingot:
        await connected(ingot)
        return await repeated(
            lambda number: ingot.import_records(table, _some(number, records), key_fields=["id"]), callers, seconds
        )


async def written_records(table: str, records: int, callers: int, seconds: float) -> dict[str, Any]:
    """Calls of WriteRecords."""
    async with AsyncClient() as ingot:
        await connected(ingot)
        return await repeated(
            lambda number: ingot.write_records(table, _some(number, records), key_fields=["id"]), callers, seconds
        )


def _some(number: int, records: int) -> list[dict[str, Any]]:
    """Other records for each number."""
    return [record | {"id": number * records + index} for index, record in enumerate(fields(records))]
