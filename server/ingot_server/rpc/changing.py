"""Who may change an import that is there: not a sandbox key, and not without the scope for what the import will do."""

from ingot_server.domain.errors import SandboxKey
from ingot_server.rpc.guard import caller_account, caller_is_sandboxed, expect_scope
from ingot_server.storage import imports
from ingot_server.storage.database import Database


async def expect_changeable(database: Database, import_id: int, *, goes_on: bool = True) -> imports.Effect:
    """What the import may do.

    Raises ImportNotFound, SandboxKey, and, if the call helps the import to go on, ScopeMissing.
    """
    effect = await imports.import_expect(database, caller_account(), import_id)
    if caller_is_sandboxed() and not effect.validate_only:
        raise SandboxKey(
            f"Import {import_id} stores records, and the API key is a sandbox key: use another key for it."
        )
    if goes_on and effect.deletes:
        expect_scope("records:delete")
    return effect
