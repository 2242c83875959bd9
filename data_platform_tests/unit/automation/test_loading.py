"""What is loaded by itself: yesterday by schedule, and the mart days that loads have touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import dagster as dg
import pytest

from data_platform.assets.lineage import staging_of
from data_platform.assets.naming import asset_key
from data_platform.automation.marts import daily_marts, mart_sensor, ranges
from data_platform.automation.schedules import daily_load, daily_schedule, other_keys
from data_platform.lake.lake import get_lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.partitions import partitions_def
from data_platform.settings import Settings

DAY = dg.DailyPartitionsDefinition("2026-01-01")


def _specs() -> list[dg.AssetsDefinition]:
    """The layers of two tables as the real graph has them, without what it takes to build dbt's part of it."""

    def made(layer: str, table: str, *deps: str) -> dg.AssetsDefinition:
        @dg.asset(key=[layer, table], deps=[asset_key(dep) for dep in deps], partitions_def=DAY, group_name=layer)
        def asset() -> None: ...

        return asset

    return [
        made("raw", "orders"), made("staging", "orders", "raw.orders"), made("staging", "events"),
        made("marts", "fct_orders", "staging.orders"), made("marts", "daily_revenue", "marts.fct_orders"),
        made("published", "daily_revenue", "marts.daily_revenue"), made("marts", "online", "staging.events"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return dg.Definitions(assets=_specs(), sensors=[mart_sensor])


def _tick(instance: dg.DagsterInstance, definitions: dg.Definitions) -> Any:
    return mart_sensor.evaluate_tick(dg.build_sensor_context(instance=instance, definitions=definitions))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_days_in_a_row_are_one_range() -> None:
    days = [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 3)]
    assert ranges(days) == [(date(2026, 2, 27), date(2026, 3, 1)), (date(2026, 3, 3), date(2026, 3, 3))]
    assert ranges([]) == []


def test_the_staging_tables_whose_rows_a_mart_holds_are_found_through_other_marts_but_no_dimension() -> None:
    orders, customers, revenue = (
        asset_key(f"marts.{name}") for name in ("fct_orders", "dim_customers", "daily_revenue")
    )
    parents = {
        revenue: [orders], orders: [customers, asset_key("staging.orders"), asset_key("staging.payments")],
        customers: [asset_key("staging.customers")], asset_key("staging.orders"): [asset_key("staging.customers")],
    }  # fmt: skip
    assert staging_of(parents, revenue) == ["staging.orders", "staging.payments"]
    assert staging_of(parents, customers) == ["staging.customers"]


def test_a_late_row_makes_its_business_day_stale_until_the_day_is_rebuilt(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings
) -> None:
    lake, late, arrived = get_lake(), date(2026, 3, 1), date(2026, 3, 5)
    load = LoadRecord("staging.orders", str(arrived), "r", "committed", business_days=(late, arrived, date(2099, 1, 1)))
    lake.commit((), [load])
    requests = _tick(instance, definitions).run_requests
    spans = [
        (r.tags["dagster/asset_partition_range_start"], r.tags["dagster/asset_partition_range_end"]) for r in requests
    ]
    assert spans == [(str(late),) * 2, (str(arrived),) * 2], "a day to come is nobody's yet"
    assert set(requests[0].asset_selection) == {
        dg.AssetKey(["marts", "fct_orders"]), dg.AssetKey(["marts", "daily_revenue"]), dg.AssetKey(["published", "daily_revenue"]),
    }  # fmt: skip
    again = _tick(instance, definitions).run_requests
    assert [r.run_key for r in again] == [r.run_key for r in requests], "the same state is not tried twice"
    built = [mart for mart in daily_marts() if partitions_def(mart.partition) is not None]
    lake.commit((), [LoadRecord(mart.name, str(late), "r", "committed") for mart in built])
    (left,) = _tick(instance, definitions).run_requests
    assert left.run_key not in {r.run_key for r in requests}, "it may have waited for a key that the other day gave up"
    lake.commit((), [LoadRecord(mart.name, str(arrived), "r", "committed") for mart in built])
    assert _tick(instance, definitions).skip_message == "No mart day is stale."


def test_no_rebuild_is_asked_for_while_one_is_going_on(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    job = definitions.resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(job, tags={"data_platform/trigger": "stale"}, status=dg.DagsterRunStatus.STARTED)
    assert _tick(instance, definitions).skip_message == "The last rebuild is still running."
    instance.delete_run(run.run_id)


def test_the_schedule_loads_the_day_before() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 1, 2, 30))
    request = daily_schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-02-28"


def test_the_schedule_loads_nothing_before_the_first_day() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 1, 1, 2, 30))
    skipped = daily_schedule(context)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "No day is over since 2026-01-01."


def test_the_daily_load_leaves_out_what_gets_no_new_day() -> None:
    known = {key.path[-1] for key in other_keys()}
    assert "orders" not in known
    assert known, "the year of invoices is not daily"
    assert daily_load.name == daily_schedule.name


def test_loading_runs_by_itself_when_the_settings_say_so_and_watching_always() -> None:
    code = (
        "from data_platform.automation.all import SCHEDULES, SENSORS\n"
        "print(sorted(each.name for each in (*SCHEDULES, *SENSORS) if each.default_status.value == 'RUNNING'))"
    )
    watching = ["check_failures", "freshness", "run_failures", "stuck_runs"]
    for value, loading in (("off", []), ("on", ["daily_load", "drop_files", "held_rows", "stale_marts"])):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PLATFORM_AUTOMATION": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == str(sorted([*watching, *loading]))
