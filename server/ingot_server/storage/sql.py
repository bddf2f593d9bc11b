"""Named queries from the .sql file beside a module.

A query begins with `-- name: its_name`; the comment lines below that say what it is for.
"""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Queries:
    """The queries of one .sql file, as attributes."""

    def __init__(self, file: str) -> None:
        text = resources.files("ingot_server.storage").joinpath(file).read_text("utf-8")
        _, *pairs = _NAME.split(text)
        self._queries = {name: query.strip() for name, query in zip(pairs[::2], pairs[1::2], strict=True)}

    def __getattr__(self, name: str) -> str:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(name) from None
