"""Marts from staging rows to committed partitions, through real dbt, the real audit and a real lake."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data_platform.assets import dbt_build
from data_platform.assets.dbt_build import build_marts
from data_platform.assets.dbt_runner import DBT_DIR, built
from data_platform.contracts.registry import contract
from data_platform.lake import retrying, staging
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import stale_days
from data_platform.lake.outcomes import Outcome
from data_platform.quality.audit import build_mart
from data_platform.settings import load_settings

DAYS = ["2026-01-01", "2026-01-02"]
FACTS = ["marts.fct_orders", "marts.fct_order_items", "marts.fct_payments", "marts.daily_revenue"]


@pytest.fixture(scope="module")
def broken_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with three mistakes: a column that does not exist, a sum that is a HUGEINT, a column too many."""
    project = tmp_path_factory.mktemp("broken") / "dbt"
    shutil.copytree(DBT_DIR, project, ignore=shutil.ignore_patterns("target", "logs"))
    for name, right, wrong in (
        ("fct_orders", "orders.status,", "orders.no_such_column,"),
        ("dim_dates", " year(date_day) as", " sum(year(date_day)) over () as"),
        ("dim_products", "    updated_at\n", "    updated_at,\n    1 as extra\n"),
    ):
        model = project / f"models/marts/{name}.sql"
        assert right in model.read_text()
        model.write_text(model.read_text().replace(right, wrong))
    return project


def _payments(folder: Path, right: str, wrong: str) -> Path:
    """The project with another `fct_payments`."""
    shutil.copytree(DBT_DIR, folder, ignore=shutil.ignore_patterns("target", "logs"))
    model = folder / "models/marts/fct_payments.sql"
    assert right in model.read_text()
    model.write_text(model.read_text().replace(right, wrong))
    return folder


def _build(lake: Lake, tables: Sequence[str], keys: Sequence[str], **options: Any) -> dict[str, list[Outcome]]:
    return build_marts(lake, [contract(table) for table in tables], keys, "run", **options)


def _rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    con = lake.connect()
    try:
        return con.execute(sql).fetchall()
    finally:
        con.close()


def _keys(outcomes: Sequence[Outcome], *, committed: bool) -> list[str]:
    return [outcome.partition_key for outcome in outcomes if outcome.committed is committed]


def test_a_business_day_is_built_from_every_arrival_day_and_rebuilt_when_late_rows_come(shop: Lake, put: Any) -> None:
    found = _build(shop, FACTS, DAYS)
    assert {name: _keys(outcomes, committed=True) for name, outcomes in found.items()} == dict.fromkeys(found, DAYS)
    assert set(found) == set(FACTS)
    assert _rows(shop, "SELECT * FROM lake.marts.daily_revenue ORDER BY ALL") == [
        (_day(1), "DE", 2, 1, 1, Decimal("7.50"), Decimal("5.00")),
        (_day(2), "US", 1, 1, 0, Decimal("5.00"), Decimal("0.00")),
    ]
    late = {"customer_id": "C00000002", "status": "paid", "total_amount": "0.00"}
    put("staging.orders", "2026-01-05", [
        {"order_id": "O0000000004", "country_code": "DE", "ordered_at": "2026-01-01 23:00:00", **late},
    ])  # fmt: skip
    _build(shop, FACTS, DAYS[:1])
    assert _rows(shop, "SELECT order_count FROM lake.marts.daily_revenue ORDER BY revenue_date") == [(3,), (1,)]


def test_rows_that_arrive_while_a_mart_is_built_are_in_it(
    shop: Lake, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, arrivals = dbt_build.build_mart, iter([True])

    def slow(*given: Any) -> list[Outcome]:
        if next(arrivals, False):  # after dbt has read staging, before the first commit
            put("staging.payments", "2026-01-06", [
                {"payment_id": "T0000000009", "order_id": "O0000000003", "method": "card", "status": "captured",
                 "amount": "5.00", "paid_at": "2026-01-02 10:00:00"},
            ])  # fmt: skip
        return real(*given)

    monkeypatch.setattr(dbt_build, "build_mart", slow)
    found = _build(shop, ["marts.fct_payments"], DAYS)
    assert _keys(found["marts.fct_payments"], committed=True) == DAYS
    assert _rows(shop, "SELECT count(*) FROM lake.marts.fct_payments WHERE payment_id = 'T0000000009'") == [(1,)]
    loads = (
        "SELECT partition_key, count(*) FROM lake.ops.loads WHERE asset = 'marts.fct_payments' GROUP BY 1 ORDER BY 1"
    )
    assert _rows(shop, loads) == [("2026-01-01", 1), ("2026-01-02", 2)]


@pytest.mark.slow
@pytest.mark.long
def test_one_mart_alone_is_built_from_what_is_committed_of_the_others(shop: Lake) -> None:
    _build(shop, ["marts.fct_orders"], DAYS)
    found = _build(shop, ["marts.daily_revenue"], DAYS)
    assert list(found) == ["marts.daily_revenue"]
    assert _rows(shop, "SELECT sum(order_count)::INT FROM lake.marts.daily_revenue") == [(3,)]


def test_a_day_that_fails_its_audit_keeps_its_old_rows_and_so_does_what_is_built_from_it(shop: Lake, put: Any) -> None:
    _build(shop, FACTS, DAYS)
    before = _rows(shop, "SELECT * FROM lake.marts.daily_revenue ORDER BY ALL")
    stranger = {"order_id": "O0000000009", "customer_id": "C99999999", "status": "paid", "country_code": "DE"}
    put("staging.orders", "2026-01-03", [{**stranger, "total_amount": "1.00", "ordered_at": "2026-01-01 12:00:00"}])
    found = _build(shop, FACTS, DAYS)
    assert _keys(found["marts.fct_orders"], committed=False) == ["2026-01-01"]
    assert _keys(found["marts.daily_revenue"], committed=False) == ["2026-01-01"]
    assert _keys(found["marts.fct_payments"], committed=False) == []
    assert _rows(shop, "SELECT * FROM lake.marts.daily_revenue ORDER BY ALL") == before
    assert _rows(shop, "SELECT order_id FROM lake.failed.fct_orders WHERE _failed_rules <> ''") == [("O0000000009",)]


def test_the_rows_that_pass_are_written_once_and_a_model_without_rows_empties_its_days(
    shop: Lake, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, stage = list[str](), staging.stage_many

    def watched(con: Any, data_path: Path, table: Any, *rest: Any) -> Any:
        written.append(str(table))
        return stage(con, data_path, table, *rest)

    monkeypatch.setattr(staging, "stage_many", watched)
    _build(shop, FACTS, DAYS)
    assert not [table for table in written if table.startswith("marts.")]
    assert _rows(shop, "SELECT count(*) FROM lake.marts.fct_payments") == [(2,)]
    for arrival in ("2026-01-01", "2026-01-02"):
        put("staging.payments", arrival, [])
    found = _build(shop, ["marts.fct_payments"], DAYS)
    assert _keys(found["marts.fct_payments"], committed=True) == DAYS
    assert _rows(shop, "SELECT count(*) FROM lake.marts.fct_payments") == [(0,)]


@pytest.mark.parametrize("name", ["a [1] home", "it's *one*"])
def test_a_home_whose_name_has_signs_of_patterns_is_a_home_like_others(
    shop_home: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(shop_home, tmp_path / name)
    lake = Lake(load_settings(home=tmp_path / name))
    found = _build(lake, FACTS, DAYS)
    assert {table: [outcome.load.rows_accepted for outcome in outcomes] for table, outcomes in found.items()} == {
        "marts.fct_orders": [2, 1], "marts.fct_order_items": [2, 1], "marts.fct_payments": [1, 1],
        "marts.daily_revenue": [1, 1],
    }  # fmt: skip
    lake.close()


@pytest.mark.slow
@pytest.mark.long
def test_a_line_whose_order_is_gone_fails_its_day_and_is_not_lost(shop: Lake, put: Any) -> None:
    put("staging.orders", "2026-01-01", [])
    found = _build(shop, ["marts.fct_order_items"], DAYS)
    assert _keys(found["marts.fct_order_items"], committed=False) == ["2026-01-01"]
    assert "customer_id.not_null" in found["marts.fct_order_items"][0].load.error


def test_days_with_a_gap_between_them_are_built_apart_and_nothing_else_is(shop: Lake, put: Any) -> None:
    put("staging.payments", "2026-01-04", [
        {"payment_id": "T0000000009", "order_id": "O0000000003", "method": "card", "status": "captured",
         "amount": "5.00", "paid_at": "2026-01-04 10:00:00"},
    ])  # fmt: skip
    found = _build(shop, ["marts.fct_payments"], ["2026-01-04", "2026-01-01"])
    assert _keys(found["marts.fct_payments"], committed=True) == ["2026-01-01", "2026-01-04"]
    assert _rows(shop, "SELECT payment_date FROM lake.marts.fct_payments ORDER BY 1") == [(_day(1),), (_day(4),)]


def test_a_build_reads_one_version_of_the_lake_and_a_load_after_it_makes_the_day_stale(shop: Lake, put: Any) -> None:
    payments = contract("marts.fct_payments")
    (version,) = _rows(shop, "FROM ducklake_current_snapshot('lake')")[0]
    put("staging.payments", "2026-01-02", [])
    window = {"window_start": "2026-01-01", "window_end": "2026-01-03", "calendar_start": "2026-01-01"}
    with built(shop.settings, ["fct_payments"], window, version=version) as candidates, shop.connect() as con:
        con.execute(f"ATTACH '{candidates.path}' AS candidate_file (READ_ONLY)")
        relation = "candidate_file.main.fct_payments"
        assert con.execute(f"SELECT count(*) FROM {relation}").fetchone() == (2,)
        outcomes = build_mart(shop, payments, con, relation, ["2026-01-01", "2026-01-02"], "run", built_from=version)
        con.execute("DETACH candidate_file")
        assert all(outcome.committed for outcome in outcomes)
        stale = stale_days(con, payments.name, ["staging.payments"])
    assert stale == [_day(2)], "committed after the load, but read before it"


def test_a_model_whose_sql_fails_names_itself_and_its_cause_and_stops_only_its_readers(
    shop: Lake, broken_project: Path
) -> None:
    found = _build(shop, FACTS, DAYS, dbt_dir=broken_project)
    assert _keys(found["marts.fct_payments"], committed=True) == DAYS
    assert _keys(found["marts.daily_revenue"], committed=False) == DAYS
    error = found["marts.fct_orders"][0].load.error
    assert "`fct_orders`" in error
    assert "no_such_column" in error
    ledger = "SELECT DISTINCT asset FROM lake.ops.loads WHERE outcome = 'failed' ORDER BY 1"
    assert _rows(shop, ledger) == [("marts.daily_revenue",), ("marts.fct_orders",)]


def test_a_day_whose_rows_the_sql_cannot_take_fails_alone(shop: Lake, put: Any, tmp_path: Path) -> None:
    row = {"payment_id": "T0000000009", "order_id": "O0000000003", "method": "card", "status": "captured"}
    put("staging.payments", "2026-01-05", [{**row, "amount": "9.00", "paid_at": "2026-01-05 10:00:00"}])
    refused = "if(amount = 9, error('nine is too much'), amount) as amount"
    project = _payments(tmp_path / "dbt", "    amount\n", f"    {refused}\n")
    days = [f"2026-01-0{number}" for number in range(1, 9)]
    found = _build(shop, ["marts.fct_payments"], days, dbt_dir=project)["marts.fct_payments"]
    assert _keys(found, committed=True) == [day for day in days if day != "2026-01-05"]
    (bad,) = [outcome for outcome in found if not outcome.committed]
    assert "nine is too much" in bad.load.error
    ledger = "SELECT partition_key FROM lake.ops.loads WHERE outcome = 'failed'"
    assert _rows(shop, ledger) == [("2026-01-05",)]


def test_what_stands_in_the_way_of_one_mart_is_recorded_and_does_not_undo_the_others(
    shop: Lake, tmp_path: Path
) -> None:
    dateless = "nullif(cast(paid_at as date), date '2026-01-02') as payment_date"
    project = _payments(tmp_path / "dbt", "cast(paid_at as date) as payment_date", dateless)
    found = _build(shop, ["marts.fct_payments", "marts.fct_orders"], DAYS, dbt_dir=project)
    assert _keys(found["marts.fct_orders"], committed=True) == DAYS
    assert _keys(found["marts.fct_payments"], committed=False) == DAYS
    assert "without a value in `payment_date`" in found["marts.fct_payments"][0].load.error
    ledger = (
        "SELECT partition_key FROM lake.ops.loads WHERE asset = 'marts.fct_payments' AND outcome = 'failed' ORDER BY 1"
    )
    assert _rows(shop, ledger) == [(day,) for day in DAYS]


def test_a_connection_lost_during_a_build_is_tried_again_and_no_models_fault(
    shop: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = "if(amount > 0, error('server closed the connection unexpectedly'), amount) as amount"
    project, builds = _payments(tmp_path / "dbt", "    amount\n", f"    {lost}\n"), list[str]()
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(dbt_build, "reached", builds.append)
    (bad, _) = _build(shop, ["marts.fct_payments"], DAYS, dbt_dir=project)["marts.fct_payments"]
    assert builds.count("after dbt model") == retrying.ATTEMPTS
    assert "server closed the connection" in bad.load.error
    assert "correct dbt/models" not in bad.load.error


def test_a_value_that_the_sql_cannot_take_is_not_quoted_and_its_words_are_nobodys(
    shop: Lake, put: Any, tmp_path: Path
) -> None:
    row = {"payment_id": "T0000000009", "order_id": "O0000000003", "method": "card", "status": "captured"}
    put("staging.payments", DAYS[0], [{**row, "amount": "9.00", "paid_at": f"{DAYS[0]} 10:00:00"}])
    refused = "if(amount = 9, cast('broken pipe of ann@example.com' as decimal(18, 2)), amount) as amount"
    project = _payments(tmp_path / "dbt", "    amount\n", f"    {refused}\n")
    found = _build(shop, ["marts.fct_payments"], DAYS, dbt_dir=project)["marts.fct_payments"]
    (bad,) = [outcome for outcome in found if not outcome.committed]
    assert "ann@example.com" not in bad.load.error and "Could not convert string" in bad.load.error
    assert "correct dbt/models" in bad.load.error


def test_a_seed_that_cannot_be_loaded_fails_only_the_models_that_read_it(shop: Lake, tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(DBT_DIR, project)
    with (project / "seeds" / "country_codes.csv").open("a") as file:
        file.write("BO,Bolivia, Plurinational State of\n")
    found = _build(shop, ["marts.fct_payments"], [*DAYS, "2026-01-03"], dbt_dir=project)["marts.fct_payments"]
    assert all(outcome.committed for outcome in found)
    (customers,) = _build(shop, ["marts.dim_customers"], [""], dbt_dir=project)["marts.dim_customers"]
    assert "it reads `country_codes`, which failed" in customers.load.error
    assert "has 3 values" in customers.load.error


def test_a_mart_of_a_table_that_was_never_loaded_says_what_to_load(shop: Lake) -> None:
    found = _build(shop, ["marts.daily_revenue"], DAYS)
    assert _keys(found["marts.daily_revenue"], committed=False) == DAYS
    error = found["marts.daily_revenue"][0].load.error
    assert "`marts.fct_orders` was never loaded" in error
    assert "data-platform backfill" in error


@pytest.mark.slow
@pytest.mark.long
def test_a_build_leaves_no_file_behind_and_does_not_write_to_the_lake(shop: Lake) -> None:
    before = _rows(shop, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")
    variables = {"window_start": DAYS[0], "window_end": DAYS[1]}
    with built(shop.settings, ["fct_orders", "daily_revenue"], variables) as candidates:
        assert candidates.path.exists()
        assert candidates.built == ("fct_orders", "daily_revenue")
    assert list((shop.settings.home / "build").iterdir()) == []
    assert _rows(shop, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')") == before
    _build(shop, ["marts.fct_payments"], DAYS)
    assert list((shop.settings.home / "build").iterdir()) == []
    attached = _rows(shop, "SELECT database_name FROM duckdb_databases() WHERE database_name LIKE 'build%'")
    assert attached == []


@pytest.mark.slow
@pytest.mark.long
def test_dbt_refuses_a_model_that_is_not_what_its_contract_says(shop: Lake, broken_project: Path) -> None:
    found = _build(shop, ["marts.dim_dates", "marts.dim_products"], [""], dbt_dir=broken_project)
    for (outcome,), column in zip(found.values(), ("year_number", "extra"), strict=True):
        assert not outcome.committed
        assert "contract" in outcome.load.error
        assert column in outcome.load.error
        assert "in macro" not in outcome.load.error
    (extra,) = found["marts.dim_products"]
    assert "python -m data_platform.contracts.dbt_yml" in extra.load.error, "the contract may be what was changed"


def _day(number: int) -> date:
    return date(2026, 1, number)
