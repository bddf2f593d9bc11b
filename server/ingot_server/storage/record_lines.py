"""Pages of records as the lines of a file.

The lines of small records are put together by PostgreSQL, which costs it half as much as handing over each by itself,
and Python hardly anything. How long they become is bounded by their number and sizes, which cost nothing to look at.
"""

from dataclasses import dataclass

from ingot_server.domain.filters import Condition, Order, Own
from ingot_server.storage.database import Database
from ingot_server.storage.filtering import Arguments, condition_sql
from ingot_server.storage.record_pages import After, Scope, page_query, page_rows

SMALL_BYTES_MAX = 1_000
"""What a small record takes where it is stored. For larger ones it matters less how they are handed over."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A page of records, one a line."""

    text: str
    last: After | None
    """The last record if there are, or may be, more."""


async def record_lines(
    database: Database,
    scope: Scope,
    condition: Condition | None,
    order: Order,
    after: After | None,
    limit: int,
    bytes_max: int,
    *,
    seconds_max: float,
) -> Lines:
    """The lines of the records that meet a condition and follow `after` in the order.

    At most `limit`, and no more than fit into `bytes_max` bytes without the ends of lines; but one in any case. Raises
    FilterTooSlow if a filter or an order takes more than `seconds_max`.
    """
    query, arguments = page_query(scope, condition, order, after, limit, bytes_max)
    # Few columns, because asyncpg makes a value of each; a subquery of this form keeps its order.
    query = f"SELECT data, key, order_value, followed FROM ({query}) AS page"  # noqa: S608 as there
    unbounded = condition is None and order.field is Own.KEY
    rows = await page_rows(database, query, arguments, None if unbounded else seconds_max)
    if not rows:
        return Lines("", None)
    *_, (_, key, value, followed) = rows
    return Lines("".join([f"{row['data']}\n" for row in rows]), After(key, value) if followed else None)


async def record_lines_small(
    database: Database,
    scope: Scope,
    condition: Condition | None,
    after: After | None,
    limit: int,
    *,
    descending: bool,
    seconds_max: float,
) -> Lines | None:
    """The same by key, for half the work; None if one of the next `limit` records is not small."""
    query, arguments = small_lines_query(scope, condition, after, limit, descending=descending)
    [row] = await page_rows(database, query, arguments, None if condition is None else seconds_max)
    if row["large"]:
        return None
    return Lines(row["lines"] or "", After(row["last_key"]) if row["number"] == limit else None)


def small_lines_query(
    scope: Scope, condition: Condition | None, after: After | None, limit: int, *, descending: bool
) -> tuple[str, list[object]]:
    """One row: the lines of the records that follow `after`, the last key, their number, and whether one is large."""
    arguments = Arguments()
    found = scope.condition()
    if condition is not None:
        found += f"\n      AND {condition_sql(condition, arguments)}"
    sign, direction, last = ("<", "DESC", "min") if descending else (">", "ASC", "max")
    if after is not None:
        found += f"\n      AND key {sign} {arguments.add(after.key, 'text')}"
    # A compressed record may be a hundred times as long as what is stored of it. What is large is not made text at all.
    query = f"""SELECT
    string_agg(CASE WHEN NOT large THEN data::text || E'\\n' END, '' ORDER BY key {direction}) AS lines,
    {last}(key) AS last_key,
    count(*) AS number,
    bool_or(large) AS large
FROM (
    SELECT
        key, data,
        pg_column_size(data) > {SMALL_BYTES_MAX:d} OR pg_column_compression(data) IS NOT NULL AS large
    FROM record
    WHERE {found}
    ORDER BY key {direction}
    LIMIT {limit:d}
) AS page"""  # noqa: S608 nothing of the callers but quoted names
    return query, arguments.values
