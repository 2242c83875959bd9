"""What a backfill leads to beyond the days it was asked for: rows that waited for a parent, mart days that its rows touch,
and days that waited for a key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import dagster as dg

from data_platform.assets.lineage import staging_of
from data_platform.assets.naming import table_of
from data_platform.cli.plan import Item, Plan
from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import latest_audits, stale_days
from data_platform.partitions import grain_of
from data_platform.quality.second_look import arrived

Keys = Mapping[dg.AssetKey, Collection[str]]


def stale_part(plan: Plan, lake: Lake, runs: Collection[str], lost: Iterable[Item]) -> Plan:
    """The selected marts' days that these runs' loads of their staging tables touched and that were not built since, with
    what hangs on them: every accepted row reaches its mart. A day that failed stays failed."""
    skip = set(lost)
    found: dict[dg.AssetKey, list[str]] = {}
    with lake.connect(read_only=True) as con:
        for asset in plan.keys:
            definition = plan.definitions[asset]
            if asset.path[0] == "marts" and definition is not None and grain_of(definition) == "day":
                days = stale_days(con, table_of(asset), staging_of(plan.parents, asset), runs)
                keys = {day.isoformat() for day in days} & set(definition.get_partition_keys())
                found[asset] = [key for key in sorted(keys) if Item(asset, key) not in skip]
    return with_dependents(plan, found)


def held_part(plan: Plan, lake: Lake) -> Plan:
    """The staging partitions whose held rows have got their parent, with what hangs on them."""
    found = {}
    with lake.connect(read_only=True) as con:
        for asset in plan.keys:
            if asset.path[0] == "staging":
                found[asset] = arrived(con, contract(table_of(asset)))
    return with_dependents(plan, found)


def waiting_part(plan: Plan, lake: Lake, runs: Collection[str]) -> Plan:
    """The marts' partitions that these runs refused for the rule `key`, with what hangs on them. Another partition that
    was built after them may have given the key up: a corrected row changes its business day so."""
    with lake.connect(read_only=True) as con:
        audits = sorted(latest_audits(con).values(), key=lambda audit: audit.audited_at)
    last = {(audit.asset, audit.partition_key): audit for audit in audits if audit.run_id in runs}
    refused = [audit for audit in last.values() if audit.failed_rules == ("key",)]
    found = {
        asset: sorted(audit.partition_key for audit in refused if audit.asset == table_of(asset)) for asset in plan.keys
    }
    return with_dependents(plan, found)


def with_dependents(plan: Plan, direct: Keys) -> Plan:
    """These partitions, the same ones of the marts and views built from them, and the unpartitioned tables among those."""
    keys: dict[dg.AssetKey, list[str]] = {}
    for asset in plan.keys:
        definition = plan.definitions[asset]
        parents = [parent for parent in plan.parents[asset] if keys.get(parent)]
        if definition is None:
            keys[asset] = [""] if parents else []
        else:
            fed = {key for parent in parents if plan.definitions[parent] == definition for key in keys[parent]}
            keys[asset] = sorted(fed | set(direct.get(asset, ())))
    return plan.only(keys)
