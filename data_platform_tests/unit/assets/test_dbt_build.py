"""Windows of partition keys."""

from __future__ import annotations

from datetime import date

import pytest

from data_platform.assets.dbt_build import spans
from data_platform.contracts.partitioning import UNPARTITIONED, Dimension, Partitioning, by
from data_platform.errors import ContractError


def test_days_in_a_row_are_one_window_that_ends_before_the_next_day() -> None:
    (span,) = spans(by("order_date", "day"), ["2026-02-28", "2026-03-01", "2026-02-27"])
    assert span.keys == ("2026-02-27", "2026-02-28", "2026-03-01")
    assert span.window == (date(2026, 2, 27), date(2026, 3, 2))


def test_a_gap_makes_two_windows() -> None:
    found = spans(by("order_date", "day"), ["2026-01-01", "2026-01-03"])
    assert [span.window for span in found] == [
        (date(2026, 1, 1), date(2026, 1, 2)), (date(2026, 1, 3), date(2026, 1, 4)),
    ]  # fmt: skip


def test_months_are_windows_of_their_days() -> None:
    (span,) = spans(by("month", "month"), ["2025-12-01", "2026-01-01"])
    assert span.window == (date(2025, 12, 1), date(2026, 2, 1))


def test_an_unpartitioned_mart_has_no_window() -> None:
    (span,) = spans(UNPARTITIONED, [""])
    assert span.keys == ("",)
    assert span.window is None


@pytest.mark.parametrize(
    "partitioning",
    [by("hour_at", "hour"), Partitioning((Dimension("day", "day"), Dimension("country", "static", keys=("DE",))))],
    ids=["hours", "two dimensions"],
)
def test_other_partitionings_are_refused(partitioning: Partitioning) -> None:
    with pytest.raises(ContractError, match="by day or month"):
        spans(partitioning, ["2026-01-01-00:00"])
