"""TLS, certificates of clients, and certificates that are renewed while the server works."""

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio

from ingot.v1 import import_pb2
from ingot.v1 import import_service_pb2 as im
from ingot_client import AsyncClient, SettingsInvalid, Unreachable
from ingot_client._settings import find_settings
from ingot_server.access import create_key
from ingot_server.domain.api_keys import SCOPES
from ingot_server.settings import ConfigurationError
from ingot_server.storage.database import Database
from tests.calling import Caller, Upload, reason_of, records
from tests.conftest import running_app, skip_without
from tests.security.authority import Authority, Issued
from tests.test_commands import ingot_server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Installed:
    """The files that a server reads its certificate from."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.certificate = folder / "tls.crt"
        self.key = folder / "tls.key"

    def put(self, issued: Issued) -> None:
        """Replaces both files, one after the other, as certbot and others do."""
        for new, old in ((issued.certificate, self.certificate), (issued.key, self.key)):
            shutil.copy(new, old.with_suffix(".new"))
            old.with_suffix(".new").replace(old)

    @property
    def settings(self) -> dict[str, Any]:
        return {"tls_certificate": self.certificate, "tls_key": self.key}


@pytest.fixture
def installed(authority: Authority, tmp_path: Path) -> Installed:
    files = Installed(tmp_path / "installed")
    files.put(authority.issue())
    return files


@pytest.fixture
async def key(database: Database) -> str:
    return (await create_key(database, "acme", list(SCOPES), "", None)).text


async def test_the_client_and_the_command_line_speak_tls(
    database_url: str, key: str, authority: Authority, installed: Installed
) -> None:
    async with running_app(database_url, **installed.settings) as app:
        for host in ("127.0.0.1", "localhost"):
            async with AsyncClient(f"{host}:{app.port}", key, root_certificates=authority.certificate) as client:
                assert (await client.import_records("things", [{"id": host}], key_fields=["id"])).counts.created == 1
        code, said, _ = await ingot(
            "imports", "--json", address=f"127.0.0.1:{app.port}", api_key=key, tls_ca=authority.certificate
        )
        assert (code, len(said.splitlines())) == (0, 2)


async def test_grpcurl_speaks_tls(database_url: str, key: str, authority: Authority, installed: Installed) -> None:
    skip_without("grpcurl", "it calls the server")
    client = authority.issue()
    async with running_app(database_url, **installed.settings, tls_client_ca=authority.certificate) as app:
        address = f"127.0.0.1:{app.port}"
        own = ["-cert", str(client.certificate), "-key", str(client.key)]
        trusting = ["-cacert", str(authority.certificate)]
        code, said, _ = await run("grpcurl", *trusting, *own, address, "list")
        assert (code, "ingot.v1.ImportService" in said) == (0, True)
        call = [address, "ingot.v1.ImportService/ListImports"]
        assert (await run("grpcurl", *trusting, *own, "-H", f"x-api-key: {key}", *call))[0] == 0
        assert "API_KEY_INVALID" in (await run("grpcurl", *trusting, *own, *call))[2]
        for arguments in ([*trusting, *call], [*own, *call], ["-plaintext", *call]):
            assert (await run("grpcurl", "-max-time", "20", *arguments))[0] != 0


async def test_without_tls_or_trust_the_client_says_what_is_missing(
    database_url: str, key: str, installed: Installed
) -> None:
    async with running_app(database_url, **installed.settings) as app:
        for tls, advice in ((False, "INGOT_TLS=1"), (True, "INGOT_TLS_CA")):
            async with AsyncClient(f"127.0.0.1:{app.port}", key, tls=tls) as client:
                with pytest.raises(Unreachable, match=advice):
                    await client.get_table("things")


async def test_clients_need_a_certificate_where_an_authority_for_them_is_set(
    database_url: str, key: str, authority: Authority, installed: Installed, tmp_path: Path
) -> None:
    """And an API key all the same."""
    known, stranger = authority.issue(), Authority(tmp_path, "stranger").issue()
    async with running_app(database_url, **installed.settings, tls_client_ca=authority.certificate) as app:
        address = f"127.0.0.1:{app.port}"
        trusted, own = authority.certificate, (known.certificate, known.key)
        async with AsyncClient(address, key, root_certificates=trusted, certificate=own) as client:
            assert [job async for job in client.list_imports()] == []
        environment = {"tls_ca": authority.certificate, "tls_certificate": known.certificate, "tls_key": known.key}
        assert (await ingot("imports", address=address, api_key=key, **environment))[0] == 0
        async with Caller(address, None, authority.credentials(known)) as nobody:
            with pytest.raises(aio.AioRpcError) as refused:
                await nobody.imports.ListImports(im.ListImportsRequest())
            assert refused.value.code() == StatusCode.UNAUTHENTICATED
        for credentials in (authority.credentials(), authority.credentials(stranger)):
            async with Caller(address, key, credentials) as caller:
                with pytest.raises(aio.AioRpcError) as refused:
                    await caller.imports.ListImports(im.ListImportsRequest())
                assert refused.value.code() == StatusCode.UNAVAILABLE
        async with AsyncClient(address, key, root_certificates=trusted) as client:
            with pytest.raises(Unreachable, match="INGOT_TLS_CERTIFICATE"):
                await client.get_table("things")


def test_a_client_with_half_a_certificate_says_so(authority: Authority) -> None:
    issued = authority.issue()
    environ = {"INGOT_API_KEY": "k", "INGOT_ADDRESS": "h:1", "INGOT_TLS_CERTIFICATE": str(issued.certificate)}
    with pytest.raises(SettingsInvalid, match="both INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY"):
        find_settings(environ=environ)
    found = find_settings(environ={**environ, "INGOT_TLS_KEY": str(issued.key)})
    assert found.tls
    assert found.certificate == (issued.certificate.read_bytes(), issued.key.read_bytes())
    assert "PRIVATE KEY" not in repr(found)
    with pytest.raises(SettingsInvalid, match="cannot read the private key"):
        find_settings(environ={**environ, "INGOT_TLS_KEY": "/nowhere"})


async def test_certificates_are_renewed_under_load(
    database_url: str, key: str, authority: Authority, installed: Installed
) -> None:
    """New connections get the new one, uploads that are under way go on, and not a call fails."""
    over = asyncio.Event()
    turns: asyncio.Queue[int] = asyncio.Queue()

    async def keep_importing(address: str, name: str) -> int:
        made = 0
        while not over.is_set():
            # Each with a connection, and a handshake, of its own.
            async with Caller(address, key, authority.credentials()) as caller:
                ended = await caller.run([{"id": number} for number in range(10)], table=name)
                assert ended.state == import_pb2.IMPORT_STATE_SUCCEEDED
                made += 1
        return made

    async def slowly(import_id: str) -> AsyncIterator[Upload]:
        yield Upload(import_id=import_id, batch_id="b")
        while (turn := await turns.get()) >= 0:
            yield records([{"id": turn}])
        yield records([], finish=TURNS)

    async with running_app(database_url, **installed.settings) as app:
        address = f"127.0.0.1:{app.port}"
        load = [asyncio.create_task(keep_importing(address, f"t{number}")) for number in range(3)]
        async with Caller(address, key, authority.credentials()) as caller:
            import_id = await caller.create()
            upload = caller.batches.UploadBatch(slowly(import_id))
            for turn in range(TURNS):
                renewed = authority.issue()
                if turn % 2:
                    # Between two good ones a broken one.
                    installed.certificate.write_text("broken")
                    with_before = await asyncio.to_thread(authority.serial_at, app.port)
                    assert with_before == renewed.serial - 1
                installed.put(renewed)
                assert await asyncio.to_thread(authority.serial_at, app.port) == renewed.serial
                turns.put_nowait(turn)
            turns.put_nowait(-1)
            await upload
            over.set()
            assert all(await asyncio.gather(*load))
            assert (await caller.finish(import_id)).counts.created == TURNS


TURNS = 8


def _garbage(files: Installed, authority: Authority) -> None:
    files.certificate.write_bytes(b"\x00garbage")


def _empty(files: Installed, authority: Authority) -> None:
    files.certificate.write_bytes(b"")


def _half(files: Installed, authority: Authority) -> None:
    files.certificate.write_bytes(files.certificate.read_bytes()[:200])


def _another_key(files: Installed, authority: Authority) -> None:
    shutil.copy(authority.issue().key, files.key)


def _a_key_with_a_password(files: Installed, authority: Authority) -> None:
    files.put(authority.issue(password="secret"))


def _gone(files: Installed, authority: Authority) -> None:
    files.key.unlink()


def _a_folder(files: Installed, authority: Authority) -> None:
    files.key.unlink()
    files.key.mkdir()


BREAKING: list[Callable[[Installed, Authority], None]] = [
    _garbage,
    _empty,
    _half,
    _another_key,
    _a_key_with_a_password,
    _gone,
    _a_folder,
]


@pytest.mark.parametrize("broken", BREAKING)
async def test_a_broken_new_certificate_is_not_used_and_the_log_says_why_once(
    database_url: str,
    key: str,
    authority: Authority,
    installed: Installed,
    caplog: pytest.LogCaptureFixture,
    broken: Callable[[Installed, Authority], None],
) -> None:
    caplog.set_level(logging.INFO, "ingot_server.certificates")
    async with running_app(database_url, **installed.settings) as app:
        serial = await asyncio.to_thread(authority.serial_at, app.port)
        broken(installed, authority)
        for _ in range(3):
            assert await asyncio.to_thread(authority.serial_at, app.port) == serial
        async with Caller(f"127.0.0.1:{app.port}", key, authority.credentials()) as caller:
            await caller.create()
        said = [record for record in caplog.records if record.name == "ingot_server.certificates"]
        assert [record.levelname for record in said] == ["ERROR"]
        assert "the old one stays" in said[0].getMessage()
        assert str(installed.key) in said[0].getMessage()
        if installed.key.is_dir():
            installed.key.rmdir()
        renewed = authority.issue()
        installed.put(renewed)
        assert await asyncio.to_thread(authority.serial_at, app.port) == renewed.serial


async def test_certificates_may_come_by_a_link_that_is_moved(
    database_url: str, authority: Authority, tmp_path: Path
) -> None:
    """As Kubernetes brings them."""
    old, new = Installed(tmp_path / "old"), Installed(tmp_path / "new")
    link = tmp_path / "data"
    issued = [authority.issue(), authority.issue()]
    for folder, one in zip((old, new), issued, strict=True):
        folder.put(one)
    link.symlink_to("old")
    async with running_app(database_url, tls_certificate=link / "tls.crt", tls_key=link / "tls.key") as app:
        assert await asyncio.to_thread(authority.serial_at, app.port) == issued[0].serial
        (tmp_path / "next").symlink_to("new")
        os.replace(tmp_path / "next", link)
        assert await asyncio.to_thread(authority.serial_at, app.port) == issued[1].serial


async def test_the_authority_of_clients_is_renewed_too(
    database_url: str, key: str, authority: Authority, installed: Installed, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    trusted = tmp_path / "clients.pem"
    shutil.copy(authority.certificate, trusted)
    first, second = authority.issue(), other.issue()

    async def gets_in(app_port: int, client: Issued) -> bool:
        async with Caller(f"127.0.0.1:{app_port}", key, authority.credentials(client)) as caller:
            try:
                await caller.imports.ListImports(im.ListImportsRequest())
            except aio.AioRpcError as refused:
                assert refused.code() == StatusCode.UNAVAILABLE
                return False
        return True

    async with running_app(database_url, **installed.settings, tls_client_ca=trusted) as app:
        assert [await gets_in(app.port, client) for client in (first, second)] == [True, False]
        trusted.write_text("broken")
        assert [await gets_in(app.port, client) for client in (first, second)] == [True, False]
        shutil.copy(other.certificate, trusted)
        assert [await gets_in(app.port, client) for client in (first, second)] == [False, True]


async def test_a_server_with_half_of_tls_does_not_start(database_url: str, authority: Authority) -> None:
    """And never falls back to plaintext."""
    issued = authority.issue()
    for settings in (
        {"tls_certificate": issued.certificate},
        {"tls_key": issued.key},
        {"tls_client_ca": authority.certificate},
    ):
        with pytest.raises(ConfigurationError, match="both INGOT_TLS_CERTIFICATE and INGOT_TLS_KEY"):
            async with running_app(database_url, **settings):
                pass


@pytest.mark.parametrize("broken", BREAKING)
async def test_a_server_with_a_broken_certificate_says_so(
    database_url: str, authority: Authority, installed: Installed, broken: Callable[[Installed, Authority], None]
) -> None:
    broken(installed, authority)
    with pytest.raises(ConfigurationError, match=r"tls\.key"):
        async with running_app(database_url, **installed.settings):
            pass
    code, _, said = await ingot_server("check", database_url=database_url, address="127.0.0.1:0", **installed.settings)
    assert (code, "tls.key" in said) == (1, True)


async def test_the_key_travels_only_to_those_who_are_trusted(
    database_url: str, key: str, installed: Installed, tmp_path: Path
) -> None:
    """A client that does not trust the server's certificate hangs up before it has said anything."""
    async with running_app(database_url, **installed.settings) as app:
        credentials = Authority(tmp_path, "stranger").credentials()
        async with Caller(f"127.0.0.1:{app.port}", key, credentials) as caller:
            with pytest.raises(aio.AioRpcError) as refused:
                await caller.create()
            assert refused.value.code() == StatusCode.UNAVAILABLE
            with pytest.raises(KeyError):
                reason_of(refused.value)


async def ingot(*arguments: str, **settings: object) -> tuple[int, str, str]:
    """The client's command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    environment |= {f"INGOT_{name.upper()}": str(value) for name, value in settings.items()}
    return await run(sys.executable, "-m", "ingot_client", *arguments, environment=environment)


async def run(*command: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
