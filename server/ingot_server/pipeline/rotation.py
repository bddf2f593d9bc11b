"""The order in which accounts have their turns: whoever was served longest ago comes next.

Each process keeps its own order, so that serving an account writes nothing. Accounts that are not in it come first.
"""

ACCOUNTS_MAX = 1_000


class Rotation:
    """The accounts that were served, the one that was served longest ago first."""

    def __init__(self) -> None:
        self._served: dict[int, None] = {}

    @property
    def accounts(self) -> list[int]:
        """The accounts, in this order."""
        return list(self._served)

    def note(self, account_id: int) -> None:
        """Puts an account, which is being served, behind all others."""
        self._served.pop(account_id, None)
        self._served[account_id] = None
        if len(self._served) > ACCOUNTS_MAX:
            del self._served[next(iter(self._served))]
