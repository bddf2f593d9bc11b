"""What passes the checks is what PostgreSQL's jsonb accepts."""

import random

import asyncpg
import msgspec
import pytest

from ingot_server.domain.records import Decoded
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.keys import read_keys
from tests.pipeline.test_checking import nested

STRINGS = [
    "",
    "x",
    "ä😀",
    "\\u00e4",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\u0000",
    "\\\\u0000",
    '\\n\\/\\"',
    "\\x",
    "\t",
    "\x7f",
    "\u2028",
]
NUMBERS = [
    "0",
    "-0",
    "1",
    "-1.50",
    "1e5",
    "1E-308",
    "9e308",
    "1e309",
    "1e-309",
    "0e999",
    "0e99999999999",
    "01",
    "1.",
    "+1",
    ".5",
]
NUMBERS += [
    "NaN",
    "-Infinity",
    "1" * 4_300,
    "1" * 4_301,
    "0." + "1" * 4_299 + "e-308",
    "1" * 4_299 + "e308",
    "1e131071",
    "1e00005",
]
TOKENS = ["{", "}", "[", "]", ",", ":", '"', " ", "\n", "\r", "null", "true", "\\", "\ufeff", "1", "\x0c", "\x00", "é"]


def value(chance: random.Random, depth: int = 0) -> str:
    """A JSON text, more or less."""
    kind = chance.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return '"' + "".join(chance.choices(STRINGS, [8, 8, *[1] * (len(STRINGS) - 2)], k=2)) + '"'
    if kind < 4:
        return chance.choice(NUMBERS) if chance.random() < 0.2 else str(chance.randint(-9, 10**20))
    if kind == 4:
        return chance.choice(["null", "true", "false", '""'])
    inner = [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 5:
        return "[" + chance.choice([",", ", ", ",\n"]).join(inner) + "]"
    return "{" + ",".join(f'"{chance.choice("abc")}":{text}' for text in inner) + "}"


def record(chance: random.Random) -> bytes:
    text = f'{{"id":{value(chance, 4)},"a":{value(chance)}}}'
    if chance.random() < 0.3:
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(TOKENS) + text[at + chance.randrange(2) :]
    data = text.encode()
    if chance.random() < 0.05:
        at = chance.randrange(len(data))
        data = data[:at] + bytes([chance.randrange(256)]) + data[at:]
    return data


@pytest.mark.parametrize("seed", range(5))
async def test_what_passes_is_accepted_by_jsonb(database_url: str, seed: int) -> None:
    chance = random.Random(seed)
    texts = [record(chance) for _ in range(5_000)] + [nested(100), nested(101)]
    result = check(Decoded(texts, range(len(texts)), [0] * len(texts), [], len(texts)), ("id",))
    assert 1_000 < len(result.texts) < 4_500
    connection = await asyncpg.connect(database_url)
    try:
        passed = [text.decode() for text in result.texts]
        accepted = await connection.fetchval("SELECT count(t::jsonb) FROM unnest($1::text[]) AS t", passed)
        # What is shown of a reject must be storable too, and the key.
        shown = [found.raw + fault.message + fault.field for found in result.rejects for fault in found.faults]
        keyed = read_keys(result.texts, ("id",), own_keys=False)
        assert await connection.fetchval("SELECT count(*) FROM unnest($1::text[])", shown) == len(shown)
        keys = await connection.fetch(
            "SELECT k, t::jsonb ->> 'id' AS stored, jsonb_typeof(t::jsonb -> 'id') AS type"
            " FROM unnest($1::text[], $2::text[]) AS r (k, t)",
            keyed.records.keys,
            keyed.records.decoded(),
        )
    finally:
        await connection.close()
    assert accepted == len(passed)
    assert all("\n" not in text and "\r" not in text for text in passed)
    assert all(row["k"] == row["stored"] for row in keys if row["type"] == "string")
    assert all(float(row["k"]) == float(row["stored"]) for row in keys if row["type"] == "number")
    assert all(isinstance(msgspec.json.decode(text, type=dict[str, msgspec.Raw]), dict) for text in passed)


async def test_what_jsonb_refuses_is_rejected(database_url: str) -> None:
    chance = random.Random(7)
    texts = [record(chance) for _ in range(10_000)]
    sendable = [text for text in texts if _is_text(text)]
    connection = await asyncpg.connect(database_url)
    try:
        refused = await connection.fetch(
            "SELECT t FROM unnest($1::text[]) AS t WHERE NOT pg_input_is_valid(t, 'jsonb')",
            [text.decode() for text in sendable],
        )
    finally:
        await connection.close()
    bad = [row["t"].encode() for row in refused] + [text for text in texts if not _is_text(text)]
    assert len(bad) > 1_000
    result = check(Decoded(bad, range(len(bad)), [0] * len(bad), [], len(bad)), ("id",))
    assert result.texts == []


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False
