"""Pages of lists: their size, and the tokens that say where one ends."""

import base64
import binascii
import json
import re
from typing import Any

from ingot_server.domain.errors import InvalidRequest
from ingot_server.storage.errors import FIRST_POSITION, ErrorPosition

PAGE_SIZE_MAX = 1_000
TOKEN_CHARACTERS_MAX = 8_192
_NUMBER_MAX = 2**63 - 1
# PostgreSQL holds neither: NUL, and halves of characters.
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")


def token_refused() -> InvalidRequest:
    """The error for a token that belongs to no page before this one."""
    return InvalidRequest({"page_token": "expected the next_page_token of the page before"})


def page_size(requested: int, default: int) -> int:
    """How many things a page holds. Raises InvalidRequest."""
    if not 0 <= requested <= PAGE_SIZE_MAX:
        raise InvalidRequest({"page_size": f"expected 0 to {PAGE_SIZE_MAX}, got {requested}"})
    return requested or default


def page_token(position: Any) -> str:
    """The token for the page after `position`."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode()


def page_position(token: str, kind: type) -> Any:
    """The position that a token names; PostgreSQL holds its texts. Raises InvalidRequest."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise token_refused()
    try:
        position = json.loads(base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        position = None
    # Not isinstance: true is no number.
    if type(position) is not kind or (isinstance(position, int) and not 0 <= position <= _NUMBER_MAX):
        raise token_refused()
    parts = position if isinstance(position, list) else [position]
    if any(isinstance(part, str) and _IMPOSSIBLE.search(part) for part in parts):
        raise token_refused()
    return position


def error_position(token: str) -> ErrorPosition:
    """The position in a list of errors that a token names. Raises InvalidRequest."""
    if not token:
        return FIRST_POSITION
    position = page_position(token, list)
    if len(position) != 3 or not all(isinstance(part, int) and abs(part) <= _NUMBER_MAX for part in position):
        raise token_refused()
    return position[0], position[1], position[2]


def text_pair(token: str) -> tuple[str, str]:
    """The pair of texts that a token names; empty ones for no token. Raises InvalidRequest."""
    if not token:
        return "", ""
    position = page_position(token, list)
    if len(position) != 2 or not all(isinstance(part, str) for part in position):
        raise token_refused()
    return position[0], position[1]
