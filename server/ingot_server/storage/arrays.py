"""Arrays as text, made for thousands of values at once: asyncpg takes several times as long, and on the event loop.

In a statement such a parameter is `$1::text::text[]`.
"""

from collections.abc import Collection


def text_array(texts: Collection[str]) -> str:
    """An array of texts. None of them has a NUL, as none that PostgreSQL stores."""
    if not texts:
        return "{}"
    joined = "\0".join(texts).replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'{{"{joined}"}}'
