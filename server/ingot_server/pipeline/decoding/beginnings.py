"""Tells by its first bytes that a file is something else than its format says: nobody would find a record in it."""

import codecs

from ingot_server.domain.formats import DataFormat, codec

# None of these begins a text that could be read. UTF-32 comes first: its mark begins with that of UTF-16.
_PACKED = {
    b"\x1f\x8b\x08": ("compression", "expected gzip: the file is compressed with it"),
    b"\x28\xb5\x2f\xfd": ("compression", "expected zstd: the file is compressed with it"),
    b"PK\x03\x04": ("type", "expected Excel if the file is a workbook: it is a ZIP archive, and no text"),
    b"PAR1\x15": ("type", "expected Parquet: the file is one"),
}
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def misread(beginning: bytes, format: DataFormat) -> dict[str, str]:
    """What is wrong with the format of a text that begins so, if it is sure: what was expected, by the path in the
    API."""
    for signature, (field, expected) in _PACKED.items():
        if beginning.startswith(signature):
            return {f"format.{field}": expected}
    if codec(format.encoding) in ("utf_8", "utf_8_sig"):
        for mark, encoding in _MARKS.items():
            if beginning.startswith(mark):
                return {"format.encoding": f"expected {encoding}: the file begins with its byte order mark"}
    return {}
