"""Which business days a load changes: those of its rows, and of the rows they refer to."""

from __future__ import annotations

import datetime as dt

from data_platform.contracts.registry import contract
from data_platform.lake.ledger import stale_days
from data_platform.lake.outcomes import LoadRecord
from data_platform.quality.screening import screen

CUSTOMER = {
    "customer_id": "C00000001", "email": "a@x.com", "full_name": "Ann Ox", "country_code": "DE",
    "signed_up_at": "2026-01-01 08:00:00", "updated_at": "2026-01-01 08:00:00",
}  # fmt: skip
ORDER = {
    "order_id": "O0000000001", "customer_id": "C00000001", "status": "paid", "country_code": "DE",
    "total_amount": "9.00", "ordered_at": "2026-01-01 10:00:00",
}  # fmt: skip
REFUND = {
    "payment_id": "T0000000001", "order_id": "O0000000001", "method": "card", "status": "refunded",
    "amount": "9.00", "paid_at": "2026-01-20 10:00:00",
}  # fmt: skip


def test_a_refund_makes_the_day_of_its_order_stale(lake, land):
    for table, key, row in (
        ("customers", "2026-01-01", CUSTOMER), ("orders", "2026-01-01", ORDER), ("payments", "2026-01-20", REFUND),
    ):  # fmt: skip
        if table == "payments":
            lake.commit((), [LoadRecord("marts.fct_orders", "2026-01-01", "mart", "committed")])
        land(table, key, [row])
        (outcome,) = screen(lake, contract(f"staging.{table}"), [key], "run")
        assert outcome.committed, outcome.load.error
    assert outcome.load.business_days == (dt.date(2026, 1, 1), dt.date(2026, 1, 20))
    with lake.connect() as con:
        stale = stale_days(con, "marts.fct_orders", ["staging.orders", "staging.payments"])
    assert dt.date(2026, 1, 1) in stale


def test_a_reload_of_the_same_rows_makes_nothing_stale_and_one_of_other_rows_does(lake, land):
    land("customers", "2026-01-01", [CUSTOMER])
    screen(lake, contract("staging.customers"), ["2026-01-01"], "run")
    for amount, expected in (("9.00", [dt.date(2026, 1, 1)]), ("9.00", []), ("8.00", [dt.date(2026, 1, 1)])):
        land("orders", "2026-01-01", [ORDER | {"total_amount": amount}])
        screen(lake, contract("staging.orders"), ["2026-01-01"], "run")
        with lake.connect() as con:
            assert stale_days(con, "marts.fct_orders", ["staging.orders"]) == expected
        lake.commit((), [LoadRecord("marts.fct_orders", "2026-01-01", "mart", "committed")])


def test_rows_that_refer_to_nothing_touch_their_own_day_alone(lake, land):
    land("customers", "2026-01-01", [CUSTOMER])
    (outcome,) = screen(lake, contract("staging.customers"), ["2026-01-01"], "run")
    assert outcome.load.business_days == (dt.date(2026, 1, 1),)
