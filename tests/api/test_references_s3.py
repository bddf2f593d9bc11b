"""Files in S3 that the server fetches by itself, from a real service that speaks it."""

from ingot.v1 import import_pb2, stage_pb2
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.storage.database import Database
from tests.api.test_references import refer, referenced, refused
from tests.calling import Caller, reason_of
from tests.conftest import running_app
from tests.pipeline.test_fetching_s3 import _credentials, s3_endpoint  # noqa: F401 fixtures


async def test_objects_are_fetched_with_the_credentials_of_the_server(
    database_url: str,
    database: Database,
    s3_endpoint: str,  # noqa: F811 the fixture
) -> None:
    key = (await create_key(database, "acme", list(SCOPES), "test", None)).text
    settings = {"reference_s3_endpoint": s3_endpoint, "reference_s3_buckets": "imports"}
    async with running_app(database_url, **settings) as app, Caller(f"127.0.0.1:{app.port}", key) as caller:
        # The service is on a private address: that is the operator's choice, and opens no other.
        ended = await referenced(caller, "s3://imports/daily/contacts.csv", key_fields=["0000000"])
        assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
        assert ended.counts == stage_pb2.RecordCounts(received=149_999, created=149_999)
        assert (await caller.batch(ended.import_id)).uri == "s3://imports/daily/contacts.csv"

        missing = await referenced(caller, "s3://imports/none.csv", table="others")
        assert "HTTP 404 Not Found (NoSuchKey)" in (await caller.batch(missing.import_id)).status_message

        import_id = await caller.create("others")
        for uri in ("s3://other/daily/contacts.csv", f"{s3_endpoint}/imports/daily/contacts.csv"):
            assert reason_of(await refused(refer(caller, import_id, uri))).reason == "INVALID_REQUEST"
