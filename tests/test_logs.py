"""What stands in the log, and what does not."""

import json
import logging

import asyncpg
import pytest

from ingot_server.logs import set_up_logs


@pytest.mark.parametrize("format", ["json", "text"])
def test_rows_that_postgresql_complains_of_are_not_logged(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    complaint = ["duplicate key", "DETAIL:  Key (email)=(ada@example.com) already exists."]
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up_logs(format, "INFO")
        try:
            raise asyncpg.UniqueViolationError("\n".join(complaint))
        except asyncpg.PostgresError:
            logging.getLogger("x").exception("failed", extra={"import_id": 7})
    finally:
        root.handlers[:], root.level = handlers, level
    said = capsys.readouterr().err
    assert "UniqueViolationError: 23505" in said
    assert "ada@example.com" not in said
    if format == "json":
        assert json.loads(said)["import_id"] == 7
