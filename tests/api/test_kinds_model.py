"""What becomes of messy records of all kinds equals what a plain model of the manual predicts, to the last error."""

import asyncio
import csv
import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf import json_format, struct_pb2

from ingot.v1 import batch_pb2, field_pb2, import_service_pb2, record_error_pb2, record_service_pb2, table_pb2
from ingot.v1 import table_service_pb2 as ts
from ingot_server.access import create_key
from ingot_server.app import App
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.api.kinds_model import Account, Blocked, Outcome, Reading, Spec, Table, Told
from tests.api.model import Format, Number, comparable, parsed
from tests.api.test_model import Content, File, Records, cut, differing
from tests.calling import Caller, Upload

SEEDS = 6
IMPORTS_PER_SEED = 14
PEOPLE = [
    {"id": str(number), "email": f"person{number}@mail{number % 3}.example.org", "phone": f"+467017406{number:02}"}
    for number in range(24)
]
COUNTS = ("received", "created", "updated", "unchanged", "superseded", "rejected")


async def test_messy_records_of_all_kinds_end_as_the_model_predicts(server: App, database: Database) -> None:
    async def found_in(seed: int) -> list[str]:
        key = await create_key(database, f"account_{seed}", list(SCOPES), "test", None)
        async with Caller(f"127.0.0.1:{server.port}", key.text) as caller:
            return await differences(caller, seed)

    results = await asyncio.gather(*map(found_in, range(SEEDS)), return_exceptions=True)
    failed = {seed: found for seed, found in enumerate(results) if found}
    assert not failed, f"by seed: {failed}"


PERSON = {"id": 1, "email": "a@example.org"}
NAMED = {"contact_id": 1, "channel": "sms", "granted": True, "purpose": "x"}
ONCE_DIFFERED = {
    "people": [
        PERSON,
        {"id": 2, "phone": "(+30) 2114 710497"},
        {"id": 3, "phone": "+49 (0)0910 244413"},
        {"id": 4, "phone": "+1 310-1234"},
        {"id": 5, "phone": "+1 5551234"},
        {"id": 6, "tags": ["x", None, ""]},
        {"id": 7, "points": "", "name": "", "gender": None},
        {"id": 8, "first_name": "x", "firstName": "y"},
        {"id": 9, "first_name": "x", "_firstName": None, "tags": [None], "_tags": "x"},
        {"id": 1, "email": ""},
        {"id": 10, "email": "a@example.org", "phone": "+302114710497"},
    ],
    "consents": [NAMED, {**NAMED, "contact_id": 9, "email": "a@example.org"}, {**NAMED, "purpose": "x" * 1_025}],
    "orders": [
        {"id": 1, "contact_id": 1, "items": [{"price": "0.1", "quantity": "9" * 40}, {"price": 1}], "discount": 2},
        {"id": 2, "contact_id": 1, "items": [{"id": 4, "product_id": 5}], "total": ""},
        {"id": 3, "contact_id": 1, "items": [], "shipping": 3},
        {"id": 4, "contact_id": 1, "email": "nobody@example.org"},
        {"id": 5, "phone": "+302114710497", "items": [None, {"package_id": "p"}]},
    ],
    "promotions": [{"id": 1, "name": "x", "starts_at": "2026-01-02 00:00", "ends_at": "2026-01-01 00:00"}],
    "things": [
        {"k": 1, "quantity": Number("12.0"), "home": {"country": "", "link": "x"}},
        {"k": "k" * 1_025, "quantity": 1},
        {"k": 2, "quantity": "", "anything": "", "amount": ""},
        {"k": 3, "quantity": 1, "code": ""},
    ],
}


async def test_records_that_once_differed(caller: Caller) -> None:
    chance = random.Random(0)
    tables = {
        name: replace(table, rejects_unknown=False, reading=Reading()) for name, table in tables_for(chance).items()
    }
    tables["things"].key_fields = ("k",)
    account = Account(tables, BLOCKED)
    await prepared(caller, account)
    for name, rows in ONCE_DIFFERED.items():
        content = Records([(as_json(row).encode(), None) for row in rows])
        assert not await imported(caller, chance, account, name, [content], Reading())


A, B, C, D = (f"{name}@example.org" for name in "abcd")
P, Q, R = (person["phone"] for person in PEOPLE[:3])
# Within the second import, identifiers move from one contact to another.
MOVED: list[list[list[dict[str, Any]]]] = [
    [
        [{"id": 1, "email": A}, {"id": 2, "email": B, "phone": P}],
        [{"email": A, "id": None}, {"id": 1, "email": B, "phone": P}],
        [{"id": 2, "name": "x"}],
    ],
    [
        [{"id": 1, "email": A, "phone": Q}, {"id": 2, "email": B, "phone": P}],
        [{"id": 1, "email": None}, {"id": 1, "email": D}, {"id": 2, "email": A, "phone": P}],
        [{"email": B}, {"phone": Q}],
    ],
    [
        [{"id": 1, "email": A, "phone": Q}, {"id": 2, "email": B, "phone": P}, {"id": 3, "email": C, "phone": R}],
        [{"id": 1, "email": B, "phone": R}, {"email": C, "id": None}, {"id": 3, "email": B, "phone": P}],
        [{"id": 2, "name": "x"}, {"id": 3, "name": "y"}],
    ],
]


async def test_identifiers_that_move_from_one_contact_to_another_within_an_import(caller: Caller) -> None:
    account = Account({f"people_{number}": Table("CONTACTS") for number in range(len(MOVED))}, BLOCKED)
    await prepared(caller, account)
    for number, imports in enumerate(MOVED):
        for rows in imports:
            content = Records([(as_json(row).encode(), None) for row in rows])
            found = await imported(caller, random.Random(0), account, f"people_{number}", [content], Reading())
            assert not found, found


async def differences(caller: Caller, seed: int, imports: int = IMPORTS_PER_SEED, records_max: int = 40) -> list[str]:
    """Imports messy records into tables that refer to each other; where server and model differ."""
    chance = random.Random(f"kinds {seed}")
    account = Account(tables_for(chance), BLOCKED)
    await prepared(caller, account)
    first = ["people", "bundles"]
    known = [as_json(person).encode() for person in PEOPLE[::2]]
    if found := await imported(
        caller, chance, account, "people", [Records([(text, None) for text in known])], Reading()
    ):
        return ["people who are known beforehand", *found]
    for number in range(imports):
        name = first[number] if number < len(first) else chance.choice(list(account.tables))
        reading = chance.choice(READINGS)
        batches = [
            messy_batch(chance, name, account.tables[name], records_max) for _ in range(chance.choice([1, 1, 2, 3]))
        ]
        if found := await imported(caller, chance, account, name, batches, reading):
            return [f"import {number} of {name} with {reading}", *found]
    return []


# ----------------------------------------------------------------------------------------------------------- importing


async def prepared(caller: Caller, account: Account) -> None:
    """Makes the tables, and blocks what is to be blocked."""
    for name, table in account.tables.items():
        message = table_pb2.Table(
            table=name,
            kind=table.kind,
            # The key fields of PRODUCTS are its kind's.
            key_fields=table.key_fields if table.kind == "GENERIC" else (),
            fields=map(message_of, table.declared),
            unknown_fields=(
                field_pb2.UNKNOWN_FIELDS_REJECT if table.rejects_unknown else field_pb2.UNKNOWN_FIELDS_KEEP
            ),
            reading=reading_of(table.reading),
        )
        await caller.tables.CreateTable(ts.CreateTableRequest(table=message))
    of_type = {
        table_pb2.BLOCKED_VALUE_TYPE_EMAIL: account.blocked.emails,
        table_pb2.BLOCKED_VALUE_TYPE_PHONE: account.blocked.phones,
        table_pb2.BLOCKED_VALUE_TYPE_DOMAIN: account.blocked.domains,
    }
    blocked = [table_pb2.BlockedValue(type=type, value=value) for type, values in of_type.items() for value in values]
    await caller.tables.BlockValues(ts.BlockValuesRequest(values=blocked))


def message_of(spec: Spec) -> field_pb2.Field:
    default = None
    if spec.default is not None:
        default = json_format.Parse(as_json(spec.default), struct_pb2.Value())
    return field_pb2.Field(
        name=spec.name,
        type=field_pb2.FieldType.Value(f"FIELD_TYPE_{spec.type}"),
        required=spec.required,
        many=spec.many,
        aliases=spec.aliases,
        pattern=spec.pattern,
        allowed_values=spec.allowed,
        default_value=default,
        fields=map(message_of, spec.fields),
    )


def reading_of(reading: Reading) -> field_pb2.ReadingOptions:
    return field_pb2.ReadingOptions(country=reading.country, time_zone=reading.time_zone, locale=reading.locale)


async def imported(
    caller: Caller, chance: random.Random, account: Account, name: str, batches: Sequence[Content], reading: Reading
) -> list[str]:
    """Imports batches one after the other; where server and model differ."""
    account.begin_import()
    import_id = await caller.create(name, (), reading=reading_of(reading))
    predicted: dict[str, Outcome] = {}
    received = 0
    for number, content in enumerate(batches):
        batch_id = f"b{number}"
        if isinstance(content, File):
            outcome = account.add_file(name, content.data, content.format, reading)
        else:
            outcome = account.add_records(name, (text for text, _ in content.texts), reading)
        predicted[batch_id] = outcome
        messages = list(cut(chance, content, 0, len(content)))
        messages[0] = Upload(import_id=import_id, batch_id=batch_id, **content.first())
        await caller.upload([*messages, Upload(finish=batch_pb2.Finish(total=len(content)))])
        received += outcome.received
        await processed(caller, import_id, received)
    ended = await caller.finish(import_id)
    told = await told_of(caller, import_id)
    expected = {
        (batch_id, *place): found for batch_id, outcome in predicted.items() for place, found in outcome.told.items()
    }
    counts = Counter({name: sum(getattr(one, name) for one in predicted.values()) for name in COUNTS})
    model = [(shown_key(name, key), comparable(row.record)) for key, row in account.tables[name].rows.items()]
    listed = await stored(caller, name)
    found = [
        *differing("errors", told, expected),
        *differing("counts", Counter({name: getattr(ended.counts, name) for name in COUNTS}), counts),
        *differing("records by key", *only_different(listed, model)),
        *differing("exported records", await exported(caller, name), [row for _, row in listed]),
    ]
    return [*found, *shown_records(batches, told, expected)] if found else []


async def processed(caller: Caller, import_id: str, received: int) -> None:
    """Waits until all that was received is processed."""
    async for update in caller.imports.WatchImport(import_service_pb2.WatchImportRequest(import_id=import_id)):
        counts = update.import_job.counts
        if counts.received == received and not counts.pending:
            return


async def told_of(caller: Caller, import_id: str) -> dict[tuple[str, int, int], set[Told]]:
    """What is listed of each record, by batch, index and line."""
    told: dict[tuple[str, int, int], set[Told]] = {}
    for error in await caller.errors(import_id):
        code = record_error_pb2.RecordErrorCode.Name(error.code).removeprefix("RECORD_ERROR_CODE_")
        is_upload = error.stage == record_error_pb2.ERROR_STAGE_UPLOAD
        is_warning = error.severity == record_error_pb2.ERROR_SEVERITY_WARNING
        one = Told(code, "" if is_upload else error.field, is_warning)
        told.setdefault((error.batch_id, error.index, error.line), set()).add(one)
    return told


async def stored(caller: Caller, table: str) -> list[tuple[str, Any]]:
    """The records with their keys, in the order in which they are listed."""
    found: list[tuple[str, Any]] = []
    token = ""
    while True:
        request = record_service_pb2.ListRecordsRequest(table=table, page_size=1000, page_token=token)
        page = await caller.records.ListRecords(request)
        found += [(shown_key(table, record.key), parsed(record.json)) for record in page.records]
        token = page.next_page_token
        if not token:
            return found


async def exported(caller: Caller, table: str) -> list[Any]:
    request = record_service_pb2.ExportRecordsRequest(table=table)
    text = "".join([piece.lines async for piece in caller.records.ExportRecords(request)])
    return [parsed(line) for line in text.split("\n")[:-1]]


def shown_key(table: str, key: str) -> str:
    """The key; of an event without an id it is not documented."""
    return "" if table == "events" and re.match(r"\W", key) else key


def only_different(got: list[Any], expected: list[Any]) -> tuple[list[Any], list[Any]]:
    """What each has that the other has not."""
    ours, theirs = Counter(got), Counter(expected)
    return list((ours - theirs).elements()), list((theirs - ours).elements())


def shown_records(batches: Sequence[Content], told: dict[Any, Any], expected: dict[Any, Any]) -> list[str]:
    """The first few records of which something else was told than expected."""
    places = [place for place in {**told, **expected} if told.get(place) != expected.get(place)]
    shown = []
    for batch_id, index, line in sorted(places)[:5]:
        content = batches[int(batch_id[1:])]
        if isinstance(content, File):
            text = content.data.splitlines()[line - 1].decode()
        else:
            text = content.texts[index][0].decode()
        shown.append(f"{batch_id}[{index}]: {text:.600}")
    return shown


# ---------------------------------------------------------------------------------------------------------- messy data

BLOCKED = Blocked(
    frozenset({"person23@mail2.example.org"}), frozenset({"+46701740622"}), frozenset({"blocked.example.com"})
)
READINGS = [Reading(), Reading(), Reading("SE", "Europe/Stockholm", "sv"), Reading("DE", "America/New_York", "de")]

# Left out, because the documents say something else than the server does, or contradict each other:
# an empty text or list where one is required or has a default, blanks around booleans, JSON numbers of more than 40
# digits, totals of more than 100, a key field that is not declared in a table that rejects unknown fields, events that
# differ only in how a number among their parameters is written, and `keys` in tables whose key fields are known.
GOOD: dict[str, list[Any]] = {
    "ANY": [None, "", 1, "x", [], {}, {"a": [None]}],
    "TEXT": ["x", " x ", "Åsa", "日本語", 'said "hi"', "two\nlines", "0", "null", "e\u0301", ""],
    "IDENTIFIER": ["a", " a ", 7, "7", "07", "ä/ö", "x" * 255, 12345678901234567890, -1, ""],
    "URL": ["https://example.org", "HTTP://Example.ORG/Path?Q=A#F", " https://example.org/a ", "http://example.org:80"],
    "BOOLEAN": [True, False, "true", "FALSE", "True", ""],
    "INTEGER": [0, 12, "12", -3, "-3", " 4 ", Number("5.0"), 10**29, "9" * 30, ""],
    "NUMBER": [0, 12, "12", "1.50", Number("1.50"), Number("1e3"), Number("25E-1"), -0.5, " 7 ", "9" * 40, "0.10", ""],
    "DATE": ["2026-11-20", "2024-02-29", "0001-01-01", "9999-12-31", " 2026-11-20 ", ""],
    "TIMESTAMP": [
        *("2026-11-20T14:30:00+01:00", "2026-11-20 13:30", "2026-11-20t13:30:00z", "2026-11-20T13:30:00.500Z"),
        *(
            "2026-03-29 02:30",
            "2026-10-25T02:30:00",
            "2026-03-08 02:30",
            "2026-11-01 01:30",
            "2026-07-01T00:00:00-00:00",
        ),
        *("2026-07-01 12:00:00.123456789", "0999-01-01T00:00:00Z", "1900-01-01 00:00", " 2026-11-20T13:30Z ", ""),
    ],
    "COUNTRY": ["se", "SE", "swe", "DEU", " no ", "us", ""],
    "CURRENCY": ["sek", "EUR", " usd ", "jPy", ""],
    "LANGUAGE": ["sv", "en_us", "EN-us", "zh-hant-TW", "es-419", " de ", ""],
    "OBJECT": [{}, {"a": 1}, {"a": {"b": [1, None, "x"]}}, {"b": 2, "a": "1"}],
}
BAD: dict[str, list[Any]] = {
    "ANY": [[1, 2]],
    "TEXT": [1, True, {}, [["x"]]],
    "IDENTIFIER": [True, 1.5, Number("1.0"), {}, "  ", "x" * 256],
    "EMAIL": ["bad", "a@", "@example.org", "a b@example.org", "a..b@example.org", "a@b", 1, True, {}, " "],
    "PHONE": ["123", "+", "abc", "+46 8 12", "070-12", 46701740605, True, {}, "+46701740605 ext 5", "1-800-FLOWERS"],
    "URL": ["example.org", "ftp://example.org", "http://", "http://a b", "//example.org", "javascript:1", 1, {}],
    "BOOLEAN": ["yes", "1", 0, 1, "t", {}],
    "INTEGER": ["x", 1.5, "1.5", "1_000", "1e3", True, 10**30, "9" * 31, "+5", "0x10", {}],
    "NUMBER": ["nan", "inf", "1_000", "1e3", "x", True, "9" * 41, ".5", "5.", "+5", "--1", "1 2", {}, "007"],
    "DATE": ["2026-02-29", "20.11.2026", "2026-1-2", "20261120", 20261120, "2026-11-20T00:00:00Z", "0000-01-01", {}],
    "TIMESTAMP": [
        *("1700000000", 1700000000, "2026-11-20", "2026-02-30T00:00Z", "2026-11-20T24:00:00Z", "2026-11-20T13:30+0100"),
        *("yesterday", "0001-01-01T00:00:00+01:00", "2026-11-20T13:30:00+24:00", "2026-11-20T13Z", {}, True),
    ],
    "COUNTRY": ["Sweden", "ZZ", "UK", "S", 752, True, {}],
    "CURRENCY": ["kr", "€", "ABC", "SE", 1, {}],
    "LANGUAGE": ["Swedish", "en-UK", "x", "en--US", 1, {}, "xx"],
    "OBJECT": ["x", 1, True, [[]]],
}
# As strings these are read in one way or another, depending on the locale.
LOCAL_NUMBERS = ["1,5", "1.234", "1.234,56", "1 234", "1\xa0234,5", "1,234.5", "12.34.56", "-1.000,0", "1.5"]


def tables_for(chance: random.Random) -> dict[str, Table]:
    """One table of each kind, with a few rules."""
    rejects: Callable[[], bool] = lambda: chance.random() < 0.3  # noqa: E731
    extra = (
        Spec("club", "TEXT", ("verein",), allowed=("Gold", "SILVER"), default="Gold"),
        Spec("gender", "TEXT", allowed=("f", "m", "F")),
        Spec("second_email", "EMAIL"),
    )
    things = (
        Spec("mail", "EMAIL", ("e_mail",)),
        Spec("tel", "PHONE", many=True),
        Spec("code", "TEXT", pattern="[A-Z]{2}|x"),
        Spec("amount", "NUMBER", default=Number("2")),
        Spec("quantity", "INTEGER", required=True),
        Spec("at", "TIMESTAMP"),
        Spec("flags", "BOOLEAN", many=True),
        Spec("anything", "ANY"),
        Spec("home", "OBJECT", fields=(Spec("country", "COUNTRY", required=True), Spec("link", "URL", ("url",)))),
    )
    return {
        "people": Table("CONTACTS", declared=extra if chance.random() < 0.4 else (), rejects_unknown=rejects()),
        "bundles": Table("TICKET_BUNDLES", rejects_unknown=rejects()),
        "orders": Table("ORDERS", rejects_unknown=rejects(), reading=chance.choice(READINGS)),
        "consents": Table("CONSENTS", rejects_unknown=rejects()),
        "products": Table("PRODUCTS", ("id",), rejects_unknown=rejects(), reading=chance.choice(READINGS)),
        "vouchers": Table("VOUCHERS", rejects_unknown=rejects()),
        "promotions": Table("PROMOTIONS", rejects_unknown=rejects()),
        "events": Table("EVENTS", rejects_unknown=rejects(), reading=chance.choice(READINGS)),
        "things": Table("GENERIC", chance.choice([("k",), ("k", "k2")]), things, reading=chance.choice(READINGS)),
        "coded": Table("GENERIC", ("code",), (Spec("code", "IDENTIFIER", ("number",)),), rejects_unknown=rejects()),
    }


def messy_batch(chance: random.Random, name: str, table: Table, records_max: int) -> Content:
    """A file, or records, mostly good."""
    rows = [messy_record(chance, name, table) for _ in range(chance.randint(1, records_max))]
    rows += chance.choices(rows, k=len(rows) // 5)
    form = chance.choice(["NDJSON", "CSV", "JSON", "records", "records"])
    if form == "CSV":
        return messy_csv(chance, table, rows)
    texts = [as_json(renamed(chance, table, row)) for row in rows]
    if form != "JSON":
        texts = [chance.choice(BROKEN) if chance.random() < 0.02 else text for text in texts]
    if form == "records":
        return Records([(text.encode(), None) for text in texts])
    if form == "NDJSON":
        return File("".join(text + chance.choice(["\n", "\r\n"]) for text in texts).encode(), Format("NDJSON"))
    return File(("[" + chance.choice([",", ",\n"]).join(texts) + "]").encode(), Format("JSON"))


BROKEN = ["{", "[]", "{}", " ", '{"id":1,}', '{"id":null,"email":""}', '{"id":"\\ud800"}']


def messy_csv(chance: random.Random, table: Table, rows: Sequence[dict[str, Any]]) -> File:
    """The rows as a file, with lists and objects left out."""
    # Without a second name of the same field: every row would have both.
    fields = sorted({name for row in rows for name in row if name == "__id" or not name.startswith("_")})
    chance.shuffle(fields)
    names = renamed(chance, table, dict.fromkeys(fields))
    delimiter = chance.choice([",", ";", "\t"])
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=chance.choice(["\n", "\r\n"]))
    writer.writerow(names)
    for row in rows:
        cells = [as_cell(row.get(name)) for name in fields]
        # An empty text is a value, and whether it may stand where one is required is left out.
        cells = [
            cell or ("x" if is_required_text(table, name) else "") for name, cell in zip(fields, cells, strict=True)
        ]
        writer.writerow(cells)
    return File(text.getvalue().encode(), Format("CSV", delimiter=delimiter))


def is_required_text(table: Table, name: str) -> bool:
    return any(spec.name == name and spec.type == "TEXT" and spec.required for spec in table.specs)


def as_cell(value: Any) -> str:
    if value is None or isinstance(value, list | dict):
        return ""
    return value if isinstance(value, str) else as_json(value)


def as_json(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{as_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def renamed(chance: random.Random, table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The record with some of its fields under other names."""
    names = {spec.name: spec.names for spec in table.specs}
    return {
        chance.choice(names[name]) if name in names and chance.random() < 0.4 else name: value
        for name, value in row.items()
    }


def messy_record(chance: random.Random, name: str, table: Table) -> dict[str, Any]:
    """A record under its fields' own names."""
    row = messy_object(chance, table.specs, 0.12)
    number: Callable[[int], Any] = lambda most: chance.choice([str, int])(chance.randrange(most))  # noqa: E731
    given: dict[str, Any] = {}
    match table.kind:
        case "CONTACTS":
            given = identifiers(chance, "id", 0.5)
        case "ORDERS":
            given = {"id": number(20), **identifiers(chance, "contact_id", 0.6), **order_parts(chance)}
        case "CONSENTS":
            channel = chance.choice(
                ["email", "SMS", "phone", "sms", "fax"] if chance.random() < 0.3 else ["email", "sms"]
            )
            given = {
                "channel": channel,
                "granted": chance.choice([True, "false"]),
                **identifiers(chance, "contact_id", 0.6),
            }
            given["purpose"] = chance.choice([None, "", "newsletter", "offers"])
        case "EVENTS":
            time = chance.choice(["2026-11-20 13:30", "2026-11-20T13:30:00Z", *GOOD["TIMESTAMP"]])
            given = {"name": chance.choice("ab"), "time": time, **identifiers(chance, "contact_id", 0.6)}
            given["id"] = number(9) if chance.random() < 0.2 else None
        case "VOUCHERS":
            given = {"voucher_set": number(2), "code": number(9)}
            given |= identifiers(chance, "contact_id", 0.6) if chance.random() < 0.5 else {}
        case "PRODUCTS" | "TICKET_BUNDLES":
            given = {"id": number(20)}
        case "PROMOTIONS":
            given = {"id": number(9), "name": chance.choice(["a", "b"])}
        case "GENERIC":
            given = {key: number(9) for key in table.key_fields} | ({"quantity": number(5)} if name == "things" else {})
    for field, value in given.items():
        if field not in row or chance.random() < 0.9:
            row[field] = value
    for field in given:
        if chance.random() < 0.02:
            row.pop(field)
    if chance.random() < 0.1:
        row[chance.choice(["other", "Name", "x_y", "__id", "derived"])] = chance.choice([1, "x", None, {"a": 1}])
    if chance.random() < 0.05 and table.kind != "GENERIC":
        # The same field under another name.
        spec = chance.choice([spec for spec in table.specs if spec.type == "TEXT"] or [Spec("other")])
        row["_" + spec.name] = chance.choice(["x", "y"])
    items = list(row.items())
    chance.shuffle(items)
    return dict(items)


def messy_object(chance: random.Random, specs: Sequence[Spec], share: float) -> dict[str, Any]:
    """Some of the fields, with values that can mostly be read."""
    return {
        spec.name: messy_field(chance, spec)
        for spec in specs
        if chance.random() < share or (spec.required and chance.random() < 0.9)
    }


def messy_field(chance: random.Random, spec: Spec) -> Any:
    kind = chance.random()
    if kind < 0.05 and not is_text_required(spec):
        return None
    if spec.many and kind < 0.8:
        elements = [messy_value(chance, spec) for _ in range(chance.randrange(4))]
        return [*elements, None] if kind < 0.1 else elements
    return messy_value(chance, spec)


def is_text_required(spec: Spec) -> bool:
    return spec.type == "TEXT" and spec.required


def messy_value(chance: random.Random, spec: Spec) -> Any:
    if chance.random() < 0.03:
        return chance.choice(BAD[spec.type])
    if spec.fields:
        return messy_object(chance, spec.fields, 0.5) | ({"other": 1} if chance.random() < 0.05 else {})
    if spec.type in ("EMAIL", "PHONE"):
        return spelled(chance, spec.type, chance.choice(PEOPLE)[spec.type.lower()])
    if spec.allowed:
        return chance.choice([*spec.allowed, spec.allowed[0].upper(), spec.allowed[0].lower(), "other"])
    if spec.pattern:
        return chance.choice(["AB", "x", "ab", "ABC", "AB\n"])
    if spec.type == "NUMBER" and chance.random() < 0.2:
        return chance.choice(LOCAL_NUMBERS)
    if spec.type == "OBJECT":
        return chance.choice(GOOD["OBJECT"])
    return chance.choice(GOOD[spec.type][: -1 if is_text_required(spec) else None])


def identifiers(chance: random.Random, id_name: str, share: float) -> dict[str, Any]:
    """Names of a contact, mostly of one."""
    person = chance.choice(PEOPLE if chance.random() < 0.2 else PEOPLE[::2])
    found: dict[str, Any] = {}
    for name in ("id", "email", "phone"):
        of = person if chance.random() < 0.96 else chance.choice(PEOPLE)
        if chance.random() < share:
            found[id_name if name == "id" else name] = spelled(chance, name.upper(), of[name])
        elif chance.random() < 0.06:
            found[id_name if name == "id" else name] = chance.choice([None, "", None, " ", "bad", NEW.get(name, "new")])
    return found


NEW = {"id": 99, "email": "New@Blocked.Example.com", "phone": "+4670999999"}


def spelled(chance: random.Random, type: str, value: str) -> Any:
    """A value as somebody may have written it."""
    if type == "ID":
        return chance.choice([value, int(value), f" {value}", value])
    if type == "EMAIL":
        return chance.choice([value, value.upper(), f" {value.title()} ", value, value.replace("person1@", "müller@")])
    if type == "PHONE":
        national = f"0{value[3:5]}-{value[5:8]} {value[8:10]} {value[10:]}"
        return chance.choice(
            [value, value, f"{value[:3]} {value[3:5]}-{value[5:]}", "00" + value[1:], f"+46 (0){value[3:]}", national]
        )
    raise AssertionError(type)


def order_parts(chance: random.Random) -> dict[str, Any]:
    """Items that name packages and ticket bundles, which are mostly there."""
    items = []
    for _ in range(chance.randrange(4)):
        item: dict[str, Any] = {
            "product_id": chance.randrange(9),
            "price": chance.choice([1, "2.50", Number("0.1"), 3]),
        }
        item |= {"quantity": chance.choice([2, "3", None, Number("1.5")])} if chance.random() < 0.5 else {}
        item |= {"package_id": chance.choice(["p", "q", 1])} if chance.random() < 0.2 else {}
        item |= {"ticketBundleId": chance.randrange(20)} if chance.random() < 0.2 else {}
        items.append(item)
    parts: dict[str, Any] = {"items": items, "packages": [{"id": "p"}, {"_id": 1}, {"id": "q", "name": "x"}]}
    if chance.random() < 0.3:
        parts["ticket_bundles"] = {"id": chance.randrange(20)}
    if chance.random() < 0.3:
        parts |= {"shipping": "4.90", "discount": chance.choice([1, "0.5", None])}
    return {name: part for name, part in parts.items() if chance.random() < 0.85}
