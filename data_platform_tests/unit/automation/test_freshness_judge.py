"""The pure judgement: what is expected at a moment, and whether it is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.automation.freshness import expected_start, judge
from data_platform.contracts.partitioning import Dimension, Partitioning, by
from data_platform.contracts.registry import contract
from data_platform.lake.ledger import Load

FIRST = date(2026, 1, 1)
ORDERS = replace(contract("staging.orders"), freshness=timedelta(hours=36))
CUSTOMERS = replace(contract("marts.dim_customers"), freshness=timedelta(hours=36))


def _load(key: str, finished: datetime = datetime(2026, 3, 10, 3)) -> Load:
    return Load(asset="staging.orders", partition_key=key, run_id="r", outcome="committed", finished_at=finished)


def test_a_table_with_yesterdays_partition_is_fresh() -> None:
    verdict = judge(datetime(2026, 3, 10, 11), ORDERS, [_load("2026-03-09")], FIRST)
    assert verdict.ok
    assert verdict.newest == "2026-03-09"
    assert verdict.since is None


def test_the_day_before_yesterday_is_enough_until_it_is_36_hours_old() -> None:
    loads = [_load("2026-03-08")]
    assert judge(datetime(2026, 3, 10, 12), ORDERS, loads, FIRST).ok
    stale = judge(datetime(2026, 3, 10, 12, 0, 1), ORDERS, loads, FIRST)
    assert not stale.ok
    assert stale.expected == "2026-03-09"
    assert stale.newest == "2026-03-08"
    assert stale.since == datetime(2026, 3, 10, 12)


def test_backfilling_an_old_day_just_now_does_not_turn_a_stale_table_green() -> None:
    now = datetime(2026, 3, 10, 13)
    loads = [_load("2026-03-08"), _load("2026-02-01", finished=now)]
    verdict = judge(now, ORDERS, loads, FIRST)
    assert not verdict.ok
    assert verdict.newest == "2026-03-08"


def test_a_table_that_was_never_loaded_is_stale_since_ever() -> None:
    verdict = judge(datetime(2026, 3, 10), ORDERS, [], FIRST)
    assert not verdict.ok
    assert verdict.since is None
    assert "the newest is none" in verdict.said


def test_an_archive_that_nobody_began_to_load_is_no_breach_and_half_an_archive_is() -> None:
    ended = replace(ORDERS, partition=by("arrival_date", "day", start=FIRST, end=date(2026, 2, 1)))
    assert judge(datetime(2026, 3, 10), ended, [], FIRST).ok
    assert not judge(datetime(2026, 2, 2), ended, [], FIRST).ok, "its last rows may still come"
    assert not judge(datetime(2026, 3, 10), ended, [_load("2026-01-05")], FIRST).ok


def test_nothing_is_expected_before_the_first_day_is_due() -> None:
    assert judge(datetime(2026, 1, 2, 11), ORDERS, [], FIRST).ok
    assert not judge(datetime(2026, 1, 2, 13), ORDERS, [], FIRST).ok


def test_a_partition_of_days_to_come_does_not_make_a_table_fresh() -> None:
    assert not judge(datetime(2026, 3, 10, 13), ORDERS, [_load("2027-01-01")], FIRST).ok


def test_a_feed_that_ended_stays_fresh_once_its_last_partition_is_loaded() -> None:
    ended = replace(ORDERS, partition=by("invoice_month", "month", start=date(2009, 12, 1), end=date(2011, 1, 1)))
    assert judge(datetime(2026, 3, 10), ended, [_load("2010-12-01")], FIRST).ok
    missing = judge(datetime(2026, 3, 10), ended, [_load("2010-11-01")], FIRST)
    assert not missing.ok
    assert missing.expected == "2010-12-01"


def test_a_promise_shorter_than_the_grain_expects_the_partition_that_is_over() -> None:
    monthly = replace(ORDERS, partition=by("month", "month"))
    assert judge(datetime(2026, 3, 25), monthly, [_load("2026-02-01")], FIRST).ok
    verdict = judge(datetime(2026, 4, 3), monthly, [_load("2026-02-01")], FIRST)
    assert not verdict.ok
    assert verdict.since == datetime(2026, 4, 1)


def test_an_hourly_table_is_judged_by_hours() -> None:
    hourly = replace(ORDERS, partition=by("hour", "hour"), freshness=timedelta(hours=2))
    assert judge(datetime(2026, 3, 10, 5, 30), hourly, [_load("2026-03-10-03:00")], FIRST).ok
    assert not judge(datetime(2026, 3, 10, 6, 1), hourly, [_load("2026-03-10-03:00")], FIRST).ok


def test_other_dimensions_do_not_count() -> None:
    both = Partitioning((Dimension("day", "day"), Dimension("shop", "static", keys=("a", "b"))))
    multi = replace(ORDERS, partition=both)
    assert judge(datetime(2026, 3, 10, 11), multi, [_load("2026-03-09|a")], FIRST).ok
    assert not judge(datetime(2026, 3, 10, 13), multi, [_load("2026-03-08|b")], FIRST).ok


def test_an_unpartitioned_table_is_judged_by_its_last_load() -> None:
    loads = [_load("", datetime(2026, 3, 9, 1)), _load("", datetime(2026, 3, 8, 1))]
    assert judge(datetime(2026, 3, 10, 13), CUSTOMERS, loads, FIRST).ok
    stale = judge(datetime(2026, 3, 10, 13, 1), CUSTOMERS, loads, FIRST)
    assert not stale.ok
    assert stale.since == datetime(2026, 3, 10, 13)
    assert not judge(datetime(2026, 3, 10), CUSTOMERS, [], FIRST).ok


@pytest.mark.parametrize("grain", ["hour", "day", "month"])
@given(
    minutes=st.integers(0, 120 * 24 * 60), allowed=st.integers(1, 60 * 24 * 60), ends=st.none() | st.integers(1, 150)
)  # fmt: skip
def test_what_is_expected_agrees_with_walking_over_all_partitions(
    grain: str, minutes: int, allowed: int, ends: int | None
) -> None:
    """The oracle takes the definition word by word: of the partitions that are over, the oldest that is young enough;
    when none is, the newest."""
    now = datetime(2026, 1, 1) + timedelta(minutes=minutes)
    end = (date(2026, 1, 1) + timedelta(days=ends)).replace(day=1) if ends else None
    if end is not None and end <= FIRST:
        end = date(2026, 2, 1)
    dimension = Dimension("at", grain, end=end)  # type: ignore[arg-type]
    over, start = list[tuple[datetime, datetime]](), datetime(2026, 1, 1)
    while True:
        key = dimension.key(start if grain == "hour" else start.date())
        _, stop = dimension.window(key)
        if stop > now or (end is not None and start.date() >= end):
            break
        over.append((start, stop))
        start = stop
    young = [start for start, stop in over if now - stop <= timedelta(minutes=allowed)]
    due = young[0] if young else over[-1][0] if over else None
    # Until a partition before the first one would be too old, nothing is due.
    if now - datetime(2026, 1, 1) <= timedelta(minutes=allowed):
        due = None
    assert expected_start(now, dimension, timedelta(minutes=allowed), FIRST) == due
