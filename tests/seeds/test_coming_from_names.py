"""What docs/coming-from.md names is there: calls, fields, words of the API, settings, commands with their options."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import typer
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor

from ingot.v1 import batch_service_pb2, error_reason_pb2, import_service_pb2, record_service_pb2, table_service_pb2
from ingot_client import AsyncClient
from ingot_client._cli.app import app as client
from ingot_server.commands import cli as server
from ingot_server.pipeline.kinds import KINDS
from ingot_server.settings import Settings
from tests.seeds.test_coming_from import TEXT

PLAIN = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
# The first cell of a row is in the words of the other system.
OURS = re.sub(r"^\|[^|]*\|", "|", PLAIN, flags=re.MULTILINE)
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", OURS)))
COMMANDS: dict[str, Any] = {"ingot": typer.main.get_command(client), "ingot-server": typer.main.get_command(server)}


def with_dependencies(*files: FileDescriptor) -> Iterator[FileDescriptor]:
    for file in files:
        yield file
        yield from with_dependencies(*file.dependencies)


FILES = list(
    with_dependencies(
        batch_service_pb2.DESCRIPTOR,
        error_reason_pb2.DESCRIPTOR,
        import_service_pb2.DESCRIPTOR,
        record_service_pb2.DESCRIPTOR,
        table_service_pb2.DESCRIPTOR,
    )
)
MESSAGES: list[Descriptor] = [message for file in FILES for message in file.message_types_by_name.values()]
ENUMS: list[EnumDescriptor] = [enum for file in FILES for enum in file.enum_types_by_name.values()]
SERVICES = [service for file in FILES for service in file.services_by_name.values()]

TYPES = {*(message.name for message in MESSAGES), *(enum.name for enum in ENUMS)}
TYPES |= {"ErrorInfo", "BadRequest", "QuotaFailure", "RetryInfo", "ApiKeyInvalid"}
CALLS = {f"{service.name}/{method}" for service in SERVICES for method in service.methods_by_name}
CALLS |= {part for call in CALLS for part in call.split("/")}

FIELDS = {field.name for message in MESSAGES for field in message.fields}
FIELDS |= {name for kind in KINDS.values() for field in kind.fields for name in (field.name, *field.aliases)}
FIELDS |= {"derived", "contact", "contact_table", "email_domain", "phone_country", "reason", "error_id"}
FIELDS |= {*dir(AsyncClient), "ingot", "ingot_client", "tabular"}

# Values of enums are named whole, or by their last words: `STAGE_STATE_FAILURE`, `_FAILURE`, FAILURE.
WORDS = {
    value.split("_", before)[-1]
    for enum in ENUMS
    for value in enum.values_by_name
    for before in range(value.count("_") + 1)
}
WORDS |= {*KINDS, *(status.name for status in grpc.StatusCode)}
WORDS |= {f"INGOT_{name.upper()}" for name in (*Settings.model_fields, "api_key")}


def test_nothing_is_left_for_later() -> None:
    assert not re.search(r"(?i)not yet|not there yet|\btoday\b|next issue", PLAIN)


@pytest.mark.parametrize("command", [text for text in QUOTED if text.startswith(("ingot ", "ingot-server "))])
def test_commands_are_understood(command: str) -> None:
    program, *args = shlex.split(command)
    found = COMMANDS[program]
    while args and hasattr(found, "commands"):
        found, args = found.commands[args[0]], args[1:]
    # A command that is only named need not be complete.
    found.make_context(program, args, resilient_parsing=not args)


def test_options_are_those_of_an_import() -> None:
    for text in QUOTED:
        if text.startswith("--"):
            COMMANDS["ingot"].commands["import"].make_context("import", ["f", "--table", "t", *shlex.split(text)])


def test_calls_and_messages_are_there() -> None:
    named = {text for text in QUOTED if re.fullmatch(r"([A-Z][a-z]+){2,}(/\w+)?", text)}
    assert named - TYPES - CALLS == set()
    assert {"CommitImport", "CancelImport", "RetryImport", "ExportImportRejects", "ReferenceBatch"} <= named


def test_words_in_capitals_are_there() -> None:
    named = {word.removeprefix("_") for word in re.findall(r"\b_?[A-Z]+(?:_[A-Z0-9]+)+\b", OURS)}
    named |= {text.removeprefix("_") for text in QUOTED if re.fullmatch(r"[A-Z_]{4,}", text)}
    assert named - WORDS == set()
    assert {"WRITE_MODE_MERGE", "TOO_MANY_IMPORTS", "SANDBOX_KEY", "IMPORT_STATE_AWAITING_COMMIT"} <= named


def test_fields_are_there() -> None:
    quoted = [text for text in QUOTED if re.fullmatch(r"[a-z][a-z_]*(\.[a-z_]+)*( \+ [a-z]+)*", text)]
    named = {name for text in quoted for name in re.split(r"[. +]+", text)}
    assert named - FIELDS == set()
    assert {"validate_only", "staged", "reconcile", "max_errors", "max_error_ratio", "status_message"} <= named
