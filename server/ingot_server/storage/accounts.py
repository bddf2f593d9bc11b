"""Accounts and their API keys. Only the SHA-256 of a key's secret is kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingot_server.storage.database import Database
from ingot_server.storage.sql import Queries

sql = Queries("accounts.sql")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is known of an API key."""

    key_id: str
    account_id: int
    account: str
    secret_sha256: bytes
    scopes: frozenset[str]
    usable: bool
    """Neither revoked nor expired."""
    sandbox: bool
    """Whether nothing can be stored with it."""


@dataclass(frozen=True, slots=True)
class KeyListing:
    """An API key as it is shown to an operator."""

    key_id: str
    account: str
    scopes: tuple[str, ...]
    label: str
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    sandbox: bool


async def account_ensure(database: Database, name: str) -> int:
    """The id of the account with this name, made if needed."""
    # Two processes may make it at once: the loser's INSERT returns nothing, and its snapshot does not show the row yet.
    for _ in range(2):
        if row := await database.fetchrow(sql.account_ensure, name):
            return int(row["account_id"])
    raise RuntimeError(f"account {name} vanished while it was being made")


async def api_key_create(
    database: Database,
    key_id: str,
    account_id: int,
    secret_sha256: bytes,
    scopes: list[str],
    label: str,
    lifetime: timedelta | None,
    *,
    sandbox: bool,
) -> None:
    """Stores a key."""
    await database.execute(sql.api_key_create, key_id, account_id, secret_sha256, scopes, label, lifetime, sandbox)


async def api_key_find(database: Database, key_id: str) -> StoredKey | None:
    """The key with this id; None if there is none."""
    row = await database.fetchrow(sql.api_key_find, key_id)
    if row is None:
        return None
    return StoredKey(**{**row, "scopes": frozenset(row["scopes"])})


async def api_key_list(database: Database) -> list[KeyListing]:
    """All keys, oldest first."""
    rows = await database.fetch(sql.api_key_list)
    return [KeyListing(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]


async def api_key_revoke(database: Database, key_id: str) -> bool:
    """Ends the use of a key; whether there is such a key."""
    return await database.execute(sql.api_key_revoke, key_id) == 1
