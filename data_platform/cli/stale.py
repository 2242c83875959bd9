"""Which built mart days a backfill has made stale: late rows touch business days before the range that was asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import dagster as dg

from data_platform.assets.naming import table_of
from data_platform.cli.plan import Item, Plan
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import stale_days
from data_platform.partitions import grain_of


def stale_part(plan: Plan, lake: Lake, runs: Collection[str], lost: Iterable[Item]) -> Plan:
    """The selected marts' days that these runs' loads of their staging tables touched and that were not built since, with
    what hangs on them: every accepted row reaches its mart. A day that failed stays failed."""
    skip = set(lost)
    keys: dict[dg.AssetKey, list[str]] = {}
    with lake.connect(read_only=True) as con:
        for asset in plan.keys:
            definition = plan.definitions[asset]
            parents = [parent for parent in plan.parents[asset] if parent in plan.keys]
            if asset.path[0] == "marts" and definition is not None and grain_of(definition) == "day":
                sources = [table_of(found) for found in upstream(plan, asset) if found.path[0] == "staging"]
                days = {day.isoformat() for day in stale_days(con, table_of(asset), sources, runs)}
                keys[asset] = [
                    key for key in sorted(days & set(definition.get_partition_keys())) if Item(asset, key) not in skip
                ]
            elif definition is None and any(keys.get(parent) for parent in parents):
                keys[asset] = [""]
            elif definition is not None:
                fed = {
                    key for parent in parents if plan.definitions[parent] == definition for key in keys.get(parent, ())
                }
                keys[asset] = sorted(fed) if asset.path[0] == "published" else []
    return plan.only(keys)


def upstream(plan: Plan, asset: dg.AssetKey) -> set[dg.AssetKey]:
    """Every asset upstream, selected or not."""
    found: set[dg.AssetKey] = set()
    left = list(plan.parents[asset])
    while left:
        key = left.pop()
        if key not in found:
            found.add(key)
            left += plan.parents.get(key, frozenset())
    return found
