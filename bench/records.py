"""The records: 150 bytes each, the same in every run.

Names and words repeat as in real data; ids go up, as in an export. A changed record has the same key and length.
"""

from collections.abc import Callable, Iterator
from itertools import cycle
from math import gcd
from pathlib import Path
from typing import Any

RECORD_BYTES = 150
FIRST_ID = 10_000_000
FIELDS = ("id", "name", "email", "city", "country", "points", "day", "note")

_FIRST = ("Ada", "Grace", "Edsger", "Karen", "Alan", "Radia", "Donald", "Mary", "Ole", "Hedy", "Tove")
_LAST = ("Lovelace", "Hopper", "Dijkstra", "Liskov", "Turing", "Perlman", "Knuth", "Allen", "Wirth", "Lamarr", "Li")
_CITY = ("Malmo", "Berlin", "Lyon", "Porto", "Gdansk", "Turku", "Bergen")
_COUNTRY = ("SE", "DE", "FR", "PT", "PL", "FI", "NO")
_FILL = "the quick brown fox jumps over the lazy dog and runs away across the wide green fields "


def generic(number: int, version: int = 0) -> str:
    """A record as JSON."""
    first, last, place = _FIRST[number % 11], _LAST[number // 11 % 11], number // 7 % 7
    text = (
        f'{{"id":{FIRST_ID + number},"name":"{first} {last}","email":"{first}{number}@example.se",'
        f'"city":"{_CITY[place]}","country":"{_COUNTRY[place]}","points":{100 + (number * 7 + version) % 900},'
        f'"day":"20{10 + number % 15}-0{1 + number % 9}-1{number % 10}","note":"'
    )
    return _filled(text)


def contact(number: int, version: int = 0) -> str:
    """A record of the kind CONTACTS as JSON: every field has rules, and three of them identify it."""
    first, last, place = _FIRST[number % 11], _LAST[number // 11 % 11], number // 7 % 7
    text = (
        f'{{"id":"{FIRST_ID + number}","email":"{first.lower()}{number}@example.se",'
        f'"phone":"+467{"02369"[number % 5]}{number // 5:07}","name":"{first} {last}",'
        f'"country":"{_COUNTRY[place]}","points":{100 + (number * 7 + version) % 900},"city":"'
    )
    return _filled(text)


def _filled(text: str) -> str:
    return f'{text}{_FILL[: max(1, RECORD_BYTES - len(text) - 2)]}"}}'


def faulty(number: int) -> str:
    """A record that cannot be imported, in one of four ways."""
    text = generic(number)
    match number // 100 % 4:
        case 0:
            return text.replace('"id"', '"no"', 1)
        case 1:
            return text[:-2]
        case 2:
            return text.replace('"note":"', '"note":"\\u0000', 1)
        case _:
            return f"[{text}]"


def row(number: int) -> str:
    """A record as a row of CSV."""
    first, last, place = _FIRST[number % 11], _LAST[number // 11 % 11], number // 7 % 7
    cells = (
        f"{FIRST_ID + number},{first} {last},{first}{number}@example.se,{_CITY[place]},{_COUNTRY[place]},"
        f"{100 + number * 7 % 900},20{10 + number % 15}-0{1 + number % 9}-1{number % 10},"
    )
    # As much to store as the record in JSON, which has the names of the fields too.
    return cells + _FILL[: len(generic(number)) - len(cells) - sum(map(len, FIELDS)) - 3 * len(FIELDS)]


def fields(records: int) -> Iterator[dict[str, Any]]:
    """Records as a program has them, that are cheap to make: only the ids differ from one thousand to the next."""
    names = [
        {
            "name": f"{_FIRST[n % 11]} {_LAST[n // 11 % 11]}",
            "email": f"{_FIRST[n % 11]}{n}0000@example.se",
            "city": _CITY[n % 7],
            "country": _COUNTRY[n % 7],
            "points": 100 + n % 900,
            "day": f"20{10 + n % 15}-01-10",
            "note": _FILL[:16],
        }
        for n in range(1_000)
    ]
    return ({"id": number, **rest} for number, rest in zip(range(FIRST_ID, FIRST_ID + records), cycle(names)))


class Dataset:
    """Files of generated records, each made when it is first asked for."""

    def __init__(self, folder: Path, records: int) -> None:
        self.records = records
        self._folder = folder

    def file(self, name: str) -> Path:
        """One of `MADE`, or `bad` and how many of a hundred records are faulty, as in `bad20`."""
        suffix = ".csv" if name == "csv" else ".ndjson"
        path = self._folder / f"{name}{suffix}"
        if not path.exists():
            with path.open("w", encoding="utf-8", newline="") as file:
                if name == "csv":
                    file.write(",".join(FIELDS) + "\n")
                made = _with_faults(int(name.removeprefix("bad"))) if name.startswith("bad") else MADE[name]
                file.writelines(f"{made(number)}\n" for number in self._numbers(name))
        return path

    def faults(self, percent: int) -> int:
        """How many records are faulty in the file that is called `bad` and this number."""
        return sum(_is_faulty(number, percent) for number in range(self.records))

    def _numbers(self, name: str) -> Iterator[int]:
        if name != "shuffled":
            return iter(range(self.records))
        stride = next(
            odd for odd in range(self.records * 618 // 1000 | 1, self.records * 2, 2) if gcd(odd, self.records) == 1
        )
        return (number * stride % self.records for number in range(self.records))


MADE: dict[str, Callable[[int], str]] = {
    "new": generic,
    "changed": lambda number: generic(number, version=1),
    "shuffled": generic,
    "csv": row,
    "contacts": contact,
    "contacts_changed": lambda number: contact(number, version=1),
}


def _is_faulty(number: int, percent: int) -> bool:
    return number * percent % 100 < percent


def _with_faults(percent: int) -> Callable[[int], str]:
    return lambda number: faulty(number) if _is_faulty(number, percent) else generic(number)
