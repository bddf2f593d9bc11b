import codecs

import pytest

from ingot_server.domain import formats
from ingot_server.domain.formats import DataFormat, FileType, codec
from ingot_server.domain.records import ErrorCode
from ingot_server.pipeline.decoding import decoder
from tests.pipeline.feeding import read

NDJSON, CSV, ARRAY = FileType.NDJSON, FileType.CSV, FileType.JSON_ARRAY


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16", "ä😀"),
        ("utf-16-le", "ä😀"),
        ("utf-16-be", "ä😀"),
        ("utf-32", "ä😀"),
        ("utf-32-be", "ä😀"),
        ("latin-1", "äé"),
        ("windows-1252", "ä€"),
        ("cp037", "äé"),
        ("shift_jis", "表ソ"),
        ("gb18030", "中😀"),
        ("big5", "功許"),
        ("euc_kr", "한글"),
        ("koi8-r", "Ж"),
    ],
)
@pytest.mark.parametrize("cut", [[], [1, 2, 3, 5, 9, 20, 21, 22]])
def test_all_formats_can_be_read_in_other_encodings(encoding: str, text: str, cut: list[int]) -> None:
    record = f'{{"a":"{text}"}}'
    files = {NDJSON: f"{record}\r\n{record}", CSV: f'a\n"{text}"\n{text}\n', ARRAY: f" [{record},\n{record}]"}
    for type, file in files.items():
        found = read(DataFormat(type, encoding), file.encode(encoding), cut, {1, 3})
        assert found.texts == [record.encode()] * 2
        assert found.rejects == []


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b""])
@pytest.mark.parametrize("order", ["le", "be"])
def test_the_byte_order_is_found(mark: bytes, order: str) -> None:
    if mark and (mark == codecs.BOM_UTF16_LE) != (order == "le"):
        pytest.skip("a mark that contradicts the file")
    assert read(DataFormat(NDJSON, "utf-16"), mark + "{}\n".encode(f"utf-16-{order}"), [1, 3]).texts == [b"{}"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32-be", "gb18030"])
def test_a_byte_order_mark_is_ignored_where_the_encoding_names_the_order(encoding: str) -> None:
    assert read(DataFormat(ARRAY, encoding), "\ufeff[{}]".encode(encoding)).texts == [b"{}"]


@pytest.mark.parametrize(
    ("encoding", "bad", "shown"),
    [
        ("cp1252", b"\x81", "\\x81"),
        ("ascii", b"\xe4", "\\xe4"),
        ("shift_jis", b"\x81", "\\x81"),
        ("euc_jp", b"\xc3\xff", "\\xc3\\xff"),
        ("utf-16-le", b"\x00\xd8", "\\x00\\xd8"),
        ("utf-32-le", b"\xff\xff\xff\xff", "\\xff\\xff\\xff\\xff"),
    ],
)
def test_bytes_without_meaning_cost_their_record_only(encoding: str, bad: bytes, shown: str) -> None:
    def encoded(text: str) -> bytes:
        return bad.join(part.encode(encoding) for part in text.split("?"))

    files = {
        NDJSON: ('{"a":"x"}\n{"a":"?"}\n{"a":"y"}', '{"a":"%s"}', 2),
        CSV: ('a\nx\n"?"\ny\n', '"%s"', 3),
        ARRAY: ('[{"a":"x"},\n{"a":"?"},\n{"a":"y"}]', '{"a":"%s"}', 2),
    }
    for type, (text, raw, line) in files.items():
        found = read(DataFormat(type, encoding), encoded(text))
        assert found.texts == [b'{"a":"x"}', b'{"a":"y"}']
        assert found.codes == [(1, line, ErrorCode.INVALID_ENCODING)]
        assert found.rejects[0].raw == raw % shown
        assert encoding.replace("_", "-") in found.rejects[0].faults[0].message


def test_a_file_that_ends_within_a_character_has_a_bad_last_record() -> None:
    found = read(DataFormat(NDJSON, "utf-16-le"), "{}\n{}".encode("utf-16-le") + b"x")
    assert (found.texts, found.codes) == ([b"{}"], [(1, 2, ErrorCode.INVALID_ENCODING)])


@pytest.mark.parametrize("encoding", sorted(formats._CODECS))
def test_every_encoding_keeps_exact_offsets_at_any_cut(encoding: str) -> None:
    lines = [f'{{"a":"{character}"}}' for character in "aäЖ中かé한€~\\"]
    source = "\n".join(lines).encode(encoding, errors="replace")
    whole = read(DataFormat(NDJSON, encoding), source)
    assert whole.received == len(lines)
    for cut in range(len(source)):
        assert read(DataFormat(NDJSON, encoding), source, [cut], {0}) == whole


@pytest.mark.parametrize("encoding", sorted(formats._CODECS))
def test_no_encoding_swallows_a_line_end_after_a_bad_byte(encoding: str) -> None:
    end = "\n".encode(encoding.replace("utf_16", "utf_16_le").replace("utf_32", "utf_32_le").replace("_le_", "_"))
    for byte in range(256):
        unit = bytes([byte]) * len(end)
        if unit != end and encoding not in ("utf_16", "utf_32"):
            assert read(DataFormat(NDJSON, encoding), unit + end + unit + end).received >= 2


REFUSED = ["utf-7", "iso-2022-jp", "ISO2022_KR", "hz", "idna", "punycode", "unicode_escape", "raw_unicode_escape"]
UNKNOWN = ["", "rot13", "mbcs", "oem", "base64", "zlib", "hex", "undefined", "charmap", "no-such", "../codecs", "ä"]


@pytest.mark.parametrize("name", [*REFUSED, *UNKNOWN, "utf-8\0", "x" * 1_000])
def test_encodings_that_cannot_be_cut_are_refused(name: str) -> None:
    assert set(DataFormat(NDJSON, name).violations()) == {"format.encoding"}
    with pytest.raises(ValueError, match="unknown encoding"):
        decoder(DataFormat(NDJSON, name))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("UTF-8", "utf_8"),
        ("latin-1", "latin_1"),
        ("windows-1252", "cp1252"),
        ("sjis", "shift_jis"),
        ("utf16", "utf_16"),
    ],
)
def test_encodings_are_known_by_their_usual_names(name: str, known: str) -> None:
    assert codec(name) == known


@pytest.mark.parametrize(
    ("format", "paths"),
    [
        (DataFormat(), []),
        (DataFormat(CSV), []),
        (DataFormat(CSV, delimiter="\t", quote="'", columns=("a", "b")), []),
        (DataFormat(CSV, delimiter=""), ["format.csv.delimiter"]),
        (DataFormat(CSV, delimiter="ab"), ["format.csv.delimiter"]),
        (DataFormat(CSV, delimiter="ä"), ["format.csv.delimiter"]),
        (DataFormat(CSV, delimiter="\n", quote="\0"), ["format.csv.delimiter", "format.csv.quote"]),
        (DataFormat(CSV, quote="\r"), ["format.csv.quote"]),
        (DataFormat(CSV, delimiter="'", quote="'"), ["format.csv.quote"]),
        (DataFormat(CSV, columns=("a", "")), ["format.csv.columns"]),
        (DataFormat(CSV, columns=("a", " ")), ["format.csv.columns"]),
        (DataFormat(CSV, columns=("a", "a")), ["format.csv.columns"]),
        (DataFormat(CSV, columns=("a\0",)), ["format.csv.columns"]),
        (DataFormat(CSV, columns=tuple(f"{number:0250}" for number in range(300))), ["format.csv.columns"]),
        (DataFormat(NDJSON, columns=("a",)), ["format.csv.columns"]),
        (DataFormat(CSV, "utf-7", columns=("a", "a")), ["format.encoding", "format.csv.columns"]),
    ],
)
def test_what_is_wrong_with_a_format_is_named_by_its_path(format: DataFormat, paths: list[str]) -> None:
    assert list(format.violations()) == paths
