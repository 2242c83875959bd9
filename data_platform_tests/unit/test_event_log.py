"""The event log with kept connections: the stock class's files, either way, and no files kept open for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from data_platform.cli.home import open_instance
from data_platform.event_log import KEPT_RUNS, PooledSqliteEventLogStorage
from data_platform.settings import Settings

DAY = dg.AssetKey(["raw", "orders"])


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


@dg.asset_check(asset=DAY)
def never_empty() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(key=DAY, partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def orders() -> None: ...


def _materialise(instance: dg.DagsterInstance, partition: str) -> str:
    return dg.materialize([orders, never_empty], partition_key=partition, instance=instance).run_id


def _partitions(instance: dg.DagsterInstance) -> set[str]:
    return instance.get_materialized_partitions(DAY)


def test_a_home_uses_it_and_keeps_its_files_where_dagster_would(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
    run = _materialise(instance, "a")
    assert (settings.dagster_dir / "history" / "runs" / f"{run}.db").exists()
    assert instance.get_run_by_id(run).is_success and _partitions(instance) == {"a"}  # type: ignore[union-attr]
    assert len(instance.all_logs(run, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)) == 1


def test_a_range_of_partitions_is_recorded_as_one_by_one(instance: dg.DagsterInstance, settings: Settings) -> None:
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-20")

    @dg.asset(key=DAY, partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
    def many(context):  # Dagster refuses an annotation that is text
        for key in context.partition_keys:
            context.add_asset_metadata({"of": key}, partition_key=key)
        return dg.MaterializeResult()

    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-02-10"}
    run = dg.materialize([many], instance=instance, tags=tags).run_id
    keys = days.get_partition_keys()[:41]
    for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION):
        logged = [entry.get_dagster_event().partition for entry in instance.all_logs(run, of_type=kind)]
        assert logged == keys, kind
    records = instance.fetch_materializations(DAY, limit=100, ascending=True).records
    assert [(record.partition_key, record.asset_materialization.metadata["of"].value) for record in records] == [
        (key, key) for key in keys
    ]
    assert len({record.storage_id for record in records}) == 41
    assert instance.get_latest_materialization_event(DAY).dagster_event.partition == keys[-1]
    assert _partitions(instance) == set(keys)
    yaml = settings.dagster_dir / "dagster.yaml"
    yaml.write_text("telemetry:\n  enabled: false\n")
    with open_instance(settings) as stock:
        assert type(stock.event_log_storage) is SqliteEventLogStorage and _partitions(stock) == set(keys)


def test_the_stock_class_reads_what_it_wrote_and_the_other_way_round(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    ours = _materialise(instance, "a")
    yaml = settings.dagster_dir / "dagster.yaml"
    yaml.write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(settings.dagster_dir)) as stock:
        assert type(stock.event_log_storage) is SqliteEventLogStorage
        assert _partitions(stock) == {"a"} and len(stock.all_logs(ours)) == len(instance.all_logs(ours))
        theirs = _materialise(stock, "b")
    assert _partitions(instance) == {"a", "b"} and instance.all_logs(theirs)


def test_other_processes_write_while_the_connection_is_kept(instance: dg.DagsterInstance, settings: Settings) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(DAY, partition="mine"))
    code = (
        "import sys, dagster as dg\n"
        "with dg.DagsterInstance.from_config(sys.argv[1]) as instance:\n"
        "    for n in range(20):\n"
        "        instance.report_runless_asset_event(dg.AssetMaterialization(['raw', 'orders'], partition=f'{sys.argv[2]}{n}'))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(settings.dagster_dir), name], env=os.environ) for name in "xy"
    ]
    for n in range(20):
        instance.report_runless_asset_event(dg.AssetMaterialization(DAY, partition=f"mine{n}"))
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(_partitions(instance)) == 61


def test_files_of_runs_are_closed_again(instance: dg.DagsterInstance, settings: Settings) -> None:
    runs = [_materialise(instance, "a") for _ in range(KEPT_RUNS + 2)]
    folder = settings.dagster_dir / "history" / "runs"
    open_files = {link.readlink().name for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    kept = {run for run in runs if f"{run}.db" in open_files}
    assert kept == set(runs[-KEPT_RUNS:]) and all((folder / f"{run}.db").exists() for run in runs)
    assert instance.all_logs(runs[0]), "what was closed is opened again"


def test_wiping_and_deleting_leave_a_log_that_works(instance: dg.DagsterInstance) -> None:
    run = _materialise(instance, "a")
    instance.delete_run(run)
    assert instance.all_logs(run) == []
    instance.wipe()
    assert _partitions(instance) == set()
    _materialise(instance, "b")
    assert _partitions(instance) == {"b"}
