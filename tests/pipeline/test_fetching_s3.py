"""Files on S3, against a real service that speaks it: versitygw."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from aiohttp import web

from ingot_server.pipeline.fetching import Fetcher, FetchFailed, FetchRules, ReferenceRefused
from ingot_server.pipeline.fetching.s3 import Signer
from tests.conftest import skip_without
from tests.pipeline.hosting import Behaviour, Host, hosting, read, redirect, status

CONTENT = b"".join(b"%07d\n" % number for number in range(150_000))
KEYS = {"AWS_ACCESS_KEY_ID": "ingot", "AWS_SECRET_ACCESS_KEY": "ingot-secret"}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the service, and none of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
async def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A service with the buckets `imports` and `other`, and in each the object `daily/contacts.csv`."""
    skip_without("versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    folder, metadata = tmp_path_factory.mktemp("s3"), tmp_path_factory.mktemp("s3-metadata")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *("versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "posix", "--sidecar", str(metadata), str(folder)),
        env={**os.environ, "ROOT_ACCESS_KEY": "ingot", "ROOT_SECRET_KEY": "ingot-secret"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                break
            except OSError:
                assert process.returncode is None, "versitygw did not start"
                await asyncio.sleep(0.02)
        endpoint = f"http://127.0.0.1:{port}"
        await asyncio.to_thread(fill, endpoint)
        yield endpoint
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def client_of(endpoint: str) -> Any:
    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="ingot",
        aws_secret_access_key="ingot-secret",
    )


def fill(endpoint: str) -> None:
    client = client_of(endpoint)
    for bucket in ("imports", "other"):
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="daily/contacts.csv", Body=CONTENT)
    client.put_object(Bucket="imports", Key="a b/Käufer & 100%25+#1.csv", Body=b"x")
    client.put_object(Bucket="imports", Key="packed.csv", Body=b"\x1f\x8b", ContentEncoding="gzip")
    client.put_object(Bucket="imports", Key="empty.csv", Body=b"")
    client.close()


@pytest.fixture
async def fetcher(s3_endpoint: str) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(rules_of(s3_endpoint))
    yield fetcher
    await fetcher.close()


def rules_of(endpoint: str, **rules: Any) -> FetchRules:
    return FetchRules(**{"s3_buckets": ("imports",), "s3_endpoint": endpoint, "backoff_seconds": 0.001, **rules})


@asynccontextmanager
async def cutting_proxy(endpoint: str, after_bytes: int) -> AsyncIterator[tuple[str, list[int]]]:
    """A way to the service on which each connection is lost after so many bytes of the answer."""
    connections: list[int] = []
    target = urlsplit(endpoint)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        from_service, to_service = await asyncio.open_connection(target.hostname, target.port)
        to_service.write(await reader.readuntil(b"\r\n\r\n"))
        left = after_bytes
        while left and (data := await from_service.read(min(left, 65_536))):
            left -= len(data)
            writer.write(data)
            await writer.drain()
        for end in (writer, to_service):
            end.close()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", connections


async def test_an_object_comes_whole(fetcher: Fetcher) -> None:
    file, content = await read(fetcher, "s3://imports/daily/contacts.csv")
    assert content == CONTENT
    assert (file.size, file.offset) == (len(CONTENT), 0)
    assert file.version.startswith('"')


async def test_a_key_is_meant_as_it_is_written(fetcher: Fetcher) -> None:
    assert (await read(fetcher, "s3://imports/a b/Käufer & 100%25+#1.csv"))[1] == b"x"


async def test_an_empty_object_is_empty(fetcher: Fetcher) -> None:
    file, content = await read(fetcher, "S3://imports/empty.csv")
    assert (file.size, content) == (0, b"")


async def test_an_object_that_was_stored_packed_says_so(fetcher: Fetcher) -> None:
    file, content = await read(fetcher, "s3://imports/packed.csv")
    assert (file.content_encoding, content) == ("gzip", b"\x1f\x8b")


@pytest.mark.parametrize("offset", [2, 256 * 1024, len(CONTENT) - 1, len(CONTENT)])
async def test_reading_goes_on_in_another_process_at_the_offset(fetcher: Fetcher, offset: int) -> None:
    async with fetcher.open("s3://imports/daily/contacts.csv") as begun:
        pass
    file, content = await read(fetcher, "s3://imports/daily/contacts.csv", offset=offset, version=begun.version)
    assert (file.offset, content) == (offset, CONTENT[offset:])


async def test_a_lost_connection_is_gone_on_with_at_the_same_byte(s3_endpoint: str) -> None:
    async with cutting_proxy(s3_endpoint, after_bytes=400_000) as (proxy, connections):
        fetcher = Fetcher(rules_of(proxy))
        _, content = await read(fetcher, "s3://imports/daily/contacts.csv")
        await fetcher.close()
    assert content == CONTENT
    assert len(connections) > 2


async def test_an_object_that_was_replaced_is_refused(fetcher: Fetcher, s3_endpoint: str) -> None:
    client = client_of(s3_endpoint)
    await asyncio.to_thread(client.put_object, Bucket="imports", Key="changing.csv", Body=CONTENT)
    async with fetcher.open("s3://imports/changing.csv") as begun:
        pass
    await asyncio.to_thread(client.put_object, Bucket="imports", Key="changing.csv", Body=CONTENT[::-1])
    client.close()
    for offset in (0, 1000):
        with pytest.raises(FetchFailed, match="the file changed"):
            await read(fetcher, "s3://imports/changing.csv", offset=offset, version=begun.version)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("s3://other/daily/contacts.csv", "this bucket"),
        ("s3://IMPORTS/daily/contacts.csv", "this bucket"),
        ("s3://imports/../other/daily/contacts.csv", "`..`"),
        ("s3://imports/./daily/contacts.csv", "`..`"),
        ("s3://imports", "s3://bucket/key"),
        ("s3://imports/", "s3://bucket/key"),
        ("s3:///imports/x", "s3://bucket/key"),
        ("s3://imports/x?versionId=1", "without a query"),
        ("s3://ingot:secret@imports/x", "this bucket"),
    ],
)
def test_only_objects_in_buckets_that_are_allowed_are_read(uri: str, why: str) -> None:
    with pytest.raises(ReferenceRefused) as refused:
        Fetcher(rules_of("http://127.0.0.1:1")).check(uri)
    assert why in refused.value.message


def test_without_allowed_buckets_there_is_no_s3() -> None:
    with pytest.raises(ReferenceRefused, match="does not read from this bucket"):
        Fetcher(FetchRules()).check("s3://imports/daily/contacts.csv")


async def test_an_endpoint_that_is_none_is_told_to_the_operator_only(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FetchFailed, match="access to S3 does not work now"):
        await read(Fetcher(rules_of("storage.internal:9000", tries=1)), "s3://imports/daily/contacts.csv")
    assert "storage.internal:9000" in caplog.text


async def test_a_missing_object_and_a_missing_bucket_are_told(s3_endpoint: str) -> None:
    fetcher = Fetcher(rules_of(s3_endpoint, s3_buckets=("imports", "missing")))
    with pytest.raises(FetchFailed, match=r"^HTTP 404 Not Found \(NoSuchKey\)$"):
        await read(fetcher, "s3://imports/none.csv")
    with pytest.raises(FetchFailed, match=r"^HTTP 404 Not Found \(NoSuchBucket\)$"):
        await read(fetcher, "s3://missing/none.csv")
    await fetcher.close()


async def test_wrong_credentials_are_told(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(FetchFailed, match=r"^HTTP 403 Forbidden \(SignatureDoesNotMatch\)$"):
        await read(fetcher, "s3://imports/daily/contacts.csv")


async def test_missing_credentials_are_told(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(FetchFailed, match="the server has no credentials for S3"):
        await read(fetcher, "s3://imports/daily/contacts.csv")


@pytest.mark.parametrize(
    "elsewhere",
    [
        status(301, x_amz_bucket_region="eu-north-1"),
        status(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>"),
    ],
)
async def test_a_bucket_in_another_region_is_asked_there(elsewhere: Behaviour) -> None:
    async with hosting(CONTENT, elsewhere) as host:
        fetcher = Fetcher(rules_of(f"http://127.0.0.1:{host.port}"))
        assert (await read(fetcher, "s3://imports/contacts.csv"))[1] == CONTENT
        await fetcher.close()
    assert [query["X-Amz-Credential"].split("/")[2] for query in host.queries] == ["us-east-1", "eu-north-1"]


async def test_without_an_endpoint_it_is_amazon_in_the_region_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    url = await Signer("").url("imports", "a b.csv")
    assert str(url).startswith("https://imports.s3.eu-north-1.amazonaws.com/a%20b.csv?X-Amz-")


async def test_redirects_of_the_service_are_not_followed() -> None:
    async with hosting(CONTENT, redirect("/other")) as host:
        fetcher = Fetcher(rules_of(f"http://127.0.0.1:{host.port}"))
        with pytest.raises(FetchFailed, match="HTTP 302 Found"):
            await read(fetcher, "s3://imports/contacts.csv")
        await fetcher.close()


async def test_an_error_without_an_end_is_not_read_to_its_end() -> None:
    async def endless(host: Host, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        while True:
            await response.write(b"<Error><Code>AccessDenied</Code></Error>" * 1_000)

    async with hosting(CONTENT, endless) as host:
        fetcher = Fetcher(rules_of(f"http://127.0.0.1:{host.port}"))
        async with asyncio.timeout(30):
            with pytest.raises(FetchFailed, match="HTTP 403 Forbidden"):
                await read(fetcher, "s3://imports/contacts.csv")
        await fetcher.close()
