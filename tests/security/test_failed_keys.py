"""Whoever tries keys is slowed down, and nobody else: neither neighbours with good keys, nor the database."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode, aio

from ingot.v1 import import_service_pb2 as im
from ingot_client import _errors as client_errors
from ingot_client._status import translated
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES, ApiKey, api_key_new
from ingot_server.domain.errors import ApiKeyInvalid, TooManyFailedKeys
from ingot_server.rpc import failed_keys, memories
from ingot_server.rpc.failed_keys import FailedKeys, peer_host
from ingot_server.rpc.known_keys import KnownKeys
from ingot_server.storage import accounts
from ingot_server.storage.database import Database
from tests.calling import Caller, details_of, reason_of
from tests.conftest import running_app

METHOD = "/ingot.v1.ImportService/ListImports"
PEER = "192.0.2.1"
ALLOWED = 5


async def answer_to(address: str, key: str | None) -> aio.AioRpcError | None:
    """How a call with a key is refused, if it is."""
    async with Caller(address, key) as caller:
        try:
            await caller.imports.ListImports(im.ListImportsRequest())
        except aio.AioRpcError as refused:
            return refused
    return None


async def test_wrong_keys_from_an_address_are_not_looked_at_any_more(database_url: str, database: Database) -> None:
    """A good key that was used before goes on; one that was not has to wait, and is told so."""
    good, new = [await create_key(database, "acme", list(SCOPES), "", None) for _ in range(2)]
    async with running_app(database_url, failed_keys_per_minute=ALLOWED) as app:
        address = f"127.0.0.1:{app.port}"
        assert await answer_to(address, good.text) is None
        for _ in range(ALLOWED):
            refused = await answer_to(address, api_key_new().text)
            assert refused is not None
            assert refused.code() == StatusCode.UNAUTHENTICATED
        for wrong in (api_key_new().text, "nonsense", ApiKey(good.key_id, api_key_new().secret).text, new.text):
            refused = await answer_to(address, wrong)
            assert refused is not None
            assert refused.code() == StatusCode.RESOURCE_EXHAUSTED
            assert reason_of(refused).reason == "TOO_MANY_FAILED_KEYS"
            retry = error_details_pb2.RetryInfo()
            assert any(detail.Unpack(retry) for detail in details_of(refused))
            assert retry.retry_delay.ToMilliseconds() > 0
            # The client waits and tries again, for its key may be good.
            assert isinstance(translated(refused, address), client_errors.Transient)
        assert await answer_to(address, good.text) is None
        # Who sends none has guessed nothing.
        refused = await answer_to(address, None)
        assert refused is not None
        assert refused.code() == StatusCode.UNAUTHENTICATED


async def test_good_keys_spend_nothing(database_url: str, database: Database) -> None:
    keys = [await create_key(database, "acme", list(SCOPES), "", None) for _ in range(ALLOWED + 1)]
    async with running_app(database_url, failed_keys_per_minute=ALLOWED) as app:
        for key in keys:
            assert await answer_to(f"127.0.0.1:{app.port}", key.text) is None


async def test_a_good_key_may_come_with_many_calls_at_once(database: Database) -> None:
    """Also if it was never seen before: they are answered by one look at it."""
    key = await create_key(database, "acme", list(SCOPES), "", None)
    keys = KnownKeys(database, ALLOWED)
    found = await asyncio.gather(*(keys.check(key, PEER, METHOD) for _ in range(10 * ALLOWED)))
    assert {one.key_id for one in found} == {key.key_id}


async def test_a_caller_who_gives_up_takes_the_answer_from_nobody(database: Database) -> None:
    key = await create_key(database, "acme", list(SCOPES), "", None)
    keys = KnownKeys(database, ALLOWED)
    checks = [asyncio.create_task(keys.check(key, PEER, METHOD)) for _ in range(3)]
    # They have begun, and wait for the same look.
    await asyncio.sleep(0)
    checks[0].cancel()
    found = await asyncio.gather(*checks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [one.key_id for one in found[1:] if not isinstance(one, BaseException)] == [key.key_id] * 2


def test_wrong_keys_come_back_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    failed = FailedKeys(60)
    assert [failed.spend(PEER) for _ in range(61)] == [True] * 60 + [False]
    assert failed.spend("192.0.2.2")
    clock.now += 1.5
    assert [failed.spend(PEER) for _ in range(2)] == [True, False]
    clock.now += 60
    assert [failed.spend(PEER) for _ in range(61)] == [True] * 60 + [False]


def test_that_an_address_is_limited_is_told_once_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    failed = FailedKeys(1)
    assert [failed.is_news(PEER) for _ in range(3)] == [True, False, False]
    clock.now += 61
    assert failed.is_news(PEER)


class Clock:
    """The clock of the module, which goes only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(failed_keys, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.1:50312", "192.0.2.1"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:50312", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:50312", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:192.0.2.1]:50312", "192.0.2.1"),
        ("ipv6:[fe80::1%25eth0]:50312", "fe80::/64"),
        ("unix:/run/ingot.sock", "unix"),
        ("", ""),
    ],
)
def test_a_peer_is_its_host_or_its_network(peer: str, host: str) -> None:
    """Whoever has one IPv6 address has a whole network of them."""
    assert peer_host(peer) == host


def test_the_memory_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "REMEMBERED_MAX", 10)
    failed = FailedKeys(1)
    for number in range(1_000):
        assert failed.spend(f"peer-{number}")
        assert failed.is_news(f"peer-{number}")
    assert len(vars(failed)["_paid_until"]) == len(vars(failed)["_limited"]) == 10


async def test_made_up_keys_push_out_nobody(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, a good key is still known, and the memory of bad ones is bounded."""
    monkeypatch.setattr(memories, "REMEMBERED_MAX", 10)
    looked_up = looking(monkeypatch)
    known = KnownKeys(database, 1_000_000)
    good = await create_key(database, "acme", list(SCOPES), "", None)
    await known.check(good, PEER, METHOD)
    for _ in range(50):
        with pytest.raises(ApiKeyInvalid):
            await known.check(api_key_new(), PEER, METHOD)
    assert len(vars(known)["_bad"]) == 10
    looked_up.clear()
    await known.check(good, PEER, METHOD)
    assert not looked_up


async def test_keys_that_are_not_looked_at_cost_the_database_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = looking(monkeypatch)
    known = KnownKeys(database, ALLOWED)
    for number in range(100):
        with pytest.raises(ApiKeyInvalid if number < ALLOWED else TooManyFailedKeys):
            await known.check(api_key_new(), PEER, METHOD)
    assert len(looked_up) == ALLOWED


async def test_the_work_is_the_same_for_keys_that_exist_and_that_do_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many look-ups and as many comparisons, at the first try and at the next, also where the key is in use."""
    good = await create_key(database, "acme", list(SCOPES), "", None)
    known = KnownKeys(database, 1_000_000)
    await known.check(good, PEER, METHOD)
    looked_up = looking(monkeypatch)
    compared: list[bytes] = []
    matches = ApiKey.matches

    def counted(self: ApiKey, secret_sha256: bytes) -> bool:
        compared.append(secret_sha256)
        return matches(self, secret_sha256)

    monkeypatch.setattr(ApiKey, "matches", counted)
    work = set()
    for wrong in (api_key_new(), ApiKey(good.key_id, api_key_new().secret)):
        done: list[tuple[int, int]] = []
        for _ in range(2):
            looked_up.clear()
            compared.clear()
            with pytest.raises(ApiKeyInvalid):
                await known.check(wrong, PEER, METHOD)
            done.append((len(looked_up), len(compared)))
        work.add(tuple(done))
    assert len(work) == 1


def looking(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that are looked up in the database from now on."""
    looked_up: list[str] = []
    find = accounts.api_key_find

    async def noted(database: Database, key_id: str) -> Any:
        looked_up.append(key_id)
        return await find(database, key_id)

    monkeypatch.setattr(accounts, "api_key_find", noted)
    return looked_up


async def test_a_database_that_is_away_makes_no_key_a_wrong_one(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await create_key(database, "acme", list(SCOPES), "", None)
    known = KnownKeys(database, 1)
    find = accounts.api_key_find

    async def away(database: Database, key_id: str) -> Any:
        raise OSError("away")

    caplog.clear()
    with caplog.at_level(logging.INFO, "ingot.audit"):
        monkeypatch.setattr(accounts, "api_key_find", away)
        for _ in range(3):
            with pytest.raises(OSError, match="away"):
                await known.check(good, PEER, METHOD)
        monkeypatch.setattr(accounts, "api_key_find", find)
        await known.check(good, PEER, METHOD)
    assert [vars(record)["event"] for record in caplog.records] == ["key_used"]
