"""API keys: `ingot_<key id>_<secret><checksum>`.

The id is public and finds the key; the secret has 190 random bits, so a fast hash is enough to store it; the checksum
(CRC-32 of all before it) lets typing errors be told from wrong keys without a look into the database.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass

_ALPHABET = string.digits + string.ascii_letters
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 10, 32, 6
_PATTERN = re.compile(
    rf"ingot_([0-9a-zA-Z]{{{_ID_LENGTH}}})_([0-9a-zA-Z]{{{_SECRET_LENGTH}}})([0-9a-zA-Z]{{{_CHECKSUM_LENGTH}}})"
)

SCOPES = (
    "imports:read",
    "imports:write",
    "imports:delete",
    "records:read",
    "records:write",
    "records:delete",
    "tables:read",
    "tables:write",
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key in the clear, as its owner holds it."""

    key_id: str
    secret: str

    @property
    def text(self) -> str:
        """The key as it is sent."""
        body = f"ingot_{self.key_id}_{self.secret}"
        return body + _checksum(body)

    @property
    def secret_sha256(self) -> bytes:
        """What the server stores of the secret."""
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, secret_sha256: bytes) -> bool:
        """Whether this is the key whose hash was stored; takes the same time for any answer."""
        return hmac.compare_digest(self.secret_sha256, secret_sha256)


def api_key_new() -> ApiKey:
    """A new random key."""
    return ApiKey(_random(_ID_LENGTH), _random(_SECRET_LENGTH))


def api_key_parse(text: str) -> ApiKey | None:
    """The key that `text` spells; None if it is no key or was garbled."""
    found = _PATTERN.fullmatch(text)
    if found is None or _checksum(text[:-_CHECKSUM_LENGTH]) != found[3]:
        return None
    return ApiKey(found[1], found[2])


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
