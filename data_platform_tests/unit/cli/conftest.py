"""A small lake that the commands can be asked about."""

from __future__ import annotations

import pytest

from data_platform.lake.lake import get_lake, slices_of
from data_platform.lake.ledger import Audit
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.publish import publish
from data_platform.settings import Settings


@pytest.fixture
def loaded(settings: Settings) -> Settings:
    """A day of staging.orders, one that failed, and a published dimension."""
    lake = get_lake()
    lake.ensure_table(None, "staging.orders", {"order_id": "VARCHAR", "arrival_date": "DATE"}, ("arrival_date",))
    lake.ensure_table(None, "marts.dim_products", {"product_id": "VARCHAR"})
    with lake.connect() as con:
        files = lake.stage_many(con, "staging.orders", "SELECT 'O1' AS order_id, DATE '2026-01-01' AS arrival_date")
        load = LoadRecord(
            "staging.orders", "2026-01-01", "run", "committed", rows_read=3, rows_accepted=1, rows_quarantined=2,
            by_rule={"order_id.matches": 2},
        )  # fmt: skip
        lake.commit(slices_of(files), [load])
        failed = LoadRecord("staging.orders", "2026-01-02", "run", "failed", error="`x.csv` is not there.")
        lake.record_failures([failed])
        products = lake.stage(con, "marts.dim_products", "SELECT 'P1' AS product_id")
        assert products is not None
        mart = LoadRecord("marts.dim_products", "", "run", "committed", rows_read=1, rows_accepted=1)
        audit = Audit("marts.dim_products", "", mart.load_id, passed=True)
        lake.commit(slices_of([products]), [mart], [audit])
    publish(lake, ["marts.dim_products"])
    return settings
