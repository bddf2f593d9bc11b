"""Reads a file from where a URI says, as a stream of bytes.

    URI ──► references   may it be read at all? scheme, host, bucket, folder: nothing is asked of anybody yet
              │
              ├── files    file://, below the folders that are allowed
              ├── remote   other machines: loaded when the first file of one is read
              │     ├── http   https:// and http://: redirects by hand, ranges, versions
              │     └── s3     s3://: a signed address, then as http
              │
            fetched      the bytes, each once and in order; after a fault it goes on at the exact byte

What is read, is read in one version: a source that changed meanwhile is an error, never a mixture. Where the source
names no version, what was read is read again after a fault and compared.

Whoever may give a URI could otherwise make the server speak to its own network. So every connection that follows from a
URI goes by `addresses`, at the moment when the address is known and the socket is made: neither a redirect nor a name
that changes its address gets around it. Only the S3 endpoint, which the operator has chosen, is spoken to as it is.
"""

from ingot_server.pipeline.fetching.errors import FetchFailed, FileChanged, ReferenceRefused
from ingot_server.pipeline.fetching.fetched import Fetched
from ingot_server.pipeline.fetching.fetcher import Fetcher
from ingot_server.pipeline.fetching.references import shown
from ingot_server.pipeline.fetching.rules import FetchRules

__all__ = ["FetchFailed", "FetchRules", "Fetched", "Fetcher", "FileChanged", "ReferenceRefused", "shown"]
