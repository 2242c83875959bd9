"""The marts as Dagster runs them: lineage, partitions, checks, and what a run records when a day fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_platform.assets import dbt_runner
from data_platform.assets.dbt_manifest import read_manifest
from data_platform.assets.marts import mart_assets
from data_platform.assets.naming import check_specs
from data_platform.contracts.registry import contract, contracts
from data_platform.errors import LakeError
from data_platform.lake.lake import Lake

RANGE = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-02"}


def _defs() -> dg.Definitions:
    return dg.Definitions(assets=mart_assets(), executor=dg.in_process_executor)


def _key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["marts", table])


def _run(instance: dg.DagsterInstance, *tables: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
    defs = _defs()
    job = defs.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, asset_selection=[_key(table) for table in tables], tags=tags, raise_on_error=False
    )


def test_every_mart_of_the_contracts_is_an_asset_with_its_rules_as_checks(shop: Lake) -> None:
    graph = _defs().resolve_asset_graph()
    marts = contracts("marts")
    assert {key.to_user_string() for key in graph.materializable_asset_keys} >= {
        f"marts/{mart.table}" for mart in marts
    }
    for mart in marts:
        node = graph.get(_key(mart.table))
        assert node.group_name == "marts"
        assert node.owners == [mart.owner]
        assert mart.grain in (node.description or "")
        schema = dg.MetadataValue.table_schema(node.metadata["dagster/column_schema"]).schema
        assert [column.name for column in schema.columns] == list(mart.columns)
        assert {check.name for check in node.check_keys} == {spec.name for spec in check_specs(mart)}


def test_lineage_goes_to_staging_and_to_marts_and_leaves_out_seeds_and_ephemeral_models(shop: Lake) -> None:
    graph = _defs().resolve_asset_graph()
    parents = {table: {key.to_user_string() for key in graph.get(_key(table)).parent_keys} for table in (
        "dim_customers", "fct_orders", "daily_revenue", "customer_segments",
    )}  # fmt: skip
    assert parents == {
        "dim_customers": {"staging/customers"},
        "fct_orders": {"staging/orders", "staging/order_items", "staging/payments", "marts/dim_customers"},
        "daily_revenue": {"marts/fct_orders"},
        "customer_segments": {"marts/fct_orders"},
    }


def test_a_range_is_one_run_and_segments_follow_from_it(shop: Lake) -> None:
    with dg.instance_for_test() as instance:
        assert _run(instance, "fct_orders", "daily_revenue", tags=RANGE).success
        assert _run(instance, "customer_segments").success
        for table in ("fct_orders", "daily_revenue"):
            assert instance.get_materialized_partitions(_key(table)) == {"2026-01-01", "2026-01-02"}
        event = instance.get_latest_materialization_event(_key("customer_segments"))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["dagster/row_count"].value == 2
    con = shop.connect()
    rows = con.execute(
        "SELECT customer_id, last_order_date::VARCHAR, order_count FROM lake.marts.customer_segments ORDER BY 1"
    )
    assert rows.fetchall() == [("C00000001", "2026-01-01", 1), ("C00000002", "2026-01-02", 1)]
    assert con.execute("SELECT passed FROM lake.ops.audits WHERE asset = 'marts.customer_segments'").fetchall() == [
        (True,)
    ]


def test_a_day_that_fails_is_named_and_the_good_days_are_recorded(shop: Lake, put: Any) -> None:
    stranger = {"order_id": "O0000000009", "customer_id": "C99999999", "status": "paid", "country_code": "DE"}
    put("staging.orders", "2026-01-03", [{**stranger, "total_amount": "1.00", "ordered_at": "2026-01-01 12:00:00"}])
    with dg.instance_for_test() as instance:
        result = _run(instance, "fct_orders", "daily_revenue", tags=RANGE)
        assert not result.success
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        assert "`2026-01-01`" in str(failure.step_failure_data.user_failure_data.description)
        assert instance.get_materialized_partitions(_key("fct_orders")) == {"2026-01-02"}
        assert instance.get_materialized_partitions(_key("daily_revenue")) == {"2026-01-02"}
        logged = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        evaluations = [entry.get_dagster_event().asset_check_evaluation_data for entry in logged]
        verdicts = [found.passed for found in evaluations if found.check_name == "customer_id__exists"]
        assert verdicts
        assert not any(verdicts)


@pytest.mark.parametrize("table", ["fct_orders", "dim_dates"])
def test_the_definitions_are_made_without_parsing_the_project_again(shop: Lake, table: str) -> None:
    parsed = [path for path in (shop.settings.home / "dbt").iterdir() if path.is_dir()]
    before = parsed[0].stat().st_mtime_ns
    assert _key(table) in _defs().resolve_asset_graph().get_all_asset_keys()
    assert [path for path in (shop.settings.home / "dbt").iterdir() if path.is_dir()] == parsed
    assert parsed[0].stat().st_mtime_ns == before
    assert contract(f"marts.{table}").table == table


def test_a_build_leaves_the_manifest_alone_that_others_may_be_reading(shop: Lake) -> None:
    (manifest,) = (shop.settings.home / "dbt").glob("*/manifest.json")
    before = manifest.stat()
    dbt_runner._parsed.cache_clear()
    with dg.instance_for_test() as instance:
        assert _run(instance, "fct_orders", tags=RANGE).success
    after = manifest.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_manifest_in_pieces_says_so_and_what_mends_it(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"nodes": {')
    with pytest.raises(LakeError, match="is damaged") as raised:
        read_manifest(manifest)
    assert raised.value.fix.startswith(f"rm -r {tmp_path}")


def test_what_older_versions_of_the_project_were_parsed_to_does_not_pile_up(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"version{number}").mkdir()
        os.utime(tmp_path / f"version{number}", (number, number))
    (tmp_path / "version7.lock").touch()
    dbt_runner._forget_older(tmp_path / "version0")
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {f"version{n}" for n in (0, 4, 5, 6, 7)}
