"""Reads the filters and orders of requests for records, and the tokens of their pages."""

import zlib
from dataclasses import dataclass

from ingot_server.domain.errors import InvalidRequest
from ingot_server.domain.fields import FieldType, UnknownFields
from ingot_server.domain.filters import Condition, FilterInvalid, KnownFields, Order, parse_filter, parse_order
from ingot_server.domain.imports import Import, ImportState
from ingot_server.domain.tables import Table
from ingot_server.pipeline.kinds.kind import DERIVED
from ingot_server.pipeline.validation import merged_fields
from ingot_server.pipeline.values import normal_text
from ingot_server.pipeline.values.moments import beginning
from ingot_server.rpc import paging
from ingot_server.storage.imports import import_state_refused
from ingot_server.storage.record_pages import After, Scope


@dataclass(frozen=True, slots=True)
class Selection:
    """Some records of a table, in some order."""

    scope: Scope
    condition: Condition | None
    order: Order
    mark: int
    """Stands in the tokens of its pages: those of another selection are refused."""


def staged_scope(found: Import, *, deleted: bool) -> Scope:
    """What a staged import would write, or delete. Raises ImportStateRefused if there is nothing to be seen."""
    if not found.spec.is_tried_first or found.branch_id is None or found.state.final:
        what_to_do = "only an import that is staged, or only validates, and is not over, shows what it would do"
        raise import_state_refused(found.import_id, found.state, what_to_do)
    if not deleted:
        return Scope(found.branch_id, written_by=found.import_id)
    base_id = found.table_id if found.table_id != found.branch_id else 0
    if found.spec.reconciles and found.state is ImportState.AWAITING_COMMIT and not found.removed:
        # It is known by now that nothing will be deleted, also if there is something that the import does not name.
        base_id = 0
    return Scope(base_id, missing_in=found.branch_id, unnamed=found.spec.reconciles)


def staged_table(found: Import) -> Table:
    """The table as the import knows it; of one that only validates it need not exist."""
    created = found.create_time
    return Table(found.table_id, found.spec.table, found.spec.key_fields, found.rules, False, created, created)


def selection(table: Table, filter: str, order_by: str, staged: Scope | None = None) -> Selection:
    """The records that a request asks for, of a table or a part of a staged import. Raises InvalidRequest."""
    fields = KnownFields(
        merged_fields(table.rules),
        only=table.rules.unknown_fields is UnknownFields.REJECT,
        others=(DERIVED, *(table.key_fields or ())),
    )

    def normalise(type_: FieldType, text: str) -> str:
        # A filter compares, so nothing has to be guessed: a day lies before all of its moments but the first.
        text = beginning(text) if type_ is FieldType.TIMESTAMP else text
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
    scope = staged or Scope(table.table_id)
    mark = f"{filter}\0{order_by}" + (f"\0{scope}" if staged else "")
    return Selection(scope, condition, order, zlib.crc32(mark.encode()))


def page_after(token: str, selected: Selection) -> After | None:
    """Where the page before ended; None for the first page. Raises InvalidRequest."""
    if not token:
        return None
    match paging.page_position(token, list):
        case [str(key), str() | None as value, mark] if mark == selected.mark:
            return After(key, value)
    raise InvalidRequest({"page_token": "expected the next_page_token of the page before, with its filter and order"})


def next_token(after: After, selected: Selection) -> str:
    """The token of the page that follows."""
    return paging.page_token([after.key, after.value, selected.mark])
