"""Expected bands: silent while learning, unmoved by one odd day, aware of weekdays."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.contracts.partitioning import Dimension, Partitioning, by
from data_platform.quality.bands import LEARNING, History, Unusual, band_of

MONDAY = date(2026, 1, 5)


def _history(days: int, weekend: float = 100.0, weekday: float = 1000.0) -> History:
    found = History()
    for number in range(days):
        day = MONDAY + timedelta(days=number)
        rows = weekend if day.weekday() >= 5 else weekday
        found.add(day.isoformat(), {"row_count": rows + number % 3})
    return found


def _judge(history: History, days: int, rows: float) -> list[Unusual] | str:
    return history.judge({"row_count": rows}, (MONDAY + timedelta(days=days)).isoformat())


def test_the_first_days_are_learning_and_say_so() -> None:
    assert (
        _judge(_history(LEARNING - 1), LEARNING - 1, 5) == f"learning: {LEARNING - 1} of {LEARNING} earlier partitions"
    )
    assert _judge(_history(LEARNING), LEARNING, 1000) == []


def test_a_weekend_is_compared_with_weekends_once_there_are_enough() -> None:
    history = _history(70)
    assert _judge(history, 75, 101) == [], "a Saturday like the others"
    (low,) = _judge(history, 70, 101)
    assert isinstance(low, Unusual)
    assert low.basis.startswith("10 of the last 10 Mondays had 9") and (low.measure, low.value) == ("row_count", 101)


def test_what_comes_later_is_no_history_of_an_earlier_day() -> None:
    history = _history(30)
    assert str(_judge(history, 3, 1)).startswith("learning: 3 of")


def test_one_odd_day_does_not_move_the_band() -> None:
    usual = [1000.0 + number % 7 for number in range(20)]
    assert band_of([*usual, 1e9]).high == pytest.approx(band_of(usual).high, rel=0.01)


@given(st.lists(st.floats(0, 1e9), min_size=LEARNING, max_size=40))
def test_the_median_is_within_its_own_band_and_counts_are_never_negative(values: list[float]) -> None:
    band = band_of(values)
    assert 0 <= band.low <= sorted(values)[len(values) // 2] + 1e-3
    assert band.high >= sorted(values)[(len(values) - 1) // 2] - 1e-3


@given(st.lists(st.floats(-1e6, 1e6), min_size=LEARNING, max_size=40), st.floats(0.01, 100))
def test_a_wider_floor_never_makes_a_narrower_band(values: list[float], floor: float) -> None:
    narrow, wide = band_of(values), band_of(values, floor)
    assert wide.low <= narrow.low and wide.high >= narrow.high


def test_months_and_other_keys_are_compared_in_order() -> None:
    months = {f"2025-{number:02}-01": {"row_count": 10.0} for number in range(1, LEARNING + 1)}
    (found,) = History(months, by("month", "month")).judge({"row_count": 100.0}, "2026-01-01")
    assert isinstance(found, Unusual) and found.basis == f"{LEARNING} of the last {LEARNING} months had 5 to 15"


def test_each_value_of_a_static_dimension_has_a_history_of_its_own() -> None:
    both = Partitioning((Dimension("country", "static", keys=("DE", "FR")), Dimension("day", "day")))
    known = {
        f"{country}|2026-01-{day:02}": {"row_count": rows}
        for country, rows in (("DE", 1e5), ("FR", 100.0))
        for day in range(1, 11)
    }
    history = History(known, both)
    assert history.judge({"row_count": 100.0}, "FR|2026-01-11") == []
    assert history.judge({"row_count": 100.0}, "DE|2026-01-11") != []
    assert history.judge({"row_count": 100.0}, "FR|2026-01-01") == f"learning: 0 of {LEARNING} earlier partitions"
