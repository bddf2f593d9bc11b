import json
import random
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingot_server.domain.records import RECORD_BYTES_MAX, Decoded, ErrorCode, Fault, reject
from ingot_server.pipeline import checking
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.diagnosis import faults_of
from ingot_server.pipeline.syntax import syntax_fault

ID = ("id",)
GOOD = b'{"id":"good"}'


def checked(texts: list[bytes], key_fields: tuple[str, ...] = ID) -> Decoded:
    return check(Decoded(texts, range(len(texts)), [0] * len(texts), [], len(texts)), key_fields)


def faults(text: bytes, key_fields: tuple[str, ...] = ID) -> list[tuple[str, str]]:
    """The codes and fields of what is wrong with a record that stands between good ones."""
    around = b"{%b}" % b",".join(b'"%b":1' % name.encode() for name in key_fields or ("id",))
    around = around if key_fields else b'{"keys":["id"],"id":1}'
    result = checked([around, text, around], key_fields)
    assert result.received == 3
    assert result.texts[0] == result.texts[-1] == around
    if result.rejects:
        assert list(result.indexes) == [0, 2]
        [found] = result.rejects
        assert found.index == 1
        return [(fault.code.name, fault.field) for fault in found.faults]
    assert list(result.indexes) == [0, 1, 2]
    return []


def nested(depth: int) -> bytes:
    """A record nested `depth` deep."""
    return b'{"id":1,"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":1}',
        b' {"id" : 0, "a":[1,{"b":null}]}\t',
        b'{"id":false}',
        b'{"id":[]}',
        b'{"id":" "}',
        b'{"id":"","id":1}',
        '{"id":"ä😀\u2028\x7f"}'.encode(),
        b'{"id":"\\ud83d\\ude00 \\u00e4 \\\\u0000 \\\\ud800 \\\\\\\\u0000"}',
        b'{"id":1e308,"a":1E-308,"b":9e308,"c":1e-05,"d":-0.0,"e":1e0000000005}',
        b'{"id":1,"a":' + b"1" * 4_300 + b"}",
        b'{"id":1,"a":0.' + b"1" * 4_299 + b"e-308}",
        b'{"id":1,"a":"' + b"1" * 5_000 + b'","b":" 1e999 ,1e999:1e999"}',
        b'{"id":1,"1e999":"4e12345-1e999"}',
        nested(100),
        b'{"id":1,"a":"' + b"[{" * 1_000 + b'"}',
        b'{"id":1,"a":[' + b"[]," * 1_000 + b"[]]}",
        b'{"id":"' + b"x" * (RECORD_BYTES_MAX - 9) + b'"}',
    ],
)
def test_good_records_pass_unchanged(text: bytes) -> None:
    assert faults(text) == []
    assert faults_of(text, ID) == []
    assert checked([text]).texts == [text]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (b'{"id":"' + b"x" * (RECORD_BYTES_MAX - 8) + b'"}', "RECORD_TOO_LARGE", "larger than 2,097,152 bytes"),
        (b"", "EMPTY_LINE", "empty"),
        (b" \t\r", "EMPTY_LINE", "empty"),
        (b'{"id":"\xff"}', "INVALID_ENCODING", "byte 0xff at character 8"),
        (b'{"id":"\xc3\xa4\xed\xa0\x80"}', "INVALID_ENCODING", "byte 0xed at character 9"),
        (b'{"id":1,"\xc0\xaf":1}', "INVALID_ENCODING", "byte 0xc0"),
        (b'{"id":1,"a":{"b":"\xff"}}', "INVALID_ENCODING", "byte 0xff"),
        (b'{"id":"\\ud800"}', "INVALID_ENCODING", "\\ud800 at character 8"),
        (b'{"id":"\\uDC00x"}', "INVALID_ENCODING", "half of a surrogate pair"),
        (b'{"id":"\\ud800\\ud800\\udc00"}', "INVALID_ENCODING", "at character 8"),
        (b'{"id":1,"a":["\\\\\\udfff"]}', "INVALID_ENCODING", "at character 17"),
        (b'{"id":1,"\\ud9ff":1}', "INVALID_ENCODING", "surrogate"),
        (b'{"id":"a\tb"}', "CONTROL_CHARACTER", "U+0009 at character 9"),
        (b'{"id":"a\nb"}', "CONTROL_CHARACTER", "U+000A"),
        (b'{"id":1,"a":["\\"\x1f"]}', "CONTROL_CHARACTER", "U+001F at character 17"),
        (b'{"id":1,"a\x01":1}', "CONTROL_CHARACTER", "U+0001"),
        (b'{"id":"\0"}', "CONTROL_CHARACTER", "U+0000"),
        (b'{"id":1}\0', "CONTROL_CHARACTER", "U+0000 at character 9"),
        (b'{"id":"\\u0000"}', "CONTROL_CHARACTER", "\\u0000 at character 8"),
        (b'{"id":1,"\\\\\\u0000":1}', "CONTROL_CHARACTER", "at character 12"),
        (b'{"id":1,}', "SYNTAX_ERROR", "Not well-formed JSON at character"),
        (b'{"id":[1,]}', "SYNTAX_ERROR", "Not well-formed JSON at character"),
        (b"{'id':1}", "SYNTAX_ERROR", "expected a field name in double quotes, found `'`"),
        (b'{"id":NaN}', "SYNTAX_ERROR", "character 7: NaN is no JSON value"),
        (b'{"id":1,"N":[-Infinity]}', "SYNTAX_ERROR", "Infinity is no JSON value"),
        (b'{"id":1,"a":nope}', "SYNTAX_ERROR", "character 13: expected a value, found `n`"),
        (b'{"id":1 "a":2}', "SYNTAX_ERROR", "character 9: expected a comma or the closing bracket"),
        (b'{"id" 1}', "SYNTAX_ERROR", "expected a colon"),
        (b'{"id":01}', "SYNTAX_ERROR", "character 8"),
        (b'{"id":1,"a":+1}', "SYNTAX_ERROR", "character 13"),
        (b'{"id":1,"a":1.}', "SYNTAX_ERROR", "character 14"),
        (b'{"id":1', "SYNTAX_ERROR", "found the end of the record"),
        (b'{"id":"x', "SYNTAX_ERROR", "character 7: the string that begins here is never closed"),
        (b'{"id":1} {"id":2}', "SYNTAX_ERROR", "character 10: expected the end of the record, found `{`"),
        (b'{"id":"\\x"}', "SYNTAX_ERROR", "expected an escape"),
        (b'{"id":"\\u00g0"}', "SYNTAX_ERROR", "four hexadecimal digits"),
        (b'\xef\xbb\xbf{"id":1}', "SYNTAX_ERROR", "found U+FEFF"),
        (b'{"id":1}\x0c', "SYNTAX_ERROR", "U+000C"),
        (b'{"a":' + b"x" * 100_000, "SYNTAX_ERROR", "invalid character"),
        (nested(101), "TOO_DEEP", "100"),
        (nested(5_000), "TOO_DEEP", "100"),
        (b'{"id":1,"a":[' + b"[]," * 1_000 + nested(100) + b"]}", "TOO_DEEP", "100"),
        (b"[1]", "NOT_AN_OBJECT", "got an array"),
        (b' "x"', "NOT_AN_OBJECT", "got a string"),
        (b"null", "NOT_AN_OBJECT", "got null"),
        (b"-1", "NOT_AN_OBJECT", "got a number"),
        (b"true", "NOT_AN_OBJECT", "got true"),
        (b"{}", "EMPTY_RECORD", "no field with a value"),
        (b'{"a":null,"id":""}', "EMPTY_RECORD", "no field with a value"),
    ],
)
def test_bad_records_are_rejected_with_the_place(text: bytes, code: str, words: str) -> None:
    assert faults(text) == [(code, "")]
    [fault] = faults_of(text, ID)
    assert words in fault.message


def test_wherever_a_record_is_cut_off_the_place_is_that_of_a_reader() -> None:
    text = '{"id":1,"ä":"b€","c":[{"d":"e","f \\" g":"\\\\"},null]}'
    for end in range(1, len(text)):
        cut = text[:end].encode()
        # What is said of any other text is found by reading it.
        assert faults_of(cut, ID) == [syntax_fault(cut, "")]


@pytest.mark.parametrize(
    "number",
    [
        *("1e309", "1E+400", "-1e-309", "1e-20000", "1e131071", "0e999", "0.0e-0999", "12.5e99999999999999"),
        *("1" * 60 + "e400", "1" * 4_301, "0." + "1" * 4_300, "1" * 4_301 + "e5", "-" + "1" * 1_000_000),
        "1e" + "0" * 5_000 + "1",
    ],
)
@pytest.mark.parametrize("frame", ["%s", "[1, %s]", '{"a":{"b":\n%s}}'])
def test_numbers_that_the_database_or_a_float_cannot_hold_are_rejected(number: str, frame: str) -> None:
    text = f'{{"x":1,"n":{frame % number},"id":1}}'.encode()
    assert faults(text) == [("NUMBER_OUT_OF_RANGE", "n")]


@pytest.mark.parametrize("number", ["1e999", "1e99999999999", "1" * 4_301])
@pytest.mark.parametrize(
    ("record", "field"),
    [
        ('{"id":1,"v":%s,"v":1}', ""),
        ('{"id":%s,"id":1}', ""),
        ('{"id":1,"v":[1,{"w":%s}],"v":"1e999"}', ""),
        ('{"id":1,"v":1,"v":%s}', "v"),
        ('{"id":1,"v":[{"w":%s,"w":1}]}', "v"),
        ('{"id":"1e999\\"1e999\\\\","v":%s,"v":true}', ""),
    ],
)
def test_every_value_of_a_field_that_stands_twice_must_be_in_range(number: str, record: str, field: str) -> None:
    assert faults((record % number).encode()) == [("NUMBER_OUT_OF_RANGE", field)]


def test_a_number_beyond_very_many_fields_is_found() -> None:
    fields = b"".join(b',"k%d":1' % number for number in range(20_000))
    assert faults(b'{"id":1%b,"z":1e999}' % fields) == [("NUMBER_OUT_OF_RANGE", "")]


@pytest.mark.parametrize("others", [[b""] * 1_000, [b"1"] * 1_000, [b" ", b"[]", GOOD] * 100, [b"x"] * 101])
@pytest.mark.parametrize("key_fields", [ID, ()])
def test_no_neighbours_hide_a_record_that_is_too_deep(others: list[bytes], key_fields: tuple[str, ...]) -> None:
    texts = [b'{"keys":["id"],' + nested(depth).removeprefix(b"{") for depth in (100, 101)]
    assert checked([*texts, *others], key_fields).rejects[0].faults[0].code is ErrorCode.TOO_DEEP
    assert checked([*others, *texts], key_fields).rejects[-1].faults[0].code is ErrorCode.TOO_DEEP


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"id":"\t"}\x0c', "character 11: expected the end of the record, found U+000C"),
        (b'{\x01"id":"a\\"\t"}\x02', "character 2: expected a field name in double quotes, found U+0001"),
        (b'{"id":"\0\x02"}\t\x0b\0', "found U+000B"),
        (b'{"id":"\t",\x1f', "found U+001F"),
    ],
)
def test_a_syntax_error_is_not_lost_beside_a_control_character(text: bytes, words: str) -> None:
    assert faults(text) == [("CONTROL_CHARACTER", ""), ("SYNTAX_ERROR", "")]
    assert words in faults_of(text, ID)[1].message


@pytest.mark.parametrize("text", [b'{"id":"\t"}\t\r', b'{"id":"\0"}\0', b'{\t"id":"\x0c"\n}'])
def test_blanks_beside_a_control_character_are_no_syntax_error(text: bytes) -> None:
    assert faults(text) == [("CONTROL_CHARACTER", "")]


@pytest.mark.parametrize("value", ["null", '""'])
def test_a_key_field_must_have_a_value(value: str) -> None:
    text = f'{{"id":{value},"b":{value},"x":1}}'.encode()
    assert faults(text) == [("MISSING_KEY", "id")]
    assert faults(text, ("id", "a", "b")) == [("MISSING_KEY", "id"), ("MISSING_KEY", "a"), ("MISSING_KEY", "b")]
    assert faults(b'{"x":1}') == [("MISSING_KEY", "id")]


@pytest.mark.parametrize("name", ["a b", "ä", 'a"b', "a\\b", "\n", "x" * 100, "class", "0", "__init__"])
def test_key_fields_may_have_any_name(name: str) -> None:
    record = json.dumps({name: 1, "id": 1}, ensure_ascii=False).encode()
    assert checked([record, b'{"other":1}'], (name,)).texts == [record]


def test_a_field_name_may_be_written_with_escapes() -> None:
    assert faults(b'{"i\\u0064":1}') == []


@pytest.mark.parametrize("keys", ['["a"]', '["b","a"]', '["a","b","c","d","e","f","g","h"]'])
def test_without_key_fields_a_record_names_its_own(keys: str) -> None:
    fields = ",".join(f'"{name}":{number}' for number, name in enumerate("abcdefghi"))
    assert faults(f'{{{fields},"keys":{keys}}}'.encode(), ()) == []


@pytest.mark.parametrize(
    "keys",
    [
        *("null", '""', '"a"', "[]", "[1]", '["a","a"]', '["a",null]', '["missing"]', '["null"]', '["empty"]', '[""]'),
        *('["keys"]', '{"a":1}', '["a","b","c","d","e","f","g","h","i"]', '["a","missing"]', "[1e5]"),
    ],
)
def test_unusable_keys_are_a_missing_key(keys: str) -> None:
    fields = ",".join(f'"{name}":1' for name in "abcdefghi")
    text = f'{{{fields},"null":null,"empty":"","":1,"keys":{keys}}}'.encode()
    assert faults(text, ()) == [("MISSING_KEY", "keys")]
    assert faults(b'{"a":1}', ()) == [("MISSING_KEY", "keys")]


@pytest.mark.parametrize(("name", "is_usable"), [("x" * 255, True), ("x" * 256, False), ("ä" * 128, False)])
def test_the_name_of_a_key_field_is_short(name: str, is_usable: bool) -> None:
    text = json.dumps({"keys": [name], name: 1}).encode()
    assert faults(text, ()) == ([] if is_usable else [("MISSING_KEY", "keys")])
    assert checked([text], ()).texts == ([text] if is_usable else [])


def test_all_faults_of_a_record_are_reported() -> None:
    text = b'{"a":"\xff\\ud800\t\\u0000","n":1e999,"m":[1e-999],"d":' + b"[" * 100 + b"]" * 100 + b"}"
    assert faults(text, ("id", "key")) == [
        ("INVALID_ENCODING", ""),
        ("INVALID_ENCODING", ""),
        ("CONTROL_CHARACTER", ""),
        ("CONTROL_CHARACTER", ""),
        ("TOO_DEEP", ""),
        ("NUMBER_OUT_OF_RANGE", "n"),
        ("NUMBER_OUT_OF_RANGE", "m"),
        ("MISSING_KEY", "id"),
        ("MISSING_KEY", "key"),
    ]


def test_a_reject_has_a_bounded_number_of_faults_and_bounded_fields() -> None:
    text = json.dumps({f"{number}" * 300: 1.5 for number in range(1_000)}).replace("1.5", "1e999").encode()
    [found] = checked([text]).rejects
    assert len(found.faults) <= 12
    assert all(len(fault.field) <= 255 and len(fault.message) < 500 for fault in found.faults)


def test_line_breaks_between_tokens_become_blanks() -> None:
    pretty = json.dumps({"id": 1, "a": ["\\\n", {}]}, indent=2).replace("\n", "\r\n").encode()
    [text] = checked([pretty]).texts
    assert b"\n" not in text
    assert b"\r" not in text
    assert msgspec.json.decode(text) == {"id": 1, "a": ["\\\n", {}]}
    assert len(text) == len(pretty)


@pytest.mark.parametrize("count", [0, 1, 2, 5_000])
def test_a_block_without_faults_keeps_its_ranges(count: int) -> None:
    texts = [b'{"id":%d}' % (number + 1) for number in range(count)]
    given = Decoded(texts, range(7, 7 + count), range(9, 9 + count), [], count)
    found = check(given, ID)
    assert found == replace(given, keys=found.keys)


def test_rejects_keep_index_line_and_source_and_come_in_order() -> None:
    earlier = reject(1, 12, b"x", Fault(ErrorCode.CELL_COUNT, "2"))
    given = Decoded([b"\xff", GOOD, b"{"], [0, 2, 4], [10, 15, 20], [earlier], 6)
    result = check(given, ID)
    assert (result.texts, list(result.indexes), list(result.lines), result.received) == ([GOOD], [2], [15], 6)
    assert [(found.index, found.line, found.raw) for found in result.rejects] == [
        (0, 10, "\\xff"),
        (1, 12, "x"),
        (4, 20, "{"),
    ]


HOSTILE = {
    "a million digits": b'{"id":' + b"1" * 1_000_000 + b"}",
    "a million digits with a fraction": b'{"id":1,"a":0.' + b"1" * 1_000_000 + b"}",
    "nested 100,000 deep": nested(100_000),
    "opened 100,000 times": b'{"a":' * 100_000,
    "100,000 keys": b'{"id":1%b}' % b"".join(b',"k%d":%d' % (number, number) for number in range(100_000)),
    "100,000 keys and no key": b'{"a":1%b}' % b"".join(b',"k%d":%d' % (number, number) for number in range(100_000)),
    "100,000 numbers too large": b'{"id":1%b}' % b"".join(b',"k%d":1e999' % number for number in range(100_000)),
    "quotes": b'{"id":"' + b'"' * 2_000_000,
    "empty strings": b'{"id":[""' + b',""' * 690_000 + b"]}",
    "empty strings and a large number": b'{"id":[1e999' + b',""' * 690_000 + b"]}",
    "backslashes": b'{"id":"' + b"\\" * 2_000_000 + b'"}',
    "backslashes without an end": b'{"id":"' + b"\\" * 2_000_001,
    "escaped quotes": b'{"id":"' + b'\\"' * 1_000_000 + b'"}',
    "escapes": b'{"id":"' + b"\\u0000" * 340_000 + b'"}',
    "lone surrogates": b'{"id":"' + b"\\ud800" * 340_000 + b'"}',
    "control characters": b'{"id":"' + b"\x01" * 2_000_000 + b'"}',
    "bytes that are no UTF-8": b'{"id":"' + b"\xff" * 2_000_000 + b'"}',
    "exponents": b'{"id":[1' + b",1e999" * 340_000 + b"]}",
    "words like exponents": b'{"id":"' + b"1e999 " * 340_000 + b'"}',
    "numbers of 4,300 digits": b'{"id":[1' + b"," + b",".join([b"1" * 4_300] * 480) + b"]}",
    "numbers of 4,300 characters": b'{"id":[1' + b"," + b",".join([b"1." + b"1" * 4_299] * 480) + b"]}",
    "flat arrays": b'{"id":[[]' + b",[]" * 690_000 + b"]}",
    "arrays 90 deep": b'{"id":[1' + (b"," + b"[" * 90 + b"]" * 90) * 11_000 + b"]}",
    "arrays 99 deep with siblings": b'{"id":'
    + b"[[]," * 99
    + (b"[" * 50 + b"]" * 50 + b",") * 20_000
    + b"1"
    + b"]" * 99
    + b"}",
    "fields like exponents": b'{"id":1%b,"z":1e999}' % b"".join(b',"k%d":"1e999"' % n for n in range(100_000)),
    "strings with escapes like exponents": b'{"id":[""' + b',"\\"\\\\1e999"' * 160_000 + b",1e999]}",
    "control characters everywhere": b'{"id":1%b}\x0c' % b"".join(b',"k%d":"\t"' % n for n in range(100_000)),
    "blanks": b" " * 2_000_000,
    "blanks and a brace": b" " * 2_000_000 + b"{",
    "opened brackets": b"[" * 2_000_000,
    "opened and closed": b"{}" * 1_000_000,
    "NUL": b"\0" * 2_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("key_fields", [ID, ()])
def test_a_hostile_record_takes_little_time(name: str, key_fields: tuple[str, ...]) -> None:
    text = HOSTILE[name]
    assert len(text) <= RECORD_BYTES_MAX
    times = []
    for _ in range(3):
        start = time.thread_time()
        checked([text], key_fields)
        times.append(time.thread_time() - start)
    # Less than 0.1 s on a quiet machine.
    assert min(times) < 0.5


@given(st.lists(st.binary(max_size=40), max_size=5), st.sampled_from([ID, (), ("a", "b")]))
@settings(max_examples=2_000, deadline=None)
def test_random_bytes_never_raise(texts: list[bytes], key_fields: tuple[str, ...]) -> None:
    result = checked(texts, key_fields)
    assert len(result.texts) + len(result.rejects) == len(texts)


PARTS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b'"',
    b"\\",
    b"\\u",
    b"0000",
    b"d83d",
    b"\\ude00",
    b"id",
    b'"id":1',
    b"1",
    b"e",
    b"-",
    b".",
]
PARTS += [
    b"\xff",
    b"\xc3\xa4",
    b"\n",
    b" ",
    b"null",
    b'""',
    b"\0",
    b"\x1f",
    b"999",
    b'{"id":"',
    b'{"id":"x","y":',
    b"}}",
    b"1e400",
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join), st.sampled_from([ID, ()]))
@example(b'{"id":"x","y":"\xc3\xa4"}', ID)
@settings(max_examples=2_000, deadline=None)
def test_the_block_search_agrees_with_the_diagnosis(text: bytes, key_fields: tuple[str, ...]) -> None:
    result = checked([text], key_fields)
    assert [list(found.faults) for found in result.rejects] == [
        found for found in [faults_of(text, key_fields)] if found
    ]
    for passed in result.texts:
        value: Any = json.loads(passed, parse_constant=pytest.fail)
        assert isinstance(value, dict)
        assert value
        assert b"\n" not in passed


def test_neighbours_do_not_change_what_is_found() -> None:
    chance = random.Random(1)
    texts = [b"".join(chance.choices(PARTS, k=chance.randint(1, 8))) for _ in range(2_000)]
    texts += [b'{"id":"x","y":%d}' % number for number in range(2_000)]
    chance.shuffle(texts)
    alone = [position for position, text in enumerate(texts) if not checked([text]).rejects]
    assert list(checked(texts).indexes) == alone


@pytest.mark.parametrize(
    "value",
    [
        b'"\x01"',
        b'"\\x"',
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\u12"',
        b"01",
        b"1.",
        b"-",
        b"tru",
        b"[1,]",
        b"[1}",
        b"NaN",
        b'{"a"}',
    ],
)
def test_msgspec_reads_strictly_what_it_skips(value: bytes) -> None:
    # The fast way relies on it, for all versions of msgspec.
    read, _ = checking._reader(ID, False)
    with pytest.raises(checking._ERRORS):
        read(b'{"id":1,"skipped":' + value + b"}")
