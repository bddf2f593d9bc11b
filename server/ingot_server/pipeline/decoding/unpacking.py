"""Unpacks compressed files step by step: each step takes little in and gives little out, whatever the file holds.

gzip with any number of members, and zeros behind the last one, as tape drives and block devices leave them; Zstandard
with any number of frames, also skippable ones. A frame of Zstandard says how much memory it takes to unpack, most often
up to 8 MiB; more than 128 MiB is refused.

Like a record, a file that is damaged, cut off, or a bomb is data and not an exception: `fault` says what is wrong, and
nothing more comes out. What the very step that fails has unpacked is lost with the rest.
"""

import re
import zlib
from typing import Protocol

from ingot_server.domain.formats import Compression
from ingot_server.domain.records import ErrorCode, Fault
from ingot_server.pipeline.libzstd import zstd

FREE_BYTES = 10 * 1024 * 1024
RATIO_MAX = 200
"""A file may unpack to FREE_BYTES, and RATIO_MAX times its size."""
_STEP_BYTES = 4_096
_STEPS_MAX = 64
"""Of one `read`: a file of nothing but empty members must not hold the event loop."""
_WINDOW_LOG_MAX = 27
_GZIP_WBITS = 31
_ZEROS = re.compile(rb"\0*+")
_NO_BEGINNING = ("incorrect header check", "Unknown frame descriptor")
_TOO_LARGE = ("Frame requires too much memory for decoding",)
"""What zlib and libzstd say."""
_NAMES = {Compression.GZIP: "gzip", Compression.ZSTD: "Zstandard"}


class _Stream(Protocol):
    """One member of a file, as Python's own decompressors have it."""

    @property
    def needs_input(self) -> bool: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decompressor in the manner of the others: it keeps what it was given."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        plain = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        # A full answer may have a rest within zlib, although there is no unconsumed input.
        self.needs_input = len(plain) < max_length
        return plain


class Unpacker:
    """Unpacks one file from its beginning."""

    def __init__(self, compression: Compression, trusted_bytes: int = 0) -> None:
        """The guard on the ratio leaves the first `trusted_bytes` of what comes out alone."""
        self._compression = compression
        self._trusted_bytes = trusted_bytes
        self._stream: _Stream | None = None
        self._members = 0
        self._input = b""
        self._position = 0
        self._packed_bytes = 0
        self._plain_bytes = 0
        self.fault: Fault | None = None
        """Why nothing more comes out."""

    @property
    def needs_input(self) -> bool:
        """Whether all that was fed is read. False forever after a fault."""
        stream = self._stream
        return self.fault is None and self._position == len(self._input) and (stream is None or stream.needs_input)

    def feed(self, packed: bytes) -> None:
        """Adds a part of the file. Only if it needs input."""
        self._input, self._position = packed, 0

    def read(self, bytes_max: int) -> bytes:
        """The next bytes of the unpacked file, as many as can be had without much work: perhaps none."""
        plain = bytearray()
        for _ in range(_STEPS_MAX):
            if self.fault is not None or self.needs_input or len(plain) >= bytes_max:
                break
            plain += self._step(bytes_max - len(plain))
        return bytes(plain)

    def end(self) -> None:
        """The whole file was fed, and all of it was read: there is a fault if it was cut off."""
        if self._stream is not None and self.fault is None:
            name = _NAMES[self._compression]
            self._fail(f"The {name} data ends too early: the file was cut off. The rest of it could not be read.")

    def _step(self, bytes_max: int) -> bytes:
        if self._stream is None:
            if self._members and self._compression is Compression.GZIP and self._skip_zeros():
                return b""
            self._stream = _new_stream(self._compression)
        data = b""
        if self._stream.needs_input:
            data = self._input[self._position : self._position + _STEP_BYTES]
            self._position += len(data)
            self._packed_bytes += len(data)
        try:
            plain = self._stream.decompress(data, bytes_max)
        except (zlib.error, zstd.ZstdError) as error:
            self._fail(self._damage(str(error).rpartition(": ")[2]))
            return b""
        self._plain_bytes += len(plain)
        if self._stream.eof:
            unused_bytes = len(self._stream.unused_data)
            self._position -= unused_bytes
            self._packed_bytes -= unused_bytes
            self._stream = None
            self._members += 1
        if self._plain_bytes > max(self._trusted_bytes, FREE_BYTES + RATIO_MAX * self._packed_bytes):
            self._fail(
                f"The file unpacks to more than {FREE_BYTES >> 20} MiB and {RATIO_MAX} times its size: from here on it "
                "was not read. If it is meant to be so, send it without compression."
            )
        return plain

    def _skip_zeros(self) -> bool:
        """Whether there is nothing behind the zeros, as far as the input goes."""
        zeros = _ZEROS.match(self._input, self._position)
        assert zeros is not None  # noqa: S101 it matches nothing too
        self._packed_bytes += len(zeros.group())
        self._position = zeros.end()
        return self._position == len(self._input)

    def _damage(self, reason: str) -> str:
        name = _NAMES[self._compression]
        if reason in _NO_BEGINNING and not self._members:
            return f"The file is not {name}: it does not begin like it."
        if reason in _TOO_LARGE:
            reason = f"unpacking takes more than {1 << _WINDOW_LOG_MAX - 20} MiB: compress it with a smaller window"
        return f"The {name} data cannot be unpacked ({reason}): the rest of it could not be read."

    def _fail(self, message: str) -> None:
        self.fault = Fault(ErrorCode.UNREADABLE_REST, message)
        self._input, self._position = b"", 0


def _new_stream(compression: Compression) -> _Stream:
    if compression is Compression.GZIP:
        return _Gzip()
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
