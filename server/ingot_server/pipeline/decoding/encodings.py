"""Encodings other than UTF-8: the file is transcoded, and every offset is still one of the source.

Bytes that mean nothing in the encoding become lone surrogates, which UTF-8 does not allow, so that they cost the record
they are in and nothing else. UTF-16 and UTF-32 without a given byte order have it from the byte order mark, else from
where the zero bytes of the first character are, else it is little-endian.
"""

import codecs
import re
from bisect import bisect_left
from typing import Any

from msgspec.structs import replace

from ingot_server.domain.records import Decoded, ErrorCode, Fault, Reject, reject
from ingot_server.pipeline.decoding.decoder import Decoder

_SEGMENT_BYTES = 16_384
_UNORDERED = {"utf_16": 2, "utf_32": 4}
_MARKED_BYTE = re.compile(rb"\xed[\xb0-\xb3][\x80-\xbf]")
_SHOWN_MARKED_BYTE = re.compile(r"\\xed\\x(b[0-3])\\x([89ab][0-9a-f])")


def _mark_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 it is registered for decoding only
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("ingot_mark_bytes", _mark_bytes)


class TranscodingDecoder:
    """Reads a file in another encoding with a decoder for UTF-8."""

    def __init__(self, inner: Decoder, encoding: str, state: dict[str, Any]) -> None:
        self._inner = inner
        self._encoding: str = state.get("encoding", encoding)

    def state(self) -> dict[str, Any]:
        return {"encoding": self._encoding, "inner": self._inner.state()}

    def feed(self, data: bytes, final: bool) -> tuple[Decoded, int]:
        if unit := _UNORDERED.get(self._encoding):
            if len(data) < unit and not final:
                return Decoded(), 0
            self._encoding += _byte_order(data[:unit])
        transcoded = _Transcoded(data, self._encoding, final)
        decoded, consumed = self._inner.feed(transcoded.text, final)
        if transcoded.has_marks:
            decoded = self._without_marked(decoded)
        return decoded, len(data) if final else transcoded.source_offset(consumed)

    def lose(self, rest: bytes, fault: Fault) -> Decoded:
        decoded = self._inner.lose(_Transcoded(rest, self._encoding, final=True).text, fault)
        decoded.rejects = [self._readable(found) for found in decoded.rejects]
        return decoded

    def _without_marked(self, decoded: Decoded) -> Decoded:
        """Rejects the records with a mark in them."""
        rejects = [self._readable(found) for found in decoded.rejects]
        texts, indexes, lines = [], [], []
        for text, index, line in zip(decoded.texts, decoded.indexes, decoded.lines, strict=True):
            if _MARKED_BYTE.search(text):
                rejects.append(self._readable(reject(index, line, text, self._fault)))
                continue
            texts.append(text)
            indexes.append(index)
            lines.append(line)
        return Decoded(texts, indexes, lines, rejects, decoded.received)

    @property
    def _fault(self) -> Fault:
        name = self._encoding.replace("_", "-")
        return Fault(ErrorCode.INVALID_ENCODING, f"The record contains bytes that are not valid {name}.")

    def _readable(self, found: Reject) -> Reject:
        raw = _SHOWN_MARKED_BYTE.sub(_shown_byte, found.raw)
        is_encoding = ErrorCode.INVALID_ENCODING
        faults = tuple(self._fault if fault.code is is_encoding else fault for fault in found.faults)
        return replace(found, raw=raw, faults=faults)


class _Transcoded:
    """Bytes of the source in UTF-8, with the way back."""

    def __init__(self, source: bytes, encoding: str, final: bool) -> None:
        self._source = source
        self._encoding = encoding
        self.has_marks = False
        self._source_ends = [0]
        self._text_ends = [0]
        decoder = self._decoder()
        texts = []
        for start in range(0, len(source), _SEGMENT_BYTES):
            end = start + _SEGMENT_BYTES
            text = self._encode(decoder.decode(source[start:end], final and end >= len(source)))
            texts.append(text)
            self._source_ends.append(min(end, len(source)) - len(decoder.getstate()[0]))
            self._text_ends.append(self._text_ends[-1] + len(text))
        self.text = b"".join(texts)

    def source_offset(self, text_offset: int) -> int:
        """Where in the source the first `text_offset` bytes of the text end."""
        found = bisect_left(self._text_ends, text_offset)
        if self._text_ends[found] == text_offset:
            return self._source_ends[found]
        start, end = self._source_ends[found - 1 : found + 1]
        wanted = text_offset - self._text_ends[found - 1]
        segment = self._source[start:end]

        def text_bytes(source_bytes: int) -> int:
            return len(self._encode(self._decoder().decode(segment[:source_bytes])))

        return start + bisect_left(range(end - start), wanted, key=text_bytes)

    def _decoder(self) -> codecs.IncrementalDecoder:
        return codecs.getincrementaldecoder(self._encoding)("ingot_mark_bytes")

    def _encode(self, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError:
            self.has_marks = True
            return text.encode(errors="surrogatepass")


def _byte_order(first: bytes) -> str:
    if first.startswith(codecs.BOM_UTF16_BE) or first == codecs.BOM_UTF32_BE:
        return "_be"
    return "_be" if first.startswith(b"\0") else "_le"


def _shown_byte(shown: re.Match[str]) -> str:
    return f"\\x{(int(shown[1], 16) & 3) << 6 | int(shown[2], 16) & 0x3F:02x}"
