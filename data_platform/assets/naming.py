"""How a table of the lake and a rule of its contract are called in Dagster. Names only."""

from __future__ import annotations

import re

import dagster as dg

from data_platform.contracts.model import Contract
from data_platform.lake.outcomes import RuleResult

GROUPS = ("raw", "staging", "marts", "published")


def asset_key(table: str) -> dg.AssetKey:
    """`staging.orders` → `staging/orders`."""
    return dg.AssetKey(table.split("."))


def table_of(key: dg.AssetKey) -> str:
    """`staging/orders` → `staging.orders`."""
    return ".".join(key.path)


def check_name(rule: str) -> str:
    """`amount.gt` → `amount__gt`: Dagster allows letters, digits and `_` in the name of a check."""
    return re.sub(r"[^A-Za-z0-9_]", "_", rule.replace(".", "__"))


def check_specs(contract: Contract) -> list[dg.AssetCheckSpec]:
    """One check per rule. None blocks: publishing is the gate, in whichever run the rule was judged."""
    return [
        dg.AssetCheckSpec(
            check_name(rule.name),
            asset=asset_key(contract.name),
            description=f"`{rule.name}`: {rule.expected}. Rows that break it: {rule.action}.",
            metadata={"rule": rule.name, "action": rule.action, "expected": rule.expected},
        )
        for rule in contract.rules
    ]


def raw_check_specs(table: str, rules: dict[str, str]) -> list[dg.AssetCheckSpec]:
    """Checks of a table that has no contract of its own: rule name → what is expected."""
    return [
        dg.AssetCheckSpec(check_name(rule), asset=asset_key(table), description=text) for rule, text in rules.items()
    ]


def severity(result: RuleResult) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if result.severity == "warn" else dg.AssetCheckSeverity.ERROR
