"""A real shop's year, from one file to published revenue; and a small file of our own with the same kinds of dirt.

The real file is not part of the project: `ONLINE_RETAIL_FILE` names it, and without it those tests are skipped.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_platform.assets.dbt_build import build_marts
from data_platform.cli.land import land_file
from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.lake.outcomes import Outcome
from data_platform.lake.publish import publish
from data_platform.quality.screening import screen
from data_platform.settings import Settings, load_settings
from data_platform.sources.load import load_raw
from data_platform.sources.registry import feed_of

FILE_VARIABLE = "ONLINE_RETAIL_FILE"
REAL_FILE = os.environ.get(FILE_VARIABLE)
MONTHS = ["2009-12-01", *(f"2010-{month:02}-01" for month in range(1, 13))]
MART = "marts.online_retail_revenue"
LINES = """
    ('489434', '85048', 'BALL LIGHTS', 12, '2009-12-01 07:45:00', 6.95, 13085.0, 'United Kingdom'),
    ('489434', '85048', 'BALL LIGHTS', 12, '2009-12-01 07:45:00', 6.95, 13085.0, 'United Kingdom'),
    ('489434', '22041', 'RECORD FRAME', 48, '2009-12-01 07:45:00', 2.1, NULL, 'United Kingdom'),
    ('489434', '22041', 'RECORD FRAME', 48, '2009-12-01 07:45:00', 2.1, NULL, 'United Kingdom'),
    ('489435', '22041', ' RECORD FRAME ', 3, '2009-12-31 23:59:00', 0.125, 13085.0, 'EIRE'),
    ('C489449', '22087', 'PAPER BUNTING', -12, '2010-01-04 10:00:00', 2.95, 16321.0, 'Australia'),
    ('C496350', 'M', 'Manual', 1, '2010-02-01 08:24:00', 373.57, NULL, 'United Kingdom'),
    ('A506401', 'B', 'Adjust bad debt', 1, '2010-04-29 13:36:00', -53594.36, NULL, 'United Kingdom'),
    ('489464', '21733', NULL, -96, '2010-01-04 10:01:00', 0.0, NULL, 'United Kingdom'),
    ('489465', 'POST', 'POSTAGE', 1, '2010-01-04 10:02:00', 18.0, 12682.0, 'Unspecified'),
    ('489466', '21733', 'CANDLE', 1, '2010-12-09 20:01:00', 0.0, 12682.0, 'France'),
    ('no number', '21733', 'CANDLE', 1, '2010-01-04 10:03:00', 1.0, 12682.0, 'France'),
    ('489467', '21733', 'CANDLE', 0, '2010-01-04 10:04:00', 1.0, 12682.0, 'France'),
    ('489468', '21733', 'CANDLE', 1, '2010-01-04 10:05:00', 1.0005, 12682.0, 'France'),
    ('489469', '21733', 'CANDLE', 1, 'some day', 1.0, 12682.0, 'France'),
    ('489470', '21733', 'CANDLE', 1, '2012-01-01 00:00:00', 1.0, 12682.5, NULL)
"""


class Year:
    """A lake that was given one file of invoices, and what became of its lines."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.lake = Lake(settings)
        feed = feed_of("online_retail")
        land_file(settings, file, feed, None)
        self.raw = load_raw(self.lake, feed, MONTHS, "run")
        self.staging = screen(self.lake, contract(feed.contract), MONTHS, "run")
        self.marts = build_marts(self.lake, [contract(MART)], MONTHS, "run")[MART]
        publish(self.lake, [MART], "run")

    def one(self, sql: str) -> tuple[Any, ...]:
        return self.all(sql)[0]

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        con = self.lake.connect(read_only=True)
        try:
            return con.execute(sql).fetchall()
        finally:
            con.close()


def total(outcomes: Sequence[Outcome], field: str) -> int:
    assert all(outcome.committed for outcome in outcomes), [outcome.load.error for outcome in outcomes]
    return sum(getattr(outcome.load, field) for outcome in outcomes)


def by_rule(outcomes: Sequence[Outcome]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for outcome in outcomes:
        found.update(outcome.load.by_rule)
    return dict(found)


@pytest.fixture(scope="module")
def small_year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    folder = tmp_path_factory.mktemp("small")
    file = folder / "invoices.parquet"
    names = '"Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"'
    duckdb.execute(
        f'COPY (SELECT * REPLACE ("Quantity"::BIGINT AS "Quantity", "Price"::DOUBLE AS "Price", "Customer ID"::DOUBLE AS "Customer ID") '
        f"FROM (VALUES {LINES}) AS lines ({names})) TO '{file}' (FORMAT parquet)"
    )
    return Year(load_settings(home=folder / "platform"), file)


def test_every_line_of_a_small_year_has_one_fate(small_year: Year) -> None:
    assert total(small_year.raw, "rows_read") == total(small_year.staging, "rows_read") == 16
    assert [total(small_year.staging, f"rows_{fate}") for fate in ("accepted", "quarantined", "merged")] == [9, 5, 2]


def test_each_kind_of_dirt_meets_its_rule(small_year: Year) -> None:
    assert by_rule(small_year.staging) == {
        "invoice.matches": 1, "quantity.ne": 1, "unit_price.cast": 1, "invoiced_at.cast": 1, "customer_id.cast": 1,
        "country.not_null": 1, "invoiced_at.future": 1, "stock_code.matches": 3, "unit_price.ge": 1, "unit_price.ne": 2,
        "country.notin": 1, "customer_known": 5, "description_present": 1, "only_cancellations_take_back": 1,
        "cancellations_take_back": 1, "no_cancellation": 2,
    }  # fmt: skip


def test_a_customer_number_that_came_as_a_float_is_an_integer(small_year: Year) -> None:
    raw = small_year.one('SELECT DISTINCT "Customer ID" FROM lake.raw.online_retail WHERE "Invoice" = \'C489449\'')
    staged = small_year.one("SELECT customer_id FROM lake.staging.online_retail WHERE invoice = 'C489449'")
    assert (raw, staged) == (("16321.0",), (16321,))


def test_small_revenue_adds_up_to_the_thousandth(small_year: Year) -> None:
    found = small_year.all(
        "SELECT strftime(revenue_date, '%m-%d'), country, line_count, gross_amount, sales_amount, returns_amount, adjustments_amount "
        "FROM lake.published.online_retail_revenue ORDER BY revenue_date, country"
    )
    amounts = [(*row[:3], *(str(amount) for amount in row[3:])) for row in found]
    assert amounts == [
        ("12-01", "United Kingdom", 2, "184.200", "184.200", "0.000", "0.000"),
        ("12-31", "EIRE", 1, "0.375", "0.375", "0.000", "0.000"),
        ("01-04", "Australia", 1, "-35.400", "0.000", "-35.400", "0.000"),
        ("01-04", "United Kingdom", 1, "0.000", "0.000", "0.000", "0.000"),
        ("01-04", "Unspecified", 1, "18.000", "18.000", "0.000", "0.000"),
        ("02-01", "United Kingdom", 1, "373.570", "373.570", "0.000", "0.000"),
        ("04-29", "United Kingdom", 1, "-53594.360", "0.000", "0.000", "-53594.360"),
        ("12-09", "France", 1, "0.000", "0.000", "0.000", "0.000"),
    ]


@pytest.fixture(scope="module")
def real_year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    if not REAL_FILE:
        pytest.skip(f"{FILE_VARIABLE} is not set: the real year of invoices is not tested")
    return Year(load_settings(home=tmp_path_factory.mktemp("real") / "platform"), Path(REAL_FILE))


def test_the_real_year_is_read_merged_and_kept_whole(real_year: Year) -> None:
    assert total(real_year.raw, "rows_read") == total(real_year.staging, "rows_read") == 525_461
    fates = [total(real_year.staging, f"rows_{fate}") for fate in ("accepted", "quarantined", "merged")]
    assert fates == [518_596, 0, 6_865]


def test_the_dirt_of_the_real_year_meets_its_rules(real_year: Year) -> None:
    found = by_rule(real_year.staging)
    assert found["customer_known"] == 107_927
    assert found["no_cancellation"] == 10_206
    assert found["unit_price.ge"] == 3
    assert found["unit_price.ne"] == 3_687
    assert found["description_present"] == 2_928
    negative = real_year.one('SELECT count(*) FROM lake.raw.online_retail WHERE "Quantity"::INTEGER < 0')[0]
    taken_back = found["no_cancellation"] - found["cancellations_take_back"]
    assert negative == 12_326 == taken_back + found["only_cancellations_take_back"]


def test_real_revenue_reconciles_with_the_file_by_named_differences(real_year: Year) -> None:
    as_it_came = 'sum("Quantity"::DECIMAL(18, 0) * "Price"::DECIMAL(18, 3))'
    came, came_above_zero = real_year.one(
        f'SELECT {as_it_came}, {as_it_came} FILTER ("Quantity"::DECIMAL > 0 AND "Price"::DECIMAL(18, 3) > 0) FROM lake.raw.online_retail'
    )
    gross, sales, returns, adjustments = real_year.one(
        "SELECT sum(gross_amount), sum(sales_amount), sum(returns_amount), sum(adjustments_amount) FROM lake.published.online_retail_revenue"
    )
    merged, merged_above_zero = real_year.one(
        "SELECT sum(copies * amount), sum(copies * amount) FILTER (is_sale) FROM (SELECT count(*) - 1 AS copies, "
        'any_value("Quantity"::DECIMAL(18, 0) * "Price"::DECIMAL(18, 3)) AS amount, '
        'any_value("Quantity"::DECIMAL > 0 AND "Price"::DECIMAL(18, 3) > 0) AS is_sale FROM lake.raw.online_retail '
        'GROUP BY "Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")'
    )
    assert (came, came_above_zero) == (Decimal("9539484.634"), Decimal("10306265.594"))
    assert (gross, sales) == (Decimal("9505775.564"), Decimal("10272136.234"))
    assert gross == came - merged
    assert sales == came_above_zero - merged_above_zero
    assert gross == sales + returns + adjustments
    assert adjustments == Decimal("-136552.020")
    days = real_year.one(
        "SELECT count(DISTINCT revenue_date), min(revenue_date)::VARCHAR, max(revenue_date)::VARCHAR FROM lake.published.online_retail_revenue"
    )
    assert days == (307, "2009-12-01", "2010-12-09")
