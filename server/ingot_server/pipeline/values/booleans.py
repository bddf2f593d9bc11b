"""BOOLEAN: true and false, also as text; no other word and no number stands for them."""

from ingot_server.domain.fields import Reading
from ingot_server.pipeline.values.outcomes import PADDED_CHARACTERS_MAX, Reader, unreadable

_WORDS = {"true": True, "false": False}


def boolean_reader(_: Reading) -> Reader:
    """Reads JSON's own booleans, and the two words in any case."""

    def read(value: object) -> bool:
        if value is True or value is False:
            return value
        if type(value) is str and len(value) <= PADDED_CHARACTERS_MAX:
            word = value.strip()
            found = _WORDS.get(word.lower()) if len(word) <= 5 else None
            if found is not None:
                return found
        raise unreadable("true or false", value)

    return read
