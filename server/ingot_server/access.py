"""Ways in: API keys, and what a local client finds in the data folder."""

import contextlib
import os
from datetime import timedelta
from pathlib import Path

from ingot_server import audit
from ingot_server.domain.api_keys import SCOPES, ApiKey, api_key_new, api_key_parse
from ingot_server.settings import Settings
from ingot_server.storage import accounts
from ingot_server.storage.database import Database

DEFAULT_ACCOUNT = "default"
LOCAL_KEY_LABEL = "local client, made at the first start"


async def create_key(
    database: Database,
    account: str,
    scopes: list[str],
    label: str,
    lifetime: timedelta | None,
    *,
    sandbox: bool = False,
) -> ApiKey:
    """Makes an API key, and its account if needed; with a sandbox key nothing can be stored."""
    account_id = await accounts.account_ensure(database, account)
    key = api_key_new()
    await accounts.api_key_create(
        database, key.key_id, account_id, key.secret_sha256, scopes, label, lifetime, sandbox=sandbox
    )
    audit.key_created(key.key_id, account, scopes, sandbox=sandbox)
    return key


async def leave_local_key(database: Database, data_dir: Path) -> Path:
    """The file in the data folder that holds a key for the local client; made if there is none that works."""
    file = data_dir / "api-key"
    with contextlib.suppress(OSError):
        key = api_key_parse(file.read_text().strip())
        stored = await accounts.api_key_find(database, key.key_id) if key else None
        if key and stored and stored.usable and key.matches(stored.secret_sha256):
            return file
    key = await create_key(database, DEFAULT_ACCOUNT, list(SCOPES), LOCAL_KEY_LABEL, None)
    _write_private(file, key.text + "\n")
    return file


def leave_address(settings: Settings, port: int) -> None:
    """Leaves in the data folder where the server listens."""
    host = settings.address.rpartition(":")[0]
    _write_private(settings.data_dir / "address", f"{host}:{port}\n")


def _write_private(file: Path, text: str) -> None:
    """Writes a file for our eyes only, whole or not at all."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    unfinished.replace(file)
