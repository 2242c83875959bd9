"""Scores and segments of customers."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pandas as pd
import pytest

from data_platform.assets.customer_segments import SEGMENTS, quintiles, segments

NEWEST = dt.date(2026, 3, 31)


def _customers(*rows: tuple[str, int, int, str]) -> pd.DataFrame:
    """Name, days since the last order, orders, amount."""
    records = [(name, NEWEST - dt.timedelta(days=ago), count, Decimal(amount)) for name, ago, count, amount in rows]
    return pd.DataFrame(records, columns=["customer_id", "last_order_date", "order_count", "gross_amount"])


def test_quintiles_cut_different_values_into_five_equal_parts() -> None:
    assert quintiles(pd.Series(range(10))).tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_equal_values_share_one_score() -> None:
    assert quintiles(pd.Series([7, 7, 7, 7])).tolist() == [3, 3, 3, 3]
    assert quintiles(pd.Series([1, 1, 1, 9, 9])).tolist() == [2, 2, 2, 5, 5]
    assert quintiles(pd.Series([4])).tolist() == [3]


def test_scores_do_not_depend_on_the_order_of_the_rows() -> None:
    customers = _customers(*((f"C{n:02}", n % 7, 1 + n % 3, f"{n % 5}.10") for n in range(40)))
    shuffled = customers.sample(frac=1, random_state=7)
    pd.testing.assert_frame_equal(segments(customers, NEWEST), segments(shuffled, NEWEST))


def test_the_best_customer_is_a_champion_and_the_worst_is_lost() -> None:
    found = segments(_customers(*((f"C{n}", 50 - n * 10, 1 + n, f"{n * 100}.05") for n in range(5))), NEWEST)
    assert found["segment"].tolist() == ["lost", "lost", "loyal", "champions", "champions"]
    assert found["recency_days"].tolist() == [50, 40, 30, 20, 10]
    assert found["monetary_score"].tolist() == [1, 2, 3, 4, 5]


def test_a_good_customer_who_stays_away_is_at_risk_and_a_new_one_is_promising() -> None:
    rows = [("away", 90, 9, "900"), ("new", 0, 1, "5"), *((f"mid{n}", 30, 3, "100") for n in range(3))]
    found = segments(_customers(*rows), NEWEST).set_index("customer_id")
    assert found.loc["away", "segment"] == "at_risk"
    assert found.loc["new", "segment"] == "promising"


@pytest.mark.parametrize("customers", [_customers(), _customers(("C1", 0, 1, "1.00"))], ids=["none", "one"])
def test_the_frame_has_the_columns_of_the_contract_in_any_case(customers: pd.DataFrame) -> None:
    found = segments(customers, NEWEST if len(customers) else None)
    assert list(found) == list(SEGMENTS.columns)
    assert len(found) == len(customers)
