"""The daily load: yesterday's partition of every open daily feed and of the marts that follow from it."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from data_platform.assets.naming import GROUPS, asset_key
from data_platform.contracts.model import Contract
from data_platform.contracts.registry import contracts
from data_platform.settings import get_settings

# The feeds of a day are complete a while after midnight, UTC.
AT = "30 2 * * *"


def is_daily(contract: Contract) -> bool:
    """Whether the table gets a new partition each day, or is unpartitioned and so rebuilt with those that do. A table
    whose partitions end on a stated day gets no more."""
    dimensions = contract.partition.dimensions
    return all(part.grain == "day" and part.start is None and part.end is None for part in dimensions)


def other_keys() -> list[dg.AssetKey]:
    """Assets that the daily load leaves out: all layers of the tables that are not daily."""
    twins = {"staging": "raw", "marts": "published"}
    others = [table for table in contracts() if table.layer in twins and not is_daily(table)]
    return [asset_key(f"{layer}.{table.table}") for table in others for layer in (table.layer, twins[table.layer])]


daily_load = dg.define_asset_job(
    "daily_load", selection=dg.AssetSelection.groups(*GROUPS) - dg.AssetSelection.assets(*other_keys()),
    description="One day of every daily table, from its drop files to what readers see.",
)  # fmt: skip


@dg.schedule(
    name="daily_load", cron_schedule=AT, execution_timezone="UTC", job=daily_load,
    default_status=dg.DefaultScheduleStatus.RUNNING if get_settings().automation == "on" else dg.DefaultScheduleStatus.STOPPED,
    description="Loads yesterday. Runs by itself when `PLATFORM_AUTOMATION=on`.",
)  # fmt: skip
def daily_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    yesterday = context.scheduled_execution_time.date() - timedelta(days=1)
    if yesterday < get_settings().start_date:
        return dg.SkipReason(f"No day is over since {get_settings().start_date}.")
    return dg.RunRequest(run_key=yesterday.isoformat(), partition_key=yesterday.isoformat())
