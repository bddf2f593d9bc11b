"""The results for people: a table to print, and the section of docs/performance.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.bars import Bar, drawn
from bench.results import GOALS, LIMITS

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = (
    ("sql", "new"),
    ("ingot", "new"),
    ("sql", "changed"),
    ("ingot", "changed"),
    ("sql", "unchanged"),
    ("ingot", "unchanged"),
    ("ingot", "acknowledged"),
    ("ingot", "bad20"),
    ("ingot", "csv"),
    ("ingot", "contacts"),
    ("copy", "new"),
)
"""What the bars show, of a run without peers."""

UNITS = {
    "per_second": "/s",
    "p50_ms": "ms p50",
    "p95_ms": "ms p95",
    "p99_ms": "ms p99",
    "mib": "MiB",
    "client_us": "µs client",
    "server_us": "µs server",
    "api_us": "µs API",
    "workers_us": "µs workers",
    "postgres_us": "µs PostgreSQL",
}


def table(summary: dict[str, Any]) -> str:
    """Rates, ratios and figures, in columns."""
    lines = [f"\n{summary['records']:,} records, medians of {summary['rounds']} rounds\n"]
    for name, cases in summary["rates"].items():
        lines += (f"{name:<16} {case:<28} {rate:>12,} records/s" for case, rate in cases.items())
    lines.append("")
    for name, ratio in summary["ratios"].items():
        goal, met = _goal(name, ratio)
        lines.append(f"{name:<44} {ratio:>13.2f}   {goal}{'' if met else '  MISSED'}")
    lines.append("")
    for name, units in summary["figures"].items():
        values = "  ".join(f"{value:>10,.1f} {UNITS[unit]}" for unit, value in units.items())
        missed = any(value > LIMITS.get((name, unit), value) for unit, value in units.items())
        lines.append(f"{name:<44} {values}{'  MISSED' if missed else ''}")
    return "\n".join(lines)


def published(summary: dict[str, Any], name: str) -> None:
    """Puts the results into docs/performance.md, between the two marks with this name, and draws their bars."""
    rates = summary["rates"]
    shown = SHOWN if name == "results" else [(who, "new") for who in rates] + [(who, "changed") for who in rates]
    bars = [Bar(who, case, rates[who][case]) for who, case in shown if case in rates.get(who, {})]
    (DOCS / "images").mkdir(exist_ok=True)
    (DOCS / "images" / f"{name}.svg").write_text(drawn("records per second", bars), encoding="utf-8")
    page = DOCS / "performance.md"
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(f"<!-- {name}: written by the benchmark -->\n")
    _, end, tail = rest.partition(f"<!-- end of {name} -->\n")
    if not end:
        raise ValueError(f"{page} has no place for {name}")
    page.write_text(head + begin + "\n".join(_markdown(summary, name)) + "\n" + end + tail, encoding="utf-8")


def _markdown(summary: dict[str, Any], name: str) -> Iterator[str]:
    machine = summary["machine"]
    yield (
        f"{summary['records']:,} records, medians of {summary['rounds']} rounds, {summary['time']}: "
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}."
    )
    yield f"\n![Records per second](images/{name}.svg)\n"
    yield "| path | case | records/s |\n|---|---|---:|"
    for who, cases in summary["rates"].items():
        yield from (f"| `{who}` | {case} | {rate:,} |" for case, rate in cases.items())
    yield "\n| ratio | | goal |\n|---|---:|---|"
    for ratio, value in summary["ratios"].items():
        goal, met = _goal(ratio, value)
        yield f"| `{ratio}` | {value:.2f} | {goal}{'' if met else ', missed'} |"
    if summary["figures"]:
        yield "\n| | |\n|---|---|"
    for figure, units in summary["figures"].items():
        yield f"| {figure} | {', '.join(f'{value:,.1f} {UNITS[unit]}' for unit, value in units.items())} |"


def _goal(name: str, ratio: float) -> tuple[str, bool]:
    """What a ratio is to be, and whether it is."""
    goal = GOALS.get(name)
    return ("", True) if goal is None else (f"at least {goal:g}", ratio >= goal)
