"""What Ingot should do, in plain Python: slow, with the whole file in memory, and written from the manual alone.

Nothing here comes from the server: the tests compare the two. Bytes that mean nothing in the file's encoding are held
as lone surrogates, which no valid text contains.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

RECORD_BYTES_MAX = 2_097_152
KEY_BYTES_MAX = 1_024
ROW_LINES_MAX = 1_000
NESTING_MAX = 100
JSON_BLANKS = " \t\r\n"
BLANKS = JSON_BLANKS + "\v\f"
"""What a blank line may consist of."""


@dataclass(frozen=True)
class Format:
    """How a file is to be read."""

    type: str
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """What stands where a record is expected: the text of a record, or the codes of what is wrong."""

    line: int
    text: str = ""
    codes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rejected:
    """A record that is not imported."""

    index: int
    line: int
    codes: frozenset[str]


@dataclass
class Outcome:
    """What becomes of the records of one import."""

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    is_empty: bool = False

    @property
    def state(self) -> str:
        if self.received == len(self.rejected):
            return "FAILED"
        return "PARTIALLY_SUCCEEDED" if self.rejected else "SUCCEEDED"


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    text: str


class TableModel:
    """A table, and what imports make of it."""

    def __init__(self, key_fields: Sequence[str]) -> None:
        self.key_fields = tuple(key_fields)
        self._rows: dict[str, tuple[Any, int]] = {}
        self._imports = 0

    @property
    def rows(self) -> list[Any]:
        """The records by key, in the order of its bytes, each in its comparable form."""
        return [self._rows[key][0] for key in sorted(self._rows, key=str.encode)]

    def import_file(self, data: bytes, format: Format) -> Outcome:
        """Imports a file as one batch."""
        return self._import(pieces(data, format), is_utf8=codecs.lookup(format.encoding).name in ("utf-8", "utf-8-sig"))

    def import_records(self, texts: Iterable[bytes]) -> Outcome:
        """Imports records that came as messages."""
        return self._import((Piece(0, decoded(text, "utf-8")) for text in texts), is_utf8=True)

    def _import(self, found: Iterable[Piece], is_utf8: bool) -> Outcome:
        outcome = Outcome()
        self._imports += 1
        for index, piece in enumerate(found):
            outcome.received += 1
            codes: set[str] = set(piece.codes)
            record: dict[str, Any] = {}
            if not codes:
                record, codes = read_record(piece.text, self.key_fields)
            if not is_utf8 and not piece.codes and has_bad_bytes(piece.text):
                # In other encodings nothing else is looked at.
                codes = {"INVALID_ENCODING"}
            key = "" if codes else key_of(record, self.key_fields)
            if codes or key is None:
                outcome.rejected.append(Rejected(index, piece.line, frozenset(codes or {"INVALID_VALUE"})))
            else:
                self._apply(key, comparable(record), outcome)
        outcome.is_empty = outcome.received == 0
        return outcome

    def _apply(self, key: str, row: Any, outcome: Outcome) -> None:
        held = self._rows.get(key)
        if held is not None and held[0] == row:
            outcome.unchanged += 1
            return
        if held is None:
            outcome.created += 1
        elif held[1] == self._imports:
            outcome.superseded += 1
        else:
            outcome.updated += 1
        self._rows[key] = (row, self._imports)


# ---------------------------------------------------------------------------------------------------- files to records


def pieces(data: bytes, format: Format) -> Iterator[Piece]:
    """What stands in a file where records are expected."""
    text = decoded(data, format.encoding).removeprefix("\ufeff")
    match format.type:
        case "NDJSON":
            return ndjson_pieces(text)
        case "CSV":
            return csv_pieces(text, format)
        case _:
            return array_pieces(text)


def decoded(data: bytes, encoding: str) -> str:
    """The text; every byte that means nothing is a lone surrogate."""
    name = codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32"):
        # By the mark, else by where the zeros are.
        name += "-be" if data.startswith((codecs.BOM_UTF16_BE, b"\0")) else "-le"
    return data.decode(name, "ingot_model")


def _surrogates(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff" * (error.end - error.start), error.end


codecs.register_error("ingot_model", _surrogates)


def has_bad_bytes(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def ndjson_pieces(text: str) -> Iterator[Piece]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        yield Piece(number, line.removesuffix("\r"))


def array_pieces(text: str) -> Iterator[Piece]:
    unreadable = frozenset({"UNREADABLE_REST"})

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    def after_blanks(position: int) -> int:
        while position < len(text) and text[position] in JSON_BLANKS:
            position += 1
        return position

    at = after_blanks(0)
    if at == len(text):
        return
    if text[at] != "[":
        yield Piece(line(at), codes=unreadable)
        return
    at = after_blanks(at + 1)
    closed = text.startswith("]", at)
    at += closed
    while not closed:
        at = after_blanks(at)
        end = _element_end(text, at)
        if end is None or at == len(text):
            yield Piece(line(at), codes=unreadable)
            return
        element = text[at:end].rstrip(JSON_BLANKS)
        yield Piece(line(at), element) if element else Piece(line(at), codes=frozenset({"SYNTAX_ERROR"}))
        if end == len(text):
            yield Piece(line(end), codes=unreadable)
            return
        closed = text[end] == "]"
        at = end + 1
    at = after_blanks(at)
    if at < len(text):
        yield Piece(line(at), codes=unreadable)


def _element_end(text: str, at: int) -> int | None:
    """Where the next comma or closing bracket is that is neither in a string nor within brackets."""
    opened = []
    inside = False
    while at < len(text):
        character = text[at]
        if inside:
            if character == "\\":
                at += 1
            inside = character != '"'
        elif character == '"':
            inside = True
        elif character in "[{":
            opened.append(character)
        elif character in "]}":
            if not opened:
                return at if character == "]" else None
            if opened.pop() + character not in ("[]", "{}"):
                return None
        elif character == "," and not opened:
            return at
        at += 1
    return None if inside or opened else len(text)


# ----------------------------------------------------------------------------------------------------------------- CSV


def csv_pieces(text: str, format: Format) -> Iterator[Piece]:
    unreadable = Piece(1, codes=frozenset({"UNREADABLE_REST"}))
    columns = format.columns
    at, line = 0, 1
    if not columns and text:
        header = _row(text, 0, format)
        if header is None or has_bad_bytes(text[: header.end]):
            yield unreadable
            return
        columns = tuple(name.strip() for name in header.cells)
        if "" in columns or len(set(columns)) < len(columns) or "\0" in "".join(columns):
            yield unreadable
            return
        at, line = header.end, 1 + text.count("\n", 0, header.end)
    while at < len(text):
        row = _row(text, at, format)
        # What cannot be read costs the line on which it begins.
        end = (text.find("\n", at) + 1 or len(text)) if row is None else row.end
        if row is None:
            is_large = _size(text[at:end].rstrip("\r\n")) > RECORD_BYTES_MAX
            yield Piece(line, codes=frozenset({"RECORD_TOO_LARGE" if is_large else "SYNTAX_ERROR"}))
        else:
            yield _row_piece(row, line, columns)
        line += text.count("\n", at, end)
        at = end


class Row(NamedTuple):
    text: str
    cells: list[str]
    end: int


def _row(text: str, start: int, format: Format) -> Row | None:
    """The row that begins at `start`; None if it has no proper end."""
    cells = []
    at = start
    while True:
        if text.startswith(format.quote, at):
            at += 1
            cell = ""
            while True:
                closing = text.find(format.quote, at)
                if closing < 0:
                    return None
                cell += text[at:closing]
                at = closing + 1
                if not text.startswith(format.quote, at):
                    break
                cell += format.quote
                at += 1
        else:
            begin = at
            while at < len(text) and text[at] not in (format.delimiter, format.quote, "\r", "\n"):
                at += 1
            cell = text[begin:at]
        cells.append(cell)
        if not text.startswith(format.delimiter, at):
            break
        at += 1
    end = at
    while text.startswith("\r", at):
        at += 1
    if at < len(text) and text[at] != "\n":
        return None
    if text.count("\n", start, end) >= ROW_LINES_MAX or _size(text[start:end]) > RECORD_BYTES_MAX:
        return None
    return Row(text[start:end], cells, min(at + 1, len(text)))


def _row_piece(row: Row, line: int, columns: Sequence[str]) -> Piece:
    # Where the delimiter is a blank, a row of empty cells looks like a blank line; and blanks may be the only cell.
    if not row.text or (not row.text.strip(BLANKS) and len(row.cells) < len(columns)):
        return Piece(line, codes=frozenset({"EMPTY_LINE"}))
    codes = set()
    if "\0" in row.text:
        codes.add("CONTROL_CHARACTER")
    if has_bad_bytes(row.text):
        codes.add("INVALID_ENCODING")
    if len(row.cells) != len(columns):
        codes.add("CELL_COUNT")
    if codes:
        return Piece(line, codes=frozenset(codes))
    record = dict(zip(columns, row.cells, strict=True))
    return Piece(line, json.dumps(record, ensure_ascii=False, separators=(",", ":")))


# -------------------------------------------------------------------------------------------------------- one record


def read_record(text: str, key_fields: Sequence[str]) -> tuple[dict[str, Any], set[str]]:
    """A record, and the codes of what is wrong with it."""
    if _size(text) > RECORD_BYTES_MAX:
        return {}, {"RECORD_TOO_LARGE"}
    if not text.strip(BLANKS):
        return {}, {"EMPTY_LINE"}
    codes: set[str] = set()
    mended = "".join(_mended(text, codes))
    numbers: list[str] = []

    def number(written: str) -> Number:
        numbers.append(written)
        return Number(written)

    def no_constant(name: str) -> None:
        raise ValueError(name)

    try:
        record = json.loads(mended, parse_int=number, parse_float=number, parse_constant=no_constant)
    except RecursionError:
        return {}, codes | {"TOO_DEEP"}
    except ValueError:
        return {}, codes | {"SYNTAX_ERROR"}
    if not isinstance(record, dict):
        return {}, codes | {"NOT_AN_OBJECT"}
    if _depth(mended) > NESTING_MAX:
        codes.add("TOO_DEEP")
    if not all(map(_is_in_range, numbers)):
        codes.add("NUMBER_OUT_OF_RANGE")
    if all(value in (None, "") for value in record.values()):
        codes.add("EMPTY_RECORD")
    elif any(record.get(name) in (None, "") for name in key_fields):
        codes.add("MISSING_KEY")
    return record, codes


def _mended(text: str, codes: set[str]) -> Iterator[str]:
    """The text without what is wrong with its characters, so that the rest can be judged."""
    inside = False
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if "\ud800" <= character <= "\udfff":
            codes.add("INVALID_ENCODING")
            yield "?"
        elif character < " " and (inside or character == "\0"):
            codes.add("CONTROL_CHARACTER")
            yield " "
        elif character == "\\" and (escape := re.compile("u([0-9a-fA-F]{4})").match(text, at)):
            at += 5
            unit = int(escape[1], 16)
            low = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}").match(text, at)
            if unit == 0:
                # Still JSON within a string, and never outside.
                codes.add("CONTROL_CHARACTER")
                yield "\\u0000"
            elif 0xD800 <= unit < 0xDC00 and low:
                at += 6
                yield f"\\u{escape[1]}{low[0]}"
            elif 0xD800 <= unit < 0xE000:
                codes.add("INVALID_ENCODING")
                yield "?"
            else:
                yield f"\\u{escape[1]}"
        elif character == "\\" and text[at : at + 1] in ('"', "\\"):
            yield character + text[at]
            at += 1
        else:
            inside = inside != (character == '"')
            yield character


def _is_in_range(number: str) -> bool:
    mantissa, _, exponent = number.lower().partition("e")
    exponent = exponent.lstrip("+-")
    digits = max(len(exponent), sum(character.isdigit() for character in mantissa))
    # A long exponent is no number for Python.
    exponent = exponent.lstrip("0")
    return digits <= 4_300 and len(exponent) <= 3 and int(exponent or 0) <= 308


def _depth(text: str) -> int:
    """How deep well-formed JSON is nested."""
    deepest = depth = 0
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest


def key_of(record: dict[str, Any], key_fields: Sequence[str]) -> str | None:
    """The key of a record; None if a value is no key."""
    parts = []
    for name in key_fields:
        value = record[name]
        if isinstance(value, dict | list):
            return None
        parts.append({True: "true", False: "false"}[value] if isinstance(value, bool) else _text(value))
    key = parts[0] if len(parts) == 1 else json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return key if _size(key) <= KEY_BYTES_MAX else None


def _text(value: str | Number) -> str:
    return value.text if isinstance(value, Number) else value


def comparable(value: Any) -> Any:
    """A value in a form that is equal exactly if the values are equal as jsonb."""
    if isinstance(value, dict):
        return frozenset((name, comparable(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(comparable(inner) for inner in value)
    if isinstance(value, Number):
        return ("number", Decimal(value.text))
    return (type(value).__name__, value)


def parsed(text: str) -> Any:
    """JSON text in its comparable form."""
    return comparable(json.loads(text, parse_int=Number, parse_float=Number))


def _size(text: str) -> int:
    # A byte that means nothing is one byte in the file and three as a surrogate.
    return len(text.encode(errors="surrogatepass")) - 2 * text.count("\udcff")
