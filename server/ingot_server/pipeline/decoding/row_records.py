"""Turns rows into records, and finds the rows that cannot become one."""

from collections.abc import Iterator, Sequence
from itertools import repeat

from ingot_server.domain.records import EMPTY_LINE, RECORD_BYTES_MAX, RECORD_TOO_LARGE, ErrorCode, Fault
from ingot_server.pipeline.decoding.gathering import Gathering
from ingot_server.pipeline.decoding.mended_rows import MendedRowEncoder
from ingot_server.pipeline.decoding.row_json import RowEncoder

_NUL = Fault(ErrorCode.CONTROL_CHARACTER, "The row contains a NUL character: leave it out.")


class PlainRows:
    """Rows of one line each, of which no cell is quoted: each is split when it is needed, and not kept."""

    def __init__(self, lines: list[str], delimiter: str) -> None:
        self._lines = lines
        self._delimiter = delimiter

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[list[str]]:
        if "" in self._lines:
            return (line.split(self._delimiter) if line else [] for line in self._lines)
        return map(str.split, self._lines, repeat(self._delimiter))


class Rows:
    """Some rows and the lines of the file they came from."""

    def __init__(self, rows: "list[list[str]] | PlainRows", line_ends: Sequence[int], block: bytes, line: int) -> None:
        """`line_ends` has for each row how many lines there are up to its end; the first is line `line` of the file."""
        self._rows = rows
        self._line_ends = line_ends
        self._block = block
        self._line = line
        self._clean = b"\0" not in block and is_utf8(block)

    def become_records(self, encoder: RowEncoder | MendedRowEncoder, found: Gathering) -> None:
        """Adds each row as a record or as a reject."""
        texts = encoder.encode_all(self._rows) if self._clean else None
        if texts and max(map(len, texts)) <= RECORD_BYTES_MAX:
            found.add(texts, self._lines())
        else:
            self._become_mixed(encoder, found)

    def _become_mixed(self, encoder: RowEncoder | MendedRowEncoder, found: Gathering) -> None:
        texts: list[bytes] = []
        indexes: list[int] = []
        lines: list[int] = []
        sources = self._block.split(b"\n")
        start = 0
        for row, end, line in zip(self._rows, self._line_ends, self._lines(), strict=True):
            source = b"\n".join(sources[start:end]).rstrip(b"\r")
            start = end
            faults = encoder.faults(row, source)
            if not self._clean and faults != [EMPTY_LINE]:
                faults = self._unclean(source) + faults
            text = b"" if faults else encoder.encode([row])[0]
            if len(text) > RECORD_BYTES_MAX:
                faults = [RECORD_TOO_LARGE]
            if faults:
                found.reject(line, encoder.shown(row, source), *faults)
                continue
            texts.append(text)
            indexes.append(found.next_index)
            lines.append(line)
            found.next_index += 1
        found.add_some(texts, indexes, lines)

    @staticmethod
    def _unclean(source: bytes) -> list[Fault]:
        faults = []
        if b"\0" in source:
            faults.append(_NUL)
        if not is_utf8(source):
            faults.append(Fault(ErrorCode.INVALID_ENCODING, "The row contains bytes that are not valid UTF-8."))
        return faults

    def _lines(self) -> Sequence[int]:
        if self._line_ends[-1] == len(self._rows):
            return range(self._line, self._line + len(self._rows))
        return [self._line, *(self._line + line_end for line_end in self._line_ends[:-1])]


def is_utf8(text: bytes) -> bool:
    """Whether the bytes are valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
