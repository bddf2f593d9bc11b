"""What came out: medians of the rounds, and ratios within them."""

import json
import os
import platform
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

# What the goals are about, as (name, case) over (name, case).
RATIOS = {
    "ingot_new_over_sql_new": (("ingot", "new"), ("sql", "new")),
    "ingot_changed_over_sql_changed": (("ingot", "changed"), ("sql", "changed")),
    "ingot_unchanged_over_sql_changed": (("ingot", "unchanged"), ("sql", "changed")),
    "ingot_acknowledged_over_sql_new": (("ingot", "acknowledged"), ("sql", "new")),
    "ingot_new_over_copy": (("ingot", "new"), ("copy", "new")),
    "ingot_bad1_over_ingot_new": (("ingot", "bad1"), ("ingot", "new")),
    "ingot_bad20_over_ingot_new": (("ingot", "bad20"), ("ingot", "new")),
    "contacts_over_generic": (("ingot", "contacts"), ("ingot", "new")),
    "csv_over_ndjson": (("ingot", "csv"), ("ingot", "new")),
    "records_over_ndjson": (("ingot", "records"), ("ingot", "new")),
    "watchers_1000_over_1": (("ingot", "new, 1,000 watchers"), ("ingot", "new, 1 watcher")),
    "export_over_copy_out": (("ingot", "export"), ("copy", "out")),
    "last_tenth_over_first": (("ingot", "last tenth"), ("ingot", "first tenth")),
    "processes_2_over_1_new": (("2 processes", "new"), ("1 process", "new")),
    "processes_2_over_1_changed": (("2 processes", "changed"), ("1 process", "changed")),
    "processes_2_over_1_contacts": (("2 processes", "contacts"), ("1 process", "contacts")),
    "processes_2_over_1_clients": (("2 processes", "8 clients at once"), ("1 process", "8 clients at once")),
    "apart_over_1_process_new": (("API + workers", "new"), ("1 process", "new")),
    "apart_over_1_process_contacts": (("API + workers", "contacts"), ("1 process", "contacts")),
    "ingot_new_over_dlt_new": (("ingot", "new"), ("dlt", "new")),
    "ingot_changed_over_dlt_changed": (("ingot", "changed"), ("dlt", "changed")),
    "ingot_new_over_dlt_arrow_new": (("ingot", "new"), ("dlt-arrow", "new")),
    "ingot_changed_over_dlt_arrow_changed": (("ingot", "changed"), ("dlt-arrow", "changed")),
    "ingot_new_over_target_postgres_new": (("ingot", "new"), ("target-postgres", "new")),
    "ingot_changed_over_target_postgres_changed": (("ingot", "changed"), ("target-postgres", "changed")),
    "ingot_new_over_pgloader_new": (("ingot", "new"), ("pgloader", "new")),
}

GOALS = {
    "ingot_new_over_sql_new": 1.5,
    "ingot_changed_over_sql_changed": 1.2,
    "ingot_unchanged_over_sql_changed": 2.5,
    "ingot_acknowledged_over_sql_new": 4,
    "ingot_bad1_over_ingot_new": 0.95,
    "ingot_bad20_over_ingot_new": 0.8,
    "contacts_over_generic": 0.6,
    "csv_over_ndjson": 0.8,
    "watchers_1000_over_1": 0.9,
    "export_over_copy_out": 0.5,
    "last_tenth_over_first": 0.9,
    "processes_2_over_1_new": 0.95,
    "processes_2_over_1_changed": 0.95,
    "processes_2_over_1_contacts": 0.95,
    "processes_2_over_1_clients": 0.95,
    "ingot_new_over_dlt_new": 10,
    "ingot_changed_over_dlt_changed": 10,
    "ingot_new_over_target_postgres_new": 10,
    "ingot_changed_over_target_postgres_changed": 10,
    "ingot_new_over_pgloader_new": 3,
}
"""How large a ratio is to be."""

LIMITS = {
    ("progress", "p95_ms"): 300,
    ("event loop lag", "p99_ms"): 50,
    ("memory, one upload", "mib"): 300,
}
"""How large a figure may be."""


class Results:
    """Rates in records per second, and other figures, by round."""

    def __init__(self, records: int) -> None:
        self.records = records
        self._rates: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._figures: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add_rate(self, name: str, case: str, rate: float) -> None:
        """A rate of the round that is under way."""
        self._rates[name, case].append(rate)

    def add_figure(self, name: str, **values: float) -> None:
        """Something else than a rate, by its unit."""
        for unit, value in values.items():
            self._figures[name, unit].append(value)

    def summary(self) -> dict[str, Any]:
        """All of it, as `results.json` has it."""
        return {
            "records": self.records,
            "rounds": max(map(len, [*self._rates.values(), *self._figures.values()]), default=0),
            "rates": _nested(self._rates, 0),
            "ratios": self._ratios(),
            "figures": _nested(self._figures, 1),
            "machine": machine(),
            "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "rates_by_round": {f"{name}: {case}": [*map(round, found)] for (name, case), found in self._rates.items()},
        }

    def _ratios(self) -> dict[str, float]:
        # Of each round by itself: what slowed the machine down for a minute has met both sides.
        return {
            name: round(median(a / b for a, b in zip(self._rates[over], self._rates[under], strict=False)), 3)
            for name, (over, under) in RATIOS.items()
            if over in self._rates and under in self._rates
        }


def _nested(found: dict[tuple[str, str], list[float]], digits: int) -> dict[str, dict[str, float]]:
    medians: dict[str, dict[str, float]] = {}
    for (name, detail), values in found.items():
        # Rounded to no digits at all it would still be a float, and look like one.
        medians.setdefault(name, {})[detail] = round(median(values), digits or None)
    return medians


def machine() -> dict[str, Any]:
    """What it was measured on."""
    cpu = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "").partition(": ")[2]
    memory = next((line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "").split()
    return {
        "cpu": cpu or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 1024**2) if memory else None,
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def written(summary: dict[str, Any], path: Path) -> None:
    """Writes `results.json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
