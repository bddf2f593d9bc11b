"""Tables, kinds and blocked values, from the clients and the command line, against a real server."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from ingot_client import (
    BlockedValue,
    Client,
    Field,
    InvalidRequest,
    KindDiffers,
    Reading,
    TableExists,
    TableInUse,
    TableNotFound,
)
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller
from tests.client.test_command_line import Command, terminal
from tests.client.test_real_server import client_of, ran

ADA = {"email": "ada@example.org", "phone": "070-174 06 05"}


async def test_table_is_created_read_changed_and_deleted(caller: Caller) -> None:
    fields = [
        Field("tier", allowed_values=("gold", "silver"), description="How loyal they are."),
        Field("size", "OBJECT", fields=(Field("width", "NUMBER", required=True),)),
        Field("level", "INTEGER", indexed=True, default=1),
    ]
    async with await client_of(caller) as ingot:
        made = await ingot.create_table("crm", kind="CONTACTS", fields=fields, country="SE")
        assert (made.kind, made.fields, made.reading) == ("CONTACTS", tuple(fields), Reading("SE"))
        assert made.fields[2].index_state in {"BUILDING", "READY"}
        assert (await ingot.get_table("crm")).fields == made.fields
        assert [table.kind async for table in ingot.list_tables()] == ["CONTACTS"]
        with pytest.raises(TableExists):
            await ingot.create_table("crm")
        with pytest.raises(InvalidRequest) as invalid:
            await ingot.create_table("other", kind="KONTAKTE")
        assert "CONTACTS" in invalid.value.violations["table.kind"]

        changed = await ingot.update_table("crm", time_zone="Europe/Stockholm")
        assert (changed.reading, changed.fields) == (Reading("SE", "Europe/Stockholm"), made.fields)
        changed = await ingot.update_table("crm", country="", time_zone="", locale="sv", unknown_fields="REJECT")
        assert (changed.reading, changed.unknown_fields) == (Reading(locale="sv"), "REJECT")
        changed = await ingot.update_table("crm", fields=[], kind="PRODUCTS", key_fields="sku")
        assert (changed.fields, changed.kind, changed.key_fields) == ((), "PRODUCTS", ("sku",))
        assert (changed.reading, changed.unknown_fields) == (Reading(locale="sv"), "REJECT")

        job = await ingot.create_import("crm")
        with pytest.raises(TableInUse) as in_use:
            await ingot.delete_table("crm")
        assert in_use.value.facts["import_id"] == job.import_id
        await ingot.cancel(job.import_id)
        await ingot.delete_table("crm")
        with pytest.raises(TableNotFound):
            await ingot.get_table("crm")


async def test_kinds_are_listed_with_their_fields(caller: Caller) -> None:
    def listed() -> dict[str, list[str]]:
        with Client(caller.address, caller.key) as ingot:
            return {kind.kind: [field.name for field in kind.fields] for kind in ingot.list_kinds()}

    kinds = await asyncio.to_thread(listed)
    assert "email" in kinds["CONTACTS"]
    assert kinds["GENERIC"] == []


async def test_records_of_a_kind_are_read_as_the_import_says(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        done = await ingot.import_records("crm", [ADA], kind="CONTACTS", country="SE", locale="sv")
        assert (done.state, done.kind, done.reading) == ("SUCCEEDED", "CONTACTS", Reading("SE", "", "sv"))
        assert (await ingot.get_record("crm", "email:ada@example.org")).value["phone"] == "+46701740605"
        written = await ingot.write_records("crm", [{"phone": "040 / 32 10 00"}], kind="CONTACTS", country="DE")
        assert (written.counts.created, written.errors) == (1, ())
        with pytest.raises(KindDiffers) as differs:
            await ingot.create_import("crm", kind="ORDERS")
        assert differs.value.facts["kind"] == "CONTACTS"


async def test_warnings_are_told_apart_from_errors(caller: Caller, tmp_path: Path) -> None:
    rows = [
        {"email": "a@example.org", "phone": "+46999999"},
        {"email": "a at example.org"},
        {"email": "b@example.org"},
    ]
    async with await client_of(caller) as ingot:
        done = await ingot.import_records("crm", rows, kind="CONTACTS")
        assert (done.counts.created, done.counts.rejected) == (2, 1)
        found = {(group.code, group.severity, group.count) for group in done.error_groups}
        assert found == {("DOUBTFUL_VALUE", "WARNING", 1), ("INVALID_VALUE", "ERROR", 1)}
        for severity, code in (("WARNING", "DOUBTFUL_VALUE"), ("ERROR", "INVALID_VALUE")):
            listed = [error async for error in ingot.list_errors(done.import_id, severity=severity)]
            assert [(error.code, error.severity) for error in listed] == [(code, severity)]
            number = listed[0].number
            for word in (str(number), number, code.lower()):
                listed = [error async for error in ingot.list_errors(done.import_id, code=word, severity="")]
                assert [(error.code, error.number) for error in listed] == [(code, number)]

    shown = (await ran(caller, "show", "1")).out.split("\n\n")
    assert "record 1: 1002 INVALID_VALUE email: " in shown[1]
    assert "record 0: warning: 1114 DOUBTFUL_VALUE phone: " in shown[2]
    listed_all = await ran(caller, "errors", "1")
    assert (listed_all.out.count("\n"), listed_all.out.count("warning: "), listed_all.err) == (2, 1, "")
    only = await ran(caller, "errors", "1", "--severity", "warning")
    assert (only.out.count("\n"), only.out.count("warning: "), only.err) == (1, 1, "")

    file = tmp_path / "doubtful.ndjson"
    file.write_text(json.dumps(rows[0]))
    doubtful = await ran(caller, "import", str(file), "--table", "crm2", "--kind", "contacts")
    assert doubtful.code == 0, "nothing was rejected"
    assert "1 with a warning: 1114 DOUBTFUL_VALUE phone: " in doubtful.out
    assert doubtful.err == "Warnings: ingot errors 2 --severity warning\n"


async def test_blocked_values_reject_records(caller: Caller) -> None:
    values = [BlockedValue("DOMAIN", "Example.org"), BlockedValue("PHONE", "+46 70 174 06 05")]
    async with await client_of(caller) as ingot:
        assert await ingot.block_values(values) == 2
        assert await ingot.block_values(values[:1]) == 0
        blocked = [value async for value in ingot.list_blocked_values(page_size=1)]
        assert {(value.type, value.value) for value in blocked} == {
            ("DOMAIN", "example.org"),
            ("PHONE", "+46701740605"),
        }
        assert all(value.create_time for value in blocked)
        assert [value.type async for value in ingot.list_blocked_values(type="PHONE")] == ["PHONE"]
        written = await ingot.write_records("crm", [ADA], kind="CONTACTS", country="SE")
        assert {(error.code, error.field) for error in written.errors} == {
            ("BLOCKED_VALUE", "email"),
            ("BLOCKED_VALUE", "phone"),
        }
        assert await ingot.unblock_values(blocked) == 2
        assert (await ingot.write_records("crm", [ADA], kind="CONTACTS", country="SE")).errors == ()


async def test_records_are_found_and_ordered(caller: Caller, tmp_path: Path) -> None:
    rows = [{"id": str(number), "points": number, "country": "SE" if number % 2 else "DE"} for number in range(20)]
    async with await client_of(caller) as ingot:
        await ingot.import_records("t", rows, key_fields=["id"])
        found = ingot.list_records("t", filter="country = SE AND points >= 15", order_by="points desc", page_size=2)
        assert [record.value["points"] async for record in found] == [19, 17, 15]
        file = tmp_path / "out.ndjson"
        await ingot.export_records("t", file, filter="points < 3", order_by="points desc")
        assert [json.loads(line)["points"] for line in file.read_text().splitlines()] == [2, 1, 0]
        with pytest.raises(InvalidRequest) as invalid:
            await anext(aiter(ingot.list_records("t", filter="country =")))
        assert "filter" in invalid.value.violations

    for command in ("list", "export"):
        told = await ran(caller, "records", command, "t", "--filter", "points > 17", "--order-by", "points desc")
        assert [json.loads(line)["points"] for line in told.out.splitlines()] == [19, 18]


async def test_definition_of_a_table_moves_to_another_account(
    caller: Caller, database: Database, tmp_path: Path
) -> None:
    key = await create_key(database, "other", list(SCOPES), "test", None)
    fields = tmp_path / "fields.json"
    fields.write_text('[{"name": "tier", "type": "TEXT", "allowedValues": ["gold", "silver"]}]')
    made = await ran(
        *(caller, "tables", "create", "crm", "--kind", "contacts", "--country", "SE", "--unknown-fields", "reject"),
        *("--fields", str(fields), "--field", "level:INTEGER:indexed"),
    )
    assert made.code == 0
    assert "gold|silver" in made.out
    printed = await ran(caller, "tables", "show", "crm", "--json")
    async with Caller(caller.address, key.text) as other:
        create = ("tables", "create", "crm", "--from", "-", "--country", "DE")
        assert (await ran(other, *create, stdin=printed.out.encode())).code == 0
        async with await client_of(caller) as ours, await client_of(other) as theirs:
            ours_now, theirs_now = await ours.get_table("crm"), await theirs.get_table("crm")
    assert theirs_now.fields == ours_now.fields
    assert (theirs_now.kind, theirs_now.unknown_fields) == ("CONTACTS", "REJECT")
    assert theirs_now.reading == Reading("DE"), "options come before the file"


async def test_tables_are_listed_and_changed_from_the_command_line(caller: Caller) -> None:
    assert (await ran(caller, "tables")).err == "no tables\n"
    await ran(caller, "tables", "create", "t", "--key", "a,b", "--field", "x:DATE", "--field", "y::many")
    changed = await ran(
        *(caller, "tables", "update", "t", "--add-field", "z:EMAIL", "--add-field", "x:TIMESTAMP"),
        *("--remove-field", "x", "--unknown-fields", "reject", "--locale", "sv", "--json"),
    )
    told = json.loads(changed.out)
    assert [(field["name"], field["type"]) for field in told["fields"]] == [
        ("y", "FIELD_TYPE_TEXT"),
        ("z", "FIELD_TYPE_EMAIL"),
        ("x", "FIELD_TYPE_TIMESTAMP"),
    ]
    assert (told["reading"]["locale"], told["keyFields"]) == ("sv", ["a", "b"])
    for args in (["tables"], ["tables", "list"]):
        assert (await ran(caller, *args)).out.splitlines()[1].split()[:3] == ["t", "GENERIC", "a,b"]
    refused = await ran(caller, "tables", "create", "t")
    assert (refused.code, refused.err.splitlines()[1]) == (
        1,
        "Change it with `ingot tables update t`, or choose another name.",
    )


async def test_deleting_a_table_is_asked_for_in_a_terminal(caller: Caller) -> None:
    command = Command(int(caller.address.rpartition(":")[2]))
    for answer, code, left in ((b"n\n", 1, ["t"]), (b"y\n", 0, [])):
        await ran(caller, "tables", "create", "t")
        with terminal() as (people, programs):
            process = await command.start("tables", "delete", "t", "--api-key", caller.key or "", stdin=programs)
            os.close(programs)
            os.write(people, answer)
            out, err = await process.communicate()
        assert (process.returncode, out) == (code, b"")
        assert b"Delete the table t with all its records?" in err
        async with await client_of(caller) as ingot:
            assert [table.table async for table in ingot.list_tables()] == left
    await ran(caller, "tables", "create", "t")
    assert (await ran(caller, "tables", "delete", "t", "--yes", "--json")).out == "{}\n"
    assert (await ran(caller, "tables", "delete", "t", "--yes")).code == 1


async def test_kinds_are_readable_in_a_terminal(caller: Caller) -> None:
    listed = (await ran(caller, "kinds")).out
    assert {"CONTACTS", "GENERIC", "ORDERS"} <= {line.split()[0] for line in listed.splitlines()}
    shown = (await ran(caller, "kinds", "orders")).out
    assert "items[].price " in shown
    assert max(map(len, shown.splitlines()[:5])) <= 80
    assert json.loads((await ran(caller, "kinds", "contacts", "--json")).out)["kind"] == "CONTACTS"
    unknown = await ran(caller, "kinds", "kontakte")
    assert (unknown.code, unknown.out) == (1, "")
    assert "The server knows CONSENTS, CONTACTS, " in unknown.err


async def test_values_are_blocked_from_the_command_line(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "spam.txt"
    file.write_text("".join(f"spam{number}.example\n" for number in range(1_500)))
    added = await ran(caller, "blocked", "add", "ada@example.org", "+46701740605", "--from", str(file))
    assert (added.code, added.err) == (0, "blocked 1,502 values, 1,502 of them new\n")
    assert (await ran(caller, "blocked", "add", "ada@example.org", "--json")).out == '{"blocked": "0"}\n'
    listed = (await ran(caller, "blocked", "list")).out.splitlines()
    assert len(listed) == 1_503
    assert (await ran(caller, "blocked")).out.splitlines() == listed
    mails = await ran(caller, "blocked", "list", "--type", "email", "--json")
    assert json.loads(mails.out)["value"] == "ada@example.org"
    removed = await ran(caller, "blocked", "remove", "--from", "-", stdin=file.read_bytes())
    assert removed.err == "unblocked 1,500 of 1,500 values\n"
    refused = await ran(caller, "blocked", "add", "070-174 06 05")
    assert (refused.code, refused.out) == (1, "")


async def test_other_kind_says_what_to_do(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("_email,mobile\nada@example.org,0701740605\n")
    args = ("import", str(file), "--table", "crm", "--kind")
    assert (await ran(caller, *args, "contacts", "--country", "SE")).code == 0
    refused = await ran(caller, *args, "orders")
    assert (refused.code, refused.err.splitlines()[1]) == (
        1,
        "The table's records are CONTACTS: leave out --kind, or say --kind CONTACTS.",
    )
    kept = (await ran(caller, "records", "get", "crm", "phone:+46701740605")).out
    assert json.loads(kept)["email"] == "ada@example.org"
    file.write_text("mail\nada@example.org\n")
    refused = await ran(caller, "import", str(file), "--table", "crm", "--key", "mail")
    assert (refused.code, refused.err.splitlines()[1]) == (
        1,
        "The kind of the table needs no key fields: leave out --key.",
    )


async def test_bad_value_to_be_blocked_is_told_with_its_line(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "spam.txt"
    good = [f"spam{number}.example" for number in range(1_000)]
    file.write_text("\n".join(["# spam", "", *good, "  # more", "070-174 06 05", "", "ada@example.org", "ada@"]))
    refused = await ran(caller, "blocked", "add", "grace@example.org", "--from", str(file))
    assert (refused.code, refused.out) == (1, "")
    bad_phone, bad_mail, advice = refused.err.splitlines()
    assert bad_phone.startswith(f"error: {file}, line 1,004: expected a phone number with its country code ")
    assert "'070-174 06 05'" in bad_phone
    assert "default country" not in refused.err
    assert bad_mail.startswith(f"error: {file}, line 1,007: expected ")
    assert advice == (
        "blocked 1,000 of 1,004 values before it stopped; there may be more bad ones. "
        "Calling again is safe: values that are blocked already do no harm."
    )
    async with await client_of(caller) as ingot:
        assert len([value async for value in ingot.list_blocked_values(page_size=1000)]) == 1_000

    file.write_text(file.read_text().replace("070-174", "+4670-174").replace("ada@\n", ""))
    file.write_text(file.read_text().removesuffix("ada@"))
    added = await ran(caller, "blocked", "add", "grace@example.org", "--from", str(file))
    assert (added.code, added.err) == (0, "blocked 1,003 values, 3 of them new\n")
    for command in ("add", "remove"):
        refused = await ran(caller, "blocked", command, "070-174 06 05", "ada@example.org")
        assert refused.code == 1
        assert refused.err.startswith("error: expected a phone number with its country code such as +46701234567, got ")
    many = await ran(caller, "blocked", "add", "--from", "-", "--type", "email", stdin=b"x\n" * 23)
    assert many.err.splitlines()[0].startswith("error: stdin, line 1: ")
    assert len(many.err.splitlines()) == 11, "the server names the first ten"
    nothing = await ran(caller, "blocked", "add", "--from", "-", stdin=b"# none\n\n")
    assert (nothing.code, nothing.err) == (0, "blocked 0 values, 0 of them new\n")


async def test_blocking_that_is_refused_as_a_whole_is_told(caller: Caller) -> None:
    refused = await ran(caller, "--api-key", "wrong", "blocked", "add", "x.example")
    assert refused.code == 0, "the later option counts"
    command = Command(int(caller.address.rpartition(":")[2]))
    refused = await command("blocked", "add", "x.example")
    assert refused.code == 1
    assert "blocked 0 of 1 values before it stopped" in refused.err


async def test_table_becomes_what_a_file_says(caller: Caller, tmp_path: Path) -> None:
    await ran(caller, "tables", "create", "t", "--field", "a:DATE", "--field", "b", "--locale", "sv", "--country", "SE")
    printed = json.loads((await ran(caller, "tables", "show", "t", "--json")).out)
    file = tmp_path / "t.json"
    update = ("tables", "update", "t", "--from", str(file))

    file.write_text(json.dumps(printed))
    same = await ran(caller, *update)
    assert (same.code, same.err) == (0, "nothing differs: the table is as it was\n")
    assert json.loads((await ran(caller, "tables", "show", "t", "--json")).out) == printed

    file.write_text(json.dumps({"unknown_fields": "reject", "fields": [{"name": "c", "type": "integer"}]}))
    assert (await ran(caller, *update)).code == 0
    async with await client_of(caller) as ingot:
        table = await ingot.get_table("t")
        assert (table.unknown_fields, table.fields, table.reading) == (
            "REJECT",
            (Field("c", "INTEGER"),),
            Reading("SE", "", "sv"),
        )
        file.write_text(json.dumps({"reading": {"country": "DE"}, "keyFields": ["id"], "kind": "products"}))
        changed = await ran(caller, *update, "--add-field", "d", "--unknown-fields", "keep", "--country", "NO")
        assert changed.code == 0
        table = await ingot.get_table("t")
        assert (table.kind, table.key_fields, table.reading) == ("PRODUCTS", ("id",), Reading("NO"))
        assert (table.unknown_fields, [field.name for field in table.fields]) == ("KEEP", ["c", "d"])

        await ingot.write_records("t", [{"id": "1", "name": "x"}])
        same = await ran(caller, *update, "--country", "NO")
        assert same.code == 0, "the kind and the key of a table with records do not differ"
        file.write_text(json.dumps({"kind": "CONTACTS"}))
        assert (await ran(caller, *update)).code == 1
    for wrong in ("[]", "3", '{"kinds": 1}'):
        file.write_text(wrong)
        refused = await ran(caller, *update)
        assert (refused.code, len(refused.err.splitlines())) == (1, 2)


async def test_words_may_be_in_any_case(caller: Caller) -> None:
    async with await client_of(caller) as ingot:
        made = await ingot.create_table(
            "crm",
            kind="contacts",
            unknown_fields="reject",
            fields=[Field("tier", "text"), {"name": "n", "type": "date"}],
        )
        assert (made.kind, made.unknown_fields) == ("CONTACTS", "REJECT")
        assert made.fields == (Field("tier"), Field("n", "DATE"))
        done = await ingot.import_records("crm", [{"email": "a@example.org"}, {"email": 1}], kind="Contacts")
        assert [job.import_id async for job in ingot.list_imports(states="partially_succeeded")] == [done.import_id]
        assert [error.code async for error in ingot.list_errors("1", severity="error", stage="processing")]
        assert [error async for error in ingot.list_errors("1", severity="warning")] == []
        assert (await ingot.write_records("crm", [{"email": "a@example.org"}], kind="contacts")).counts.unchanged == 1
        assert (await ingot.update_table("crm", unknown_fields="keep")).unknown_fields == "KEEP"
        await ingot.block_values([BlockedValue(type="domain", value="example.net")])
        assert [value.type async for value in ingot.list_blocked_values(type="Domain")] == ["DOMAIN"]


async def test_records_are_written_from_the_command_line(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    rows = [f'{{"id": {number}, "share": 1.{"0" * 20}1}}' for number in range(1_500)]
    file.write_text("\ufeff" + "\n".join(["", *rows, "", "{", '{"name": "nobody"}', ""]))
    written = await ran(caller, "records", "write", "t", str(file), "--key", "id")
    assert (written.code, written.err) == (3, "")
    counts, broken, nobody = written.out.splitlines()
    assert counts == "wrote to t: 1,502 received, 1,500 created, 2 rejected"
    assert broken.startswith("  line 1,503: 1105 SYNTAX_ERROR: ")
    assert nobody.startswith("  line 1,504: 1102 MISSING_KEY id: ")
    assert "1.000000000000000000001" in (await ran(caller, "records", "get", "t", "1")).out

    array = f"[{','.join(rows)}]".encode()
    written = await ran(caller, "records", "write", "t", "--json", stdin=array)
    told = json.loads(written.out)
    assert (written.code, told["counts"]["unchanged"], told["errors"]) == (0, "1500", [])
    bad = b"[" + b'{"name": "x"},' * 1_000 + b"5]"
    written = await ran(caller, "records", "write", "t", "--json", stdin=bad)
    told = json.loads(written.out)
    assert (written.code, told["counts"]["rejected"]) == (4, "1001")
    assert [int(error["index"]) for error in told["errors"]] == list(range(1_001))
    assert (told["errors"][-1]["code"], told["errors"][-1]["line"]) == ("RECORD_ERROR_CODE_NOT_AN_OBJECT", "0")


async def test_one_record_is_written_as_it_is_read(caller: Caller) -> None:
    contact = b'{\n  "email": "Ada@Example.org",\n  "phone": "0701740605"\n}\n'
    write = ("records", "write", "crm", "-", "--kind", "contacts", "--country", "SE")
    assert (await ran(caller, *write, stdin=contact)).out == "wrote to crm: 1 received, 1 created\n"
    kept = json.loads((await ran(caller, "records", "get", "crm", "email:ada@example.org")).out)
    assert kept["phone"] == "+46701740605"
    refused = await ran(caller, *write, "--key", "email", stdin=contact)
    assert (refused.code, refused.out) == (1, "")
    assert "the records of the kind CONTACTS need no key fields" in refused.err
    refused = await ran(caller, *write[:4], "--key", "email", stdin=contact)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.splitlines()[1] == "The kind of the table needs no key fields: leave out --key."
    refused = await ran(caller, *write, stdin=b"[{]")
    assert (refused.code, refused.err.partition(": ")[2].partition(":")[0]) == (
        1,
        "stdin begins as a JSON array and is none",
    )
    empty = await ran(caller, *write, stdin=b" \n")
    assert (empty.code, empty.err) == (4, "error: there are no records to be written\n")
