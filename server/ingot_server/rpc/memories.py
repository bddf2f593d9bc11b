"""What is remembered of callers, up to a number: nobody can fill the server's memory with names that he makes up."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED_MAX = 10_000
"""How much each memory holds; beyond, that is forgotten which has not been remembered anew for the longest time."""


def remember(memory: OrderedDict[K, V], name: K, value: V) -> None:
    """Remembers something, as the newest of all."""
    memory[name] = value
    memory.move_to_end(name)
    if len(memory) > REMEMBERED_MAX:
        memory.popitem(last=False)
