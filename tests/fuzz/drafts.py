"""Bytes and texts that look almost right: the pieces of each language in any order, repeated, and damaged."""

from collections.abc import Sequence

from hypothesis import strategies as st

NUMBERS = [b"0", b"-1", b"1.50", b"1e5", b"1E400", b"-0.0", b"01", b"1" * 50, b"9" * 4_301, b"NaN", b"-Infinity"]
TEXTS = [
    *(b'"a"', b'"id"', b'""', b'"\\u0000"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\n"', b'"\\x"', b'"\n"', b'"'),
    *("ä".encode(), "😀".encode(), b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"\x01", b"\x7f", b"\\"),
]
JSON = [
    *(b"{", b"}", b"[", b"]", b",", b":", b" ", b"\t", b"null", b"true", b"fals", b'{"id":1}', b'{"id":"x"},', b"{}"),
    *(b'{"id":[1,{"b":"]}"}]}', b'"id":', b'"ingot:errors":"x",', b'"ingot:more":{"a":1},', *NUMBERS, *TEXTS),
]
LINES = [*JSON, b"\n", b"\r\n", b"\r", b'{"id":2}\n', b'{"id":"3","n":1.5}\r\n', "\u2028".encode()]
ROWS = [
    *(b"a", b"id", b",", b";", b"\t", b'"', b'""', b"'", b"\n", b"\r\n", b"\r", b" ", b"1,2\n", b'"q",1\n', b'x",",\n'),
    *(b'"l\nm",1\n', b"a:json", b"ingot:errors", b"ingot:errors,id\r\n", b"ingot:more:json", b"=1+1", *TEXTS, *NUMBERS),
]
FILTER = [
    *("points", "email", "seen", "day", "country", "address", "address.zip", "tags", '"a.b"', "x.y", "_key"),
    "_import_id",
    *("_create_time", "=", "!=", "<", ">=", ":", "==", "~", "AND", "OR", "NOT", "-", "(", ")", " ", "\t", "*", "null"),
    *("1", "-1.5", "2e3", "1e999", "true", "SE", "2026-03-31", "2026-03-31T13:05:00Z", "A@b.se", '"x y"', "'q'", '"'),
    *("desc", "asc", ",", "\0", "\ud800", "ä", "İ", "9" * 401, '"a*"', "a*", "*a", '"\\""', "\\", "like", "&&", "+46"),
]
VALUES = [
    *("2026-03-29", "T", "t", "02:30", "24:00", ":00", ":60", ".5", "Z", "+02:00", "-23:59", "0000-01-01"),
    "9999-12-31",
    *("@", "a", "example.org", "xn--", "http://", "[::1]", "/", "?", "#", "%", "+46", "0046", "070", "123", ",", "."),
    *("\u00a0", "\u202f", " ", "-", "−", "0", "1", "E5", "sv", "SE", "ß", "İ", "true", "yes", "٣", "１", "\t"),
    "\u200b",
    "'",
]
REPEATED = (1, 1, 1, 1, 2, 7, 100, 5_000)


def joined(pieces: Sequence[bytes], bytes_max: int) -> st.SearchStrategy[bytes]:
    """Pieces in any order, some of them many times, with a few random bytes between."""
    piece = st.sampled_from(pieces) | st.binary(max_size=4)
    repeated = st.builds(
        lambda some, times: b"".join(some) * min(times, max(1, bytes_max // (4 * max(1, sum(map(len, some)))))),
        st.lists(piece, max_size=3),
        st.sampled_from((*REPEATED, bytes_max)),
    )
    return st.lists(piece | repeated, max_size=30).map(lambda found: b"".join(found)[:bytes_max])


def joined_texts(pieces: Sequence[str], characters_max: int) -> st.SearchStrategy[str]:
    """The same of texts."""
    piece = st.sampled_from(pieces) | st.characters()
    repeated = st.builds(lambda one, times: one * times, piece, st.sampled_from((*REPEATED, characters_max)))
    return st.lists(piece | piece | repeated, max_size=20).map(lambda found: "".join(found)[:characters_max])


def damaged(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """What was right, with something in it replaced, left out or added."""

    def damage(data: bytes, at: int, length: int, other: bytes) -> bytes:
        at %= len(data) + 1
        return data[:at] + other + data[at + length :]

    hurt = st.builds(damage, whole, st.integers(0, 1 << 20), st.integers(0, 8), st.binary(max_size=6))
    return whole | hurt
