"""Tells who used which API key and who deleted what, as log lines of the logger `ingot.audit`.

They hold ids, names of accounts and tables, numbers and addresses: neither secrets nor records. They are written
whatever INGOT_LOG_LEVEL says. Each has an `event`:

    key_used        the first use of a key from an address within an hour
    key_refused     a key that was sent and did not help, and why
    key_limited     an address has sent so many wrong keys that they are not looked at for a while
    key_created, key_revoked
    deletion        records, a table, an import or a blocked value are gone
    deletion_ordered    an import was begun or committed that will delete; its `deletion` comes when it ends
"""

import logging

log = logging.getLogger("ingot.audit")


def key_used(key_id: str, account: str, peer: str, method: str) -> None:
    """A key was used from an address from which it was not used lately."""
    _tell("an API key was used", "key_used", key_id=key_id, account=account, peer=peer, method=method)


def key_refused(key_id: str | None, peer: str, method: str, why: str) -> None:
    """A key was refused; without an id if it was garbled, for what was sent may be a secret with a slip."""
    _tell("an API key was refused", "key_refused", key_id=key_id, peer=peer, method=method, why=why)


def key_limited(peer: str) -> None:
    """An address has sent too many wrong keys."""
    _tell("wrong API keys are not looked at for a while", "key_limited", peer=peer)


def key_created(key_id: str, account: str, scopes: list[str], *, sandbox: bool) -> None:
    """A key was made."""
    _tell(
        "an API key was created",
        "key_created",
        key_id=key_id,
        account=account,
        scopes=",".join(scopes),
        sandbox=sandbox,
    )


def key_revoked(key_id: str) -> None:
    """The use of a key was ended."""
    _tell("an API key was revoked", "key_revoked", key_id=key_id)


def deletion(what: str, **facts: object) -> None:
    """Something is gone; `facts` say whose it was, how much, and who asked for it."""
    _tell("deleted", "deletion", what=what, **facts)


def deletion_ordered(import_id: int, **facts: object) -> None:
    """An import was begun, or committed, that will delete records."""
    _tell("an import will delete records", "deletion_ordered", import_id=import_id, **facts)


def _tell(message: str, event: str, **facts: object) -> None:
    log.info(message, extra={"event": event, **facts})
