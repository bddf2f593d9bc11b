"""What becomes of messy files and records equals what a plain model of the manual predicts, to the last error."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from google.protobuf import struct_pb2
from grpc import StatusCode, aio

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, record_pb2, record_service_pb2, stage_pb2
from tests.api.model import Format, Outcome, TableModel, parsed
from tests.calling import Caller, Upload
from tests.conftest import running_app

FILES_PER_TABLE = 3
TORN_MAX = 6
RETRIES_MAX = 50
TYPES = {
    "NDJSON": batch_pb2.FILE_TYPE_NDJSON,
    "CSV": batch_pb2.FILE_TYPE_CSV,
    "JSON": batch_pb2.FILE_TYPE_JSON_ARRAY,
}
ENCODINGS = ["latin-1", "windows-1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "shift_jis", "gb18030", "koi8-r"]


@pytest.mark.parametrize("kind", [*TYPES, "records"])
async def test_messy_imports_end_as_the_model_predicts(caller: Caller, database_url: str, kind: str) -> None:
    async with running_app(database_url) as app, Caller(f"127.0.0.1:{app.port}", caller.key) as other:
        results = await asyncio.gather(
            *(differences([caller, other], kind, seed) for seed in range(5)), return_exceptions=True
        )
    failed = {seed: found for seed, found in enumerate(results) if found}
    assert not failed, f"{kind}, by seed: {failed}"


def deep(levels: int) -> bytes:
    return b'{"id":1,"v":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


NDJSON = Format("NDJSON")


ONCE_DIFFERED = [
    (deep(100) + b"\n\n" + deep(101), NDJSON),
    (deep(101) + b"\n\n", NDJSON),
    (b'{"id":1,"v":1e999,"v":1}', NDJSON),
    (b'{"id":1,"v":1e99999999999,"v":1}', NDJSON),
    (b'{"id":1,"v":[{"v":1e999,"v":1}]}', NDJSON),
    (b'{"id":1e999,"id":1}', NDJSON),
    (b'{"id":1}\\u0000', NDJSON),
    (b'{"id":1,"v":1e%b1}' % (b"0" * 4_300), NDJSON),
    (b'{"id":"a\tb"}\x0c', NDJSON),
    (b'\x0b{"id":"a\tb"}\0', NDJSON),
    (b"id\n  \n\n1\n", Format("CSV")),
    (b"id\tname\n\t\n \t \n\t\t\n \n", Format("CSV", delimiter="\t")),
    ("\ufeff\ufeff{}\n".encode("utf-16-le"), Format("NDJSON", "utf-16")),
]


async def test_files_that_once_differed(caller: Caller) -> None:
    async def found_in(number: int, data: bytes, format: Format) -> list[str]:
        model = TableModel(("id",))
        return await imported([caller], random.Random(0), f"things_{number}", model, File(data, format))

    results = await asyncio.gather(*(found_in(number, *one) for number, one in enumerate(ONCE_DIFFERED)))
    failed = {ONCE_DIFFERED[number]: found for number, found in enumerate(results) if found}
    assert not failed, failed


async def differences(callers: Sequence[Caller], kind: str, seed: int) -> list[str]:
    """Imports a few messy files into one table; where server and model differ."""
    chance = random.Random(f"{kind} {seed}")
    key_fields = chance.choice([("id",), ("id",), ("id", "name")])
    model = TableModel(key_fields)
    table = f"{kind}_{seed}"
    for number in range(FILES_PER_TABLE):
        if kind == "records":
            content: Content = Records(messy_records(chance))
        else:
            content = File(*messy_file(chance, kind))
        if found := await imported(callers, chance, table, model, content):
            return [f"import {number} of {content!r:.300}", *found]
    return []


# ------------------------------------------------------------------------------------------------------- one import


@dataclass
class File:
    """A file to be uploaded."""

    data: bytes
    format: Format

    def __len__(self) -> int:
        return len(self.data)

    def first(self) -> dict[str, Any]:
        """What the first message says."""
        csv = None
        if self.format.type == "CSV":
            of = self.format
            csv = batch_pb2.CsvOptions(delimiter=of.delimiter, quote=of.quote, columns=of.columns)
        format = batch_pb2.DataFormat(type=TYPES[self.format.type], encoding=self.format.encoding, csv=csv)
        return {"format": format}

    def part(self, start: int, end: int) -> dict[str, Any]:
        """What a message says about a part."""
        return {"data": self.data[start:end]}

    def predicted(self, model: TableModel) -> Outcome:
        return model.import_file(self.data, self.format)


@dataclass
class Records:
    """Records to be sent, each as JSON text and perhaps also as a structure."""

    texts: list[tuple[bytes, struct_pb2.Struct | None]]

    def __len__(self) -> int:
        return len(self.texts)

    def first(self) -> dict[str, Any]:
        return {}

    def part(self, start: int, end: int) -> dict[str, Any]:
        cut = self.texts[start:end]
        return {"records": [record_pb2.Record(struct=of) if of else record_pb2.Record(json=text) for text, of in cut]}

    def predicted(self, model: TableModel) -> Outcome:
        return model.import_records(text for text, _ in self.texts)


Content = File | Records


async def imported(
    callers: Sequence[Caller], chance: random.Random, table: str, model: TableModel, content: Content
) -> list[str]:
    """Imports a file or records; where server and model differ."""
    predicted = content.predicted(model)
    import_id = await callers[0].create(table, model.key_fields)
    await send(callers, chance, import_id, content)
    ended = await chance.choice(callers).finish(import_id)
    reader = chance.choice(callers)
    errors: dict[tuple[int, int], set[str]] = {}
    for error in await reader.errors(import_id):
        name = record_error_pb2.RecordErrorCode.Name(error.code)
        errors.setdefault((error.index, error.line), set()).add(name.removeprefix("RECORD_ERROR_CODE_"))
    return [
        *differing("state", import_pb2.ImportState.Name(ended.state), f"IMPORT_STATE_{predicted.state}"),
        *differing("counts", counts_of(ended.counts), counts_of(predicted)),
        *differing("errors", errors, expected_errors(predicted)),
        *differing("table", Counter(await exported(reader, table)), Counter(model.rows)),
        *differing("order of the table", await exported(reader, table), model.rows),
    ]


def expected_errors(predicted: Outcome) -> dict[tuple[int, int], set[str]]:
    """The codes by index and line."""
    if predicted.is_empty:
        return {(0, 0): {"EMPTY_PAYLOAD"}}
    return {(one.index, one.line): set(one.codes) for one in predicted.rejected}


def counts_of(counts: stage_pb2.RecordCounts | Outcome) -> dict[str, int]:
    names = ("received", "created", "updated", "unchanged", "superseded")
    rejected = len(counts.rejected) if isinstance(counts, Outcome) else counts.rejected
    pending = 0 if isinstance(counts, Outcome) else counts.pending
    return {name: getattr(counts, name) for name in names} | {"rejected": rejected, "pending": pending}


def differing(what: str, got: Any, expected: Any) -> list[str]:
    """Only what differs, at most a few of it."""
    if got == expected:
        return []
    if isinstance(got, dict) and isinstance(expected, dict):
        names = sorted((name for name in {**got, **expected} if got.get(name) != expected.get(name)), key=repr)
        found = [f"{name!r:.300}: got {got.get(name)!r}, expected {expected.get(name)!r}" for name in names]
        return [f"{what} ({len(found)} differences)", *found[:5]]
    return [what, f"got {got!r:.300}, expected {expected!r:.300}"]


async def exported(caller: Caller, table: str) -> list[Any]:
    """The table in its comparable form."""
    request = record_service_pb2.ExportRecordsRequest(table=table)
    text = "".join([piece.lines async for piece in caller.records.ExportRecords(request)])
    return [parsed(line) for line in text.split("\n")[:-1]]


async def send(callers: Sequence[Caller], chance: random.Random, import_id: str, content: Content) -> None:
    """Uploads in pieces, torn a few times, each part to any of the servers, and sometimes with repetitions."""
    torn = chance.choice([0, 0, 1, TORN_MAX])
    for number in range(torn + RETRIES_MAX):
        caller = chance.choice(callers)
        committed = await committed_offset(caller, import_id)
        start = chance.choice([committed, committed, chance.randint(0, committed)])
        is_last = number >= torn
        end = len(content) if is_last else chance.randint(start, len(content))
        messages = list(cut(chance, content, start, end))
        messages[0] = Upload(import_id=import_id, batch_id="b", offset=start, **content.first())
        if is_last:
            messages.append(Upload(finish=batch_pb2.Finish(total=len(content))))
        try:
            if not is_last and chance.random() < 0.5:
                await torn_upload(caller, messages, chance.choice([0, 0.001, 0.01]))
            elif (await caller.upload(messages)).finished:
                return
        except aio.AioRpcError as error:
            # The stream that was torn may still be committing, and then this one must look again where to go on.
            if error.code() not in (StatusCode.ABORTED, StatusCode.OUT_OF_RANGE):
                raise
    raise AssertionError("the upload never came to its end")


def cut(chance: random.Random, content: Content, start: int, end: int) -> list[Upload]:
    """Messages for a part, cut anywhere; the first one is to be replaced."""
    most = chance.choice([1, 5, 40])
    edges = sorted({start, end, *(chance.randint(start, end) for _ in range(most))})
    return [Upload(), *(Upload(**content.part(*piece)) for piece in pairwise(edges))]


async def torn_upload(caller: Caller, messages: Sequence[Upload], seconds: float) -> None:
    """Sends messages and cancels the call, whatever has become of it."""

    async def sent() -> AsyncIterator[Upload]:
        for message in messages:
            yield message
        await asyncio.sleep(seconds)
        call.cancel()

    call = caller.batches.UploadBatch(sent())
    try:
        await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


async def committed_offset(caller: Caller, import_id: str) -> int:
    try:
        return (await caller.batch(import_id)).committed_offset
    except aio.AioRpcError as error:
        if error.code() is StatusCode.NOT_FOUND:
            return 0
        raise


# ------------------------------------------------------------------------------------------------------- messy data

WORDS = [
    *(
        "",
        " ",
        "x",
        "Ada",
        "null",
        "0",
        "-0",
        "NaN",
        "Müller, Åsa",
        'said "hi"',
        "日本語",
        "Жук",
        "مرحبا",
        "😀",
        "表ソ",
    ),
    *("two\nlines", "two\r\nlines", "\t", "=1+1", "\u2028", "\x7f", "e\u0301", "\ufeff", "x" * 300, "[{", "}],", "a;b"),
    *("'", '"', '""', "\\", '\\"', "\\u0000", "\x01", "C:\\new", "k" * 1_025, "ä" * 512, "ä" * 513, "1e999"),
]
NUMBERS = [
    *("0", "-0", "1", "1.0", "1.00", "10", "1e1", "1E+1", "0.1", "-12.50", "12345678901234567890.12345678901234567890"),
    *("1e308", "9.99e-308", "1e309", "1e-309", "0e999", "1e0000000005", "1" * 4_300, "1" * 4_301, "1e99999999999"),
    *("0.30000000000000004", "9007199254740993", "1e05", "100"),
]
BAD_VALUES = [
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "nul",
        "True",
        "01",
        "1.",
        ".5",
        "+1",
        "0x1",
        "'a'",
        '"open',
        "[1,]",
        "[1 2]",
        "",
    ),
    *(
        '{"a"}',
        '{"a":1,}',
        '"\\x"',
        '"\\u12"',
        '"\\ud800"',
        '"\\udc00x"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\\\u0000"',
    ),
    *('"\x00"', '"a\tb"', '"a\x1fb"', "\x00", "[" * 98 + "]" * 98, "[" * 100 + "]" * 100, "[" * 300 + "]" * 300),
]
BAD_LINES = [
    *(
        "",
        " ",
        "\t\r",
        "[]",
        "[1]",
        '"x"',
        "1",
        "null",
        "true",
        "{}",
        "{",
        "}",
        "nonsense",
        "# a comment",
        "{}{}",
        "\x00",
    ),
    *('{"id":null}', '{"id":""}', '{"name":"no key"}', '{"id":1} x', '{"id":1},', '{"id":1}{"id":2}', '{"id":1}\x00'),
    *("{'id':1}", "{id:1}", '{"id":[1]}', '{"id":{"a":1}}', '{"id":"","id":1,"name":1}', '{"id":1,"id":null,"a":2}'),
    *('{"\\u0069d":"escaped","name":1}', '\ufeff{"id":1}', '{"id":true,"name":false}', '{"id":1,"v":1e999,"v":1}'),
    *(
        '{"id":1,"name":"","v":1}',
        '{"a":null,"b":""}',
        '{"a":{}}',
        "\x0c",
        "\x0b\x0c",
        '{"id":1}\x0c',
        "\xa0",
        "\u2028",
    ),
]
SCRAPS = [
    b'"',
    b"'",
    b",",
    b";",
    b"\n",
    b"\r",
    b"\r\n",
    b"\\",
    b"\0",
    b"\xff",
    b"\xc3",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\x1f",
]


def messy_file(chance: random.Random, kind: str) -> tuple[bytes, Format]:
    """A file, mostly good, with faults of many kinds."""
    encoding = "utf-8" if chance.random() < 0.7 else chance.choice(ENCODINGS)
    count = chance.choice([0, 1, 3, 30, 100, 300])
    if kind == "CSV":
        text, format = messy_csv(chance, count, encoding)
    else:
        text = {"NDJSON": messy_ndjson, "JSON": messy_array}[kind](chance, count)
        format = Format(kind, encoding)
    if chance.random() < 0.2:
        text = "\ufeff" + text
    data = text.encode(encoding, errors="replace")
    return spoiled(chance, data) if chance.random() < 0.4 else data, format


def messy_ndjson(chance: random.Random, count: int) -> str:
    ends = chance.choice([["\n"], ["\r\n"], ["\n", "\r\n"], ["\n", "\n", "\n", "\n\n"]])
    text = "".join(messy_json(chance) + chance.choice(ends) for _ in range(count))
    return text if chance.random() < 0.7 else text.rstrip("\r\n")


def messy_array(chance: random.Random, count: int) -> str:
    commas = chance.choice([[","], [",\n"], [" ,\r\n  "], [",", ",\n\n", "\t,"]])
    elements = []
    for _ in range(count):
        element = messy_json(chance)
        if chance.random() > 1 / (count + 1) and not has_its_end(element):
            continue
        elements.append(element)
    inner = "".join(element + chance.choice(commas) for element in elements)
    if chance.random() < 0.9:
        inner = inner.rstrip(", \t\r\n")
    opening = chance.choice(["[", "[", "[\n", " [ ", "[", "[[", ""])
    return opening + inner + chance.choice(["]", "]\n", "\n ] \n", "]", "]", "", "]]", "] x", "}"])


def has_its_end(element: str) -> bool:
    """Whether an element does not take the rest of the array with it. What is asked here need not be exact."""
    try:
        json.loads(element, strict=False)
    except ValueError:
        return element.count('"') % 2 == 0 and not set("[]{}\\") & set(element[1:-1])
    return True


def messy_json(chance: random.Random) -> str:
    """The text of a record, mostly good."""
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(BAD_LINES)
    fields = [f'"id":{messy_key(chance)}', f'"name":{messy_key(chance)}']
    fields += [f'"v{chance.randrange(4)}":{messy_value(chance, 3)}' for _ in range(chance.randrange(4))]
    if kind < 0.2:
        fields.append(f'"bad":{chance.choice(BAD_VALUES)}')
    if kind < 0.4:
        chance.shuffle(fields)
    if kind > 0.95:
        fields = fields[chance.randrange(3) :]
    blank = chance.choice(["", "", " "])
    text = "{" + blank + f"{blank},{blank}".join(fields) + blank + "}"
    return scratched(chance, text) if kind > 0.9 else text


def messy_key(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.8:
        return str(chance.randrange(30))
    return json.dumps(str(chance.randrange(30))) if kind < 0.9 else messy_value(chance, 1)


def messy_value(chance: random.Random, levels: int) -> str:
    match chance.randrange(8 if levels else 5):
        case 0 | 1:
            return json.dumps(chance.choice(WORDS), ensure_ascii=chance.random() < 0.3)
        case 2:
            return chance.choice(NUMBERS)
        case 3:
            return str(chance.randrange(3))
        case 4:
            return chance.choice(["true", "false", "null"])
        case 5 | 6:
            return "[" + ", ".join(messy_value(chance, levels - 1) for _ in range(chance.randrange(3))) + "]"
        case _:
            names = (json.dumps(chance.choice(WORDS)) for _ in range(chance.randrange(3)))
            return "{" + ",".join(f"{name}: {messy_value(chance, levels - 1)}" for name in names) + "}"


def messy_csv(chance: random.Random, count: int, encoding: str) -> tuple[str, Format]:
    delimiter = chance.choice([",", ",", ";", "\t", "|"])
    quote = chance.choice(['"', '"', '"', "'"])
    ends = chance.choice([["\n"], ["\r\n"], ["\n", "\r\n", "\r\r\n"]])
    columns = ["id", "name", "note", "päivä"[: chance.choice([1, 5])]][: chance.choice([4, 4, 4, 4, 2, 1])]
    rows: list[list[str]] = []
    for _ in range(count):
        row = [str(chance.randrange(30)), str(chance.randrange(3)), *chance.choices(WORDS, k=2)]
        if chance.random() < 0.05:
            row = row[: chance.randrange(4)] if chance.random() < 0.5 else [*row, "more"]
        if chance.random() < 0.05:
            row[:2] = ["", chance.choice(WORDS)]
        rows.append(row[: len(columns) + (len(row) > 4)])
    lines = [csv_line(chance, row, delimiter, quote) for row in rows]
    given = chance.random() < 0.2
    if not given:
        header = chance.choice([columns] * 12 + [["id", "id"], ["id", ""], [" id ", "name", "a", "b\t"]])
        lines.insert(0, csv_line(chance, header, delimiter, quote))
    text = "".join(line + chance.choice(ends) for line in lines)
    text = text if chance.random() < 0.7 else text.rstrip("\r\n")
    return text, Format("CSV", encoding, delimiter, quote, tuple(columns) if given else ())


def csv_line(chance: random.Random, row: Sequence[str], delimiter: str, quote: str) -> str:
    """A row, with every cell in quotes that needs them, and sometimes a fault."""
    special = (delimiter, quote, "\n", "\r")
    cells = [
        quote + cell.replace(quote, quote * 2) + quote
        if any(character in cell for character in special) or chance.random() < 0.1
        else cell
        for cell in row
    ]
    kind = chance.random()
    if kind < 0.02:
        return chance.choice(["", " ", "\t ", delimiter, delimiter * 3, quote * 2, "\x00", "\x0c", "\xa0"])
    line = delimiter.join(cells)
    return scratched(chance, line) if kind < 0.05 else line


def scratched(chance: random.Random, text: str) -> str:
    """The text with one piece of it missing, doubled or replaced."""
    at, end = sorted(chance.choices(range(len(text) + 1), k=2))
    scrap: Callable[[], str] = lambda: chance.choice(SCRAPS).decode("latin-1")  # noqa: E731
    return chance.choice(
        [
            text[:at],
            text[:at] + text[at + 1 :],
            text[:at] + scrap() + text[at:],
            text[:at] + scrap() + text[at + 1 :],
            text[:at] + text[at:end] + text[at:],
        ]
    )


def spoiled(chance: random.Random, data: bytes) -> bytes:
    """The file with some bytes of it missing, added or replaced."""
    spoiled = bytearray(data)
    for _ in range(chance.choice([1, 1, 3, 10])):
        at = chance.randint(0, len(spoiled))
        spoiled[at : at + chance.randrange(3)] = chance.choice([*SCRAPS, b"", chance.randbytes(1)])
    return bytes(spoiled)


def messy_records(chance: random.Random) -> list[tuple[bytes, struct_pb2.Struct | None]]:
    """Records that are sent as messages."""
    records: list[tuple[bytes, struct_pb2.Struct | None]] = []
    for _ in range(chance.choice([1, 10, 200])):
        if chance.random() < 0.2:
            fields: dict[str, Any] = {
                "id": chance.randrange(30),
                "name": chance.choice(WORDS),
                "v": [chance.randrange(3) / 2, None],
            }
            struct = struct_pb2.Struct()
            struct.update(fields)
            records.append((json.dumps(fields).encode(), struct))
        else:
            text = messy_json(chance).replace("\n", "\n ").encode()
            records.append((spoiled(chance, text) if chance.random() < 0.05 else text, None))
    return records
