"""Measures: numbers about the accepted rows of a partition as a whole, and the bounds a contract sets them. Nothing runs.

Some are kept of every load without being asked for; they are the history that expected bands come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

MeasureKind = Literal[
    "row_count", "completeness", "null_rate", "distinct_count", "mean", "quantile", "total", "share_kept", "lag_hours",
    "source_rows", "source_sum", "source_hash",
]  # fmt: skip
SOURCE_KINDS: tuple[MeasureKind, ...] = ("source_rows", "source_sum", "source_hash")
"""Comparisons with what the source states in its control file; `at_most` is how far apart the two may be."""


@dataclass(frozen=True)
class Measure:
    """One number. `column` is what it is about; `at` is the quantile's share. Out of `at_least … at_most` (inclusive)
    the rule of this name is broken: `warn`, or `fail` for a load that must not commit."""

    kind: MeasureKind
    column: str | None = None
    at: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    action: Literal["warn", "fail"] = "warn"

    @property
    def name(self) -> str:
        """`row_count`, `email.completeness`, `amount.quantile_95`."""
        kind = f"quantile_{self.at * 100:g}" if self.at is not None else self.kind
        return f"{self.column}.{kind}" if self.column else kind

    @property
    def expected(self) -> str:
        """The bounds in words."""
        if self.kind in SOURCE_KINDS:
            within = f", within {shown(self.at_most)}" if self.at_most else ""
            return f"{LABELS[self.kind]}{within}"
        low = None if self.at_least is None else f"at least {shown(self.at_least)}"
        high = None if self.at_most is None else f"at most {shown(self.at_most)}"
        return f"{LABELS[self.kind]} {' and '.join(filter(None, (low, high)))}"

    def holds(self, value: float | None) -> bool:
        """Whether a value is within the bounds. One that could not be measured is not."""
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


LABELS: dict[MeasureKind, str] = {
    "row_count": "rows", "completeness": "share of rows with a value", "null_rate": "share of rows without a value",
    "distinct_count": "different values (estimated)", "mean": "mean", "quantile": "quantile", "total": "sum",
    "share_kept": "share of the source's sum that was accepted", "lag_hours": "hours from the newest event to the partition's end",
    "source_rows": "as many rows as the source states", "source_sum": "the sum that the source states",
    "source_hash": "the file whose sha256 the source states",
}  # fmt: skip


def shown(value: float) -> str:
    """A number for people: thousands separated, at most four digits after the point."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4f}".rstrip("0").rstrip(".")


class Bounds(TypedDict, total=False):
    """What a measure must keep; see `Measure`."""

    at_least: float
    at_most: float
    action: Literal["warn", "fail"]


def row_count(**bounds: Unpack[Bounds]) -> Measure:
    """Accepted rows."""
    return Measure("row_count", **bounds)


def completeness(column: str, **bounds: Unpack[Bounds]) -> Measure:
    """Share of accepted rows in which the column has a value, 0 to 1."""
    return Measure("completeness", column, **bounds)


def distinct_count(column: str, **bounds: Unpack[Bounds]) -> Measure:
    """Different values of a column, as the engine estimates them."""
    return Measure("distinct_count", column, **bounds)


def mean(column: str, **bounds: Unpack[Bounds]) -> Measure:
    """Mean of a numeric column, nulls left out."""
    return Measure("mean", column, **bounds)


def quantile(column: str, at: float, **bounds: Unpack[Bounds]) -> Measure:
    """Continuous quantile of a numeric column; `at` is 0 to 1, 0.5 the median."""
    return Measure("quantile", column, at, **bounds)


def total(column: str, **bounds: Unpack[Bounds]) -> Measure:
    """Sum of a numeric column."""
    return Measure("total", column, **bounds)


def share_kept(column: str, **bounds: Unpack[Bounds]) -> Measure:
    """Reconciliation with the source: the column's sum over accepted rows, divided by its sum over accepted and
    quarantined ones, as far as they have a number there."""
    return Measure("share_kept", column, **bounds)


def lag_hours(**bounds: Unpack[Bounds]) -> Measure:
    """Hours from the newest event time to the end of the partition."""
    return Measure("lag_hours", **bounds)


def source_rows(action: Literal["warn", "fail"] = "warn") -> Measure:
    """Reconciliation: the rows accepted, quarantined and merged are as many as the feed's control file states."""
    return Measure("source_rows", action=action)


def source_sum(column: str, *, within: float = 0.0, action: Literal["warn", "fail"] = "warn") -> Measure:
    """Reconciliation: the column's sum over all records of the file, as it came, is what the control file states, or
    not further than `within` from it."""
    return Measure("source_sum", column, at_most=within, action=action)


def source_hash(action: Literal["warn", "fail"] = "warn") -> Measure:
    """Reconciliation: the file that was read has the sha256 that the control file states."""
    return Measure("source_hash", action=action)


@dataclass(frozen=True)
class Threshold:
    """What the number of rows that break a rule means for the load, whatever becomes of the rows: up to `warn_above`
    the check passes, beyond `alert_above` it fails as an error, which alerts, and beyond `fail_above` the load fails. Whole
    numbers are rows, those below 1 a share of the rows read."""

    warn_above: float | None = None
    fail_above: float | None = None
    alert_above: float | None = None

    def passes(self, rows: int, read: int) -> bool:
        """Whether so many of the rows read are no matter."""
        return self.warn_above is not None and rows <= _rows(self.warn_above, read)

    def alerts(self, rows: int, read: int) -> bool:
        """Whether so many of the rows read are worth waking somebody, whatever becomes of the load."""
        return self.alert_above is not None and rows > _rows(self.alert_above, read)

    def fails(self, rows: int, read: int) -> bool:
        """Whether so many of the rows read fail the load."""
        return self.fail_above is not None and rows > _rows(self.fail_above, read)


def _rows(limit: float, read: int) -> float:
    return limit * read if limit < 1 else limit
