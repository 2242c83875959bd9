"""Which partitions a replay screens, and what hangs on them: plans only, nothing runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from data_platform.assets.lineage import staging_of
from data_platform.assets.naming import asset_key, table_of
from data_platform.cli.plan import Plan, make_plan


def around(defs: dg.Definitions, table: str, keys: Sequence[str], built: Collection[str]) -> tuple[Plan, Plan]:
    """The plan for these partitions of a staging table, and one that has all downstream of it that was ever built: a mart
    that nobody has is nothing to rebuild."""
    asset = asset_key(table)
    whole = make_plan(defs, f'key:"{asset.to_user_string()}"+', None, None)
    there = [key for key in whole.keys if {table_of(key), f"marts.{key.path[-1]}"} & set(built)]
    plan = whole.only({key: whole.keys[key] for key in there})
    return plan.only({asset: keys}), plan


def sources(plan: Plan, table: str) -> tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]]:
    """The plan's marts with partitions, each with the staging tables whose rows it holds, and those without, which take
    what they are built from whole."""
    marts = [asset for asset in plan.keys if asset.path[0] == "marts"]
    daily = {
        table_of(mart): staging_of(plan.parents, mart) for mart in marts if plan.definitions[mart] is not None
    }  # fmt: skip
    return daily, {table_of(mart): [table] for mart in marts if plan.definitions[mart] is None}
