"""What Ingot should make of records with kinds and declared fields, in plain Python, written from the manual alone.

Nothing here comes from the server, and the tests compare the two. The fields of the kinds are read from docs/kinds.md;
what is written there in words, and in field.proto and files-and-errors.md, is written here in Python.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import email_validator
import phonenumbers

from tests.api.model import KEY_BYTES_MAX, Format, Number, Piece, comparable, decoded, pieces, read_record

MANUAL = Path(__file__).parents[2] / "docs" / "kinds.md"
CONTACT_NAMES = ("contact_id", "email", "phone")
IDENTIFIERS = ("id", "email", "phone")
KEY_OF_KIND = {
    "ORDERS": ("id",),
    "PROMOTIONS": ("id",),
    "TICKET_BUNDLES": ("id",),
    "VOUCHERS": ("voucher_set", "code"),
}
NEEDS_ONE_OF = {
    "CONTACTS": IDENTIFIERS,
    "CONSENTS": CONTACT_NAMES,
    "EVENTS": CONTACT_NAMES,
    "ORDERS": CONTACT_NAMES,
}
PERIOD = {"PROMOTIONS": ("starts_at", "ends_at"), "VOUCHERS": ("starts_at", "expires_at")}
REFERS_TO_CONTACT = ("CONSENTS", "EVENTS", "ORDERS", "VOUCHERS")

COUNTRIES = {"SWE": "SE", "DEU": "DE", "NOR": "NO", "USA": "US", "GBR": "GB", "IND": "IN", "JPN": "JP", "BRA": "BR"}
CURRENCIES = {"SEK", "EUR", "USD", "NOK", "JPY", "GBP", "INR", "CHF"}
LANGUAGES = {"sv", "en", "de", "zh", "es", "no", "ja", "pt"}
REGIONS = {*COUNTRIES.values(), "TW", "419"}
DECIMAL_AND_GROUPS = {"": (".", ""), "de": (",", "."), "sv": (",", " \xa0\u202f"), "en": (".", ",")}


@dataclass(frozen=True)
class Spec:
    """A field: one that a kind has, or one that a table declares."""

    name: str
    type: str = "ANY"
    aliases: tuple[str, ...] = ()
    required: bool = False
    many: bool = False
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    default: Any = None
    fields: tuple["Spec", ...] = ()
    is_declared: bool = False

    @property
    def names(self) -> list[str]:
        """All names under which a value may come."""
        return [self.name, *self.aliases]

    def is_named(self, name: str) -> bool:
        """Whether a value for the field may come under this name."""
        if name in self.names or self.is_declared:
            return name in self.names
        return simple(name) in map(simple, self.names)


def simple(name: str) -> str:
    """A name without its case, blanks, hyphens and underscores."""
    return "".join(sign for sign in name if sign not in " -_").casefold()


@cache
def fields_of_kind(kind: str) -> tuple[Spec, ...]:
    """The fields that the manual lists for a kind."""
    section = MANUAL.read_text().split(f"\n## {kind}\n")[1].split("\n## ")[0]
    specs: dict[str, Spec] = {}
    inner: dict[str, list[Spec]] = {}
    for name, type, aliases, what in re.findall(r"^\| `(.+?)` \| (.+?) \| (.*?) \| (.*) \|$", section, re.MULTILINE):
        parent, _, own = name.rpartition("[].") if "[]." in name else ("", "", name)
        spec = Spec(
            own.removesuffix("[]"),
            type.removesuffix(", required"),
            tuple(re.findall(r"`(.+?)`", aliases)),
            required="required" in type,
            many=own.endswith("[]"),
            allowed=tuple(re.findall(r"`(.+?)`", what.partition("One of ")[2])),
        )
        if parent:
            inner.setdefault(parent, []).append(spec)
        else:
            specs[own] = spec
    return tuple(replace(spec, fields=tuple(inner.get(spec.name, ()))) for spec in specs.values())


@dataclass(frozen=True)
class Reading:
    """How values are read that say too little about themselves."""

    country: str = ""
    time_zone: str = ""
    locale: str = ""

    def or_else(self, other: "Reading") -> "Reading":
        """What is empty here is taken from the other."""
        return Reading(self.country or other.country, self.time_zone or other.time_zone, self.locale or other.locale)


@dataclass(frozen=True)
class Blocked:
    """What an account has blocked."""

    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()

    def has_email(self, email: str) -> bool:
        domain = email.rpartition("@")[2]
        return email in self.emails or any(domain == one or domain.endswith("." + one) for one in self.domains)


class Told(NamedTuple):
    """An error or a warning. The field is told only of values: what is wrong with the text has none here."""

    code: str
    field: str = ""
    is_warning: bool = False


@dataclass
class Outcome:
    """What becomes of the records of one batch."""

    received: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0
    told: dict[tuple[int, int], set[Told]] = field(default_factory=dict)


class Unreadable(Exception):
    """A value that cannot be read as its field's type."""


class Doubt(Exception):
    """Carries a value that could be read but may be wrong."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


# -------------------------------------------------------------------------------------------------------------- types


def read(type: str, value: Any, reading: Reading) -> Any:
    """A value in its type's normal form; what is no value is None."""
    if type in ("ANY", "TEXT", "OBJECT", "BOOLEAN"):
        return READERS[type](value, reading)
    if isinstance(value, Number) and type in ("IDENTIFIER", "INTEGER", "NUMBER"):
        return READERS[type](plain(value.text, type), Reading())
    if not isinstance(value, str):
        raise Unreadable
    # Blanks at the ends are part of texts only, and to the letter of booleans: these are not asked for.
    return READERS[type](value.strip(), reading)


def plain(text: str, type: str) -> str:
    """A JSON number without exponent; one that is an integer in digits alone, whatever its form, is one."""
    if type == "IDENTIFIER" and not re.fullmatch(r"-?\d+", text):
        raise Unreadable
    number = Decimal(text)
    if type == "INTEGER" and number == number.to_integral_value():
        number = number.to_integral_value()
    return "0" if type == "IDENTIFIER" and not number else format(number, "f")


def _any(value: Any, _: Reading) -> Any:
    return value


def _text(value: Any, _: Reading) -> str:
    if not isinstance(value, str):
        raise Unreadable
    return value


def _object(value: Any, _: Reading) -> Any:
    if not isinstance(value, dict):
        raise Unreadable
    return value


def _boolean(value: Any, _: Reading) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Unreadable


def _identifier(text: str, _: Reading) -> str:
    if not 1 <= len(text) <= 255:
        raise Unreadable
    return text


def _email(text: str, _: Reading) -> str:
    try:
        return email_validator.validate_email(text.lower(), check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        raise Unreadable from None


PHONE = re.compile(r"[\d+ \xa0\u2009\u202f()./\u2010-\u2014\u2212-]+", re.ASCII)
"""Letters and extensions are no part of a number that can be stored."""


def _phone(text: str, reading: Reading) -> str:
    dialled = re.sub(r"[^\d+]", "", text)
    if not PHONE.fullmatch(text) or "+" in dialled[1:]:
        raise Unreadable
    try:
        number = phonenumbers.parse(re.sub("^00", "+", dialled), reading.country or None)
    except phonenumbers.NumberParseException:
        raise Unreadable from None
    normal: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if not phonenumbers.is_valid_number(number):
        if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
            raise Unreadable
        # Not in the documents: a prefix too many, as in "+49 (0)0910 244413", could be lost when it is read again.
        again = phonenumbers.parse(normal)
        if phonenumbers.format_number(again, phonenumbers.PhoneNumberFormat.E164) != normal:
            raise Unreadable
        raise Doubt(normal)
    return normal


def _url(text: str, _: Reading) -> str:
    match = re.fullmatch(r"(https?)://([^/?#\s@]+)([/?#]\S*)?", text, re.IGNORECASE)
    try:
        if match is None or not urlsplit(text).hostname:
            raise Unreadable
    except ValueError:
        raise Unreadable from None
    return f"{match[1].lower()}://{match[2].lower()}{match[3] or ''}"


def _number(text: str, reading: Reading) -> Number:
    decimal, groups = DECIMAL_AND_GROUPS[reading.locale]
    group = f"[{groups}]" if groups else "(?!)"
    whole = rf"(?:\d+|\d{{1,3}}(?:{group}\d{{3}})+)"
    match = re.fullmatch(rf"(-?)({whole})(?:{re.escape(decimal)}(\d+))?", text, re.ASCII)
    if match is None:
        raise Unreadable
    digits = re.sub(r"\D", "", match[2])
    if len(digits) + len(match[3] or "") > 40 or (digits[0] == "0" and digits != "0"):
        raise Unreadable
    return Number(match[1] + digits + (f".{match[3]}" if match[3] else ""))


def _integer(text: str, reading: Reading) -> Number:
    number = _number(text, reading)
    if not re.fullmatch(r"-?\d{1,30}", number.text):
        raise Unreadable
    return number


def _date(text: str, _: Reading) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        raise Unreadable
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Unreadable from None


TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(\.\d+)?)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)


def _timestamp(text: str, reading: Reading) -> str:
    match = TIMESTAMP.fullmatch(text)
    if match is None:
        raise Unreadable
    day, minutes, seconds, fraction, offset = match.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{minutes}:{seconds or '00'}")
        is_doubtful = False
        if offset and offset not in "Zz":
            moment = local.replace(tzinfo=UTC) - _offset(offset)
        elif offset or not reading.time_zone:
            moment = local.replace(tzinfo=UTC)
        else:
            zone = ZoneInfo(reading.time_zone)
            moments = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
            is_doubtful = len(moments) > 1
            moment = local.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unreadable from None
    fraction = (fraction or "").rstrip("0").rstrip(".")
    normal = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + "Z"
    if is_doubtful:
        raise Doubt(normal)
    return normal


def _offset(text: str) -> timedelta:
    hours, minutes = text[1:].split(":")
    length = timedelta(hours=int(hours), minutes=int(minutes))
    return -length if text[0] == "-" else length


def _country(text: str, _: Reading) -> str:
    code = COUNTRIES.get(text.upper(), text.upper())
    if code not in COUNTRIES.values():
        raise Unreadable
    return code


def _currency(text: str, _: Reading) -> str:
    if text.upper() not in CURRENCIES:
        raise Unreadable
    return text.upper()


def _language(text: str, _: Reading) -> str:
    match = re.fullmatch(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?", text, re.IGNORECASE | re.ASCII)
    if match is None or match[1].lower() not in LANGUAGES or (match[3] or "SE").upper() not in REGIONS:
        raise Unreadable
    parts = (match[1].lower(), (match[2] or "").title(), (match[3] or "").upper())
    return "-".join(part for part in parts if part)


READERS: dict[str, Callable[[Any, Reading], Any]] = {
    "ANY": _any,
    "TEXT": _text,
    "OBJECT": _object,
    "BOOLEAN": _boolean,
    "IDENTIFIER": _identifier,
    "EMAIL": _email,
    "PHONE": _phone,
    "URL": _url,
    "NUMBER": _number,
    "INTEGER": _integer,
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "COUNTRY": _country,
    "CURRENCY": _currency,
    "LANGUAGE": _language,
}


# ------------------------------------------------------------------------------------------------------------- fields


@dataclass
class Reader:
    """Reads the fields of one record."""

    reading: Reading
    blocked: Blocked
    rejects_unknown: bool
    told: set[Told] = field(default_factory=set)

    def object(self, specs: Sequence[Spec], given: dict[str, Any], path: str = "") -> dict[str, Any]:
        """The fields of an object in their normal form; those that could not be read are left out."""
        found: dict[str, Any] = {}
        for name, value in given.items():
            exact = [spec for spec in specs if name in spec.names]
            spec = next(iter(exact or [spec for spec in specs if spec.is_named(name)]), None)
            if spec is not None and is_missing(spec, value):
                continue
            if spec is not None:
                read = self.field(spec, value, path + spec.name)
                held = found.get(spec.name)
                # The documents do not say what it means if a field comes under two names: two values are an error.
                both = is_readable(held) and is_readable(read) and "" not in (held, read)
                if both and comparable(held) != comparable(read):
                    self.told.add(Told("INVALID_VALUE", path + spec.name))
                found[spec.name] = read if held in (None, "") or read is UNREADABLE else held
            elif self.rejects_unknown:
                self.told.add(Told("INVALID_CUSTOM_ATTRIBUTE", path + name))
            else:
                found[name] = value
        for spec in specs:
            if found.get(spec.name) is None and spec.default is not None:
                found[spec.name] = spec.default
            if found.get(spec.name) is None and spec.required:
                self.told.add(Told("TOO_LITTLE_INFORMATION", path + spec.name))
        return {name: value for name, value in found.items() if value is not UNREADABLE}

    def field(self, spec: Spec, value: Any, path: str) -> Any:
        if value is None:
            return None
        if not spec.many:
            return self.value(spec, value, path)
        elements = value if isinstance(value, list) else [value]
        return [self.value(spec, element, f"{path}[{at}]") for at, element in enumerate(elements)]

    def value(self, spec: Spec, value: Any, path: str) -> Any:
        try:
            normal = read(spec.type, value, self.reading)
        except Unreadable:
            self.told.add(Told("INVALID_CUSTOM_ATTRIBUTE" if spec.is_declared else "INVALID_VALUE", path))
            return UNREADABLE
        except Doubt as doubt:
            self.told.add(Told("DOUBTFUL_VALUE", path, is_warning=True))
            normal = doubt.value
        if spec.fields:
            normal = self.object(spec.fields, normal, path + ".")
        if (spec.type == "EMAIL" and self.blocked.has_email(normal)) or (
            spec.type == "PHONE" and normal in self.blocked.phones
        ):
            self.told.add(Told("BLOCKED_VALUE", path))
        if spec.pattern and not re.fullmatch(spec.pattern, normal):
            self.told.add(Told("INVALID_VALUE", path))
        if spec.allowed:
            spellings = {allowed.lower(): allowed for allowed in spec.allowed}
            if len(spellings) < len(spec.allowed):
                spellings = {allowed: allowed for allowed in spec.allowed}
            spelling = spellings.get(normal, spellings.get(normal.lower()))
            if spelling is None:
                self.told.add(Told("INVALID_VALUE", path))
                return UNREADABLE
            normal = spelling
        return normal


UNREADABLE = object()
"""Stands for a value that could not be read: it is there, and nothing more is known about it."""


def is_readable(value: Any) -> bool:
    return value is not None and value is not UNREADABLE and not (isinstance(value, list) and UNREADABLE in value)


def is_missing(spec: Spec, value: Any) -> bool:
    """Whether a value is as if the field were missing."""
    return value == "" and (spec.type not in ("TEXT", "ANY") or bool(spec.many or spec.pattern or spec.allowed))


# -------------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Stored:
    """A record as a table holds it, and the import that wrote it."""

    record: dict[str, Any]
    import_number: int


def declared(spec: Spec) -> Spec:
    """A field as one that a table declares, with all that is in it."""
    return replace(spec, is_declared=True, fields=tuple(map(declared, spec.fields)))


@dataclass
class Table:
    """A table with its rules and its records."""

    kind: str
    key_fields: tuple[str, ...] = ()
    declared: tuple[Spec, ...] = ()
    rejects_unknown: bool = False
    reading: Reading = Reading()
    rows: dict[str, Stored] = field(default_factory=dict)
    name: str = ""

    @property
    def specs(self) -> tuple[Spec, ...]:
        of_kind = {} if self.kind == "GENERIC" else {spec.name: spec for spec in fields_of_kind(self.kind)}
        own = {spec.name: declared(spec) for spec in self.declared}
        for name in of_kind.keys() & own.keys():
            # It is narrower, and still the kind's.
            own[name] = replace(own[name], aliases=of_kind[name].aliases + own[name].aliases, is_declared=False)
        return tuple({**of_kind, **own}.values())

    def holder(self, identifier: str, value: str) -> str | None:
        """The key of the record that has an identifier."""
        return next((key for key, row in self.rows.items() if row.record.get(identifier) == value), None)


class Account:
    """Tables, what is blocked, and what imports make of it."""

    def __init__(self, tables: dict[str, Table], blocked: Blocked = Blocked()) -> None:
        self.tables = {name: replace(table, name=name) for name, table in tables.items()}
        self.blocked = blocked
        self._import_number = 0

    def begin_import(self) -> None:
        self._import_number += 1

    def add_file(self, table: str, data: bytes, format: Format, reading: Reading = Reading()) -> Outcome:
        """Imports a file as a batch of the import that was begun."""
        return self._add(self.tables[table], pieces(data, format), reading)

    def add_records(self, table: str, texts: Iterable[bytes], reading: Reading = Reading()) -> Outcome:
        """Imports records that came as messages as a batch of the import that was begun."""
        return self._add(self.tables[table], (Piece(0, decoded(text, "utf-8")) for text in texts), reading)

    def _add(self, table: Table, found: Iterable[Piece], reading: Reading) -> Outcome:
        outcome = Outcome()
        for index, piece in enumerate(found):
            outcome.received += 1
            told = self._apply(table, piece, reading.or_else(table.reading), outcome)
            if any(not one.is_warning for one in told):
                # A warning says that the record was imported.
                told = {one for one in told if not one.is_warning}
            if told:
                outcome.told[index, piece.line] = told
            outcome.rejected += any(not one.is_warning for one in told)
        return outcome

    def _apply(self, table: Table, piece: Piece, reading: Reading, outcome: Outcome) -> set[Told]:
        """Applies one record; what there is to tell of it."""
        given: dict[str, Any] = {}
        codes = set(piece.codes)
        if not codes:
            given, codes = read_record(piece.text, ())
        if (
            given
            and "EMPTY_RECORD" not in codes
            and not all(has_key(given, name, table.specs) for name in table.key_fields)
        ):
            codes.add("MISSING_KEY")
        if codes:
            return {Told(code) for code in codes}
        if table.kind != "GENERIC":
            given.pop("derived", None)
        reader = Reader(reading, self.blocked, table.rejects_unknown)
        record = reader.object(table.specs, given)
        told = reader.told
        needed = NEEDS_ONE_OF.get(table.kind, ())
        if needed and all(record.get(name) is None for name in needed):
            unreadable = {one.field for one in told if not one.is_warning}
            if not unreadable & set(needed):
                told.add(Told("TOO_LITTLE_INFORMATION"))
        derived: dict[str, Any] = {}
        if table.kind in REFERS_TO_CONTACT:
            derived |= self._contact_of(record, told)
        if table.kind in PERIOD:
            starts, ends = (record.get(name) for name in PERIOD[table.kind])
            # Not in the documents.
            if starts is not None and ends is not None and moment_of(ends) < moment_of(starts):
                told.add(Told("INVALID_VALUE", PERIOD[table.kind][1]))
        if table.kind == "ORDERS":
            derived |= self._check_order(record, told)
        key = ""
        if table.kind == "CONTACTS":
            key = identified(table, record, told)
            derived |= of_contact(record)
        told |= {Told("INVALID_VALUE", name) for name in table.key_fields if isinstance(record.get(name), dict | list)}
        if any(not one.is_warning for one in told):
            return told
        if derived:
            record["derived"] = derived
        key = key or key_of(table, record)
        if len(key.encode()) > KEY_BYTES_MAX:
            return told | {Told("INVALID_VALUE", table.key_fields[0] if len(table.key_fields) == 1 else "")}
        self._write(table, key, record, outcome)
        return told

    def _write(self, table: Table, key: str, record: dict[str, Any], outcome: Outcome) -> None:
        held = table.rows.get(key)
        if held is not None and comparable(held.record) == comparable(record):
            outcome.unchanged += 1
            return
        if held is None:
            outcome.created += 1
        elif held.import_number == self._import_number:
            outcome.superseded += 1
        else:
            outcome.updated += 1
        table.rows[key] = Stored(record, self._import_number)

    def _contact_of(self, record: dict[str, Any], told: set[Told]) -> dict[str, Any]:
        """The contact that a record names, by the rules by which a contact itself is found."""
        named = {name.removeprefix("contact_"): record[name] for name in CONTACT_NAMES if record.get(name) is not None}
        if not named:
            return {}
        # The strongest identifier that any table knows decides in which one to look, the oldest first.
        tables = (
            table for name, value in named.items() for table in self._tables("CONTACTS") if table.holder(name, value)
        )
        for table in tables:
            key, conflict = holder_of(table, named)
            if conflict:
                told.add(Told("CONFLICTING_IDENTIFIERS", "contact_id" if conflict == "id" else conflict))
                return {}
            if key is not None:
                return {"contact": key, "contact_table": table.name}
        told.add(Told("CONTACT_NOT_FOUND", next(name for name in CONTACT_NAMES if record.get(name) is not None)))
        return {}

    def _check_order(self, record: dict[str, Any], told: set[Told]) -> dict[str, Any]:
        items = objects(record, "items")
        packages = {package.get("id") for package in objects(record, "packages").values()}
        bundles = {bundle.get("id") for bundle in objects(record, "ticket_bundles").values()}
        for at, item in items.items():
            package, bundle = item.get("package_id"), item.get("ticket_bundle_id")
            if package is not None and package not in packages:
                told.add(Told("PACKAGE_NOT_FOUND", f"items[{at}].package_id"))
            known = any(bundle in table.rows for table in self._tables("TICKET_BUNDLES"))
            if bundle is not None and bundle not in bundles and not known:
                told.add(Told("TICKET_BUNDLE_NOT_FOUND", f"items[{at}].ticket_bundle_id"))
        prices = [item.get("price") for item in items.values()]
        if record.get("total") is not None or not items or None in prices:
            return {}
        with localcontext() as context:
            context.prec = 1_000
            total = sum(decimal_of(item, "price") * decimal_of(item, "quantity", 1) for item in items.values())
            total += decimal_of(record, "shipping") - decimal_of(record, "discount")
        return {"total": Number(format(total, "f"))}

    def _tables(self, kind: str) -> Iterator[Table]:
        return (table for table in self.tables.values() if table.kind == kind)


def has_key(given: dict[str, Any], name: str, specs: Sequence[Spec]) -> bool:
    """Whether a record has a value for a key field, under any of its names."""
    spec = next((spec for spec in specs if spec.name == name), Spec(name, is_declared=True))
    return any(spec.is_named(one) and value not in (None, "") for one, value in given.items())


def key_of(table: Table, record: dict[str, Any]) -> str:
    """What identifies a record that has no identifiers."""
    if table.kind == "EVENTS" and record.get("id") is None:
        # How the parameters are written there is not documented: only that they make a difference.
        parameters = hash(comparable(record.get("parameters") or {}))
        contact = [record["derived"]["contact_table"], record["derived"]["contact"]]
        values = [*contact, record["name"], record["time"], f"{parameters & (1 << 64) - 1:016x}"]
    elif table.kind == "CONSENTS":
        contact = [record["derived"]["contact_table"], record["derived"]["contact"]]
        values = [*contact, record["channel"], record.get("purpose") or ""]
    else:
        names = KEY_OF_KIND.get(table.kind) or table.key_fields or ("id",)
        values = [as_text(record[name]) for name in names]
    return values[0] if len(values) == 1 else json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def moment_of(text: str) -> tuple[str, str]:
    """A moment in its normal form, comparable with others."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    return seconds, fraction


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.text if isinstance(value, Number) else str(value)


def holder_of(contacts: Table, named: dict[str, str]) -> tuple[str | None, str]:
    """The key of the contact that has these identifiers, the strongest first, and the first that contradicts it."""
    found: str | None = None
    stronger: list[str] = []
    for name, value in named.items():
        holder = contacts.holder(name, value)
        if holder is not None and holder != found:
            has = contacts.rows[holder].record
            if found is not None or any(has.get(one) is not None for one in stronger):
                return None, name
            found = holder
        stronger.append(name)
    return found, ""


def identified(contacts: Table, record: dict[str, Any], told: set[Told]) -> str:
    """The key of the contact that a record is about, which takes over the identifiers that it keeps."""
    named = {name: record[name] for name in IDENTIFIERS if record.get(name) is not None}
    found, conflict = holder_of(contacts, named)
    if conflict:
        told.add(Told("CONFLICTING_IDENTIFIERS", conflict))
        return ""
    if found is None:
        if not named:
            return ""
        key = wanted = "{}={}".format(*next(iter(named.items())))
        number = 1
        while key in contacts.rows:
            number += 1
            key = f"{wanted}~{number}"
        return key
    for name in IDENTIFIERS:
        kept = contacts.rows[found].record.get(name)
        if name not in record and kept is not None:
            record[name] = kept
    return found


def of_contact(record: dict[str, Any]) -> dict[str, Any]:
    """What is derived from a contact."""
    derived = {}
    if record.get("email") is not None:
        derived["email_domain"] = record["email"].rpartition("@")[2]
    if record.get("phone") is not None:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(record["phone"]))
        if region is not None and len(region) == 2:
            derived["phone_country"] = region
    return derived


def objects(record: dict[str, Any], name: str) -> dict[int, dict[str, Any]]:
    """The elements of a list that could be read, by their place."""
    return {at: one for at, one in enumerate(record.get(name) or ()) if isinstance(one, dict)}


def decimal_of(of: dict[str, Any], name: str, default: int = 0) -> Decimal:
    value = of.get(name)
    return Decimal(default if value is None else value.text)
