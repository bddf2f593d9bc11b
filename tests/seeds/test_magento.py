"""Magento BI (RJMetrics): the Data Import API (seed 004), sentence by sentence.

Not about Ingot:
* "If errors in the 5xx range persist, please contact support"
* "The current version of the Import API is v2. v1 is still available, but will be deprecated in the future": here it
  is the package `ingot.v1`
* ":cid - your client Id": the account comes from the key
* the installation of the client libraries: "npm install", "composer install", "lein repl", "bundle install"
* the examples in JavaScript, PHP, Clojure and Ruby: they do what the Python one does, which is tested; Ingot has a
  client for Python, and stubs for any language come from the protos

Proved elsewhere:
* "500 Server Error - There is an error in Magento BI": INTERNAL with an id for the log,
  `tests/faults/test_database.py`
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from ingot.v1 import batch_pb2, import_pb2, record_error_pb2, stage_pb2
from ingot.v1 import import_service_pb2 as im
from ingot.v1 import record_service_pb2 as rs
from ingot.v1 import table_service_pb2 as ts
from ingot_client import ApiKeyInvalid, AsyncClient
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.calling import Caller, health_stub, reason_of, records
from tests.seeds.conftest import (
    DELETE,
    FILL_EMPTY,
    MERGE,
    REPLACE,
    SKIP_EXISTING,
    WRITING,
    faults,
    file_imported,
    imported,
    keys,
    stored,
    told,
    written,
)

ARRAY = batch_pb2.DataFormat(type=batch_pb2.FILE_TYPE_JSON_ARRAY)
SINGLE = b"""\
{
  "keys": ["id"],
  "id": 1,
  "email": "joe@schmo.com",
  "status": "pending",
  "created_at": "2019-08-01 14:22:32"
}
"""
THREE = b"""\
[{
  "keys": ["id"],
  "id": 1,
  "email": "joe@schmo.com",
  "status": "pending",
  "created_at": "2019-08-01 14:22:32"
},{
  "keys": ["id"],
  "id": 2,
  "email": "anne@schmo.com",
  "status": "pending",
  "created_at": "2019-08-03 23:12:30"
},{
  "keys": ["id"],
  "id": 1,
  "email": "joe@schmo.com",
  "status": "complete",
  "created_at": "2019-08-05 04:51:02"
}]
"""
AFTER_THREE = [
    {"id": 1, "email": "joe@schmo.com", "status": "complete", "created_at": "2019-08-05 04:51:02"},
    {"id": 2, "email": "anne@schmo.com", "status": "pending", "created_at": "2019-08-03 23:12:30"},
]
USERS: list[dict[str, Any]] = [
    {"id": 1, "email": "joe@schmo.com", "acquisition_source": "PPC"},
    {"id": 2, "email": "mike@smith.com", "acquisition_source": "PPC"},
    {"id": 3, "email": "lorem@ipsum.com", "acquisition_source": "Referral"},
    {"id": 4, "email": "george@vandelay.com", "acquisition_source": "Organic"},
    {"id": 5, "email": "larry@google.com", "acquisition_source": "Organic"},
]
ORDERS = [
    b'{"id": 1, "user_id": 1, "value": 58.40,  "sku": "milky-white-suede-shoes"}',
    b'{"id": 2, "user_id": 1, "value": 23.99,  "sku": "red-button-down-fleece"}',
    b'{"id": 3, "user_id": 2, "value": 5.00,   "sku": "bottle-o-bubbles"}',
    b'{"id": 4, "user_id": 3, "value": 120.01, "sku": "zebra-striped-game-boy"}',
    b'{"id": 5, "user_id": 5, "value": 9.90  , "sku": "kitten-mittons"}',
]


@pytest.mark.parametrize(
    "data", [{"a": 1}, {"a": None, "b": [1, "x", {"c": []}]}, {"å": "日本 😀", "": ""}, {"n": 1e20, "t": True}]
)
async def test_arbitrary_data(caller: Caller, data: dict[str, Any]) -> None:
    """The Data Import API allows you to push arbitrary data into your data warehouse."""
    await written(caller, [{**data, "keys": ["id"], "id": 1}], "anything")
    assert await caller.table("anything") == [{**data, "id": 1}]


async def test_make_sure_you_authenticate_your_connection(caller: Caller) -> None:
    """Before using the import API, make sure you authenticate your connection."""
    async with Caller(caller.address, None) as stranger:
        with pytest.raises(aio.AioRpcError) as refused:
            await written(stranger, [SINGLE], "users")
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert (await written(caller, [SINGLE], "users")).counts.created == 1


async def test_200_ok(caller: Caller) -> None:
    """200 OK - request was successful."""
    await written(caller, [SINGLE], "users")
    call: Any = caller.records.WriteRecords(rs.WriteRecordsRequest(table="users", records=records([SINGLE]).records))
    await call
    assert await call.code() == grpc.StatusCode.OK


async def test_201_created(caller: Caller) -> None:
    """201 Created - new data was added as a result of the request: the counts tell what is new."""
    assert (await written(caller, [SINGLE], "users")).counts == stage_pb2.RecordCounts(received=1, created=1)
    assert (await written(caller, [SINGLE], "users")).counts == stage_pb2.RecordCounts(received=1, unchanged=1)


async def test_400_bad_request(caller: Caller) -> None:
    """400 Bad request - Your request was missing a required parameter."""
    for call, field in (
        (written(caller, [SINGLE], ""), "table"),
        (written(caller, [], "users"), "records"),
        (caller.create("", ()), "spec.table"),
        (caller.get(""), "import_id"),
    ):
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(refused.value).reason == "INVALID_REQUEST"
        assert field in (refused.value.details() or "")


async def test_401_unauthorized(caller: Caller) -> None:
    """401 Unauthorized - Authorization failed. Double check your API key."""
    async with Caller(caller.address, f"{caller.key}x") as mistyped:
        with pytest.raises(aio.AioRpcError) as refused:
            await written(mistyped, [SINGLE], "users")
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(refused.value).reason == "API_KEY_INVALID"


async def test_404_not_found(caller: Caller) -> None:
    """404 Not Found - The resource you are looking for does not exist."""
    await written(caller, [SINGLE], "users")
    for call, reason in (
        (caller.get("99"), "IMPORT_NOT_FOUND"),
        (stored(caller, "nothing", "1"), "TABLE_NOT_FOUND"),
        (stored(caller, "users", "99"), "RECORD_NOT_FOUND"),
    ):
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        assert reason_of(refused.value).reason == reason


@pytest.fixture
async def sandbox(caller: Caller, database: Database) -> AsyncIterator[Caller]:
    """The same account with a sandbox key."""
    key = await create_key(database, "acme", list(SCOPES), "", None, sandbox=True)
    async with Caller(caller.address, key.text) as sandbox:
        yield sandbox


PUSHES: list[list[Any]] = [
    [SINGLE],
    json.loads(THREE),
    [{"id": 1}, {"keys": ["id"], "id": 2}, b"{", {}, {"keys": ["id"], "id": []}, {"keys": ["email"], "email": "a"}],
]


@pytest.mark.parametrize("rows", PUSHES)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("mode", [REPLACE, MERGE, FILL_EMPTY, SKIP_EXISTING, DELETE])
async def test_the_sandbox_says_what_production_would_say(
    caller: Caller, sandbox: Caller, rows: list[Any], known: bool, mode: Any
) -> None:
    """A full test (sandbox) environment, which uses the same keys and return codes: by call, by import, and by key."""
    if known:
        for table in ("users", "people"):
            await written(caller, [{"keys": ["id"], "id": 1, "email": "", "status": "new"}], table)
    answers = [
        await written(caller, rows, "users", mode=mode, validate_only=True),
        await written(sandbox, rows, "users", mode=mode),
        await written(caller, rows, "users", mode=mode),
    ]
    runs = [
        await imported(caller, rows, "people", mode=mode, validate_only=True),
        await imported(sandbox, rows, "people", mode=mode),
        await imported(caller, rows, "people", mode=mode),
    ]
    assert [run.validate_only for run in runs] == [True, True, False]
    assert [answer.validate_only for answer in answers] == [True, True, False]
    for answer in answers:
        answer.validate_only = False
    reports = [(run.state, run.counts, await faults(caller, run.import_id)) for run in runs]
    assert answers == [answers[-1]] * 3
    assert reports == [reports[-1]] * 3


async def test_the_sandbox_does_not_persist(caller: Caller, sandbox: Caller) -> None:
    """But does not persist incoming data: no table comes, no data point comes, changes or goes."""
    await imported(sandbox, USERS, "users", key_fields=["id"])
    await imported(caller, USERS, "users", key_fields=["id"], validate_only=True)
    await written(sandbox, USERS, "users", key_fields=["id"])
    await written(caller, USERS, "users", key_fields=["id"], validate_only=True)
    assert not (await caller.tables.ListTables(ts.ListTablesRequest())).tables

    await written(caller, USERS, "users", key_fields=["id"])
    changed = [{"id": 1, "email": "new@schmo.com"}, {"id": 9}]
    for mode in (*WRITING, DELETE):
        await imported(sandbox, changed, "users", mode=mode)
        await written(sandbox, changed, "users", mode=mode)
    gone = rs.DeleteRecordsRequest(table="users", keys=["1", "9"])
    assert (await sandbox.records.DeleteRecords(gone)).deleted == 1
    assert await caller.table("users") == await sandbox.table("users") == USERS


async def test_a_full_replacement_in_the_sandbox_deletes_nothing(caller: Caller, sandbox: Caller) -> None:
    """Does not persist incoming data: it says what would be deleted, and how much would be too much."""
    await written(caller, USERS, "users", key_fields=["id"])
    rehearsed = await imported(sandbox, USERS[:4], "users", reconcile=import_pb2.Reconcile())
    assert (rehearsed.state, rehearsed.removed) == (import_pb2.IMPORT_STATE_SUCCEEDED, 1)
    rehearsed = await imported(sandbox, USERS[:3], "users", reconcile=import_pb2.Reconcile())
    assert rehearsed.state == import_pb2.IMPORT_STATE_FAILED
    assert await caller.table("users") == USERS


async def test_the_sandbox_has_the_same_refusals(caller: Caller, sandbox: Caller) -> None:
    """The same keys and return codes: a call that production refuses is refused in the same way."""
    await written(caller, [SINGLE], "users")
    for push in (
        lambda one: written(one, [SINGLE], "no-dashes"),
        lambda one: written(one, [], "users"),
        lambda one: written(one, [SINGLE], "users", key_fields=["email"]),
        lambda one: written(one, [SINGLE], "users", kind="NO_SUCH_KIND"),
        lambda one: one.create("", ()),
        lambda one: one.create("users", ("email",)),
        lambda one: one.get("99"),
        lambda one: stored(one, "nothing", "1"),
    ):
        refusals = []
        for one in (caller, sandbox):
            with pytest.raises(aio.AioRpcError) as refused:
                await push(one)
            refusals.append((refused.value.code(), reason_of(refused.value), refused.value.details()))
        assert refusals[0] == refusals[1]


async def test_a_sandbox_key_changes_nothing_else_either(caller: Caller, sandbox: Caller) -> None:
    """You can use this environment to test your integration: not to make tables, or to go on with real imports."""
    import_id = await caller.create("users", ("id",))
    upload = records([{"id": 1}], import_id=import_id, batch_id="b", finish=True)
    table = ts.CreateTableRequest()
    table.table.table = "people"
    for call in (
        sandbox.upload([upload]),
        sandbox.imports.FinishImport(im.FinishImportRequest(import_id=import_id)),
        sandbox.imports.CancelImport(im.CancelImportRequest(import_id=import_id)),
        sandbox.tables.CreateTable(table),
        sandbox.tables.DeleteTable(ts.DeleteTableRequest(table="users")),
    ):
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert reason_of(refused.value).reason == "SANDBOX_KEY"
    assert (await caller.get(import_id)).state == import_pb2.IMPORT_STATE_RECEIVING
    assert (await sandbox.get(import_id)).table == "users"


async def test_the_client_in_the_sandbox(caller: Caller, sandbox: Caller) -> None:
    """You can use this environment to test your integration: the same program with another key."""
    for key in (sandbox.key, caller.key):
        async with AsyncClient(caller.address, key) as client:
            answer = await client.write_records("users", json.loads(THREE))
            assert (answer.counts.created, answer.counts.superseded) == (2, 1)
            done = await client.import_records("people", json.loads(THREE))
            assert (done.state, done.counts.created, done.counts.superseded) == ("SUCCEEDED", 2, 1)
    assert await caller.table("users") == await caller.table("people") == AFTER_THREE


async def test_you_can_always_check_the_status_of_the_api(caller: Caller) -> None:
    """You can always check the status of the Data Import API: also without a key."""
    async with aio.insecure_channel(caller.address) as channel:
        answer = await health_stub(channel).Check(health_pb2.HealthCheckRequest(service="ingot.v1.RecordService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_entire_arrays_or_single_data_points(caller: Caller) -> None:
    """You can push entire arrays of data or single data points."""
    assert (await written(caller, [SINGLE], "users")).counts.received == 1
    assert (await written(caller, json.loads(THREE), "users")).counts.received == 3
    assert (await file_imported(caller, THREE, "users", ARRAY)).counts.received == 3


@pytest.mark.parametrize("text", [b'{"keys": ["id"], "id": 1', b"id=1", b"{'id': 1}", b""])
async def test_the_data_must_be_valid_json(caller: Caller, text: bytes) -> None:
    """This endpoint will only accept data that must be valid JSON: what is not is rejected alone."""
    answer = await written(caller, [SINGLE, text], "users")
    assert (answer.counts.created, answer.counts.rejected) == (1, 1)
    assert [error.index for error in answer.errors] == [1]


async def test_each_data_point_must_contain_a_keys_field(caller: Caller) -> None:
    """Each data point must contain a keys field: unless the table knows its keys already, or the call names them."""
    answer = await written(caller, [{"id": 1}, {"keys": [], "id": 1}, {"keys": "id", "id": 1}], "users")
    assert [(error.index, error.code) for error in answer.errors] == [
        (index, record_error_pb2.RECORD_ERROR_CODE_MISSING_KEY) for index in range(3)
    ]
    assert (await written(caller, [SINGLE], "users")).counts.created == 1
    assert (await written(caller, [{"id": 2}], "users")).counts.created == 1
    assert (await written(caller, [{"id": 1}], "others", key_fields=["id"])).counts.created == 1


async def test_keys_specifies_which_fields_represent_the_primary_keys(caller: Caller) -> None:
    """The keys field should specify which fields in the records represent the primary key(s)."""
    rows = [
        {"keys": ["country", "number"], "country": "SE", "number": 1, "v": 1},
        {"keys": ["country", "number"], "country": "DK", "number": 1, "v": 2},
        {"keys": ["country", "number"], "country": "SE", "number": 1, "v": 3},
        {"keys": ["country", "number"], "country": "SE"},
    ]
    answer = await written(caller, rows, "customers")
    assert [(error.index, int(error.code)) for error in answer.errors] == [(3, 1102)]
    assert await keys(caller, "customers") == ['["DK","1"]', '["SE","1"]']
    table = (await caller.tables.GetTable(ts.GetTableRequest(table="customers"))).table
    assert list(table.key_fields) == ["country", "number"]


async def test_more_than_100_data_points(caller: Caller) -> None:
    """An array must contain no more than 100 individual data points: here 1,000, and any number in an import."""
    rows = [{"keys": ["id"], "id": number} for number in range(5000)]
    assert (await written(caller, rows[:101], "things")).counts.created == 101
    assert (await written(caller, rows[:1000], "things")).counts.created == 899
    with pytest.raises(aio.AioRpcError) as refused:
        await written(caller, rows[:1001], "things")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (await imported(caller, rows, "things")).counts.created == 4000


async def test_each_data_point_is_uniquely_indexed_by_its_keys(caller: Caller) -> None:
    """Each data point in your data warehouse will be uniquely indexed by the fields specified in keys."""
    await written(caller, [{"keys": ["id"], "id": number % 3} for number in range(9)], "things")
    assert await keys(caller, "things") == ["0", "1", "2"]


async def test_the_old_data_point_is_replaced(caller: Caller) -> None:
    """If a new data point has keys that conflict with a pre-existing data point, the old one will be replaced."""
    await written(caller, [{"keys": ["id"], "id": 1, "email": "joe@schmo.com", "old": True}], "users")
    answer = await written(caller, [{"keys": ["id"], "id": 1, "email": "new@schmo.com"}], "users")
    assert answer.counts.updated == 1
    assert await caller.table("users") == [{"id": 1, "email": "new@schmo.com"}]


async def test_tables_are_schemaless_and_generated_dynamically(caller: Caller) -> None:
    """No command to create a table - you can push data to any table name and it will be dynamically generated."""
    assert not (await caller.tables.ListTables(ts.ListTablesRequest())).tables
    await written(caller, [SINGLE], "users")
    await imported(caller, [SINGLE], "people")
    made = (await caller.tables.ListTables(ts.ListTablesRequest())).tables
    assert [(table.table, table.kind) for table in made] == [("people", "GENERIC"), ("users", "GENERIC")]


async def test_there_are_commands_to_create_and_destroy_a_table_too(caller: Caller) -> None:
    """There is no command to create or destroy a table: here there is, for who wants it."""
    request = ts.CreateTableRequest()
    request.table.table = "users"
    request.table.key_fields.append("id")
    await caller.tables.CreateTable(request)
    assert (await written(caller, [{"id": 1}], "users")).counts.created == 1
    await caller.tables.DeleteTable(ts.DeleteTableRequest(table="users"))
    assert not (await caller.tables.ListTables(ts.ListTablesRequest())).tables
    assert (await written(caller, [{"keys": ["email"], "email": "a"}], "users")).counts.created == 1
    assert await keys(caller, "users") == ["a"]


async def test_data_points_need_not_have_the_same_schema(caller: Caller) -> None:
    """Generally speaking, each data point pushed into a table should have the same schema: it need not."""
    rows = [{"id": 1, "v": "text"}, {"id": 2, "v": 5, "more": [1]}, {"id": 3}]
    await written(caller, rows, "things", key_fields=["id"])
    assert await caller.table("things") == rows


async def test_one_type_of_thing_corresponds_to_one_table(caller: Caller) -> None:
    """A typical eCommerce company might have a 'customer', 'order', 'order_item', and 'product' table."""
    for table in ("customer", "order", "order_item", "product"):
        assert (await written(caller, [SINGLE], table)).counts.created == 1
    made = (await caller.tables.ListTables(ts.ListTablesRequest())).tables
    assert [table.table for table in made] == ["customer", "order", "order_item", "product"]


@pytest.mark.parametrize("name", ["a", "_", "9", "Users_2", "x" * 63])
async def test_table_names_are_alphanumeric_plus_underscores(caller: Caller, name: str) -> None:
    """Table names must be alphanumeric (plus underscores)."""
    assert (await written(caller, [SINGLE], name)).counts.created == 1
    assert await keys(caller, name) == ["1"]


@pytest.mark.parametrize("name", ["no-dashes", "no blanks", "å", "a.b", "a;b", "", "x" * 64])
async def test_bad_table_names_are_a_bad_request(caller: Caller, name: str) -> None:
    """Bad table names will result in a 400 Bad Request return code."""
    for call in (written(caller, [SINGLE], name), caller.create(name, ())):
        with pytest.raises(aio.AioRpcError) as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert not (await caller.tables.ListTables(ts.ListTablesRequest())).tables


async def test_an_upsert_call_uploads_a_file(caller: Caller) -> None:
    """curl -X POST -d @filename .../table/:table/data: the file with its array, in one call."""
    first = im.RunImportRequest(spec=import_pb2.ImportSpec(table="users"), format=ARRAY, data=THREE)
    first.finish.total = len(THREE)
    started = (await caller.imports.RunImport(iter([first]))).import_job
    ended = await caller.ended(started.import_id)
    assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
    assert await caller.table("users") == AFTER_THREE


async def test_client_push_data(caller: Caller) -> None:
    """client.push_data("table_name", test_data): the client for Python."""
    async with AsyncClient(caller.address, caller.key) as client:
        answer = await client.write_records("table_name", json.loads(THREE))
    assert (answer.counts.created, answer.counts.superseded) == (2, 1)
    assert await caller.table("table_name") == AFTER_THREE


async def test_the_single_data_point_of_the_document(caller: Caller) -> None:
    """Upsert single data point example."""
    assert (await written(caller, [SINGLE], "users")).counts.created == 1
    assert await caller.table("users") == [
        {"id": 1, "email": "joe@schmo.com", "status": "pending", "created_at": "2019-08-01 14:22:32"}
    ]


@pytest.mark.parametrize("way", ["call", "import", "file"])
async def test_the_array_of_data_points_of_the_document(caller: Caller, way: str) -> None:
    """Upsert array of data points example: the last one with the same key wins, and a second time nothing changes."""
    for counts in (
        stage_pb2.RecordCounts(received=3, created=2, superseded=1),
        # The first puts back what the third had changed, and loses to it again.
        stage_pb2.RecordCounts(received=3, updated=1, unchanged=1, superseded=1),
    ):
        if way == "call":
            found = (await written(caller, json.loads(THREE), "users")).counts
        elif way == "import":
            found = (await imported(caller, json.loads(THREE), "users")).counts
        else:
            ended = await file_imported(caller, THREE, "users", ARRAY)
            assert await faults(caller, ended.import_id) == []
            found = ended.counts
        assert found == counts
        assert await caller.table("users") == AFTER_THREE


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        (REPLACE, {"created": 2, "superseded": 1}, {"updated": 1, "unchanged": 1, "superseded": 1}),
        (MERGE, {"created": 2, "superseded": 1}, {"updated": 1, "unchanged": 1, "superseded": 1}),
        (FILL_EMPTY, {"created": 2, "superseded": 1}, {"unchanged": 3}),
        (SKIP_EXISTING, {"created": 2, "superseded": 1}, {"skipped": 3}),
    ],
)
@pytest.mark.parametrize("way", ["call", "import", "file", "batches"])
async def test_the_last_one_wins_in_every_mode_that_writes(
    caller: Caller, way: str, mode: Any, first: dict[str, int], second: dict[str, int]
) -> None:
    """Upsert array of data points example: "id": 1 stands in it twice, and the last one with the same key wins."""
    for counts in (first, second):
        if way == "call":
            found = (await written(caller, json.loads(THREE), "users", mode=mode)).counts
        elif way == "import":
            found = (await imported(caller, json.loads(THREE), "users", mode=mode)).counts
        elif way == "file":
            found = (await file_imported(caller, THREE, "users", ARRAY, mode=mode)).counts
        else:
            # A batch that is begun when another is finished comes after it.
            import_id = await caller.create("users", (), mode=mode)
            for number, row in enumerate(json.loads(THREE)):
                await caller.upload([records([row], import_id=import_id, batch_id=f"b{number}", finish=True)])
            found = (await caller.finish(import_id)).counts
        assert found == stage_pb2.RecordCounts(received=3, **counts)
        assert await caller.table("users") == AFTER_THREE


async def test_create_a_users_table(caller: Caller) -> None:
    """Create a Users Table: sync_user pushes one user after the other, with user["keys"] = ["id"]."""
    for user in USERS:
        answer = await written(caller, [{**user, "keys": ["id"]}], "users")
        assert answer.counts.created == 1, f"Failed to sync user with id {user['id']}"
    assert await caller.table("users") == USERS


async def test_each_user_should_only_have_one_record_in_this_table(caller: Caller) -> None:
    """User_id is the unique key here, since each user should only have one record in this table."""
    for source in ("PPC", "Referral"):
        await imported(caller, [{**USERS[0], "acquisition_source": source, "keys": ["id"]}], "users")
    assert await caller.table("users") == [{**USERS[0], "acquisition_source": "Referral"}]


async def test_create_an_orders_table(caller: Caller) -> None:
    """Create an orders table with the following fields: id, user_id, value and sku: every digit is kept."""
    for order in ORDERS:
        assert (await written(caller, [b'{"keys": ["id"], ' + order[1:]], "orders")).counts.created == 1
    assert await caller.table("orders") == [json.loads(order) for order in ORDERS]
    values = [(await stored(caller, "orders", str(number))).record.json for number in range(1, 6)]
    for text, value in zip(values, ("58.40", "23.99", "5.00", "120.01", "9.90"), strict=True):
        assert f'"value": {value}' in text


async def test_the_client_is_authenticated_before_we_do_anything(caller: Caller) -> None:
    """Make sure the client is authenticated before we do anything: a key that is wrong is told at the first call."""
    async with AsyncClient(caller.address, caller.key) as client:
        assert [table async for table in client.list_tables()] == []
    async with AsyncClient(caller.address, "your_api_key") as client:
        with pytest.raises(ApiKeyInvalid):
            await client.write_records("users", USERS)


async def test_a_failed_push_is_told_for_each_data_point(caller: Caller) -> None:
    """Failed to sync user with id: the responses tell which."""
    rows = [{**USERS[0], "keys": ["id"]}, {**USERS[1], "keys": ["id"], "id": {}}, {**USERS[2], "keys": ["id"]}]
    answer = await written(caller, rows, "users")
    assert told(answer.errors) == [(1, 1002, "id")]
    assert await keys(caller, "users") == ["1", "3"]
