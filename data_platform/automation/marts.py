"""Rebuilds mart days that later loads have touched: a late row changes a business day long after its own arrival."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby

import dagster as dg
import duckdb

from data_platform.assets.lineage import staging_of
from data_platform.assets.naming import asset_key
from data_platform.automation.schedules import is_daily
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import latest_loads, stale_days
from data_platform.partitions import partitions_def
from data_platform.settings import get_settings

TRIGGER = "data_platform/trigger"
GOING = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
)
LAYERS = ("marts", "published")


def daily_marts() -> list[Contract]:
    """The marts that change each day."""
    return [mart for mart in contracts("marts") if is_daily(mart)]


def stale_mart_days(con: duckdb.DuckDBPyConnection, parents: Mapping[dg.AssetKey, Iterable[dg.AssetKey]]) -> list[date]:
    """Days that at least one daily mart must rebuild, of those that are over."""
    found = set[date]()
    for mart in daily_marts():
        definition = partitions_def(mart.partition)
        if definition is not None:
            over = set(definition.get_partition_keys())
            days = stale_days(con, mart.name, staging_of(parents, asset_key(mart.name)))
            found |= {day for day in days if day.isoformat() in over}
    return sorted(found)


def ranges(days: Sequence[date]) -> list[tuple[date, date]]:
    """Days in order as ranges without gaps: a run is of one range."""
    grouped = groupby(enumerate(days), lambda pair: pair[1] - timedelta(days=pair[0]))
    runs = [[day for _, day in group] for _, group in grouped]
    return [(run[0], run[-1]) for run in runs]


@dg.sensor(
    name="stale_marts", minimum_interval_seconds=60, asset_selection=dg.AssetSelection.groups(*LAYERS),
    default_status=dg.DefaultSensorStatus.RUNNING if get_settings().automation == "on" else dg.DefaultSensorStatus.STOPPED,
    description="Rebuilds and publishes the business days that newly loaded rows belong to, late ones included.",
)  # fmt: skip
def mart_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """A range that fails waits for new rows, or for another stale day to be built: that one may have given up the key
    which this one waits for."""
    if context.instance.get_run_records(dg.RunsFilter(tags={TRIGGER: "stale"}, statuses=list(GOING)), limit=1):
        yield dg.SkipReason("The last rebuild is still running.")
        return
    assert context.repository_def is not None
    graph = context.repository_def.asset_graph
    parents = {key: graph.get(key).parent_keys for key in graph.get_all_asset_keys()}
    with get_lake().connect(read_only=True) as con:
        days = stale_mart_days(con, parents)
        newest = max((load.snapshot_id for load in latest_loads(con) if load.asset.startswith("staging.")), default=0)
    keys = [asset_key(f"{layer}.{mart.table}") for mart in daily_marts() for layer in LAYERS]
    for first, last in ranges(days):
        tags = {
            TRIGGER: "stale",
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        }
        digest = hashlib.sha256(f"{first} {last} {newest} {days}".encode()).hexdigest()[:16]
        yield dg.RunRequest(run_key=digest, asset_selection=[key for key in keys if key in parents], tags=tags)
    if not days:
        yield dg.SkipReason("No mart day is stale.")
