"""Reads the filters and orders of requests for records, and the tokens of their pages."""

import zlib
from dataclasses import dataclass

from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.fields import FieldType, UnknownFields
from ingot_server.domain.filters import Condition, FilterInvalid, KnownFields, Order, parse_filter, parse_order
from ingot_server.domain.tables import Table
from ingot_server.pipeline.kinds.kind import DERIVED
from ingot_server.pipeline.validation import merged_fields
from ingot_server.pipeline.values import normal_text
from ingot_server.rpc import paging
from ingot_server.storage.record_pages import After


@dataclass(frozen=True, slots=True)
class Selection:
    """Some records of a table, in some order."""

    table_id: int
    condition: Condition | None
    order: Order
    mark: int
    """Stands in the tokens of its pages: those of another selection are refused."""


def selection(table: Table, filter: str, order_by: str) -> Selection:
    """The records that a request asks for. Raises InvalidRequest."""
    fields = KnownFields(
        merged_fields(table.rules),
        only=table.rules.unknown_fields is UnknownFields.REJECT,
        others=(DERIVED, *(table.key_fields or ())),
    )

    def normalise(type_: FieldType, text: str) -> str:
        # Unreadable is the ValueError that a filter expects.
        return normal_text(type_, table.rules.reading, text)

    try:
        condition = parse_filter(filter, fields, normalise)
    except FilterInvalid as invalid:
        raise InvalidRequest({"filter": str(invalid)}) from None
    try:
        order = parse_order(order_by, fields)
    except FilterInvalid as invalid:
        raise InvalidRequest({"order_by": str(invalid)}) from None
    return Selection(table.table_id, condition, order, zlib.crc32(f"{filter}\0{order_by}".encode()))


def page_after(token: str, selected: Selection) -> After | None:
    """Where the page before ended; None for the first page. Raises InvalidRequest."""
    if not token:
        return None
    match paging.page_position(token, list):
        case [str(key), str() | None as value, mark] if mark == selected.mark and "\0" not in key + (value or ""):
            return After(key, value)
    raise InvalidRequest({"page_token": "expected the next_page_token of the page before, with its filter and order"})


def next_token(after: After, selected: Selection) -> str:
    """The token of the page that follows."""
    return paging.page_token([after.key, after.value, selected.mark])
