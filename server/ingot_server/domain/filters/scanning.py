"""The smallest parts of a filter: names, values and signs."""

import re
from dataclasses import dataclass

from ingot_server.domain.filters.tree import FieldPath, Own

FILTER_CHARACTERS_MAX = 2_000
DEPTH_MAX = 20
KEYWORDS = ("AND", "OR", "NOT")

_BLANKS = re.compile(r"\s*")
_NAME = re.compile(r"\w[\w-]*")
_WORD = re.compile(r"[\w\-.@+:/*]+")
_KEYWORD = re.compile(rf"(?:{'|'.join(KEYWORDS)})(?![\w-])")
_INDEX = re.compile(r"[0-9]+")
# PostgreSQL holds neither: NUL, and halves of characters.
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")


class FilterInvalid(ValueError):
    """A filter or an order cannot be understood. The message says where, and what was expected."""

    def __init__(self, position: int, message: str) -> None:
        """`position` counts characters from 0, the message from 1."""
        super().__init__(f"at character {position + 1}: {message}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it was written."""

    text: str
    """Without quotes, backslashes and the star of a prefix."""
    quoted: bool
    prefix: bool
    """A star followed."""
    position: int


class Scanner:
    """Takes a text apart from left to right."""

    def __init__(self, text: str) -> None:
        """Raises FilterInvalid if the text is too long, or has characters that no record can contain."""
        self._text = text
        self.position = 0
        if len(text) > FILTER_CHARACTERS_MAX:
            raise FilterInvalid(
                FILTER_CHARACTERS_MAX, f"expected at most {FILTER_CHARACTERS_MAX:,} characters, got {len(text):,}"
            )
        if impossible := _IMPOSSIBLE.search(text):
            raise FilterInvalid(impossible.start(), "this character does not occur in any record")

    def invalid(self, message: str) -> FilterInvalid:
        """The error that something else was expected here."""
        return FilterInvalid(self.position, message)

    def skip_blanks(self) -> bool:
        """Goes on to what is not blank; whether anything was."""
        return bool(self._matched(_BLANKS))

    @property
    def rest(self) -> str:
        """All that is left."""
        return self._text[self.position :]

    def written_since(self, start: int) -> str:
        """What was taken since that position."""
        return self._text[start : self.position]

    def take(self, *signs: str) -> str:
        """The first of the signs that stands here; empty if none does."""
        for sign in signs:
            if self._text.startswith(sign, self.position):
                self.position += len(sign)
                return sign
        return ""

    def take_keyword(self, keyword: str) -> bool:
        """Whether this keyword stands here."""
        found = _KEYWORD.match(self._text, self.position)
        return found is not None and found.group() == keyword and bool(self.take(keyword))

    def field(self) -> FieldPath | Own:
        """The field that is named here."""
        start = self.position
        quoted, name = self._segment()
        path = [name]
        while self.take("."):
            path.append(self._segment()[1])
        if len(path) > DEPTH_MAX:
            raise FilterInvalid(start, f"expected a field at most {DEPTH_MAX} names deep, got {len(path)}")
        if quoted or name not in list(Own):
            return tuple(path)
        if len(path) > 1:
            raise FilterInvalid(start, f'{name} has no fields in it: write "{name}" if it is a field of the record')
        return Own(name)

    def _segment(self) -> tuple[bool, str]:
        start = self.position
        if self._next in ('"', "'"):
            return True, self._quoted()[0]
        if _KEYWORD.match(self._text, start):
            raise self.invalid("expected the name of a field; a name that is AND, OR or NOT needs quotes")
        name = self._matched(_NAME)
        if not name:
            raise self.invalid(f"expected the name of a field, got {self._shown}")
        if _INDEX.fullmatch(name):
            raise FilterInvalid(
                start,
                f"{name} is no field: an element of a list cannot be named (`items.sku:X` finds any); write"
                f' "{name}" if a field has this name',
            )
        return False, name

    def value(self) -> Literal:
        """The value that stands here."""
        start = self.position
        if self._next in ('"', "'"):
            text, star = self._quoted(stars=True)
            literal = Literal(text, True, star, start)
        else:
            if _KEYWORD.match(self._text, start):
                raise self.invalid("expected a value; a text that is AND, OR or NOT needs quotes")
            word = self._matched(_WORD)
            if not word:
                raise self.invalid(f"expected a value, in quotes if it is not a simple word, got {self._shown}")
            if "*" in word[:-1]:
                raise _misplaced_star(start + word.index("*"))
            literal = Literal(word.removesuffix("*"), False, word.endswith("*"), start)
        if self._next.strip() not in ("", ")"):
            raise self.invalid(f"expected a blank after the value, got {self._shown}; put longer texts into quotes")
        return literal

    def _quoted(self, *, stars: bool = False) -> tuple[str, bool]:
        """The text in quotes; with `stars`, whether a star ended it."""
        start = self.position
        quote = self.take('"', "'")
        characters: list[str] = []
        while not self.take(quote):
            character = self._next
            if not character:
                raise FilterInvalid(start, f"expected {quote} at the end of the text that begins here")
            if character == "\\":
                self.position += 1
                character = self._next
                if not character or character not in "\"'*\\":
                    raise self.invalid("expected a quote, a star or a backslash after the backslash")
            elif character == "*" and stars:
                position = self.position
                self.position += 1
                if not self.take(quote):
                    raise _misplaced_star(position)
                return "".join(characters), True
            characters.append(character)
            self.position += 1
        return "".join(characters), False

    def _matched(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self.position)
        if found is None:
            return ""
        self.position = found.end()
        return found.group()

    @property
    def _next(self) -> str:
        return self._text[self.position : self.position + 1]

    @property
    def _shown(self) -> str:
        return f"`{self._next}`" if self._next else "the end"


def _misplaced_star(position: int) -> FilterInvalid:
    return FilterInvalid(
        position, 'a star is supported only at the end, for a prefix; write "\\*" in quotes for the character'
    )
