"""The server and the key are found where the documentation says, and the key goes to nobody else."""

import os
from pathlib import Path

import pytest

from ingot_client import Client, SettingsInvalid
from ingot_client._settings import data_folder, find_settings, is_loopback


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a server that runs on this machine."""
    (tmp_path / "api-key").write_text("ingot_local\n")
    (tmp_path / "address").write_text("127.0.0.1:9999\n")
    return tmp_path


def test_arguments_come_first(folder: Path) -> None:
    environ = {"INGOT_DATA_DIR": str(folder), "INGOT_ADDRESS": "env:1", "INGOT_API_KEY": "env"}
    found = find_settings("arg:2", "arg", environ=environ)
    assert (found.address, found.api_key, found.tls) == ("arg:2", "arg", False)


def test_environment_comes_second(folder: Path) -> None:
    environ = {"INGOT_DATA_DIR": str(folder), "INGOT_ADDRESS": "env:1", "INGOT_API_KEY": "env"}
    found = find_settings(environ=environ)
    assert (found.address, found.api_key) == ("env:1", "env")


def test_server_on_this_machine_comes_third(folder: Path) -> None:
    found = find_settings(environ={"INGOT_DATA_DIR": str(folder)})
    assert (found.address, found.api_key) == ("127.0.0.1:9999", "ingot_local")


@pytest.mark.parametrize("address", ["example.com:7468", "10.0.0.1:7468", "localhost.evil.example:7468"])
def test_local_key_is_not_told_to_others(folder: Path, address: str) -> None:
    with pytest.raises(SettingsInvalid, match="no API key"):
        find_settings(address, environ={"INGOT_DATA_DIR": str(folder)})
    with pytest.raises(SettingsInvalid, match="no API key"):
        find_settings(environ={"INGOT_DATA_DIR": str(folder), "INGOT_ADDRESS": address})


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:/run/ingot"])
def test_local_key_is_used_for_this_machine(folder: Path, address: str) -> None:
    assert find_settings(address, environ={"INGOT_DATA_DIR": str(folder)}).api_key == "ingot_local"
    assert is_loopback(address)


def test_missing_key_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"looked in .*INGOT_API_KEY and .*/api-key"):
        find_settings(environ={"INGOT_DATA_DIR": str(tmp_path)})
    with pytest.raises(SettingsInvalid, match="no API key"):
        Client(f"localhost:{1}")


def test_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"With embedded PostgreSQL .* set INGOT_DATA_DIR .*`ingot-server keys"):
        find_settings(environ={"INGOT_DATA_DIR": str(tmp_path)})
    with pytest.raises(SettingsInvalid, match=r"example\.com:7468 is not on this machine") as elsewhere:
        find_settings("example.com", environ={"INGOT_DATA_DIR": str(tmp_path)})
    assert "INGOT_DATA_DIR" not in str(elsewhere.value), "no folder's key would be used"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_key_of_another_user_is_explained(folder: Path) -> None:
    (folder / "api-key").chmod(0)
    with pytest.raises(SettingsInvalid, match="belongs to another user"):
        find_settings(environ={"INGOT_DATA_DIR": str(folder)})


def test_key_with_strange_characters_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="copied whole"):
        find_settings("h:1", "ingot key", environ={})


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", "localhost:7468"),
        ("host", "host:7468"),
        ("host:1", "host:1"),
        ("[::1]", "[::1]:7468"),
        ("[::1]:5", "[::1]:5"),
        ("0.0.0.0:5", "127.0.0.1:5"),
        ("[::]:5", "[::1]:5"),
        ("unix:/run/ingot", "unix:/run/ingot"),
    ],
)
def test_address_is_completed(given: str, address: str, tmp_path: Path) -> None:
    assert find_settings(given, "k", environ={"INGOT_DATA_DIR": str(tmp_path)}).address == address


@pytest.mark.parametrize("given", ["http://h:1", "h:port", "h:0", "h:65536", ":1", "a b:1", "::1", "h:1/x", "u@h:1"])
def test_address_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(SettingsInvalid, match="is not an address"):
        find_settings(given, "k", environ={})


def test_tls_is_chosen_by_argument_or_environment(tmp_path: Path) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_bytes(b"PEM")
    assert find_settings("h:1", "k", tls=True, environ={}).tls
    assert find_settings("h:1", "k", environ={"INGOT_TLS": "1"}).tls
    assert not find_settings("h:1", "k", environ={"INGOT_TLS": "0"}).tls
    assert find_settings("h:1", "k", environ={"INGOT_TLS_CA": str(roots)}).root_certificates == b"PEM"
    assert find_settings("h:1", "k", root_certificates=roots, environ={}).tls
    assert not find_settings("h:1", "k", tls=False, environ={"INGOT_TLS_CA": str(roots)}).tls
    with pytest.raises(SettingsInvalid, match="cannot read the root certificates"):
        find_settings("h:1", "k", environ={"INGOT_TLS_CA": str(tmp_path / "no.pem")})


def test_key_does_not_show() -> None:
    assert "secret" not in repr(find_settings("h:1", "secret", environ={}))


def test_data_folder_is_that_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_folder({"INGOT_DATA_DIR": "/x"}) == Path("/x")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert data_folder({}) == Path("/var/lib/ingot")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert data_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/ingot")
    assert data_folder({}) == Path.home() / ".local/share/ingot"
