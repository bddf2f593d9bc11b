"""What is likely to be so of the next records of a batch, and spares most of the work if it is."""

_WAITS_MAX = 63
"""After some failures only one part of so many is tried."""


class Likely:
    """Whether something is likely to be so of the next records of a batch, going by those before.

    Where it is not, a try costs little, but it does cost something: there are fewer and fewer of them.
    """

    def __init__(self, *, so_far: bool, waits_min: int = 1) -> None:
        """`so_far` says whether it was so of the batch until now; after a failure `waits_min` parts are not tried."""
        self._waits_min = waits_min
        self._waits = self._to_wait = 0 if so_far else _WAITS_MAX

    @property
    def is_so(self) -> bool:
        """Whether to try it with the next records; asked once for each part of them."""
        self._to_wait -= 1
        return self._to_wait < 0

    def learn(self, *, is_so: bool) -> None:
        """Takes note of how a try ended."""
        self._waits = 0 if is_so else min(_WAITS_MAX, max(self._waits_min, 2 * self._waits + 1))
        self._to_wait = self._waits


class Hopes:
    """What may spare most of the work, if it is so of the next records of a batch."""

    def __init__(self, *, all_new: bool, none_new: bool) -> None:
        """Whether all keys of the batch were new until now, or none."""
        self.new = Likely(so_far=all_new)
        """That all keys are new: then the records are copied straight into the table."""
        self.recognised = Likely(so_far=none_new, waits_min=3)
        """That the table knows all records just so by their identifiers: then chunks are written at the same time."""
        self.unchanged = Likely(so_far=True, waits_min=15)
        """That many records are in the table just as they are: then these are only looked at."""
        self.differing = Likely(so_far=True)
        """That all others are in the table, and differ: then they are exchanged."""
        self.any_unchanged = False
        """Whether some of the records that were last looked at were unchanged."""
