"""Every partitions definition, derived from the contracts' partitioning, and what a range of dates means in each.

Equal partitionings give equal definitions, whatever their column is called. No assets and no lake here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta

import dagster as dg

from data_platform.contracts.partitioning import KEY_FORMAT, Dimension, Grain, Partitioning
from data_platform.errors import ContractError
from data_platform.settings import get_settings

TIME_GRAINS: tuple[tuple[type[dg.TimeWindowPartitionsDefinition], Grain], ...] = (
    (dg.DailyPartitionsDefinition, "day"),
    (dg.MonthlyPartitionsDefinition, "month"),
    (dg.HourlyPartitionsDefinition, "hour"),
)
Window = tuple[datetime, datetime]

RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def partitions_def(partitioning: Partitioning) -> dg.PartitionsDefinition[str] | None:
    """The definition of a partitioning; `None` for an unpartitioned table. Time dimensions without a start begin at
    `PLATFORM_START_DATE`; without an end they end with the last partition that is over (in UTC)."""
    if not partitioning.dimensions:
        return None
    if len(partitioning.dimensions) == 1:
        return _dimension(partitioning.dimensions[0])
    return dg.MultiPartitionsDefinition({part.column: _dimension(part) for part in partitioning.dimensions})


def _dimension(dimension: Dimension) -> dg.PartitionsDefinition[str]:
    start = dimension.start or get_settings().start_date
    begin = datetime.combine(start, time.min)
    end = datetime.combine(dimension.end, time.min) if dimension.end else None
    if dimension.grain == "hour":
        return dg.HourlyPartitionsDefinition(start_date=begin, end_date=end, fmt=KEY_FORMAT["hour"])
    if dimension.grain == "day":
        return dg.DailyPartitionsDefinition(start_date=begin, end_date=end, fmt=KEY_FORMAT["day"])
    if dimension.grain == "month":
        return dg.MonthlyPartitionsDefinition(start_date=begin.replace(day=1), end_date=end, fmt=KEY_FORMAT["month"])
    if not dimension.keys:
        raise ContractError(f"The static partition column `{dimension.column}` names no keys.", fix="state `keys=(…)`")
    return dg.StaticPartitionsDefinition(list(dimension.keys))


def grain_of(definition: dg.PartitionsDefinition[str]) -> Grain | None:
    """`day`, `month` or `hour` of a time definition; `None` of any other."""
    return next((grain for kind, grain in TIME_GRAINS if isinstance(definition, kind)), None)


def window_of(definition: dg.PartitionsDefinition[str] | None, key: str) -> Window | None:
    """Start and end (exclusive) of a time partition; `None` when the partition is of no single time."""
    if definition is None:
        return None
    if isinstance(definition, dg.MultiPartitionsDefinition):
        parts = key.split("|")
        windows = [
            window_of(dimension.partitions_def, part)
            for dimension, part in zip(definition.partitions_defs, parts, strict=True)
        ]
        return next((window for window in windows if window is not None), None)
    grain = grain_of(definition)
    return Dimension("", grain).window(key) if grain else None


def keys_between(definition: dg.PartitionsDefinition[str], start: date | None, end: date | None) -> Sequence[str]:
    """Every partition that overlaps the days from `start` to `end` (inclusive), in order; all when both are `None`.
    Partitions that are of no time (static ones) overlap every range."""
    low = datetime.combine(start, time.min) if start else datetime.min
    high = datetime.combine(end, time.min) + timedelta(days=1) if end else datetime.max
    found = []
    for key in definition.get_partition_keys():
        window = window_of(definition, key)
        if window is None or (window[0] < high and window[1] > low):
            found.append(key)
    return found


def name_of(definition: dg.PartitionsDefinition[str] | None) -> str:
    """What a person calls the definition: `day`, `month`, `hour`, `multi`, `static`, or `unpartitioned`."""
    if definition is None:
        return "unpartitioned"
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return "multi"
    return grain_of(definition) or "static"


def keys_of_run(tags: Mapping[str, str]) -> list[str]:
    """The first and the last partition that a run's tags name, or its only one; empty when it has none."""
    return [tags[tag] for tag in (*RANGE_TAGS, "dagster/partition") if tag in tags]
