"""Which partition a record of a split feed belongs to, as SQL over the raw text. One file, many partitions."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from data_platform.contracts.partitioning import Dimension, Partitioning
from data_platform.errors import ContractError
from data_platform.lake.sql import ident, text, texts
from data_platform.sources.declare import Feed


def partition_sql(feed: Feed, partitioning: Partitioning, start: date) -> tuple[str, str]:
    """The partition column of a split feed's table and the expression of a record's value. `start` is the first day of a
    table that states none. A record without a value, or with one outside the table's range, belongs to the first
    partition, so that every record of the file is in exactly one. Raises `ContractError` when the feed is not split or
    the table has not one partition column."""
    if feed.split_by is None or len(partitioning.dimensions) != 1:
        raise ContractError(f"The feed of `{feed.contract}` can only be split over one partition column.")
    dimension = partitioning.dimensions[0]
    column = f"trim({ident(feed.split_by)})"
    if dimension.grain == "static":
        known = ", ".join(text(key) for key in dimension.keys)
        return dimension.column, f"CASE WHEN {column} IN ({known}) THEN {column} ELSE {text(dimension.keys[0])} END"
    parsed = (
        f"try_strptime({column}, {texts(feed.split_format)})"
        if feed.split_format
        else f"try_cast({column} AS TIMESTAMP)"
    )
    first, last = _bounds(dimension, start)
    kind = dimension.duckdb_type
    moment = f"date_trunc('{dimension.grain}', {parsed})"
    inside = f"{parsed} >= {text(str(first))}::TIMESTAMP AND {parsed} < {text(str(last))}::TIMESTAMP"
    return dimension.column, f"CASE WHEN {inside} THEN {moment}::{kind} ELSE {text(str(first))}::TIMESTAMP::{kind} END"


def _bounds(dimension: Dimension, start: date) -> tuple[datetime, datetime]:
    """Begin of the first partition and end of the last; an open range ends with the partition that is running."""
    first = datetime.combine(dimension.start or start, time.min)
    if dimension.grain == "month":
        first = first.replace(day=1)
    if dimension.end is not None:
        return first, datetime.combine(dimension.end, time.min)
    now = datetime.now(UTC).replace(tzinfo=None)
    return first, max(first + timedelta(hours=1), dimension.window(dimension.key(now))[1])
