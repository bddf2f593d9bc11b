"""What to write instead of what other languages have."""

import re

from ingot_server.domain.filters.scanning import KEYWORDS, Literal

OPERATORS = ("!=", "<=", ">=", "=", "<", ">", ":")

_WORD = re.compile(r"(?P<no>NOT\s+)?(?P<word>\w+)(?:\s*\((?P<values>[^()]*)\))?", re.IGNORECASE)
# Bare words up to a keyword, or to a name that an operator follows.
_MORE_WORDS = re.compile(
    rf"(?:\s*+(?!(?:{'|'.join(KEYWORDS)})(?![\w-]))[\w\-.@+/]++(?!\s*[{''.join(sorted(set(''.join(OPERATORS))))}]))*"
)
_SIMPLE_TEXT = re.compile(r"(?!(?:true|false|null)$)[^\W\d].*", re.DOTALL)
_HINTS = {
    "like": 'there is no LIKE; write {field} = "Ad*" for all that begin with Ad',
    "ilike": 'there is no ILIKE; write {field} = "Ad*" for all that begin with Ad',
    "is": "there is no IS; write {field} = null, or {field}:* for all that have a value",
    "between": "there is no BETWEEN; write {field} >= A AND {field} <= B",
    "contains": "there is no CONTAINS; write {field}:A for lists that contain A",
}


def no_operator(field: str, rest: str, before: tuple[str, Literal] | None) -> str:
    """What to say about a field that `rest` follows instead of an operator.

    `before` is the comparison that stands right before the field: what was compared, as in `city =`, and with what.
    """
    expected = f"expected one of {' '.join(OPERATORS)} after the field `{field}`"
    if rest.startswith("["):
        return f"an element of a list cannot be named; `{field}:value` finds it anywhere in the list"
    if found := _WORD.match(rest):
        word = found["word"].lower()
        if word == "in":
            return f"there is no IN; write {_any_of(field, found['values'] or 'A,B', negated=bool(found['no']))}"
        if word in _HINTS:
            return _HINTS[word].format(field=field)
    if field.upper() in KEYWORDS:
        return f"{expected}; as a keyword write {field.upper()}"
    if before is not None and field[0] not in "\"'":
        compared, literal = before
        if not (literal.quoted or literal.prefix) and _SIMPLE_TEXT.fullmatch(literal.text):
            more = _MORE_WORDS.match(rest)
            words = " ".join([literal.text, field, *(more.group().split() if more else ())])
            return f'{expected}; a text with blanks needs quotes: {compared} "{words}"'
    return f"{expected}; a value alone finds nothing: name the field that it is in, as in `name = {field}`"


def _any_of(field: str, values: str, *, negated: bool) -> str:
    listed = [value.strip() for value in values.split(",")]
    written = " OR ".join([f"{field} = {value}" for value in listed[:2]] + ["..."] * (len(listed) > 2))
    return f"NOT ({written})" if negated else written
