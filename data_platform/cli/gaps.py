"""Which partitions of a plan are missing, failed or stale by the ledger, and the part of the plan that mends them.

Missing: never committed. Failed: the latest attempt failed. Stale: committed, and what it was made from has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import dagster as dg

from data_platform.assets.naming import table_of
from data_platform.cli.plan import Item, Plan
from data_platform.cli.stale import changed_parent, mart_of, touched_keys, with_dependents
from data_platform.lake.lake import Lake
from data_platform.lake.standings import Standing, Standings, read_standings

Kind = Literal["missing", "failed", "stale"]
NEVER = "never loaded"


@dataclass(frozen=True)
class Gap:
    """One partition that is not as it should be, and why."""

    item: Item
    kind: Kind
    cause: str


def ledger_of(lake: Lake, until: int | None = None) -> Standings:
    """The ledger's standings; none, and no lake made, where there is no lake."""
    if not lake.attachment.exists():
        return Standings()
    return lake.read(partial(read_standings, until=until))


class Judge:
    """Judges the partitions of one plan by one reading of the ledger."""

    def __init__(self, plan: Plan, standings: Standings) -> None:
        self.plan = plan
        self.standings = standings
        self._touched: dict[dg.AssetKey, Mapping[str, int]] = {}

    def missing(self, item: Item) -> bool:
        if item.asset.path[0] == "published":
            mart = self._mart(item)
            return mart is not None and mart.first is not None and mart.first > self._shown(item)
        standing = self._standing(item)
        return standing is None or standing.committed is None

    def failed(self, item: Item) -> bool:
        standing = self._standing(item)
        return standing is not None and not standing.is_good

    def failure(self, item: Item) -> Gap:
        """The gap of a partition that failed, with what the ledger has of it."""
        standing = self._standing(item)
        return Gap(item, "failed", (standing and standing.error) or "no cause was recorded")

    def stale(self, item: Item) -> bool:
        return bool(self.stale_since(item))

    def stale_since(self, item: Item) -> str:
        """Why the partition is stale; empty when it is not."""
        layer, own = item.asset.path[0], self._standing(item)
        if layer == "published":
            mart = self._mart(item)
            shown = mart is not None and _number(mart.first) <= self._shown(item) < _number(mart.changed)
            return "readers see an earlier version" if shown else ""
        if own is None or own.committed is None:
            return ""
        if layer == "staging":
            return self._stale_staging(item, own.committed)
        if layer == "marts" and self.plan.definitions[item.asset] is None:
            parent = changed_parent(self.plan, self.standings, item.asset)
            return f"`{table_of(parent)}` has changed since" if parent else ""
        if layer == "marts" and self.touched(item.asset).get(item.partition, -1) > _number(own.built_from):
            return "later rows belong to it"
        return ""

    def touched(self, mart: dg.AssetKey) -> Mapping[str, int]:
        """The mart's partitions that rows of its staging tables belong to, and when these last changed."""
        if mart not in self._touched:
            self._touched[mart] = touched_keys(self.plan, self.standings, mart)
        return self._touched[mart]

    def _stale_staging(self, item: Item, committed: int) -> str:
        for parent in self.plan.parents[item.asset]:
            raw = self.standings.of.get((table_of(parent), item.partition))
            if parent.path[0] == "raw" and raw is not None and _number(raw.changed) > committed:
                return f"`{table_of(parent)}` was loaded again after it was screened"
        return ""

    def _standing(self, item: Item) -> Standing | None:
        return self.standings.of.get((table_of(item.asset), item.partition))

    def _mart(self, item: Item) -> Standing | None:
        return self.standings.of.get((mart_of(item.asset), item.partition))

    def _shown(self, item: Item) -> int:
        return self.standings.shown.get(mart_of(item.asset), -1)


def _number(snapshot: int | None) -> int:
    return -1 if snapshot is None else snapshot


def find_gaps(plan: Plan, standings: Standings) -> list[Gap]:
    """Every partition of the plan that is not as it should be, once. A failed attempt says more than what it left."""
    judge, found = Judge(plan, standings), list[Gap]()
    for item in plan.items():
        if judge.failed(item):
            found.append(judge.failure(item))
        elif judge.missing(item):
            found.append(Gap(item, "missing", "never published" if item.asset.path[0] == "published" else NEVER))
        elif since := judge.stale_since(item):
            found.append(Gap(item, "stale", since))
    return found


def failed_above(plan: Plan, standings: Standings) -> list[Gap]:
    """Raw partitions outside the plan whose latest attempt failed, and from which staging partitions of the plan would be
    made: what these hold is of an earlier file."""
    judge, found = Judge(plan, standings), dict[Item, Gap]()
    for item in plan.items():
        if item.asset.path[0] != "staging":
            continue
        for parent in plan.parents[item.asset] - set(plan.keys):
            above = Item(parent, item.partition)
            if parent.path[0] == "raw" and judge.failed(above):
                found[above] = judge.failure(above)
    return list(found.values())


def chosen(plan: Plan, standings: Standings, kind: Kind) -> Plan:
    """The partitions of this kind with what hangs on them. Which mart days hang on a stale staging partition only its
    rows can say: `stale_marts` finds them once they are screened."""
    judge = Judge(plan, standings)
    holds: Callable[[Item], bool] = {"missing": judge.missing, "failed": judge.failed, "stale": judge.stale}[kind]
    direct = {asset: [key for key in keys if holds(Item(asset, key))] for asset, keys in plan.keys.items()}
    return with_dependents(plan, direct, rows_tell=kind == "stale")


def before_marts(plan: Plan) -> Plan:
    """The part of the plan that must be over before the ledger knows which mart days are stale."""
    return plan.only({asset: keys for asset, keys in plan.keys.items() if asset.path[0] in ("raw", "staging")})


def stale_marts(plan: Plan, standings: Standings) -> Plan:
    """The stale partitions of the plan's marts and published views, with what hangs on them."""
    found = chosen(plan, standings, "stale")
    return found.only({asset: keys for asset, keys in found.keys.items() if asset.path[0] not in ("raw", "staging")})
