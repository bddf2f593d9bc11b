"""File formats: how the bytes of an upload are to be read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from encodings import normalize_encoding
from encodings.aliases import aliases
from enum import StrEnum

COLUMN_BYTES_MAX = 255
HEADER_BYTES_MAX = 65_536
"""Every row repeats the column names in its record: long names would turn a small file into a huge one."""

# Left out are those with shift states, whose bytes mean nothing without all that came before, and those that are no
# encodings of text.
_NAMES = """
ascii big5 big5hkscs cp037 cp1006 cp1026 cp1125 cp1140 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257
cp1258 cp273 cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863 cp864
cp865 cp866 cp869 cp874 cp875 cp932 cp949 cp950 euc_jis_2004 euc_jisx0213 euc_jp euc_kr gb18030 gb2312 gbk hp_roman8
iso8859_1 iso8859_10 iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 iso8859_2 iso8859_3 iso8859_4 iso8859_5
iso8859_6 iso8859_7 iso8859_8 iso8859_9 johab koi8_r koi8_t koi8_u kz1048 latin_1 mac_arabic mac_croatian
mac_cyrillic mac_farsi mac_greek mac_iceland mac_latin2 mac_roman mac_romanian mac_turkish palmos ptcp154 shift_jis
shift_jis_2004 shift_jisx0213 tis_620 utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_8 utf_8_sig
"""
_CODECS = frozenset(_NAMES.split())


class FileType(StrEnum):
    """The format of an uploaded file."""

    NDJSON = "NDJSON"
    CSV = "CSV"
    JSON_ARRAY = "JSON_ARRAY"
    EXCEL = "EXCEL"
    PARQUET = "PARQUET"

    @property
    def tabular(self) -> bool:
        """Whether it can only be read as a whole file, by `ingot_tabular`."""
        return self in (FileType.EXCEL, FileType.PARQUET)


class Compression(StrEnum):
    """How a file is compressed."""

    NONE = "NONE"
    GZIP = "GZIP"
    ZSTD = "ZSTD"


@dataclass(frozen=True)
class DataFormat:
    """How the bytes of a file are to be read. Delimiter, quote and columns are for CSV only, the sheet for EXCEL."""

    type: FileType = FileType.NDJSON
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    columns: tuple[str, ...] = ()
    """The names of the columns, for a file without a header row."""
    compression: Compression = Compression.NONE
    sheet: str = ""
    """The name of the sheet; the first one if empty."""

    def violations(self) -> dict[str, str]:
        """What is wrong with it: what was expected, by the path of the field in the API."""
        return dict(self._violations())

    def _violations(self) -> Iterator[tuple[str, str]]:
        if codec(self.encoding) is None:
            yield "format.encoding", "expected an encoding without shift states, such as utf-8 or latin-1"
        if self.type.tabular and self.compression is not Compression.NONE:
            yield "format.compression", "expected none: Excel and Parquet files are compressed within"
        if self.sheet and self.type is not FileType.EXCEL:
            yield "format.sheet", "expected only for Excel"
        if self.type is not FileType.CSV:
            if self.columns:
                yield "format.csv.columns", "expected only for CSV"
            return
        for name, character in (("delimiter", self.delimiter), ("quote", self.quote)):
            if len(character) != 1 or not character.isascii() or character in "\r\n\0":
                yield f"format.csv.{name}", "expected one ASCII character other than a line break and NUL"
        if self.delimiter == self.quote:
            yield "format.csv.quote", "expected another character than the delimiter"
        if self.columns and (fault := column_fault(self.columns)):
            yield "format.csv.columns", fault


def codec(encoding: str) -> str | None:
    """The name of Python's codec for `encoding`; None if there is none, or none that a file may use.

    Unknown names are not given to `codecs.lookup`, which keeps every name it was ever asked for.
    """
    if not encoding.isascii() or not encoding.isprintable() or len(encoding) > 40:
        return None
    name = normalize_encoding(encoding).lower()
    for spelling in (name, name.replace("windows_", "cp")):
        known = aliases.get(spelling, spelling)
        if known in _CODECS:
            return known
    return None


def column_fault(columns: tuple[str, ...]) -> str | None:
    """What was expected of the column names of a CSV file; None if they are as they should be."""
    for number, name in enumerate(columns, start=1):
        if not name.strip():
            return f"expected a name for column {number}, which has none"
        if "\0" in name:
            return f"expected no NUL in the name of column {number}"
        if len(name.encode(errors="surrogatepass")) > COLUMN_BYTES_MAX:
            return f"expected a name of at most {COLUMN_BYTES_MAX} bytes for column {number}"
    name, times = Counter(columns).most_common(1)[0]
    if times > 1:
        return f"expected distinct names, got {name!r} for columns {_numbers(columns, name)}"
    if sum(len(name.encode(errors="surrogatepass")) for name in columns) > HEADER_BYTES_MAX:
        return f"expected names of at most {HEADER_BYTES_MAX:,} bytes together"
    return None


def _numbers(columns: tuple[str, ...], name: str) -> str:
    return " and ".join([str(number) for number, column in enumerate(columns, start=1) if column == name][:2])
