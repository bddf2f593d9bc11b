"""Checks API keys against the database, with a short memory.

Good keys and bad ones are remembered apart, each up to a number: whoever makes up keys cannot push out those of others.
A wrong secret of a key that exists and a key that does not exist cost the same work and get the same answer.
"""

import asyncio
import time
from collections import OrderedDict

from ingot_server import audit
from ingot_server.domain.api_keys import ApiKey
from ingot_server.domain.errors import ApiKeyInvalid, TooManyFailedKeys
from ingot_server.rpc.failed_keys import FailedKeys
from ingot_server.rpc.memories import remember
from ingot_server.storage import accounts
from ingot_server.storage.accounts import StoredKey
from ingot_server.storage.database import Database

KEY_CACHE_SECONDS = 3.0
"""How long a key that was revoked may still be used."""
USE_SECONDS = 3600.0
"""How often the use of a key from the same address is told."""
_NOBODY = bytes(32)


class KnownKeys:
    """What this server knows of API keys."""

    def __init__(self, database: Database, failed_per_minute: int) -> None:
        self._database = database
        self._failed = FailedKeys(failed_per_minute)
        self._good: OrderedDict[str, tuple[StoredKey, float]] = OrderedDict()
        """Keys that were good when they were last looked at, and until when nobody needs to look again."""
        self._bad: OrderedDict[ApiKey, tuple[str, float]] = OrderedDict()
        """Why keys were bad, and until when nobody needs to look again."""
        self._looking: dict[ApiKey, asyncio.Task[StoredKey | str]] = {}
        """Keys that are being looked at."""
        self._used: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def check(self, key: ApiKey | None, peer: str, method: str) -> StoredKey:
        """What is stored of a key; None is a garbled one. Raises ApiKeyInvalid and TooManyFailedKeys."""
        if key is None:
            self._spend(peer)
            audit.key_refused(None, peer, method, "garbled")
            raise ApiKeyInvalid("The API key is garbled: check that it was copied whole.")
        remembered, until = self._good.get(key.key_id, (None, 0.0))
        was_good = _is(key, remembered)
        if remembered is not None and was_good and until > time.monotonic():
            self._note_use(remembered, peer, method)
            return remembered
        # A good key's many first calls at once are no guesses, and one look is enough for them all.
        looking = self._looking.get(key)
        if looking is None:
            if not was_good:
                self._spend(peer)
            looking = self._looking[key] = asyncio.create_task(self._look(key, peer, is_guess=not was_good))
        # Who gives up must not take the answer from the others.
        found = await asyncio.shield(looking)
        if isinstance(found, str):
            audit.key_refused(key.key_id, peer, method, found)
            raise ApiKeyInvalid("The API key is unknown, revoked or expired: ask for a new one.")
        self._note_use(found, peer, method)
        return found

    async def _look(self, key: ApiKey, peer: str, *, is_guess: bool) -> StoredKey | str:
        """As `_find`; a guess that was right, or that nobody could judge, is given back to its address."""
        found: StoredKey | str | None = None
        try:
            found = await self._find(key)
        finally:
            del self._looking[key]
            if is_guess and not isinstance(found, str):
                self._failed.give_back(peer)
        return found

    async def _find(self, key: ApiKey) -> StoredKey | str:
        """The key as it is stored, or why it is bad."""
        why, until = self._bad.get(key, ("", 0.0))
        if until > time.monotonic():
            return why
        stored = await accounts.api_key_find(self._database, key.key_id)
        matches = _is(key, stored)
        until = time.monotonic() + KEY_CACHE_SECONDS
        if stored is not None and matches and stored.usable:
            remember(self._good, key.key_id, (stored, until))
            return stored
        why = "unknown" if stored is None else "revoked or expired" if matches else "wrong secret"
        if matches:
            self._good.pop(key.key_id, None)
        remember(self._bad, key, (why, until))
        return why

    def _spend(self, peer: str) -> None:
        if self._failed.spend(peer):
            return
        if self._failed.is_news(peer):
            audit.key_limited(peer)
        raise TooManyFailedKeys

    def _note_use(self, stored: StoredKey, peer: str, method: str) -> None:
        now = time.monotonic()
        use = (stored.key_id, peer)
        if self._used.get(use, 0.0) <= now:
            remember(self._used, use, now + USE_SECONDS)
            audit.key_used(stored.key_id, stored.account, peer, method)


def _is(key: ApiKey, stored: StoredKey | None) -> bool:
    # What does not exist is compared as well, so that it takes as long as what does.
    return key.matches(stored.secret_sha256 if stored else _NOBODY) and stored is not None
