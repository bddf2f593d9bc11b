"""What came of a storm, for people and for programs."""

import math
from collections.abc import Sequence
from typing import Any


class Report:
    """Counts what happened. Everything under `must be 0` is a fault of the server."""

    def __init__(self, seed: int, strikes: int, clients: int) -> None:
        self.seed = seed
        self.strikes = strikes
        self.clients = clients
        self.rounds = 0
        self.seconds = 0.0
        self.imports = 0
        self.records_acknowledged = 0
        self.lost = 0
        self.duplicated = 0
        self.miscounted = 0
        """Imports whose counts, state or errors were not those of the model."""
        self.watchers = 0
        self.watchers_missed = 0
        self.went_back = 0
        self.takeover_seconds: list[float] = []
        self.faults: list[str] = []
        """What was wrong, in words."""
        self._recovery_seconds: dict[str, list[float]] = {}

    def recovered(self, kind: str, seconds: float) -> None:
        """After a strike of this kind it took so long until a new import had ended."""
        self._recovery_seconds.setdefault(kind, []).append(seconds)

    def summary(self) -> dict[str, Any]:
        """All of it as JSON."""
        every = [seconds for measured in self._recovery_seconds.values() for seconds in measured]
        return {
            "seed": self.seed,
            "rounds": self.rounds,
            "strikes_per_round": self.strikes,
            "clients": self.clients,
            "seconds": round(self.seconds, 1),
            "strikes": {
                kind: {"count": len(measured), **_spread("recovery", measured)}
                for kind, measured in sorted(self._recovery_seconds.items())
            },
            "imports": self.imports,
            "records_acknowledged": self.records_acknowledged,
            "watchers": self.watchers,
            "must_be_zero": {
                "records_lost": self.lost,
                "records_duplicated": self.duplicated,
                "imports_miscounted": self.miscounted,
                "watchers_that_missed_the_end": self.watchers_missed,
                "counts_that_went_back": self.went_back,
            },
            "strikes_in_all": len(every),
            **_spread("recovery", every),
            "takeovers": len(self.takeover_seconds),
            **_spread("takeover", self.takeover_seconds),
            "faults": self.faults,
        }


def _spread(name: str, measured: Sequence[float]) -> dict[str, float]:
    if not measured:
        return {}
    return {f"{name}_p{share}_seconds": round(percentile(measured, share), 2) for share in (50, 99)}


def percentile(measured: Sequence[float], share: int) -> float:
    """The smallest of these below or at which so many percent of them are."""
    return sorted(measured)[max(0, math.ceil(len(measured) * share / 100) - 1)]


def table(summary: dict[str, Any]) -> str:
    """The summary in columns."""
    lines = [f"\n{'strike':<44}{'times':>8}{'recovery p50':>15}{'p99':>9}"]
    for kind, found in summary["strikes"].items():
        p50, p99 = found["recovery_p50_seconds"], found["recovery_p99_seconds"]
        lines.append(f"{kind:<44}{found['count']:>8}{p50:>13.2f} s{p99:>7.2f} s")
    lines.append("")
    shown = ("rounds", "strikes_in_all", "imports", "records_acknowledged", "watchers", "takeovers", "seconds")
    lines += [f"{name.replace('_', ' '):<44}{summary[name]:>16,}" for name in shown]
    spreads = [name for name in summary if name.endswith("_seconds")]
    lines += [f"{name.removesuffix('_seconds').replace('_', ' '):<44}{summary[name]:>14.2f} s" for name in spreads]
    lines.append("")
    lines += [f"{name.replace('_', ' '):<44}{count:>16,}" for name, count in summary["must_be_zero"].items()]
    lines += [f"\nFAULT: {fault}" for fault in summary["faults"]]
    lines.append(f"\nThe same plan again: make faults ROUNDS={summary['rounds']} SEED={summary['seed']}")
    return "\n".join(lines)
