"""Fields and blocked values are the same in Python, in messages, in files and on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from ingot.v1 import field_pb2, table_pb2
from ingot_client import BlockedValue, Field
from ingot_client._cli.blocked import likely_type
from ingot_client._cli.definitions import changed_fields, field_of, fields_of, table_of
from ingot_client._cli.describing import show_fields
from ingot_client._cli.printing import show_message
from ingot_client._definitions import fields_of as fields_given
from ingot_client._definitions import written_fields

ALL = Field(
    "items",
    "OBJECT",
    required=True,
    many=True,
    aliases=("rows",),
    default=[{"n": 1, "share": 0.5, "last": False, "note": None}],
    indexed=True,
    description="What was bought.",
    fields=(Field("size", pattern="[SML]", allowed_values=("S", "M")), Field("n", "INTEGER", default=0)),
)


def test_field_is_read_as_it_was_written() -> None:
    assert Field.read(ALL.write()) == ALL
    assert type(Field.read(Field("n", "INTEGER", default=5).write()).default) is int
    assert Field.read(Field("a").write()) == Field("a", "TEXT")
    assert Field.read(field_pb2.Field(name="a")).type == "ANY"


def test_one_name_is_not_a_list_of_letters() -> None:
    assert list(Field("a", aliases="name").write().aliases) == ["name"]


def test_what_the_server_sets_is_not_sent() -> None:
    told = Field.read(field_pb2.Field(name="a", indexed=True, index_state=field_pb2.INDEX_STATE_BUILDING))
    assert told.index_state == "BUILDING"
    assert told.write().index_state == field_pb2.INDEX_STATE_UNSPECIFIED


def test_wrong_word_is_refused_with_the_right_ones() -> None:
    with pytest.raises(ValueError, match="'STRING' is not one of ANY, TEXT, "):
        Field("a", "STRING").write()
    with pytest.raises(ValueError, match="'HOST' is not one of EMAIL, PHONE, DOMAIN"):
        BlockedValue("HOST", "x").write()


def test_words_may_be_in_any_case() -> None:
    assert Field("a", "integer") == Field("a", "INTEGER") == Field("a", "FIELD_TYPE_INTEGER")
    assert BlockedValue("domain", "x") == BlockedValue("DOMAIN", "x")
    assert BlockedValue(type="Domain", value="x").write().type == table_pb2.BLOCKED_VALUE_TYPE_DOMAIN
    assert Field.read(field_pb2.Field(name="a", type=99)).write().type == 99, "a newer server's word"  # type: ignore[arg-type]


def test_dict_is_a_field_too() -> None:
    inner = {"name": "b", "type": "date", "allowed_values": []}
    given = {"name": "a", "type": "object", "many": True, "fields": [inner], "indexState": "INDEX_STATE_READY"}
    expected = Field("a", "OBJECT", many=True, fields=(Field("b", "DATE"),))
    assert fields_given([given, Field("c")]) == (expected, Field("c"))
    assert Field("a", "OBJECT", many=True, fields=[inner]) == expected  # type: ignore[list-item]
    assert written_fields([given])[0].index_state == field_pb2.INDEX_STATE_UNSPECIFIED


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ("a", TypeError, "fields is a str: give a list, as in "),
        (Field("a"), TypeError, "fields is a Field: give a list"),
        ({"name": "a"}, TypeError, "fields is a dict: give a list"),
        (5, TypeError, "fields is an int: give a list"),
        (["a"], TypeError, r"fields\[0\] is a str, not a Field or a dict: Field\("),
        ([{"nmae": "a"}], ValueError, r'fields\[0\]: .* has no field named "nmae"'),
        ([{"name": 5}], ValueError, r"fields\[0\]: "),
        ([{"name": "a", "type": "word"}], ValueError, "FIELD_TYPE_WORD"),
        ([{"name": "a", "fields": "b"}], ValueError, r"fields\[0\]: "),
    ],
)
def test_what_is_no_field_is_refused(given: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        fields_given(given)
    with pytest.raises(error, match=why):
        Field("x", "OBJECT", fields=given)


def test_type_that_is_no_word_is_refused() -> None:
    wrong: Any = 5
    for make in (lambda: Field("a", wrong), lambda: BlockedValue(wrong, "x")):
        with pytest.raises(TypeError, match="5 is an int, not a word"):
            make()
    with pytest.raises(TypeError, match="5 is an int, not a name"):
        Field("a", aliases=[wrong]).write()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("a", Field("a")),
        ("a:required", Field("a", required=True)),
        ("a::many", Field("a", many=True)),
        ("a:email", Field("a", "EMAIL")),
        ("a b:DATE:indexed:required", Field("a b", "DATE", indexed=True, required=True)),
        ("a:many:INTEGER", Field("a", "INTEGER", many=True)),
    ],
)
def test_field_on_the_command_line(text: str, field: Field) -> None:
    assert field_of(text, "--field") == field


def test_printed_table_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = table_pb2.Table(
        table="t",
        kind="CONTACTS",
        fields=[ALL.write()],
        unknown_fields=field_pb2.UNKNOWN_FIELDS_REJECT,
        reading=field_pb2.ReadingOptions(country="SE"),
    )
    show_message(message)
    file = tmp_path / "table.json"
    file.write_text(capsys.readouterr().out)
    table = table_of(str(file))
    assert (table.message, table.fields) == (message, (ALL,))
    assert (table.kind, table.unknown_fields, table.reading.country) == ("CONTACTS", "REJECT", "SE")
    assert fields_of(str(file)) == [ALL], "a table will do where only its fields are wanted"


def test_types_in_a_file_need_no_prefix(tmp_path: Path) -> None:
    file = tmp_path / "fields.json"
    inner = {"name": "b", "type": "integer", "default_value": 3}
    file.write_text(
        json.dumps([{"name": "a", "type": "OBJECT", "fields": [inner]}, {"name": "c", "allowedValues": []}])
    )
    assert fields_of(str(file)) == [
        Field("a", "OBJECT", fields=(Field("b", "INTEGER", default=3),)),
        Field("c", "ANY"),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "fields.json is not JSON: "),
        ("3", "fields.json is not a table"),
        ('[{"nmae": "a"}]', 'has no field named "nmae"'),
        ('[{"name": "a", "type": "WORD"}]', "FIELD_TYPE_WORD"),
        ("[3]", "fields.json: "),
        ('{"fields": 3}', "fields.json: "),
    ],
)
def test_wrong_file_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, why: str) -> None:
    file = tmp_path / "fields.json"
    file.write_text(content)
    with pytest.raises(typer.Exit):
        fields_of(str(file))
    told = capsys.readouterr().err
    assert why in told
    assert len(told.splitlines()) <= 2


def test_fields_are_removed_before_others_are_added() -> None:
    declared = [Field("a", description="old"), Field("b")]
    assert changed_fields(declared, ["a"], [Field("a")]) == [Field("b"), Field("a")]


@pytest.mark.parametrize(
    ("removed", "added", "why"),
    [
        (["c"], [], "declares no field 'c', but 'a', 'b'"),
        ([], [Field("a")], "declares a field 'a' already"),
        ([], [Field("c"), Field("c")], "declares a field 'c' already"),
    ],
)
def test_change_that_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], removed: list[str], added: list[Field], why: str
) -> None:
    with pytest.raises(typer.Exit):
        changed_fields([Field("a"), Field("b")], removed, added)
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("ada@example.org", "EMAIL"),
        ("+46701740605", "PHONE"),
        ("0701-740 605", "PHONE"),
        ("example.org", "DOMAIN"),
        ("@example.org", "DOMAIN"),
        ("räksmörgås.se", "DOMAIN"),
    ],
)
def test_type_of_a_blocked_value_is_recognised(value: str, type_: str) -> None:
    assert likely_type(value) == type_


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ([Field("a")], ["FIELD  TYPE", "a      TEXT"]),
        (
            [Field("a", "OBJECT", many=True, fields=[Field("b", required=True, allowed_values=["x", "y"])])],
            ["FIELD  TYPE            RULES", "a      list of OBJECT", "a[].b  TEXT            required, x|y"],
        ),
        (
            [Field("a\x1b", default="é", pattern="[é]+")],
            ["FIELD  TYPE  RULES", 'a\\x1b  TEXT  like [é]+, default "é"'],
        ),
    ],
)
def test_fields_are_shown_as_a_table(capsys: pytest.CaptureFixture[str], fields: list[Field], shown: list[str]) -> None:
    show_fields(fields)
    assert capsys.readouterr().out.splitlines() == shown


def test_index_in_the_making_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for state, told in (("BUILDING", "index in the making"), ("READY", "indexed")):
        show_fields([Field("a", indexed=True, index_state=state)])
        assert capsys.readouterr().out.splitlines()[1].endswith(told)


def test_many_allowed_values_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    values: Any = list("abcdefg")
    show_fields([Field("a", allowed_values=values)])
    assert "a|b|c|d|e|…" in capsys.readouterr().out
