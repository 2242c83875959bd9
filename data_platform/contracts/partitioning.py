"""How a table is cut into partitions: keys, values and date ranges. No Dagster; `partitions.py` maps these to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from data_platform.errors import UsageError

Grain = Literal["hour", "day", "month", "static"]
Values = Mapping[str, object]

KEY_FORMAT: Mapping[str, str] = {"hour": "%Y-%m-%d-%H:%M", "day": "%Y-%m-%d", "month": "%Y-%m-%d"}
DUCKDB_TYPE: Mapping[str, str] = {"hour": "TIMESTAMP", "day": "DATE", "month": "DATE", "static": "VARCHAR"}


@dataclass(frozen=True)
class Dimension:
    """One partition column. `start` and `end` (exclusive) bound it; `None` leaves them to the platform's settings."""

    column: str
    grain: Grain
    start: date | None = None
    end: date | None = None
    keys: tuple[str, ...] = ()

    @property
    def duckdb_type(self) -> str:
        return DUCKDB_TYPE[self.grain]

    def value(self, key: str) -> object:
        """The typed value of a partition key. Raises `UsageError` for a key that is not of this grain."""
        if self.grain == "static":
            return key
        try:
            moment = datetime.strptime(key, KEY_FORMAT[self.grain])
        except ValueError:
            raise UsageError(
                f"`{key}` is no {self.grain} partition of `{self.column}`: expected {KEY_FORMAT[self.grain]}."
            ) from None
        return moment if self.grain == "hour" else moment.date()

    def key(self, value: object) -> str:
        """The partition key of a typed value."""
        if isinstance(value, date):
            return value.strftime(KEY_FORMAT[self.grain])
        return str(value)

    def window(self, key: str) -> tuple[datetime, datetime]:
        """Start and end (exclusive) of a time partition."""
        start = datetime.strptime(key, KEY_FORMAT[self.grain])
        if self.grain == "hour":
            return start, start + timedelta(hours=1)
        if self.grain == "day":
            return start, start + timedelta(days=1)
        return start, (start.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True)
class Partitioning:
    """The partition columns of a table, none for an unpartitioned one. Multi-partition keys join dimensions with `|`,
    in alphabetical order of the dimension's column, as Dagster joins them."""

    dimensions: tuple[Dimension, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dimension.column for dimension in self.dimensions)

    def values(self, key: str) -> dict[str, object]:
        """Typed partition values of a key, by column; `{}` for an unpartitioned table."""
        if not self.dimensions:
            return {}
        if len(self.dimensions) == 1:
            return {self.dimensions[0].column: self.dimensions[0].value(key)}
        ordered = sorted(self.dimensions, key=lambda dimension: dimension.column)
        parts = key.split("|")
        if len(parts) != len(ordered):
            raise UsageError(
                f"`{key}` is no partition key of {list(self.columns)}: expected {len(ordered)} parts joined by `|`."
            )
        return {dimension.column: dimension.value(part) for dimension, part in zip(ordered, parts, strict=True)}

    def key(self, values: Values) -> str:
        """The partition key of typed values; `` for an unpartitioned table."""
        ordered = sorted(self.dimensions, key=lambda dimension: dimension.column)
        return "|".join(dimension.key(values[dimension.column]) for dimension in ordered)


UNPARTITIONED = Partitioning()


def by(column: str, grain: Grain, *, start: date | None = None, end: date | None = None) -> Partitioning:
    """Partitioned by one time column."""
    return Partitioning((Dimension(column, grain, start, end),))
