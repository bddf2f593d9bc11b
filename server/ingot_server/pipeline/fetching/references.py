"""URIs: what their scheme is, and how they are shown."""

import re

from ingot_server.pipeline.fetching.errors import ReferenceRefused

URI_BYTES_MAX = 2048
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CREDENTIALS = re.compile(r"(?<=://)[^/]*@")


def shown(uri: str) -> str:
    """The URI as it may be logged and told: without query and credentials."""
    return _CREDENTIALS.sub("", re.split("[?#]", uri, maxsplit=1)[0])


def scheme_of(uri: str) -> str:
    """The scheme, in small letters, of a URI whose form is one that may be read."""
    if not uri:
        raise ReferenceRefused("the URI is empty")
    if (length := len(uri.encode())) > URI_BYTES_MAX:
        raise ReferenceRefused(f"the URI has {length:,} bytes, and at most {URI_BYTES_MAX:,} are allowed")
    if not uri.isprintable():
        raise ReferenceRefused("the URI holds characters that cannot be printed: write them as %XX")
    found = _SCHEME.match(uri)
    if found is None:
        raise ReferenceRefused("expected an absolute URI, for example https://example.org/contacts.csv")
    scheme = found[1].lower()
    # In the key of an object it is a character like any other.
    if "#" in uri and scheme != "s3":
        raise ReferenceRefused("the URI has a fragment: leave out `#` and what follows, or write it as %23")
    return scheme
