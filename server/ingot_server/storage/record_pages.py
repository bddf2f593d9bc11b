"""The query for a page of records: filtered, in some order, from where the page before ended."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from ingot_server.domain.errors import DatabaseUnavailable, FilterTooSlow
from ingot_server.domain.filters import Condition, Form, Order, Own
from ingot_server.storage.database import Database
from ingot_server.storage.filtering import Arguments, compared_expression, condition_sql

_COLUMNS = "key, data, create_time, update_time, writer"
_MOMENTS = (Own.CREATE_TIME, Own.UPDATE_TIME)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class After:
    """The last record of the page before. Its `value` is that of the order, as text; None if it has none."""

    key: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a page of records is looked for: a table, or a part of what an import would make of one."""

    table_id: int
    written_by: int = 0
    """Only records that this import has written; 0: all."""
    missing_in: int = 0
    """Only records that an import has taken away in this branch; 0: all."""
    unnamed: bool = False
    """With `missing_in`: only, instead, records that the import has not named."""

    def condition(self) -> str:
        """The condition that holds for its records."""
        found = f"table_id = {self.table_id:d}"
        if self.written_by:
            found += f" AND writer = {self.written_by:d}"
        if not self.missing_in:
            return found
        branch = self.missing_in
        touched = f"SELECT FROM branch_key WHERE branch_key.table_id = {branch:d} AND branch_key.key = record.key"
        if self.unnamed:
            return f"{found} AND NOT EXISTS ({touched} AND named)"
        left = f"SELECT FROM record AS left_over WHERE left_over.table_id = {branch:d} AND left_over.key = record.key"
        return f"{found} AND EXISTS ({touched} AND existed) AND NOT EXISTS ({left})"


async def page_rows(
    database: Database, query: str, arguments: list[object], seconds_max: float | None
) -> list[asyncpg.Record]:
    """The rows of a page.

    Raises FilterTooSlow if a filter or an order takes more than `seconds_max`; None if there is neither.
    """
    if seconds_max is None:
        return await database.fetch(query, *arguments)
    try:
        async with database.transaction(statement_timeout_seconds=seconds_max) as connection:
            return await connection.fetch(query, *arguments)
    except DatabaseUnavailable as unavailable:
        if not isinstance(unavailable.__cause__, asyncpg.QueryCanceledError):
            raise
        raise FilterTooSlow(
            f"The filter or the order takes more than {seconds_max:g} seconds: narrow the filter, or declare the"
            " field as indexed.",
            seconds=f"{seconds_max:g}",
        ) from unavailable


def page_query(
    scope: Scope,
    condition: Condition | None,
    order: Order,
    after: After | None,
    limit: int,
    bytes_max: int,
) -> tuple[str, list[object]]:
    """A page of a table's records in order, and its arguments: those that follow `after`, at most `limit`.

    The first in any case, and the next as long as all their texts together fit into `bytes_max` bytes. The columns are
    those of a StoredRecord, then `order_value`, which After needs, and `followed`: whether there is a record after this
    one. Raises ValueError if the value of `after` is none of this order.
    """
    # The limit is part of the text, where the planner sees it: a plan for any limit is one for a tenth of all.
    arguments = Arguments()
    bytes_placeholder = arguments.add(bytes_max, "bigint")
    found = scope.condition()
    if condition is not None:
        found += f"\n      AND {condition_sql(condition, arguments)}"
    if order.field is Own.KEY:
        source = _found_by_key(found, order, after, limit, arguments)
    else:
        source = _found_by_value(found, order, after, limit, arguments)
    direction = "DESC" if order.descending else "ASC"
    by = f"key {direction}" if order.field is Own.KEY else f"value {direction} NULLS LAST, key {direction}"
    # The text of a moment depends on the session's time zone.
    shown = "(value AT TIME ZONE 'UTC')::text || '+00'" if order.field in _MOMENTS else "value::text"
    # The stored size needs no look at the data itself and is hardly ever more than that of the text: only as many
    # records as seem to fit are fetched, decompressed and made text to be measured. OFFSET 0: made text once, not
    # twice.
    query = f"""{source},
candidate AS (
    SELECT
        {_COLUMNS}, value,
        row_number() OVER page AS number,
        lead(key) OVER page IS NOT NULL AS followed,
        sum(pg_column_size(data)) OVER (page ROWS UNBOUNDED PRECEDING) AS stored_bytes
    FROM found
    WINDOW page AS (ORDER BY {by})
),
measured AS (
    SELECT *, sum(octet_length(text)) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) AS text_bytes
    FROM (
        SELECT *, data::text AS text
        FROM candidate
        WHERE number = 1
           OR number <= {limit:d} AND stored_bytes <= {bytes_placeholder}
        OFFSET 0
    ) AS fetched
)
SELECT key, text AS data, create_time, update_time, writer, {shown} AS order_value, followed
FROM measured
WHERE number = 1
   OR text_bytes <= {bytes_placeholder}
ORDER BY number"""  # noqa: S608 nothing of the callers but quoted names
    return query, arguments.values


def _found_by_key(found: str, order: Order, after: After | None, limit: int, arguments: Arguments) -> str:
    sign, direction = _onward(order)
    if after is not None:
        found += f"\n      AND key {sign} {arguments.add(after.key, 'text')}"
    return f"""WITH found AS (
    SELECT {_COLUMNS}, NULL::text AS value
    FROM record
    WHERE {found}
    ORDER BY key {direction}
    LIMIT {limit + 1:d}
)"""  # noqa: S608 as above


def _found_by_value(found: str, order: Order, after: After | None, limit: int, arguments: Arguments) -> str:
    """The records with a value, and if they are not enough, those without: each an index scan if there is an index.

    NULLS LAST would not do: an index that is read backwards has them first.
    """
    sign, direction = _onward(order)
    value = compared_expression(order.field, order.form)

    def part(condition: str) -> str:
        return f"""(
    SELECT {_COLUMNS}, {value} AS value
    FROM record
    WHERE {found}
      AND {condition}
    ORDER BY {value} {direction}, key {direction}
    LIMIT {limit + 1:d}
)"""  # noqa: S608 as above

    if after is None:
        with_value = f"{value} IS NOT NULL"
    elif after.value is None:
        key_after = arguments.add(after.key, "text")
        return f"WITH found AS {part(f'{value} IS NULL AND key {sign} {key_after}')}"
    else:
        from_there = f"{_order_argument(order, after.value, arguments)}, {arguments.add(after.key, 'text')}"
        with_value = f"({value}, key) {sign} ({from_there})"
    return f"""WITH valued AS MATERIALIZED {part(with_value)},
unvalued AS {part(f"{value} IS NULL AND (SELECT count(*) FROM valued) <= {limit:d}")},
found AS (
    SELECT * FROM valued
    UNION ALL
    SELECT * FROM unvalued
)"""  # noqa: S608 as above


def _onward(order: Order) -> tuple[str, str]:
    return ("<", "DESC") if order.descending else (">", "ASC")


def _order_argument(order: Order, value: str, arguments: Arguments) -> str:
    if order.field in _MOMENTS:
        moment = datetime.fromisoformat(value)
        if moment.utcoffset() != timedelta():
            raise ValueError(f"no moment in UTC to go on from: {value}")
        return arguments.add(moment, "timestamptz")
    if order.form is Form.NUMBER:
        if not _NUMBER.fullmatch(value):
            raise ValueError(f"no number to go on from: {value}")
        return arguments.add(value, "text") + "::numeric"
    return arguments.add(value, "text")
