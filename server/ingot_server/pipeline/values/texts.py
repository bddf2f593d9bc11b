"""TEXT, IDENTIFIER and URL: texts that stay as they are, but for blanks at the ends and the case of a URL's host."""

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from ingot_server.domain.fields import Reading
from ingot_server.pipeline.values.outcomes import PADDED_CHARACTERS_MAX, Reader, unreadable

IDENTIFIER_CHARACTERS_MAX = 255
URL_CHARACTERS_MAX = 2_048

_IDENTIFIER_INTEGER_END = 10**IDENTIFIER_CHARACTERS_MAX
_HOST_CHARACTERS_MAX = 253
_LABEL_CHARACTERS_MAX = 63
_PORT_MAX = 65_535

_REST = r"(?:[/?#][^\s\x00-\x1f\x7f-\x9f]*)?"
# At least two labels, the last of them a word: no address of numbers, which needs a closer look.
_COMMON_URL = re.compile(rf"https?://(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.){{1,9}}[a-z]{{2,19}}{_REST}")
_URL = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<host>[a-z0-9_.\-\x80-\U0010ffff]+))"
    rf"(?P<port>:[1-9][0-9]{{0,4}})?(?P<rest>{_REST})",
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(r"(?![-])[^.]+(?<![-])")
# The pattern above must not take other letters for those of `https`, and re.ASCII makes it miss some blanks too.
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


def text_reader(_: Reading) -> Reader:
    """Reads strings, and leaves them as they are."""

    def read(value: object) -> str:
        if type(value) is str:
            return value
        raise unreadable("a text", value)

    return read


def identifier_reader(_: Reading) -> Reader:
    """Reads strings and integers, which become their digits."""
    expected = f"a text or an integer of 1 to {IDENTIFIER_CHARACTERS_MAX} characters such as 'A-17'"

    def read(value: object) -> str:
        if type(value) is str:
            text = value.strip() if len(value) <= PADDED_CHARACTERS_MAX else ""
        elif type(value) is int and -_IDENTIFIER_INTEGER_END < value < _IDENTIFIER_INTEGER_END:
            text = str(value)
        else:
            raise unreadable(expected, value)
        if 0 < len(text) <= IDENTIFIER_CHARACTERS_MAX:
            return text
        raise unreadable(expected, value)

    return read


def url_reader(_: Reading) -> Reader:
    """Reads absolute http and https URLs without a user."""
    is_common = _COMMON_URL.fullmatch

    def read(value: object) -> str:
        if type(value) is str and len(value) <= PADDED_CHARACTERS_MAX:
            text = value.strip()
            if len(text) <= URL_CHARACTERS_MAX:
                # A host of more than 253 characters is left to the other way.
                if is_common(text) and (len(text) <= _HOST_CHARACTERS_MAX or text.find("/", 8, 200) > 0):
                    return text
                if url := _url(text):
                    return url
        raise unreadable(
            f"an http or https URL of at most {URL_CHARACTERS_MAX:,} characters such as https://example.org/a", value
        )

    return read


def _url(text: str) -> str:
    """The URL in its one spelling; empty if it is none."""
    found = _URL.fullmatch(text)
    if not found or _BLANK.search(text):
        return ""
    scheme, v6, host, port, rest = found.group("scheme", "v6", "host", "port", "rest")
    if port and int(port[1:]) > _PORT_MAX:
        return ""
    if v6 is not None:
        host = f"[{v6.lower()}]" if _is_address(v6, IPv6Address) else ""
    else:
        host = host.lower() if _is_host(host.lower()) else ""
    url = f"{scheme.lower()}://{host}{port or ''}{rest}"
    # Small letters can be longer: İ has two.
    return url if host and len(url) <= URL_CHARACTERS_MAX else ""


def _is_host(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    if labels[-1].isascii() and labels[-1].isdigit():
        return not host.endswith(".") and _is_address(host, IPv4Address)
    return len(host) <= _HOST_CHARACTERS_MAX and all(
        len(label) <= _LABEL_CHARACTERS_MAX and _LABEL.fullmatch(label) and (label.isascii() or _is_word(label))
        for label in labels
    )


def _is_word(label: str) -> bool:
    """Whether a label has only letters, marks and digits, of any script, and hyphens."""
    return all(letter in "-_" or unicodedata.category(letter)[0] in "LMN" for letter in label)


def _is_address(text: str, kind: type[IPv4Address] | type[IPv6Address]) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True
