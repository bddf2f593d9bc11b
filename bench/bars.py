"""Draws bars, as SVG that looks well on light and on dark pages."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 720
LABEL_WIDTH = 230
VALUE_WIDTH = 90
ROW_HEIGHT = 26
COLOURS = {"ingot": "#d9822b", "copy": "#9aa5b1"}
OTHER_COLOUR = "#5b8def"


@dataclass(frozen=True)
class Bar:
    """One bar: whose it is, what it is about, and how long."""

    name: str
    case: str
    value: float


def drawn(title: str, bars: list[Bar]) -> str:
    """A picture with one bar below the other."""
    longest = max((bar.value for bar in bars), default=1)
    height = ROW_HEIGHT * (len(bars) + 1) + 10
    rows = "\n".join(_row(bar, number, longest) for number, bar in enumerate(bars, 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">\n'
        "<style>text { fill: #24292f } @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }</style>\n"
        f'<text x="{LABEL_WIDTH}" y="18" font-weight="bold">{escape(title)}</text>\n{rows}\n</svg>\n'
    )


def _row(bar: Bar, number: int, longest: float) -> str:
    top = number * ROW_HEIGHT + 2
    length = max(1, round((WIDTH - LABEL_WIDTH - VALUE_WIDTH) * bar.value / longest))
    return (
        f'<text x="{LABEL_WIDTH - 8}" y="{top + 15}" text-anchor="end">{escape(f"{bar.name}: {bar.case}")}</text>'
        f'<rect x="{LABEL_WIDTH}" y="{top}" width="{length}" height="{ROW_HEIGHT - 6}" rx="2" '
        f'fill="{COLOURS.get(bar.name, OTHER_COLOUR)}"/>'
        f'<text x="{LABEL_WIDTH + length + 6}" y="{top + 15}">{bar.value:,.0f}</text>'
    )
