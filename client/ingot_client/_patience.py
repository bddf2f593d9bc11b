"""How long and how often to try again."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from ingot_client._errors import Transient

FIRST_DELAY_SECONDS: Final = 0.2
LONGEST_DELAY_SECONDS: Final = 10.0


class Patience:
    """Waits between attempts, twice as long each time, and ends after `seconds` of failures without progress."""

    def __init__(self, seconds: float | Callable[[], float]) -> None:
        """What gives the `seconds` is asked after each failure, which may have told something."""
        self._seconds = seconds
        self._failing_since: float | None = None
        self._failures = 0

    def renew(self) -> None:
        """Begins anew: there was progress."""
        self._failing_since = None
        self._failures = 0

    async def wait_after(self, error: Transient) -> bool:
        """Waits until it is time for the next attempt; False, at once, if there should be none."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(self._failures, 10))
        # Jitter keeps a thousand clients of a restarted server from coming back in step.
        delay = max(random.uniform(delay / 2, delay), error.retry_after_seconds or 0.0)  # noqa: S311 - not a secret
        self._failures += 1
        seconds = self._seconds() if callable(self._seconds) else self._seconds
        if now + delay > self._failing_since + seconds:
            return False
        await asyncio.sleep(delay)
        return True
