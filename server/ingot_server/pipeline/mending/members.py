"""Members: what the file of rejected records adds to a record, and how it is taken away again."""

from collections.abc import Callable

import msgspec

from ingot_server.domain.records import RECORD_BYTES_MAX, ErrorCode, Fault
from ingot_server.pipeline.mending.rejected import Fields, Rejected, read_fields

PREFIX = "ingot:"
ERRORS = "ingot:errors"
IMPORT = "ingot:import"
BATCH = "ingot:batch"
INDEX = "ingot:index"
LINE = "ingot:line"
RAW = "ingot:raw"
MORE = "ingot:more"
"""Holds fields that cannot stand under their own names."""

ONLY_RAW = Fault(
    ErrorCode.SYNTAX_ERROR,
    f"The record stands in `{RAW}` only, which is not read: put its values under the names of their fields.",
    RAW,
)
_OTHER_MORE = Fault(ErrorCode.SYNTAX_ERROR, "Expected a JSON object with fields, as it was exported.", MORE)
_read_members: Callable[[bytes], Fields | None] = msgspec.json.Decoder(Fields | None).decode


def member_line(found: Rejected) -> str:
    """A line of NDJSON: the record with what is wrong with it."""
    added: dict[str, object] = {ERRORS: found.errors}
    if found.import_id:
        added[IMPORT] = found.import_id
    if found.batch_id:
        added |= {BATCH: found.batch_id, INDEX: found.index}
    if found.line:
        added[LINE] = found.line
    if found.fields is None:
        if found.raw:
            added[RAW] = found.raw
        return msgspec.json.encode(added).decode() + "\n"
    own = [name for name in found.fields if name.startswith(PREFIX)]
    if own:
        added[MORE] = {name: found.fields[name] for name in own}
        rest = msgspec.json.encode({name: value for name, value in found.fields.items() if name not in own})
    else:
        rest = found.text
    line = msgspec.json.encode(added)[:-1] + (b"," if len(found.fields) > len(own) else b"") + rest.lstrip()[1:]
    # A record that is as large as it may be has no room for more: it stands alone, as it came.
    if len(line) > RECORD_BYTES_MAX and not own:
        line = found.text
    return line.decode() + "\n"


def restored(members: Fields) -> tuple[bytes, list[Fault]]:
    """The record without what the file has added, and what is wrong: then the first is what to show of the record."""
    fields = {name: value for name, value in members.items() if not name.startswith(PREFIX)}
    faults = []
    if MORE in members:
        try:
            fields = (_read_members(bytes(members[MORE])) or {}) | fields
        except (msgspec.MsgspecError, ValueError, RecursionError):
            faults.append(_OTHER_MORE)
    if not fields and (raw := _text(members.get(RAW))):
        return raw.encode(), [ONLY_RAW]
    return msgspec.json.encode(fields), faults


def restored_line(line: bytes) -> tuple[bytes, list[Fault]]:
    """As `restored`, for a line of NDJSON, which is returned as it is if nothing was added to it."""
    members = read_fields(line)
    return (line, []) if members is None or ERRORS not in members else restored(members)


def _text(value: msgspec.Raw | None) -> str:
    try:
        return msgspec.json.decode(value or b'""', type=str).strip()
    except (msgspec.MsgspecError, ValueError):
        return ""
