"""Laws of screening, for any rows: each row has one fate, the counts add up, and order does not matter."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_platform.contracts.registry import contract
from data_platform.quality.screening import screen

DAY = "2026-01-05"
PRODUCTS = contract("staging.products")
texts = st.sampled_from([None, "", " ", "P000001", "P000002", "P000003", "nonsense", "Ã©clair", "🙂", "O'Neil; --"])
amounts = st.sampled_from(
    [None, "", "1.00", "1.0", "0", "-3", "1,50", "nan", "inf", "1e2", "0.001", "99999999999999999999"]
)
times = st.sampled_from([None, f"{DAY} 10:00:00", f"{DAY} 11:00:00", "2026-01-04 10:00:00", "2026-01-06 00:00:00", "x"])
rows = st.lists(
    st.fixed_dictionaries({"product_id": texts, "product_name": texts, "category": texts, "unit_price": amounts, "updated_at": times}),
    max_size=25,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, st.randoms(use_true_random=False))
def test_every_row_has_one_fate_whatever_it_holds(lake, land, found, random):
    land("products", DAY, found)
    load = screen(lake, PRODUCTS, [DAY], "run")[0].load
    assert load.outcome == "committed", load.error
    assert load.rows_read == len(found) == load.rows_accepted + load.rows_quarantined + load.rows_merged
    with lake.connect() as con:
        kept = con.execute(
            "SELECT count(*), count(DISTINCT product_id), count(DISTINCT _record) FROM lake.staging.products"
        ).fetchone()
        aside = con.execute(
            "SELECT count(*), count(DISTINCT _record), count(*) FILTER (WHERE rules = '') FROM lake.quarantine.products"
        ).fetchone()
        both = con.execute(
            "SELECT count(*) FROM lake.staging.products JOIN lake.quarantine.products USING (_record)"
        ).fetchone()
    assert kept == (load.rows_accepted,) * 3
    assert aside == (load.rows_quarantined, load.rows_quarantined, 0)
    assert both == (0,)

    shuffled = sorted(found, key=lambda _: random.random())
    land("products", DAY, shuffled)
    again = screen(lake, PRODUCTS, [DAY], "again")[0].load
    assert (again.rows_accepted, again.rows_quarantined, again.rows_merged) == (
        load.rows_accepted, load.rows_quarantined, load.rows_merged,
    )  # fmt: skip
