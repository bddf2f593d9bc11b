"""URIs: what they name, whether that may be read at all, and how they are shown. Nothing is asked of anybody."""

import re
from typing import NamedTuple

from yarl import URL

from ingot_server.pipeline.fetching.addresses import is_private_host
from ingot_server.pipeline.fetching.errors import ReferenceRefused
from ingot_server.pipeline.fetching.rules import FetchRules

URI_BYTES_MAX = 2048
PRIVATE_HOST = (
    "the host has no public address, and the server reads from no others: "
    "use a public address, or have private networks allowed on the server"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
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


def http_url(uri: str, *, private_networks: bool) -> URL:
    """The URL of an `http` or `https` URI; raises ReferenceRefused if it is malformed, or private by its looks."""
    if " " in uri:
        raise ReferenceRefused("the URI holds a space: write it as %20")
    try:
        # As it is, if possible: quoting it anew could break a signature.
        url = URL(uri, encoded=uri.isascii())
        port = url.port
    except ValueError:
        raise ReferenceRefused("the URI is malformed: expected https://host/path") from None
    if url.raw_user is not None or url.raw_password is not None or "@" in url.raw_authority:
        raise ReferenceRefused("the URI holds credentials: leave them out, and use a signed URL if the file needs them")
    if not url.raw_host or not _HOST.fullmatch(url.raw_host) or not port:
        raise ReferenceRefused("the URI names no host that could be read: expected https://host/path")
    if not private_networks and is_private_host(url.raw_host):
        raise ReferenceRefused(PRIVATE_HOST)
    return url


class S3Object(NamedTuple):
    """An object in a bucket."""

    bucket: str
    key: str


def s3_object(uri: str, rules: FetchRules) -> S3Object:
    """What an `s3` URI names; raises ReferenceRefused if it is malformed or the bucket is not allowed."""
    # The key is meant as it is written, as by all tools of S3.
    bucket, _, key = uri.partition("://")[2].partition("/")
    if "?" in uri or not bucket or not key:
        raise ReferenceRefused("expected s3://bucket/key, without a query")
    if any(part in (".", "..") for part in key.split("/")):
        raise ReferenceRefused("the key holds `.` or `..` between slashes, which could mean another file")
    if bucket not in rules.s3_buckets:
        raise ReferenceRefused(
            "the server does not read from this bucket: have it allowed on the server, or use a signed https:// URL"
        )
    return S3Object(bucket, key)
