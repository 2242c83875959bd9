"""Measures of accepted rows: the aggregates that give them, and their verdicts against bounds and history."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import duckdb

from data_platform.contracts.measures import LABELS, SOURCE_KINDS, Measure, shown
from data_platform.contracts.model import AS_USUAL, Column, Contract, Rule
from data_platform.contracts.validation import NUMERIC
from data_platform.lake.ledger import latest_loads
from data_platform.lake.outcomes import RuleResult
from data_platform.lake.sql import ident
from data_platform.quality.bands import LEARNING, History, Unusual

Values = Mapping[str, float]


def measures_of(contract: Contract) -> tuple[Measure, ...]:
    """What is measured of every load: what the contract bounds, and what its history is made of. Volume, freshness
    lag, the null rate of columns that may be empty, the mean of numbers, the distinct count of closed sets and parents."""
    keys = {*(contract.key.columns if contract.key else ())}
    parents = {fk.column for fk in contract.foreign_keys}
    found = [*(measure for measure in contract.measures if measure.kind not in SOURCE_KINDS), Measure("row_count")]
    if contract.event_time and contract.time_dimension:
        found.append(Measure("lag_hours"))
    for column in contract.columns.values():
        if column.nullable:
            found.append(Measure("null_rate", column.name))
        if column.name in parents or any(check.name == "isin" for check in column.checks):
            found.append(Measure("distinct_count", column.name))
        elif _is_number(column) and column.name not in keys:
            found.append(Measure("mean", column.name))
    return tuple({measure.name: measure for measure in reversed(found)}.values())


def _is_number(column: Column) -> bool:
    return column.duckdb_type.startswith(NUMERIC)


def measure_sql(contract: Contract, kept: str = "true") -> str:
    """The aggregates of `measures_of`, in its order, over rows of one partition; `kept` tells the accepted ones."""
    return ", ".join(f"({_aggregate(contract, measure, kept)})::DOUBLE" for measure in measures_of(contract))


def _aggregate(contract: Contract, measure: Measure, kept: str) -> str:
    column = ident(measure.column) if measure.column else ""
    match measure.kind:
        case "row_count":
            return f"count_if({kept})"
        case "completeness":
            return f"count({column}) FILTER ({kept}) / nullif(count_if({kept}), 0)"
        case "null_rate":
            return f"1 - count({column}) FILTER ({kept}) / nullif(count_if({kept}), 0)"
        case "distinct_count":
            return f"approx_count_distinct({column}) FILTER ({kept})"
        case "mean":
            return f"avg({column}) FILTER ({kept})"
        case "quantile":
            return f"quantile_cont({column}::DOUBLE, {measure.at}) FILTER ({kept})"
        case "total":
            return f"coalesce(sum({column}) FILTER ({kept}), 0)"
        case "share_kept":
            return f"coalesce(sum({column}) FILTER ({kept}), 0) / nullif(sum({column}) FILTER ({kept} OR _fate = 'quarantined'), 0)"
        case "lag_hours":
            dimension = contract.time_dimension
            assert dimension is not None
            assert contract.event_time is not None
            end = f"any_value({ident(dimension.column)}) + INTERVAL 1 {dimension.grain.upper()}"
            return f"date_diff('second', max({ident(contract.event_time)}) FILTER ({kept}), {end}) / 3600"
        case "source_rows" | "source_sum" | "source_hash":
            raise AssertionError("these are no aggregates: reconcile.py compares them")


def measured(contract: Contract, row: Sequence[float | None] | None) -> Values:
    """The aggregates as a mapping; what could not be measured is left out. No row at all means no rows."""
    if row is None:
        return {"row_count": 0.0}
    names = [measure.name for measure in measures_of(contract)]
    return {
        name: float(f"{value:.10g}")
        for name, value in zip(names, row, strict=True)
        if value is not None and math.isfinite(value)
    }


def history_of(con: duckdb.DuckDBPyConnection, contract: Contract, without: Collection[str]) -> History:
    """The measures of a table's committed partitions, but for these keys, which are about to be loaded again. Nothing is
    read when no rule compares with them."""
    loads = latest_loads(con, contract.name) if _band(contract) else []
    kept = {load.partition_key: load.measures for load in loads if load.partition_key not in without}
    return History(kept, contract.partition)


def verdicts(contract: Contract, values: Values, history: History, key: str, read: int) -> list[RuleResult]:
    """One verdict per rule about the partition, of which so many rows were read: the declared bounds, and whether it is
    as usual."""
    found = [
        _bounds(rule, rule.measure, values, read)
        for rule in contract.rules
        if rule.measure is not None and rule.measure.kind not in SOURCE_KINDS
    ]
    band = _band(contract)
    return [*found, _usual(band, values, history, key)] if band else found


def _band(contract: Contract) -> Rule | None:
    return next((rule for rule in contract.rules if rule.name == AS_USUAL), None)


def _bounds(rule: Rule, measure: Measure, values: Values, read: int) -> RuleResult:
    value = values.get(measure.name)
    if not values.get("row_count") and measure.kind not in ("row_count", "total"):
        # An empty day has nothing to say; one whose rows are all set aside could not be judged.
        holds = not read
        actual = "no rows to measure" if holds else f"none of the {read:,} rows read was accepted"
    else:
        holds = measure.holds(value)
        actual = "it could not be measured" if value is None else f"{LABELS[measure.kind]}: {shown(value)}"
    return partition_result(rule, holds, actual)


def _usual(rule: Rule, values: Values, history: History, key: str) -> RuleResult:
    found = history.judge(values, key)
    if isinstance(found, str):
        return partition_result(rule, True, found)
    learning = sorted(history.learning(values, key))
    said = [_words(unusual) for unusual in found] or ["as usual"] * (len(learning) < len(values))
    if learning:
        said.append(f"learning, with fewer than {LEARNING} earlier values: {', '.join(learning)}")
    return partition_result(rule, not found, "; ".join(said))


def _words(unusual: Unusual) -> str:
    return f"{unusual.measure} {shown(unusual.value)}; {unusual.basis}"


def partition_result(rule: Rule, passed: bool, actual: str) -> RuleResult:
    """The verdict of a rule about a partition as a whole."""
    return RuleResult(
        rule=rule.name, action=rule.action, passed=passed, severity="error" if rule.action == "fail" else "warn",
        count=int(not passed), expected=rule.expected, actual=actual, about="partition",
    )  # fmt: skip
