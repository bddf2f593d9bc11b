"""Files by HTTP: whole and in order whatever the connection does, and from public hosts only."""

import asyncio
import ipaddress
import logging
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ingot_server.pipeline.fetching import Fetcher, FetchFailed, FetchRules, ReferenceRefused, shown
from ingot_server.pipeline.fetching.addresses import is_public
from tests.conftest import skip_without
from tests.pipeline.hosting import (
    Host,
    crawl_after,
    cut_after,
    cut_after_each_byte,
    hosting,
    part,
    read,
    redirect,
    stall_after,
    status,
    then_change,
)

CONTENT = b"".join(b"%07d\n" % number for number in range(150_000))
DATE = "Thu, 26 Nov 2026 10:00:00 GMT"
MakeFetcher = Callable[..., Fetcher]


@pytest.fixture
async def make_fetcher() -> AsyncIterator[MakeFetcher]:
    fetchers = []

    def make(**rules: Any) -> Fetcher:
        fetchers.append(Fetcher(FetchRules(**{"private_networks": True, "backoff_seconds": 0.001, **rules})))
        return fetchers[-1]

    yield make
    for fetcher in fetchers:
        await fetcher.close()


@pytest.fixture
def fetcher(make_fetcher: MakeFetcher) -> Fetcher:
    return make_fetcher()


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, len(CONTENT)])
async def test_a_file_comes_whole_in_pieces_of_limited_size(fetcher: Fetcher, size: int) -> None:
    async with hosting(CONTENT[:size]) as host, fetcher.open(host.url) as file:
        pieces = [piece async for piece in file]
    assert b"".join(pieces) == CONTENT[:size]
    assert max(map(len, pieces), default=0) <= 256 * 1024
    assert (file.size, file.version, file.offset, file.content_encoding) == (size, '"1"', 0, "")


async def test_a_file_of_unknown_length_comes_whole(fetcher: Fetcher) -> None:
    async with hosting(CONTENT) as host:
        host.knows_length = False
        file, content = await read(fetcher, host.url)
    assert content == CONTENT
    assert file.size is None


async def test_a_lost_connection_is_gone_on_with_at_the_same_byte(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, cut_after(300_000), cut_after(1), cut_after(500_001)) as host:
        _, content = await read(fetcher, host.url)
    assert content == CONTENT
    assert host.ranges == ["", "bytes=299999-", "bytes=299999-", "bytes=799999-"]
    assert {headers["If-Range"] for headers in host.asked[1:]} == {'"1"'}


async def test_a_lost_connection_is_gone_on_with_where_the_length_is_unknown(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, cut_after(300_000), cut_after(300_000)) as host:
        host.knows_length = False
        assert (await read(fetcher, host.url))[1] == CONTENT


async def test_a_host_that_falls_silent_is_asked_again(make_fetcher: MakeFetcher) -> None:
    async with hosting(CONTENT, stall_after(300_000)) as host:
        _, content = await read(make_fetcher(stall_seconds=1), host.url)
    assert content == CONTENT
    assert host.ranges == ["", "bytes=299999-"]


async def test_a_reader_that_takes_its_time_is_no_fault_of_the_host(make_fetcher: MakeFetcher) -> None:
    async with hosting(CONTENT) as host, make_fetcher(stall_seconds=0.5).open(host.url) as file:
        content = b""
        async for piece in file:
            if not content:
                await asyncio.sleep(0.8)  # Time is what this is about.
            content += piece
    assert content == CONTENT
    assert len(host.asked) == 1


async def test_a_host_that_sends_a_byte_at_a_time_is_given_up(make_fetcher: MakeFetcher) -> None:
    async with hosting(CONTENT, crawl_after(300_000, 0.02)) as host:
        with pytest.raises(FetchFailed, match=r"the source sent \d+ bytes in 1 seconds: expected at least 1,024"):
            await read(make_fetcher(stall_seconds=0.2), host.url)
        assert len(host.asked) == 1


async def test_a_host_that_answers_late_with_a_byte_at_a_time_is_given_up(make_fetcher: MakeFetcher) -> None:
    async with hosting(CONTENT, *[cut_after_each_byte(0.05)] * 100) as host:
        with pytest.raises(FetchFailed, match=r"the source sent \d+ bytes in 1 seconds: expected at least 1,024"):
            await read(make_fetcher(stall_seconds=0.2), host.url)
        assert 1 < len(host.asked) < 100


async def test_a_range_that_is_ignored_is_read_over(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, cut_after(300_000)) as host:
        host.knows_ranges = False
        assert (await read(fetcher, host.url))[1] == CONTENT


async def test_a_file_without_a_version_is_read_again_and_compared(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, cut_after(300_000), cut_after(400_000)) as host:
        host.etag = 'W/"weak"'
        file, content = await read(fetcher, host.url)
    assert content == CONTENT
    assert file.version == ""
    assert host.ranges == ["", "", ""]


async def test_a_file_without_a_version_that_changed_is_not_mixed(fetcher: Fetcher) -> None:
    changed = b"X" + CONTENT[1:]
    async with hosting(CONTENT, then_change(cut_after(300_000), changed, etag="")) as host:
        host.etag = ""
        with pytest.raises(FetchFailed, match="the file changed"):
            await read(fetcher, host.url)


@pytest.mark.parametrize("knows_ranges", [True, False])
async def test_a_file_that_changed_after_a_lost_connection_is_not_mixed(fetcher: Fetcher, knows_ranges: bool) -> None:
    async with hosting(CONTENT, then_change(cut_after(300_000), CONTENT[::-1])) as host:
        host.knows_ranges = knows_ranges
        with pytest.raises(FetchFailed, match="the file changed"):
            await read(fetcher, host.url)


async def test_a_file_that_became_shorter_than_what_was_read_has_changed(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, then_change(cut_after(300_000), b"short", etag='"1"')) as host:
        with pytest.raises(FetchFailed, match="the file changed"):
            await read(fetcher, host.url)


async def test_a_host_that_gives_less_than_the_range_is_asked_on(fetcher: Fetcher) -> None:
    size = len(CONTENT)
    parts = [part(299_999, CONTENT[299_999:400_000], size), part(399_999, CONTENT[399_999:500_000], size)]
    async with hosting(CONTENT, cut_after(300_000), *parts) as host:
        assert (await read(fetcher, host.url))[1] == CONTENT
    assert host.ranges == ["", "bytes=299999-", "bytes=399999-", "bytes=499999-"]


async def test_a_host_that_gives_more_than_it_announced_is_told(fetcher: Fetcher) -> None:
    more = part(299_999, CONTENT[299_999:] + b"more", len(CONTENT))
    async with hosting(CONTENT, cut_after(300_000), more) as host:
        with pytest.raises(FetchFailed, match=f"more than the {len(CONTENT):,} bytes that it announced"):
            await read(fetcher, host.url)


async def test_another_part_than_was_asked_for_is_refused(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, cut_after(300_000), part(0, CONTENT, len(CONTENT))) as host:
        with pytest.raises(FetchFailed, match="another part of the file"):
            await read(fetcher, host.url)


@pytest.mark.parametrize("offset", [0, 1, 2, 256 * 1024, len(CONTENT) - 1, len(CONTENT)])
async def test_reading_goes_on_in_another_process_at_the_offset(fetcher: Fetcher, offset: int) -> None:
    async with hosting(CONTENT) as host:
        file, content = await read(fetcher, host.url, offset=offset, version='"1"')
    assert content == CONTENT[file.offset :]
    assert file.offset == (offset if offset > 1 else 0)
    assert file.size == len(CONTENT)


async def test_reading_begins_again_where_the_host_cannot_go_on(fetcher: Fetcher) -> None:
    async with hosting(CONTENT) as host:
        host.knows_ranges = False
        file, content = await read(fetcher, host.url, offset=1000, version='"1"')
        assert (file.offset, content) == (0, CONTENT)
        host.knows_ranges = True
        file, content = await read(fetcher, host.url, offset=1000, version="")
        assert (file.offset, content) == (0, CONTENT)


async def test_another_version_than_the_one_that_was_begun_is_refused(fetcher: Fetcher) -> None:
    async with hosting(CONTENT) as host:
        for offset in (0, 1000):
            with pytest.raises(FetchFailed, match="the file changed"):
                await read(fetcher, host.url, offset=offset, version='"0"')


async def test_date_and_size_are_a_version_where_there_is_no_etag(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, cut_after(300_000)) as host:
        host.etag, host.modified = "", DATE
        file, content = await read(fetcher, host.url)
        assert content == CONTENT
        assert file.version == f"{DATE} {len(CONTENT)}"
        assert host.asked[1]["If-Range"] == DATE
        file, content = await read(fetcher, host.url, offset=700_000, version=file.version)
        assert content == CONTENT[700_000:]
        host.content += b"more"
        with pytest.raises(FetchFailed, match="the file changed"):
            await read(fetcher, host.url, offset=700_000, version=file.version)


async def test_a_date_of_this_second_is_no_version(fetcher: Fetcher) -> None:
    async with hosting(CONTENT) as host:
        host.etag, host.modified = "", DATE
        host.headers["Date"] = DATE
        assert (await read(fetcher, host.url))[0].version == ""


async def test_a_busy_host_is_asked_again_when_it_says(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, status(503), status(429, Retry_After="1")) as host:
        begun = asyncio.get_running_loop().time()
        assert (await read(fetcher, host.url))[1] == CONTENT
    assert asyncio.get_running_loop().time() - begun >= 1


async def test_new_bytes_give_the_host_all_tries_back(make_fetcher: MakeFetcher) -> None:
    faults = [status(500), cut_after(100_000), status(502)] * 3
    async with hosting(CONTENT, *faults) as host:
        assert (await read(make_fetcher(tries=4), host.url))[1] == CONTENT
    assert not host.behaviours


async def test_faults_without_new_bytes_end_it(make_fetcher: MakeFetcher) -> None:
    async with hosting(CONTENT, cut_after(1000), *[status(503)] * 9) as host:
        with pytest.raises(FetchFailed) as failed:
            await read(make_fetcher(tries=3), host.url)
    assert failed.value.message == "HTTP 503 Service Unavailable (given up after 3 tries, at byte 1,000)"


@pytest.mark.parametrize(
    ("code", "text"), [(404, "HTTP 404 Not Found"), (403, "HTTP 403 Forbidden"), (204, "HTTP 204 No Content")]
)
async def test_a_refusal_is_told_and_not_tried_again(fetcher: Fetcher, code: int, text: str) -> None:
    async with hosting(CONTENT, status(code)) as host:
        with pytest.raises(FetchFailed) as failed:
            await read(fetcher, host.url)
    assert failed.value.message == text
    assert len(host.asked) == 1


async def test_nobody_there_is_told(make_fetcher: MakeFetcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(
            FetchFailed, match=r"there is no connection to the host \(given up after 2 tries, at byte 0\)"
        ):
            await read(make_fetcher(tries=2), f"http://127.0.0.1:{taken.getsockname()[1]}/")


async def test_a_packed_file_is_given_as_it_is(fetcher: Fetcher) -> None:
    async with hosting(b"\x1f\x8b not really") as host:
        host.headers["Content-Encoding"] = "gzip"
        file, content = await read(fetcher, host.url)
    assert content == b"\x1f\x8b not really"
    assert file.content_encoding == "gzip"
    assert host.asked[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("knows_length", [True, False])
async def test_a_file_above_the_limit_is_refused(make_fetcher: MakeFetcher, knows_length: bool) -> None:
    async with hosting(CONTENT) as host:
        host.knows_length = knows_length
        assert len((await read(make_fetcher(bytes_max=len(CONTENT)), host.url))[1]) == len(CONTENT)
        with pytest.raises(FetchFailed, match=f"at most {len(CONTENT) - 1:,} are allowed"):
            await read(make_fetcher(bytes_max=len(CONTENT) - 1), host.url)


async def test_a_file_whose_end_nobody_tells_is_refused(fetcher: Fetcher) -> None:
    async def old_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhalf of the file")
        writer.close()

    async with await asyncio.start_server(old_host, "127.0.0.1", 0) as server:
        with pytest.raises(FetchFailed, match="does not say where the file ends"):
            await read(fetcher, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_what_is_not_http_is_told(make_fetcher: MakeFetcher) -> None:
    async def other_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        writer.close()

    async with await asyncio.start_server(other_host, "127.0.0.1", 0) as server:
        with pytest.raises(FetchFailed, match="the answer of the host is not HTTP"):
            await read(make_fetcher(tries=2), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_redirects_are_followed_also_when_going_on(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, redirect("/other?signed=1"), cut_after(300_000), redirect("/other", 307)) as host:
        assert (await read(fetcher, host.url))[1] == CONTENT
    assert host.ranges == ["", "", "bytes=299999-", "bytes=299999-"]


async def test_a_redirect_may_hold_what_should_have_been_quoted(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, redirect("/my file.csv?x=ä#part")) as host:
        assert (await read(fetcher, host.url))[1] == CONTENT


@pytest.mark.parametrize("host", ["a..example", "a" * 64 + ".example"])
async def test_a_name_that_cannot_be_one_is_refused(fetcher: Fetcher, host: str) -> None:
    with pytest.raises(ReferenceRefused, match="not one that can be read"):
        await read(fetcher, f"http://{host}/")


async def test_redirects_end(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, *[redirect("/again")] * 9) as host:
        with pytest.raises(FetchFailed, match="more than 5 redirects"):
            await read(fetcher, host.url)
    assert len(host.asked) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "s3://bucket/key", "ftp://example.org/", "gopher://x/"])
async def test_redirects_lead_to_http_only(fetcher: Fetcher, target: str) -> None:
    async with hosting(CONTENT, redirect(target)) as host:
        with pytest.raises(ReferenceRefused, match="which is not HTTP"):
            await read(fetcher, host.url)


async def test_cookies_are_not_kept(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, status(302, Location="/x", Set_Cookie="a=b")) as host:
        await read(fetcher, host.url)
    assert "Cookie" not in host.asked[1]


async def test_proxies_of_the_environment_are_not_used(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with hosting(CONTENT) as host:
        assert (await read(fetcher, host.url))[1] == CONTENT


async def test_a_signed_url_is_asked_for_as_it_is(fetcher: Fetcher) -> None:
    paths = []

    async def remember(host: Host, request: web.Request) -> web.StreamResponse:
        paths.append(request.raw_path)
        return web.Response(text="")

    path = "/a%2Fb/..%2f/c%20d?X-Amz-Credential=A%2F1%2Fs3&sig=a%2bb%3D%3d&x=1+2&e"
    async with hosting(CONTENT, remember) as host:
        await read(fetcher, f"http://127.0.0.1:{host.port}{path}")
    assert paths == [path]


async def test_queries_are_neither_told_nor_logged(make_fetcher: MakeFetcher, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for behaviour in (
        status(503),
        status(404),
        redirect("ftp://h/?secret"),
        redirect("http://u:secret@h/"),
        cut_after(9),
    ):
        async with hosting(CONTENT, behaviour, behaviour) as host:
            with pytest.raises((FetchFailed, ReferenceRefused)) as failed:
                await read(make_fetcher(tries=1), host.url + "?signature=secret")
            told.append(str(failed.value))
    assert "secret" not in " ".join(told) + caplog.text
    assert "/contacts.csv" in " ".join(str(record.__dict__.get("uri")) for record in caplog.records)
    assert shown("https://u:secret@example.org/a?b=secret#c") == "https://example.org/a"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("", "empty"),
        ("contacts.csv", "absolute URI"),
        ("//example.org/x", "absolute URI"),
        ("ftp://example.org/x", "by ftp"),
        ("data://x", "by data"),
        ("https://", "no host"),
        ("https:///x", "no host"),
        ("https://example.org:0/", "no host"),
        ("https://example.org:99999/", "malformed"),
        ("https://exa mple.org/", "space"),
        ("https://example.org/a b", "%20"),
        ("https://example.org/a\r\nHost: x", "cannot be printed"),
        ("https://example.org/a\0", "cannot be printed"),
        ("https://user:secret@example.org/", "credentials"),
        ("https://user@example.org/", "credentials"),
        ("https://@example.org/", "credentials"),
        ("https://example.org\\@127.0.0.1/", "the URI"),
        ("https://example.org/#part", "fragment"),
        ("https://example.org/" + "a" * 2029, "2,049 bytes"),
        ("https://[::1/", "malformed"),
        ("https://[fe80::1%25eth0]/", "no host"),
        ("file:///etc/passwd", "no folder is allowed"),
        ("s3://bucket/key", "this bucket"),
    ],
)
def test_what_is_no_readable_uri_is_refused_before_anything_is_asked(uri: str, why: str) -> None:
    with pytest.raises(ReferenceRefused) as refused:
        Fetcher(FetchRules(private_networks=True)).check(uri)
    assert why in refused.value.message
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.org",
        "HTTP://Example.org:8080/a?b=%2F",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://bücher.example/ä",
    ],
)
def test_public_uris_pass(uri: str) -> None:
    Fetcher(FetchRules()).check(uri)


PRIVATE_HOSTS = [
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f000001",
    "127.0.0.1.",
    "１２７.0.0.1",  # Full-width digits.
    "①②⑦.0.0.①",
    "127。0。0。1",
    "0251.0376.0251.0376",
    "0xa9.0xfe.43518",
    "2852039166",
    "0",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[0:0:0:0:0:ffff:0a00:0001]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::10.0.0.1]",
    "[2002:7f00:1::]",
    "[2001::1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
]


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_hosts_that_are_private_by_their_looks_are_refused_before_anything_is_asked(host: str) -> None:
    with pytest.raises(ReferenceRefused, match="no public address"):
        Fetcher(FetchRules()).check(f"http://{host}/")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2a00:1450::1%eth0"]
)
def test_addresses_of_the_public_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["127.0.0.1", "::1", "127.0.0.2"], ["::ffff:127.0.0.1"]],
)
async def test_a_name_with_a_private_address_is_refused_when_it_is_connected_to(
    make_fetcher: MakeFetcher, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    resolve_to(monkeypatch, addresses)
    async with hosting(CONTENT) as host:
        uri = f"http://files.example:{host.port}/"
        guarded = make_fetcher(private_networks=False)
        guarded.check(uri)
        with pytest.raises(ReferenceRefused, match="no public address"):
            await read(guarded, uri)
        assert host.asked == []
        if "127.0.0.1" in addresses:
            assert (await read(make_fetcher(), uri))[1] == CONTENT


async def test_a_name_that_turns_private_meanwhile_is_refused_when_going_on(
    make_fetcher: MakeFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loopback address stands for a public one, until it does not.
    public = {"127.0.0.1"}
    pretend_public(monkeypatch, public)
    resolve_to(monkeypatch, ["127.0.0.1"])
    async with hosting(CONTENT, cut_after(300_000)) as host:
        async with make_fetcher(private_networks=False).open(f"http://files.example:{host.port}/") as file:
            with pytest.raises(ReferenceRefused, match="no public address"):
                async for _ in file:
                    public.clear()
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:5432/",
        "//[::1]/",
        "//2852039166/latest/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://0.0.0.0:5432/",
        "http://[fd00:ec2::254]/",
    ],
)
async def test_a_redirect_to_a_private_address_is_refused(
    make_fetcher: MakeFetcher, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    pretend_public(monkeypatch, {"127.0.0.1"})
    async with hosting(CONTENT, redirect(target)) as host:
        with pytest.raises(ReferenceRefused, match=r"the host redirects to .*: the host has no public address"):
            await read(make_fetcher(private_networks=False), host.url)


async def test_a_redirect_with_credentials_is_refused_and_they_are_not_told(fetcher: Fetcher) -> None:
    async with hosting(CONTENT, redirect("http://user:secret@127.0.0.1/")) as host:
        with pytest.raises(ReferenceRefused, match="credentials") as refused:
            await read(fetcher, host.url)
        assert "secret" not in refused.value.message
        assert len(host.asked) == 1


async def test_a_redirect_to_a_name_with_a_private_address_is_refused(
    make_fetcher: MakeFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_public(monkeypatch, {"127.0.0.1"})
    resolve_to(monkeypatch, ["127.0.0.2"])
    async with hosting(CONTENT) as host:
        host.behaviours.append(redirect(f"http://inside.example:{host.port}/"))
        with pytest.raises(ReferenceRefused, match="no public address"):
            await read(make_fetcher(private_networks=False), host.url)
        assert len(host.asked) == 1


def pretend_public(monkeypatch: pytest.MonkeyPatch, public: set[str]) -> None:
    """Takes these addresses for the public ones."""

    def is_public(address: str) -> bool:
        return str(ipaddress.ip_address(address)) in public

    monkeypatch.setattr("ingot_server.pipeline.fetching.addresses.is_public", is_public)


def resolve_to(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """Gives all names under `.example` these addresses."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **named: Any) -> list[Any]:
        if not str(host).endswith(".example"):
            return real(host, port, *args, **named)
        found: list[Any] = []
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            place = (address, port, 0, 0) if ":" in address else (address, port)
            found.append((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place))
        return found

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    skip_without("openssl", "it makes the certificate")
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
        f" -addext subjectAltName=IP:127.0.0.1 -out {paths[0]} -keyout {paths[1]}",
        shell=True,
        check=True,
        capture_output=True,
    )
    return paths


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


async def test_an_unknown_certificate_is_told_and_not_tried_again(fetcher: Fetcher, tls: ssl.SSLContext) -> None:
    async with hosting(CONTENT, tls=tls) as host:
        with pytest.raises(FetchFailed, match=r"certificate of the host is not valid$"):
            await read(fetcher, host.url.replace("http:", "https:"))


async def test_https_does_not_become_http(
    make_fetcher: MakeFetcher, tls: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    fetcher = make_fetcher()
    async with hosting(CONTENT) as plain, hosting(CONTENT, tls=tls) as host:
        uri = host.url.replace("http:", "https:")
        assert (await read(fetcher, uri))[1] == CONTENT
        host.behaviours.append(redirect(plain.url))
        with pytest.raises(ReferenceRefused, match="redirects from https to http://127"):
            await read(fetcher, uri)
        plain.behaviours.append(redirect(uri))
        assert (await read(fetcher, plain.url))[1] == CONTENT


def test_what_only_fetching_needs_is_not_loaded_before() -> None:
    program = """if True:
        import asyncio, sys
        from ingot_server import commands
        from ingot_server.pipeline.fetching import Fetcher, FetchFailed, FetchRules

        async def read():
            fetcher = Fetcher(FetchRules(private_networks=True, tries=1))
            for uri in ("https://example.org/", "http://127.0.0.1:1/"):
                fetcher.check(uri)
            print(sorted({"aiohttp", "botocore"} & sys.modules.keys()))
            try:
                async with fetcher.open(uri):
                    pass
            except FetchFailed as failed:
                print(failed.message)
            print(sorted({"aiohttp", "botocore"} & sys.modules.keys()))
            await fetcher.close()

        asyncio.run(read())
    """
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    before, failed, after = told.splitlines()
    assert (before, after) == ("[]", "['aiohttp', 'botocore']")
    assert "there is no connection to the host" in failed
