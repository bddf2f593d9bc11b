"""A file that would lose every record is refused before an import is made for it."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
import typer

from ingot_client._cli.peeking import check_beginning
from ingot_client._formats import data_format

SEMI = b"id;name;city\n1;Ada;London\n"


def check(
    folder: Path, data: bytes, keys: list[str], name: str = "semi.csv", kind: str | None = None, **reading: Any
) -> None:
    file = folder / name
    file.write_bytes(data)
    check_beginning(file, data_format(file, **reading), keys, kind)


@pytest.mark.parametrize(
    ("data", "keys", "reading", "why"),
    [
        (SEMI, ["id"], {}, "has 1 column, 'id;name;city', and no 'id': is --delimiter ';' missing?"),
        (SEMI.replace(b";", b"\t"), ["id", "city"], {}, r"and no 'id' and no 'city': is --delimiter '\t' missing?"),
        (SEMI, ["id"], {"delimiter": "|"}, "is --delimiter ';' missing?"),
        (SEMI, ["ID"], {"delimiter": ";"}, "has 3 columns, 'id', 'name', 'city', and no 'ID'\nSay --key"),
        (SEMI, [], {"kind": "CONTACTS"}, "has 1 column, 'id;name;city': is --delimiter ';' missing?"),
        (SEMI, ["ID"], {"delimiter": ";", "kind": "GENERIC"}, "and no 'ID'"),
        ("é,b\n".encode("latin-1"), ["id"], {"encoding": "latin-1"}, "'é', 'b', and no 'id'"),
        (b",".join(b"c%d" % number for number in range(20)), ["id"], {}, "'c9', …, and no 'id'"),
    ],
)
def test_header_without_the_key_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, keys: list[str], reading: dict[str, str], why: str
) -> None:
    with pytest.raises(typer.Exit) as ended:
        check(tmp_path, data, keys, **reading)
    assert ended.value.exit_code == 1
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "keys", "reading"),
    [
        (SEMI, ["id"], {"delimiter": ";"}),
        (SEMI, [], {}),
        (SEMI, ["email"], {"delimiter": ";", "kind": "CONTACTS"}),
        (b"email\na@b.c\n", [], {"kind": "CONTACTS"}),
        (b"\xef\xbb\xbf id , name\n", ["id"], {}),
        ("id,é".encode("utf-16"), ["id"], {"encoding": "utf-16"}),
        (b"'id','a,b'\n", ["id"], {"quote": "'"}),
        (b"1,2\n", ["id"], {"columns": ["id", "b"]}),
        (b"\xff\xfe", [], {"encoding": "latin-1"}),
        (b"a,b\n", ["id"], {"encoding": "klingon"}),
        (b'"never closed', ["id"], {}),
        (b"\nid\n", ["id"], {}),
        (b"", ["id"], {}),
        (b'[{"a":1}]', ["id"], {"type": "json"}),
        (b'{"a":1}', ["id"], {"type": "ndjson"}),
    ],
)
def test_what_is_right_or_unclear_is_left_to_the_server(
    tmp_path: Path, data: bytes, keys: list[str], reading: dict[str, Any]
) -> None:
    check(tmp_path, data, keys, **reading)


def test_lines_in_a_json_file_are_told_from_an_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        check(tmp_path, b' {"id":1}\n{"id":2}\n', ["id"], name="rows.json")
    assert "rows.json begins with an object" in capsys.readouterr().err


def test_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    check_beginning(tmp_path / "pipe.csv", data_format("pipe.csv"), ["id"])


@pytest.mark.parametrize("kind", [None, "GENERIC"])
def test_key_of_a_kind_is_not_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str | None) -> None:
    with pytest.raises(typer.Exit):
        check(tmp_path, b"mail,name\n", ["email"], kind=kind)
    assert ("leave out --key" in capsys.readouterr().err) == (kind is None)


@pytest.mark.parametrize(
    ("data", "reading", "why"),
    [
        (gzip.compress(SEMI, mtime=0), {}, "is compressed with gzip: say --compression gzip"),
        (b"\x28\xb5\x2f\xfd", {"compression": "gzip"}, "is compressed with zstd: say --compression zstd"),
        (SEMI, {"compression": "gzip"}, "is not compressed: say --compression none"),
        (gzip.compress(SEMI, mtime=0), {"compression": "gzip"}, "is --delimiter ';' missing?"),
        (gzip.compress(SEMI * 100_000, mtime=0)[:2_000], {"compression": "gzip"}, "is --delimiter ';' missing?"),
    ],
)
def test_compressed_file_is_looked_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, reading: dict[str, str], why: str
) -> None:
    with pytest.raises(typer.Exit):
        check(tmp_path, data, ["id"], **reading)
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "reading"),
    [
        (b"", {"compression": "gzip"}),
        (b"\x28\xb5\x2f\xfd", {"compression": "zstd"}),
        (b"\x50\x2a\x4d\x18", {"compression": "zstd"}),
        (b"\x1f\x8bgarbage", {"compression": "gzip"}),
        (b"ingot:errors;ingot:line;id:json\n", {}),
        (b"id\tingot:errors\n", {"delimiter": ","}),
    ],
)
def test_what_only_the_server_can_read_is_left_to_it(tmp_path: Path, data: bytes, reading: dict[str, str]) -> None:
    check(tmp_path, data, ["nr"], **reading)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["mend.csv", "rows.ndjson", "rows.json"])
def test_another_unicode_is_told_by_its_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, name: str
) -> None:
    data = "ingot:errors\tid\n".encode(encoding)
    for reading in ({}, {"encoding": "UTF-8"}):
        with pytest.raises(typer.Exit):
            check(tmp_path, data, [], name=name, **reading)
        said = f"error: {name} looks like {encoding.upper()}: say --encoding {encoding}\n"
        assert capsys.readouterr().err == said
    check(tmp_path, data, [], name=name, encoding=encoding)
