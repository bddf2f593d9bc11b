"""Clients, and the fake server that fails on demand."""

from collections.abc import AsyncIterator

import pytest

from ingot_client import AsyncClient
from tests.client.fake import FakeServer, fake_server

API_KEY = "ingot_test_key"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of this machine's settings."""
    for name in ("INGOT_ADDRESS", "INGOT_API_KEY", "INGOT_TLS", "INGOT_TLS_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INGOT_DATA_DIR", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    """A server that can be told to fail."""
    async with fake_server() as server:
        yield server


@pytest.fixture
async def ingot(fake: FakeServer) -> AsyncIterator[AsyncClient]:
    """A client of the fake server."""
    async with AsyncClient(f"127.0.0.1:{fake.port}", API_KEY, retry_timeout=20) as client:
        yield client
