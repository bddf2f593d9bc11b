"""Cells: how values stand in the CSV file of rejected records, and what a cell means when the file comes back.

An empty cell is a missing field. In the column `name` a cell is a text; in the column `name:json` it is JSON. An
apostrophe at the beginning is no part of the value: it stands before what a spreadsheet would take for a formula, or
for a number, a date or a truth value that it saves in another way; before a text that begins with an apostrophe; and
alone for the empty text. Integers of up to 15 digits survive everywhere and stand as they are.
"""

import re

import msgspec

JSON_SUFFIX = ":json"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets take for the beginning of a formula (OWASP, CSV injection), with the full-width forms."""
_APOSTROPHE = "'"
_PROTECTED_STARTS = (*FORMULA_STARTS, _APOSTROPHE)
_INTEGER = re.compile(r"0|[1-9][0-9]{0,14}")
# Not only numbers: 1-2 and 3/4 are dates, 10:30 is a time, 1E5 is 100000, (5) is -5, and 1.500 depends on the country.
_NUMERIC = re.compile(r"[0-9.,:/\-+%()eETZ ]*[0-9][0-9.,:/\-+%()eETZ ]*|true|false", re.IGNORECASE)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(rf"[0-9]+[ ,./-]*{_MONTH}[ ,./-]*[0-9]*|{_MONTH}[ ,./-]*[0-9]+[ ,./-]*[0-9]*", re.IGNORECASE)
_ALTERED_CHARACTERS_MAX = 100
_CONSTANTS = ("true", "false", "null")
# What XML, and so a workbook, cannot hold.
_UNCELLED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_VALUE = msgspec.json.Decoder(msgspec.Raw)
_TEXT = msgspec.json.Decoder(str)


def text_cell(text: str) -> str:
    """The cell of a text."""
    if not text or text.startswith(_PROTECTED_STARTS) or _is_altered(text):
        return _APOSTROPHE + text
    return text


def json_cell(json: bytes) -> str:
    """The cell of any value, given as JSON."""
    # Line breaks in strings are escaped: these stand between tokens.
    cell = json.decode().replace("\r", " ").replace("\n", " ")
    number = cell.startswith(("-", *"0123456789")) and not _INTEGER.fullmatch(cell.removeprefix("-"))
    return _APOSTROPHE + cell if number else cell


def text_of(cell: str) -> str:
    """The text of a cell that is not empty."""
    return cell.removeprefix(_APOSTROPHE)


def json_of(cell: str) -> msgspec.Raw | None:
    """The value of a cell with JSON that is not empty; None if that is no JSON."""
    text = text_of(cell).strip()
    # Spreadsheets write TRUE.
    if text.lower() in _CONSTANTS:
        text = text.lower()
    try:
        return msgspec.Raw(bytes(_VALUE.decode(text.encode(errors="surrogateescape"))))
    except (msgspec.MsgspecError, RecursionError):
        return None


def column_name(field: str, *, json: bool) -> str:
    """The column of a field. One whose name ends like that of a column with JSON must have a column with JSON."""
    return text_cell(field + JSON_SUFFIX if json else field)


def field_of(column: str) -> tuple[str, bool]:
    """The field of a column, and whether its cells are JSON."""
    name = text_of(column)
    return name.removesuffix(JSON_SUFFIX), name.endswith(JSON_SUFFIX)


def fits_as_text(value: bytes) -> bool:
    """Whether a value, given as JSON, is a text that a cell can hold."""
    if not value.startswith(b'"'):
        return False
    return _UNCELLED.search(value.decode() if b"\\" not in value else text_in(value)) is None


def text_in(value: bytes) -> str:
    """The text that a JSON string spells."""
    return _TEXT.decode(value)


def fits_as_name(field: str) -> bool:
    """Whether a field may be the name of a column, which is stripped when it is read."""
    return field == field.strip() != "" and field.isprintable()


def _is_altered(text: str) -> bool:
    if len(text) > _ALTERED_CHARACTERS_MAX or _INTEGER.fullmatch(text):
        return False
    return bool(_NUMERIC.fullmatch(text) or _DATE.fullmatch(text))
