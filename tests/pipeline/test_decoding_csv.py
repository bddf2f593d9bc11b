import csv
import io
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot_server.domain.formats import DataFormat, FileType
from ingot_server.domain.records import RECORD_BYTES_MAX, ErrorCode
from ingot_server.pipeline.decoding import decoder
from tests.pipeline.feeding import read

CSV = DataFormat(FileType.CSV)
LINE, COUNT = ErrorCode.EMPTY_LINE, ErrorCode.CELL_COUNT
SYNTAX, REST = ErrorCode.SYNTAX_ERROR, ErrorCode.UNREADABLE_REST


def test_each_row_is_an_object_of_strings_in_the_order_of_the_header() -> None:
    found = read(CSV, b'b,a,\xc3\xa4\r\n1,,"x ""y"", z"\r\n 2 ,null,"\\n\n"')
    assert found.records == [
        (b'{"b":"1","a":"","\xc3\xa4":"x \\"y\\", z"}', 0, 2),
        (b'{"b":" 2 ","a":"null","\xc3\xa4":"\\\\n\\n"}', 1, 3),
    ]
    assert found.rejects == []


@pytest.mark.parametrize("data", [b"", b"a,b", b"a,b\n", b"\xef\xbb\xbf", b"\xef\xbb\xbfa,b\r\n"])
def test_an_empty_file_or_a_header_alone_holds_no_records(data: bytes) -> None:
    assert read(CSV, data).received == 0


def test_names_are_stripped_and_values_are_not() -> None:
    assert read(CSV, b'\xef\xbb\xbf a ,"\t b "\n x , y\t\n').texts == [b'{"a":" x ","b":" y\\t"}']


def test_given_columns_make_the_first_row_a_record() -> None:
    format = DataFormat(FileType.CSV, columns=("a", 'b "quoted"'))
    assert read(format, b"a,b\n").records == [(b'{"a":"a","b \\"quoted\\"":"b"}', 0, 1)]


@pytest.mark.parametrize(
    ("delimiter", "quote", "row"),
    [
        (";", '"', b'"1;";,'),
        ("\t", "'", b"'1;'\t,"),
        ("|", "^", b"^1;^|,"),
        (".", "]", b"]1;].,"),
        ("\\", "-", b"-1;-\\,"),
    ],
)
def test_delimiter_and_quote_are_as_chosen(delimiter: str, quote: str, row: bytes) -> None:
    format = DataFormat(FileType.CSV, delimiter=delimiter, quote=quote, columns=("a", "b"))
    bad = row[:1] + row[1:2] + b"\n"
    assert read(format, row + b"\n" + bad + row).records == [
        (b'{"a":"1;","b":","}', 0, 1),
        (b'{"a":"1;","b":","}', 2, 3),
    ]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"a,b,a", "'a' for columns 1 and 3"),
        (b"a, a", "'a' for columns 1 and 2"),
        (b"a,,b", "column 2, which has none"),
        (b"a,b,", "column 3, which has none"),
        (b"", "column 1, which has none"),
        (b"a,b\0", "no NUL in the name of column 2"),
        (b"a,\xff", "the encoding of the file"),
        (b'a,"b', "never closed"),
        (b'a,b"c', "a quote within a cell"),
        (b"a\rb", "a carriage return within a cell"),
        (b"a," + b"b" * 256, "at most 255 bytes for column 2"),
        (b"id;name;e-mail", "got 'id;name;e-mail': give ';' as the delimiter"),
        (b"id\tname", "give '\\t' as the delimiter"),
        (b"\xef\xbb\xbfid|name", "give '|' as the delimiter"),
        (";".join(f"column {n}" for n in range(60)).encode(), "give ';' as the delimiter"),
    ],
)
def test_a_bad_header_makes_the_file_unreadable(header: bytes, words: str) -> None:
    found = read(CSV, header + b"\n1,2\n3,4\n")
    assert found.records == []
    assert found.codes == [(0, 1, REST)]
    assert words in found.rejects[0].faults[0].message
    assert found.received == 1


@pytest.mark.parametrize("header", [b'"a;b"', b"a;", b"a;a", b"a,b;c", b"a:b", b"a b"])
def test_a_header_that_may_be_meant_is_taken_as_it_stands(header: bytes) -> None:
    assert read(CSV, header + b"\n" + b"1" + b",2" * header.count(b",") + b"\n").rejects == []


def test_a_header_with_commas_is_none_with_another_delimiter() -> None:
    found = read(DataFormat(FileType.CSV, delimiter=";"), b"id,name\n1,2\n")
    message = found.rejects[0].faults[0].message
    assert "expected `;` between columns, got 'id,name': give ',' as the delimiter" in message


def test_nothing_is_read_after_a_bad_header_in_another_process_either() -> None:
    reading = decoder(CSV)
    reading.feed(b"a,a\n", final=False)
    decoded, consumed = decoder(CSV, reading.state()).feed(b"1,2\n", final=False)
    assert (decoded.received, consumed) == (0, 4)


@pytest.mark.parametrize(
    ("row", "lines", "code", "raw", "words"),
    [
        (b"", 1, LINE, "", "empty"),
        (b" \t", 1, LINE, " \t", "empty"),
        (b"1", 1, COUNT, "1", "1 cell, but there are 2 columns"),
        (b"1,2,3", 1, COUNT, "1,2,3", "3 cells, but there are 2 columns"),
        (b'"1\r\n2"', 2, COUNT, '"1\r\n2"', "1 cell"),
        (b'"1"2,3', 1, SYNTAX, '"1"2,3', "line 4, column 4: text after the closing quote"),
        (b'1"2,3', 1, SYNTAX, '1"2,3', "line 4, column 2: a quote within a cell"),
        (b'1,2"', 1, SYNTAX, '1,2"', "line 4, column 4: a quote within a cell"),
        (b' "1",2', 1, SYNTAX, ' "1",2', "line 4, column 2: a quote within a cell"),
        (b"1\r2,3", 1, SYNTAX, "1\r2,3", "line 4, column 2: a carriage return"),
        (b"1,\0", 1, ErrorCode.CONTROL_CHARACTER, "1,\\x00", "NUL"),
        (b"1,\xff", 1, ErrorCode.INVALID_ENCODING, "1,\\xff", "not valid UTF-8"),
        (b'"1\n\xff",2', 2, ErrorCode.INVALID_ENCODING, '"1\n\\xff",2', "not valid UTF-8"),
        (b"1,\xed\xa0\x80", 1, ErrorCode.INVALID_ENCODING, "1,\\xed\\xa0\\x80", "not valid UTF-8"),
    ],
)
def test_a_bad_row_costs_only_itself(row: bytes, lines: int, code: ErrorCode, raw: str, words: str) -> None:
    found = read(CSV, b"a,b\n1,2\n3,4\n" + row + b"\r\n5,6\n")
    good = [(b'{"a":"1","b":"2"}', 0, 2), (b'{"a":"3","b":"4"}', 1, 3), (b'{"a":"5","b":"6"}', 3, 4 + lines)]
    assert found.records == good
    assert found.codes == [(2, 4, code)]
    assert found.rejects[0].raw == raw
    assert words.lower() in found.rejects[0].faults[0].message.lower()


def test_all_faults_of_a_row_are_reported() -> None:
    codes = [code for _, _, code in read(CSV, b"a,b\n\0\xff\n").codes]
    assert codes == [ErrorCode.CONTROL_CHARACTER, ErrorCode.INVALID_ENCODING, COUNT]


@pytest.mark.parametrize("count", [1, 5, 5_000])
def test_a_forgotten_quote_costs_one_row_and_not_the_file(count: int) -> None:
    rows = b"".join(b"%d,x\n" % number for number in range(count))
    found = read(CSV, b'a,b\n1,"open\n' + rows)
    assert found.codes == [(0, 2, SYNTAX)]
    assert found.rejects[0].raw == '1,"open'
    assert "opens on line 2" in found.rejects[0].faults[0].message
    assert "close it" in found.rejects[0].faults[0].message
    assert found.records == [(b'{"a":"%d","b":"x"}' % number, number + 1, number + 3) for number in range(count)]


def test_a_forgotten_quote_that_a_later_one_closes_costs_the_row_it_is_in() -> None:
    found = read(CSV, b'a,b\n1,"open\n2,x\n3,"y"\n')
    assert found.codes == [(0, 2, SYNTAX)]
    assert "opens on line 2 goes on to line 4" in found.rejects[0].faults[0].message
    assert found.texts == [b'{"a":"2","b":"x"}', b'{"a":"3","b":"y"}']


@pytest.mark.parametrize(("breaks", "good"), [(1, True), (999, True), (1_000, False)])
def test_a_row_may_have_a_thousand_lines(breaks: int, good: bool) -> None:
    found = read(CSV, b'a\n"' + b"x\n" * breaks + b'"\nlast\n')
    assert (found.codes[:1] == []) is good
    assert found.records[-1][2] == breaks + 3
    if not good:
        assert found.codes[0] == (0, 2, SYNTAX)
        assert found.texts[0] == b'{"a":"x"}'


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_the_size_limit_of_a_row_is_exact(quote: bytes) -> None:
    # The record adds the quotes, colon and braces around a value: it may be larger than the row, and is the limit.
    size = RECORD_BYTES_MAX - len(b'{"a":""}')
    rows = [quote + b"x" * size + quote, quote + b"y" * (size + 1) + quote, b"z" * (RECORD_BYTES_MAX + 1)]
    found = read(CSV, b"a\n" + b"\n".join([*rows, b"end"]), cuts=[1_000_000, 3_000_000])
    assert found.texts == [b'{"a":"%b"}' % (b"x" * size), b'{"a":"end"}']
    assert found.codes == [(1, 3, ErrorCode.RECORD_TOO_LARGE), (2, 4, ErrorCode.RECORD_TOO_LARGE)]


def test_a_row_of_many_columns_is_read() -> None:
    header = ",".join(f"c{number}" for number in range(2_000)).encode()
    [text] = read(CSV, header + b"\n" + b"," * 1_999).texts
    assert text == msgspec.json.encode({f"c{number}": "" for number in range(2_000)})


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(
    rows=st.lists(st.tuples(CELL, CELL), max_size=20),
    # With LF alone the module of Python 3.11 leaves cells with a carriage return unquoted.
    end_and_quoting=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)]),
)
@settings(max_examples=500, deadline=None)
def test_what_the_csv_module_writes_is_read_as_it_was(
    rows: list[tuple[str, str]], end_and_quoting: tuple[str, int]
) -> None:
    file = io.StringIO(newline="")
    end, quoting = end_and_quoting
    csv.writer(file, lineterminator=end, quoting=quoting).writerows([("ä", "b"), *rows])  # type: ignore[arg-type]
    found = read(CSV, file.getvalue().encode(), cuts=[10, 20])
    assert [tuple(msgspec.json.decode(text).values()) for text in found.texts] == rows
    assert found.rejects == []


@pytest.mark.parametrize(
    "line", [b'"x\n', b'x"\n', b'x",",\n', b'"""\n', b'"",x""\n', b'"\n""\n', b"1,2\n1\n", b"\0,1\n", b"\n"]
)
def test_no_file_takes_more_time_than_its_size_allows(line: bytes) -> None:
    data = b"a,b\n" + line * (128 * 1024 // len(line))
    start = time.thread_time()
    read(CSV, data)
    assert time.thread_time() - start < 5
