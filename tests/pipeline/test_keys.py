import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.records import KEY_BYTES_MAX, Decoded, ErrorCode, Fault
from ingot_server.pipeline.checking import check
from ingot_server.pipeline.keys import Keyed, read_keys
from ingot_server.pipeline.packing import pack, unpack_keys, unpack_texts

ID = ("id",)


def keys(texts: list[bytes], key_fields: tuple[str, ...] = ID) -> list[str | Fault]:
    """The key or fault of each record."""
    keyed = read_keys(texts, key_fields, own_keys=False)
    assert list(keyed.records.texts) == [texts[position] for position in keyed.positions]
    return in_order(keyed, len(texts))


def pairs(keyed: Keyed) -> list[tuple[str, str]]:
    """The keys and the texts."""
    return list(zip(keyed.records.keys, keyed.records.decoded(), strict=True))


def in_order(keyed: Keyed, count: int) -> list[str | Fault]:
    found = dict(keyed.faults) | dict(zip(keyed.positions, keyed.records.keys, strict=True))
    assert sorted(found) == list(range(count))
    return [found[position] for position in range(count)]


@pytest.mark.parametrize("beside", [[], [b'{"id":"x"}'], [b'{"id":1}'], [b'{"id":1.5}']])
@pytest.mark.parametrize(
    ("value", "key"),
    [
        ('"a"', "a"),
        ('"A \\u00e4\\n\\"\\\\"', 'A ä\n"\\'),
        ('"ä😀"', "ä😀"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"1"', "1"),
        ("1", "1"),
        ("-5", "-5"),
        ("0", "0"),
        ("-0", "-0"),
        ("1.50", "1.50"),
        ("1E+5", "1E+5"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9e308", "9e308"),
        ("true", "true"),
        ("false", "false"),
        (f'"{"x" * KEY_BYTES_MAX}"', "x" * KEY_BYTES_MAX),
        (f'"{"ä" * (KEY_BYTES_MAX // 2)}"', "ä" * (KEY_BYTES_MAX // 2)),
        (f'"{"😀" * (KEY_BYTES_MAX // 4)}"', "😀" * (KEY_BYTES_MAX // 4)),
    ],
)
def test_a_key_is_the_string_or_the_text_as_sent(value: str, key: str, beside: list[bytes]) -> None:
    assert keys([*beside, f'{{"a":[1],"id" : {value} ,"b":"c"}}'.encode()])[-1] == key


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("[]", ErrorCode.INVALID_VALUE, "got an array"),
        ('{"a":1}', ErrorCode.INVALID_VALUE, "got an object"),
        (f'"{"x" * (KEY_BYTES_MAX + 1)}"', ErrorCode.INVALID_VALUE, "1,025 bytes"),
        (f'"{"ä" * 513}"', ErrorCode.INVALID_VALUE, "1,026 bytes"),
        ("1" * 1_025, ErrorCode.INVALID_VALUE, "1,025 bytes"),
        ("null", ErrorCode.MISSING_KEY, "null"),
        ('""', ErrorCode.MISSING_KEY, "empty"),
    ],
)
def test_what_cannot_be_a_key_is_a_fault_of_its_record_alone(value: str, code: ErrorCode, words: str) -> None:
    found = keys([b'{"id":"a"}', f'{{"id":{value}}}'.encode(), b'{"id":2}'])
    assert found[::2] == ["a", "2"]
    fault = found[1]
    assert isinstance(fault, Fault)
    assert (fault.code, fault.field) == (code, "id")
    assert words in fault.message


def test_a_missing_key_field_is_a_fault() -> None:
    [fault] = keys([b"{}"])
    assert isinstance(fault, Fault)
    assert (fault.code, fault.field) == (ErrorCode.MISSING_KEY, "id")


def test_the_last_of_several_values_counts_as_in_jsonb() -> None:
    assert keys([b'{"id":"a","id":"b"}', b'{"id":1,"i\\u0064":2}']) == ["b", "2"]


def test_several_key_fields_make_an_array_of_texts() -> None:
    fields = ("country", "number")
    texts = ['{"number":4711,"country":"DE"}', '{"country":"Ö\\n","number":"x\\"y"}', '{"country":1.0,"number":true}']
    assert keys([text.encode() for text in texts[:2]], fields) == ['["DE","4711"]', '["Ö\\n","x\\"y"]']
    assert keys([text.encode() for text in texts], fields) == ['["DE","4711"]', '["Ö\\n","x\\"y"]', '["1.0","true"]']


def test_a_composed_key_has_a_limit_too() -> None:
    long = "x" * 600
    found = keys([f'{{"a":"{long}","b":"{long}"}}'.encode(), b'{"a":1,"b":[]}'], ("a", "b"))
    assert [(fault.code, fault.field) for fault in found if isinstance(fault, Fault)] == [
        (ErrorCode.INVALID_VALUE, ""),
        (ErrorCode.INVALID_VALUE, "b"),
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 5_000])
def test_many_keys_keep_their_places(count: int) -> None:
    texts = [b'{"id":"k%d"}' % number for number in range(count)]
    keyed = read_keys(texts, ID, own_keys=False)
    assert pairs(keyed) == [(f"k{number}", texts[number].decode()) for number in range(count)]
    assert list(keyed.positions) == list(range(count))


@pytest.mark.parametrize("name", ["a b", "ä", 'a"b', "a\\b", "\n", "class", "0", "f0", "__init__"])
def test_key_fields_may_have_any_name(name: str) -> None:
    texts = [json.dumps({name: value, "id": 2}).encode() for value in ("x", 5, 1.5)]
    assert keys(texts, (name,)) == ["x", "5", "1.5"]
    assert keys(texts[:1], (name, "id")) == ['["x","2"]']


VALUES = (
    st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=6))
@settings(max_examples=1_000, deadline=None)
def test_a_record_has_the_same_key_in_any_company(pairs: list[tuple[object, object]]) -> None:
    texts = [json.dumps({"id": first, "b": second}).encode(errors="replace") for first, second in pairs]
    checked = checked_records(texts)
    texts = checked.texts
    for fields in (ID, ("id", "b")):
        assert keys(texts, fields) == [key for text in texts for key in keys([text], fields)]
    assert checked.keys is None or list(checked.keys) == keys(texts)


def checked_records(texts: list[bytes]) -> Decoded:
    return check(Decoded(texts, range(len(texts)), [0] * len(texts), [], len(texts)), ID)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["1", "2"], ["1", "2"]),
        (['"a"', "-5", "{", '"\\u00e4\\n"'], ["a", "-5", "ä\n"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["1", "0"], None),
        (["1", "1.0"], None),
        (["true", "1"], None),
        ([f'"{"ä" * (KEY_BYTES_MAX // 2)}"'], None),
        (["{"], None),
        ([], None),
    ],
)
def test_keys_that_were_found_while_checking_go_on_with_their_records(
    values: list[str], found: list[str] | None
) -> None:
    """If all of them are strings and numbers that need no second look; rejected records are left out."""
    texts = [f'{{"id":{value}}}'.encode() for value in values]
    checked = checked_records(texts)
    assert checked.keys == found
    packed = pack([checked, checked_records([])])
    assert unpack_keys(packed.keys) == found
    assert unpack_texts(packed.payload) == checked.texts
    known = read_keys(checked.texts, ID, own_keys=False, known=found)
    assert known == read_keys(checked.texts, ID, own_keys=False)


def test_a_chunk_with_a_piece_of_unknown_keys_has_none() -> None:
    assert pack([checked_records([b'{"id":1}']), checked_records([b'{"id":1.0}'])]).keys is None


def test_a_record_that_may_name_its_keys_is_read_again() -> None:
    assert check(Decoded([b'{"keys":["id"],"id":1}'], range(1), [0], [], 1), ()).keys is None
    keyed = read_keys([b'{"keys":["id"],"id":1}'], ID, own_keys=True, known=["other"])
    assert pairs(keyed) == [("1", '{"id":1}')]


def test_a_record_may_name_its_key_fields() -> None:
    texts = [b'{"keys":["a","b"],"a":1, "b" : "x","c":[1, 2.50]}', b'{"b":2,"a":"\\u00e4","keys":["b","a"]}']
    keyed = read_keys(texts, (), own_keys=True)
    assert keyed.named_keys == ("a", "b")
    assert pairs(keyed) == [('["1","x"]', '{"a":1,"b":"x","c":[1, 2.50]}'), ('["ä","2"]', '{"b":2,"a":"\\u00e4"}')]


def test_a_record_without_keys_has_the_keys_of_the_table() -> None:
    texts = [b'{"id":1}', b'{"keys":["id"],"id":2}', b'{"k\\u0065ys":["id"],"id":3}']
    keyed = read_keys(texts, ID, own_keys=True)
    assert pairs(keyed) == [("1", '{"id":1}'), ("2", '{"id":2}'), ("3", '{"id":3}')]
    assert keyed.named_keys == ID


@pytest.mark.parametrize("key_fields", [ID, ()])
def test_naming_other_key_fields_than_the_table_is_a_fault(key_fields: tuple[str, ...]) -> None:
    texts = [
        b'{"keys":["id"],"id":1}',
        b'{"keys":["other"],"other":1,"id":1}',
        b'{"keys":["id","other"],"id":1,"other":2}',
    ]
    keyed = read_keys(texts, key_fields, own_keys=True)
    assert pairs(keyed) == [("1", '{"id":1}')]
    assert list(keyed.positions) == [0]
    assert [(position, fault.code, fault.field) for position, fault in keyed.faults] == [
        (1, ErrorCode.INVALID_VALUE, "keys"),
        (2, ErrorCode.INVALID_VALUE, "keys"),
    ]


@pytest.mark.parametrize(
    "value", ["5", '"id"', "[]", "[1]", '["id","id"]', "[1e400]", "null", '["keys"]', f'["{"x" * 256}"]']
)
def test_a_keys_field_that_names_nothing_is_an_ordinary_field(value: str) -> None:
    text = f'{{"keys":{value},"id":1}}'
    keyed = read_keys([text.encode()], ID, own_keys=True)
    assert pairs(keyed) == [("1", text)]
    assert keyed.named_keys == ()


def test_an_import_that_names_key_fields_leaves_keys_alone() -> None:
    text = '{"keys":["id"],"id":1}'
    assert pairs(read_keys([text.encode()], ID, own_keys=False)) == [("1", text)]


def test_without_any_key_fields_nothing_has_a_key() -> None:
    [(position, fault)] = read_keys([b'{"id":1}'], (), own_keys=True).faults
    assert (position, fault.code, fault.field) == (0, ErrorCode.MISSING_KEY, "keys")


def test_faults_come_in_the_order_of_the_records() -> None:
    texts = [b'{"keys":["id"],"id":[]}', b'{"keys":["x"],"x":1}', b'{"id":1}', b'{"keys":["id"],"id":{}}']
    keyed = read_keys(texts, (), own_keys=True)
    assert [position for position, _ in keyed.faults] == [0, 1, 3]
    assert pairs(keyed) == [("1", '{"id":1}')]


def test_what_is_stored_keeps_every_digit() -> None:
    text = b'{"keys":["id"],"id":1,"n":1.10000000000000000000001,"m":1e400,"t":"\\u00e4/\\/"}'
    [(_, stored)] = pairs(read_keys([text], (), own_keys=True))
    assert stored == '{"id":1,"n":1.10000000000000000000001,"m":1e400,"t":"\\u00e4/\\/"}'
    assert "keys" not in msgspec.json.decode(stored, type=dict[str, msgspec.Raw])
