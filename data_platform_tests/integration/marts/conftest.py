"""A shop of three orders in `staging.*`, written by the lake's own commit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data_platform.assets.dbt_build import build_marts
from data_platform.assets.dbt_runner import manifest_path
from data_platform.contracts.registry import contract, contracts
from data_platform.lake.lake import Lake, Slice, get_lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.settings import get_settings, load_settings

Row = dict[str, Any]
Put = Callable[[str, str, Sequence[Row]], None]
UPDATED = {"updated_at": "2026-01-01 08:00:00"}
CREATED = {"signed_up_at": "2026-01-01 08:00:00", **UPDATED}
SHOP: dict[str, dict[str, list[Row]]] = {
    "staging.customers": {
        "2026-01-01": [{"customer_id": "C00000001", "email": "a@x.com", "full_name": "Ann", "country_code": "DE", **CREATED}],
        "2026-01-02": [{"customer_id": "C00000002", "email": "b@x.com", "full_name": "Bo", "country_code": "US", **CREATED}],
    },
    "staging.products": {
        "2026-01-01": [{"product_id": "P000001", "product_name": "Cup", "category": "home", "unit_price": "2.50", **UPDATED}],
    },
    "staging.orders": {
        "2026-01-01": [
            {"order_id": "O0000000001", "customer_id": "C00000001", "status": "paid", "country_code": "DE",
             "total_amount": "7.50", "ordered_at": "2026-01-01 10:00:00"},
        ],
        "2026-01-02": [
            {"order_id": "O0000000002", "customer_id": "C00000001", "status": "cancelled", "country_code": "DE",
             "total_amount": "2.50", "ordered_at": "2026-01-01 11:00:00"},
            {"order_id": "O0000000003", "customer_id": "C00000002", "status": "paid", "country_code": "US",
             "total_amount": "5.00", "ordered_at": "2026-01-02 10:00:00"},
        ],
    },
    "staging.order_items": {
        "2026-01-01": [
            {"order_id": "O0000000001", "line_number": 1, "product_id": "P000001", "quantity": 3, "unit_price": "2.50",
             "ordered_at": "2026-01-01 10:00:00"},
        ],
        "2026-01-02": [
            {"order_id": "O0000000002", "line_number": 1, "product_id": "P000001", "quantity": 1, "unit_price": "2.50",
             "ordered_at": "2026-01-01 11:00:00"},
            {"order_id": "O0000000003", "line_number": 1, "product_id": "P000001", "quantity": 2, "unit_price": "2.50",
             "ordered_at": "2026-01-02 10:00:00"},
        ],
    },
    "staging.payments": {
        "2026-01-01": [
            {"payment_id": "T0000000001", "order_id": "O0000000001", "method": "card", "status": "captured",
             "amount": "7.50", "paid_at": "2026-01-01 10:01:00"},
        ],
        "2026-01-02": [
            {"payment_id": "T0000000002", "order_id": "O0000000001", "method": "card", "status": "refunded",
             "amount": "2.50", "paid_at": "2026-01-02 09:00:00"},
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def parsed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the dbt project is parsed: 4 s that each test would pay again."""
    home = tmp_path_factory.mktemp("parsed") / "platform"
    manifest_path(load_settings(home=home))
    return home


@pytest.fixture(scope="session")
def shop_home(parsed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose lake has the shop's rows in staging and its dimensions built."""
    home = tmp_path_factory.mktemp("shop") / "platform"
    shutil.copytree(parsed_home, home)
    lake = Lake(load_settings(home=home))
    for stated in contracts("staging"):
        columns = {column.name: column.duckdb_type for column in stated.columns.values()}
        origin = {"_file": "VARCHAR", "_file_hash": "VARCHAR", "_record": "BIGINT", "_flags": "VARCHAR"}
        parts = {dimension.column: dimension.duckdb_type for dimension in stated.partition.dimensions}
        lake.ensure_table(None, stated.name, {**columns, **origin, **parts}, partition_by=tuple(parts))
    for table, days in SHOP.items():
        for day, rows in days.items():
            put_rows(lake, table, day, rows)
    dimensions = [contract(f"marts.{table}") for table in ("dim_customers", "dim_products", "dim_dates")]
    found = build_marts(lake, dimensions, [""], "setup")
    assert all(outcome.committed for outcomes in found.values() for outcome in outcomes)
    lake.close()
    return home


@pytest.fixture
def shop(home: Path, shop_home: Path) -> Lake:
    """A lake of this test's own with the shop in it: a copy, as a lake may be moved."""
    shutil.copytree(shop_home, home)
    get_settings.cache_clear()
    return get_lake()


@pytest.fixture
def put(shop: Lake) -> Put:
    """Replaces the rows of one arrival day of a staging table."""
    return lambda table, day, rows: put_rows(shop, table, day, rows)


def put_rows(lake: Lake, table: str, day: str, rows: Sequence[Row]) -> None:
    partition = {"arrival_date": date.fromisoformat(day)}
    selects = [
        "SELECT " + ", ".join(f"{value!r} AS {name}" for name, value in row.items()) + f", {number} AS _record"
        for number, row in enumerate(rows, 1)
    ]
    con = lake.connect()
    file = lake.stage(con, table, " UNION ALL BY NAME ".join(selects), partition) if rows else None
    con.close()
    moment = contract(table).business_time
    days = tuple(date.fromisoformat(str(row[moment])[:10]) for row in rows) if moment else ()
    load = LoadRecord(table, day, "put", "committed", rows_read=len(rows), rows_accepted=len(rows), business_days=days)
    lake.commit([Slice(table, partition, (file,) if file else ())], [load])
