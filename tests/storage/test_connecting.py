"""What a new connection knows of PostgreSQL's types."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ingot_server.storage import database as storage
from ingot_server.storage.database import Database

ARRAYS = "SELECT $1::bigint[] AS numbers, $2::bytea[] AS bytes, $3::timestamptz[] AS times, $4::jsonb[] AS objects"
ASKED = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE $1"


@asynccontextmanager
async def _connection_to(url: str) -> AsyncIterator[Any]:
    database = await Database.connect(url, max_connections=1)
    try:
        async with database.connection() as connection:
            yield connection
    finally:
        await database.close()


async def test_postgresql_is_asked_once_what_its_own_types_are(
    database_url: str, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_built_in_types", {})
    sent: tuple[list[object], ...] = [1, None], [b"\0"], [], ['{"a": 1}']
    asked = []
    for url in (database_url, empty_database_url):
        async with _connection_to(url) as connection:
            row = await connection.fetchrow(ARRAYS, *sent)
            assert tuple(row) == sent
            asked.append(await connection.fetchval(ASKED, "%typeinfo_tree%"))
    assert asked == [1, 0]


async def test_types_of_users_are_asked_about_by_each_connection(empty_database_url: str) -> None:
    seen = []
    for change, value in (
        ("CREATE TYPE pair AS (a integer)", "ROW(1)"),
        ("ALTER TYPE pair ADD ATTRIBUTE b text", "ROW(1, 'x')"),
    ):
        async with _connection_to(empty_database_url) as connection:
            await connection.execute(change)
            seen.append(await connection.fetchval(f"SELECT ARRAY[{value}::pair]"))
    assert [[tuple(pair) for pair in pairs] for pairs in seen] == [[(1,)], [(1, "x")]]
