"""What a backfill leads to beyond the days it was asked for: rows that waited for a parent, mart days that its rows touch,
and days that waited for a key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from functools import partial

import dagster as dg

from data_platform.assets.lineage import staging_of
from data_platform.assets.naming import table_of
from data_platform.cli.plan import Item, Plan
from data_platform.contracts.registry import contract
from data_platform.lake.lake import Lake
from data_platform.lake.ledger import latest_audits
from data_platform.lake.standings import Standing, Standings, read_standings
from data_platform.partitions import grain_of
from data_platform.quality.second_look import arrived

Keys = Mapping[dg.AssetKey, Collection[str]]


def stale_part(plan: Plan, lake: Lake, runs: Collection[str], lost: Iterable[Item]) -> Plan:
    """What these runs' loads left to be done of the selected marts and published views, with what hangs on it: every
    accepted row reaches its mart, and its readers. A partition that failed stays failed."""
    skip = set(lost)
    standings = lake.read(partial(read_standings, runs=runs))
    left = {
        asset: [key for key in _owed(plan, standings, asset, runs) if Item(asset, key) not in skip]
        for asset in plan.keys
    }
    return with_dependents(plan, left)


def _owed(plan: Plan, standings: Standings, asset: dg.AssetKey, runs: Collection[str]) -> list[str]:
    """Mart partitions that were touched and not built since, an unpartitioned mart whose parent has changed, and what was
    built by these runs and is not shown."""
    layer, table = asset.path[0], table_of(asset)
    if layer == "published":
        mart = mart_of(asset)
        return sorted(
            key
            for (name, key), found in standings.of.items()
            if name == mart and found.run_id in runs and (found.committed or -1) > standings.shown.get(mart, -1)
        )
    if layer != "marts":
        return []
    if plan.definitions[asset] is None:
        own = standings.of.get((table, ""))
        return [""] if own and own.is_good and changed_parent(plan, standings, asset, runs) else []
    touched = touched_keys(plan, standings, asset)
    return [key for key in sorted(touched) if standings.built(table, key) < touched[key]]


def changed_parent(
    plan: Plan, standings: Standings, mart: dg.AssetKey, runs: Collection[str] | None = None
) -> dg.AssetKey | None:
    """The first parent of a committed unpartitioned mart that has changed since it was read, by one of these runs if they
    are given."""
    own = standings.of.get((table_of(mart), ""))
    if own is None or own.committed is None:
        return None
    for parent in sorted(plan.parents[mart]):
        in_build = parent.path[0] != "staging"
        for found in standings.by_table.get(table_of(parent), ()):
            if (runs is None or found.changed_by in runs) and _is_newer(found, own, in_build=in_build):
                return parent
    return None


def _is_newer(parent: Standing, own: Standing, *, in_build: bool) -> bool:
    """Whether a parent's partition changed after it was read. Tables are read at a version, but for marts of the same
    build, which are read as they were then committed by the same run."""
    changed, committed = parent.changed or -1, own.committed or -1
    if changed <= (committed if own.built_from is None else own.built_from):
        return False
    return not in_build or changed > committed or parent.changed_by != own.run_id


def mart_of(published: dg.AssetKey) -> str:
    """`published/fct_orders` → `marts.fct_orders`."""
    return f"marts.{published.path[-1]}"


def touched_keys(plan: Plan, standings: Standings, mart: dg.AssetKey) -> dict[str, int]:
    """The partitions of a mart by day or month that changed rows of its staging tables belong to, with the snapshot of
    the last change. A mart that is cut otherwise has none: a business day does not say which of its partitions are meant."""
    definition, found = plan.definitions[mart], dict[str, int]()
    grain = grain_of(definition) if definition is not None else None
    if definition is None or grain not in ("day", "month"):
        return found
    for source in staging_of(plan.parents, mart):
        for day, snapshot in standings.touched.get(source, {}).items():
            key = _key_of(day, grain)
            found[key] = max(found.get(key, -1), snapshot)
    known = set(definition.get_partition_keys())
    return {key: snapshot for key, snapshot in found.items() if key in known}


def _key_of(day: date, grain: str) -> str:
    return (day if grain == "day" else day.replace(day=1)).isoformat()


def held_part(plan: Plan, lake: Lake, *, rows_tell: bool = False) -> Plan:
    """The staging partitions whose held rows have got their parent, with what hangs on them (`with_dependents`)."""
    staging = [asset for asset in plan.keys if asset.path[0] == "staging"]
    found = lake.read(lambda con: {asset: arrived(con, contract(table_of(asset))) for asset in staging})
    return with_dependents(plan, found, rows_tell=rows_tell)


def waiting_part(plan: Plan, lake: Lake, runs: Collection[str]) -> Plan:
    """The marts' partitions that these runs refused for the rule `key`, with what hangs on them. Another partition that
    was built after them may have given the key up: a corrected row changes its business day so."""
    audits = sorted(lake.read(latest_audits).values(), key=lambda audit: audit.audited_at)
    last = {(audit.asset, audit.partition_key): audit for audit in audits if audit.run_id in runs}
    refused = [audit for audit in last.values() if audit.failed_rules == ("key",)]
    found = {
        asset: sorted(audit.partition_key for audit in refused if audit.asset == table_of(asset))
        for asset in plan.keys
        if plan.definitions[asset] is not None
    }
    return with_dependents(plan, found)


def with_dependents(plan: Plan, direct: Keys, *, rows_tell: bool = False) -> Plan:
    """These partitions, the same ones of what is built from them, and the unpartitioned tables among those. With
    `rows_tell` no mart hangs on a staging partition: its rows tell which mart days they belong to."""
    keys: dict[dg.AssetKey, list[str]] = {}
    for asset in plan.keys:
        definition, own = plan.definitions[asset], set(direct.get(asset, ()))
        parents = [
            parent
            for parent in plan.parents[asset]
            if keys.get(parent) and not (rows_tell and parent.path[0] == "staging" != asset.path[0])
        ]
        if definition is None:
            keys[asset] = [""] if parents or own else []
        else:
            fed = {key for parent in parents if plan.definitions[parent] == definition for key in keys[parent]}
            keys[asset] = sorted(fed | own)
    return plan.only(keys)
