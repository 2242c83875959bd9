"""Which business days accepted rows belong to that the marts do not show: days to build, and days before the first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import dagster as dg

from data_platform.assets.lineage import staging_of
from data_platform.assets.naming import asset_key
from data_platform.automation.marts import daily_marts, ranges, stale_mart_days
from data_platform.lake.lake import get_lake
from data_platform.lake.ledger import latest_loads
from data_platform.settings import Settings

Parents = Mapping[dg.AssetKey, frozenset[dg.AssetKey]]


def parents_of(defs: dg.Definitions) -> Parents:
    graph = defs.resolve_asset_graph()
    return {key: frozenset(graph.get(key).parent_keys) for key in graph.get_all_asset_keys()}


def stale_ranges(parents: Parents) -> list[tuple[date, date]]:
    """Days that a daily mart must rebuild, as ranges without gaps."""
    with get_lake().connect(read_only=True) as con:
        return ranges(stale_mart_days(con, parents))


def early_days(parents: Parents, settings: Settings) -> list[date]:
    """Days before the first partition that rows for the daily marts belong to."""
    marts = [mart for mart in daily_marts() if mart.partition.dimensions]
    sources = {table for mart in marts for table in staging_of(parents, asset_key(mart.name))}
    with get_lake().connect(read_only=True) as con:
        loads = [load for load in latest_loads(con) if load.asset in sources]
    return sorted({day for load in loads for day in load.business_days if day < settings.start_date})
