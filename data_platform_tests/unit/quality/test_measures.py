"""Rules about a partition as a whole: bounds, thresholds, bands; what they record and what they stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from data_platform.contracts import measures as m
from data_platform.contracts.measures import Measure, Threshold
from data_platform.contracts.model import Contract, PythonRule
from data_platform.contracts.registry import contract
from data_platform.errors import ContractError
from data_platform.lake.ledger import latest_loads
from data_platform.lake.outcomes import Outcome, RuleResult
from data_platform.quality.audit import build_mart
from data_platform.quality.screening import screen
from data_platform.quality.verdicts import verdicts_of
from data_platform_tests.unit.quality.test_screening import DAY, load_customer, order

ORDERS = contract("staging.orders")


def _with(*measures: Measure, **stated: Any) -> Contract:
    return replace(ORDERS, measures=measures, **stated)


def _screen(lake: Any, contract: Contract, day: str = DAY) -> Outcome:
    return screen(lake, contract, [day], "run")[0]


def _result(outcome: Outcome, rule: str) -> RuleResult:
    return next(result for result in outcome.rules if result.rule == rule)


def _land(lake: Any, land: Any, *amounts: str) -> None:
    load_customer(lake, land)
    land("orders", DAY, [order(number, total_amount=amount) for number, amount in enumerate(amounts)])


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        (m.row_count(at_most=2), "rows: 3"),
        (m.mean("total_amount", at_least=21), "mean: 20"),
        (m.quantile("total_amount", 0.5, at_most=19.5), "quantile: 20"),
        (m.total("total_amount", at_least=100), "sum: 60"),
        (m.distinct_count("customer_id", at_least=2), "different values (estimated): 1"),
        (m.completeness("order_id", at_most=0.5), "share of rows with a value: 1"),
        (m.share_kept("total_amount", at_least=0.9), "share of the source's sum that was accepted: 0.6"),
        (m.lag_hours(at_most=12), "hours from the newest event to the partition's end: 14"),
    ],
)
def test_a_bound_that_is_broken_warns_or_fails_as_the_contract_says(lake, land, measure, value):
    load_customer(lake, land)
    rows = [order(number, total_amount=f"{number}0.00") for number in (1, 2, 3)]
    land("orders", DAY, [*rows, order(4, total_amount="40.00", status="lost")])
    outcome = _screen(lake, _with(measure))
    found = _result(outcome, measure.name)
    assert outcome.committed and not found.passed and found.severity == "warn"
    assert (found.actual, found.about, found.count) == (value, "partition", 1)
    outcome = _screen(lake, _with(replace(measure, action="fail")))
    assert not outcome.committed and f"`{measure.name}` expected" in outcome.load.error
    assert _result(outcome, measure.name).severity == "error"


def test_bounds_that_hold_pass_and_are_inclusive(lake, land):
    _land(lake, land, "10.00", "20.00")
    outcome = _screen(lake, _with(m.row_count(at_least=2, at_most=2), m.mean("total_amount", at_least=15, at_most=15)))
    assert _result(outcome, "row_count").passed and _result(outcome, "total_amount.mean").passed


def test_a_day_without_rows_breaks_a_count_and_no_mean(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [])
    outcome = _screen(lake, _with(m.row_count(at_least=1), m.mean("total_amount", at_least=1)))
    assert not _result(outcome, "row_count").passed and _result(outcome, "row_count").actual == "rows: 0"
    assert _result(outcome, "total_amount.mean").actual == "no rows to measure"


def test_measures_are_kept_in_the_ledger_of_failed_loads_too(lake, land):
    _land(lake, land, "10.00", "20.00")
    outcome = _screen(lake, _with(m.row_count(at_least=3, action="fail")))
    assert outcome.load.measures["row_count"] == 2 and outcome.load.measures["total_amount.mean"] == 15
    with lake.connect() as con:
        (kept,) = latest_loads(con, "staging.orders", outcome="failed")
    assert kept.measures == outcome.load.measures and kept.measures["lag_hours"] == 14


def test_a_threshold_lets_few_rows_pass_and_fails_a_load_with_many(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(number, status="lost" if number < 3 else "paid") for number in range(20)])
    lenient = _with(thresholds={"status.isin": Threshold(warn_above=3)})
    outcome = _screen(lake, lenient)
    assert outcome.committed and _result(outcome, "status.isin").passed and outcome.load.rows_quarantined == 3
    strict = _with(thresholds={"status.isin": Threshold(fail_above=0.1)})
    outcome = _screen(lake, strict)
    assert not outcome.committed and "3 of 20 rows break `status.isin`" in outcome.load.error
    assert _screen(lake, _with(thresholds={"status.isin": Threshold(fail_above=0.15)})).committed, "not above"


def test_a_threshold_lowers_the_action_fail_too_and_the_few_rows_wait_in_the_inbox(lake, land):
    load_customer(lake, land)
    land("orders", DAY, [order(number, status="lost" if number < 3 else "paid") for number in range(20)])
    strict = {"actions": {"status.isin": "fail"}}
    outcome = _screen(lake, _with(**strict, thresholds={"status.isin": Threshold(warn_above=3)}))
    assert outcome.committed, outcome.load.error
    assert _result(outcome, "status.isin").passed
    assert (outcome.load.rows_accepted, outcome.load.rows_quarantined) == (17, 3)
    outcome = _screen(lake, _with(**strict, thresholds={"status.isin": Threshold(warn_above=0.1)}))
    assert not outcome.committed and "3 rows break `status.isin`" in outcome.load.error
    assert not _result(outcome, "status.isin").passed and _result(outcome, "status.isin").severity == "error"


@pytest.mark.parametrize("measure", [
    m.share_kept("total_amount", at_least=0.95), m.completeness("status", at_least=0.5), m.mean("total_amount", at_most=99),
    m.quantile("total_amount", 0.5, at_most=99), m.lag_hours(at_most=48), m.distinct_count("status", at_most=9),
])  # fmt: skip
def test_a_measure_of_a_day_whose_rows_are_all_set_aside_has_failed(lake, land, measure):
    load_customer(lake, land)
    land("orders", DAY, [order(number, status="lost") for number in range(40)])
    outcome = _screen(lake, _with(replace(measure, action="fail")))
    assert not outcome.committed and f"`{measure.name}` expected" in outcome.load.error
    found = _result(outcome, measure.name)
    assert not found.passed and found.actual == "none of the 40 rows read was accepted"


def test_above_its_alert_threshold_a_check_is_an_error_although_the_load_commits_and_the_rows_are_in_the_inbox(
    lake, land
):
    load_customer(lake, land)
    land("orders", DAY, [order(number, status="lost" if number < 3 else "paid") for number in range(20)])
    for limit, severity in ((2, "error"), (3, "warn"), (0.1, "error"), (0.2, "warn")):
        outcome = _screen(lake, _with(thresholds={"status.isin": Threshold(alert_above=limit)}))
        found = _result(outcome, "status.isin")
        assert outcome.committed and not found.passed and found.in_inbox
        assert found.severity == severity, limit
    failed = _screen(lake, _with(actions={"status.isin": "fail"}))
    assert not failed.committed and not _result(failed, "status.isin").in_inbox, "a load that failed sets nothing aside"
    flagged = _screen(lake, _with(actions={"status.isin": "flag"}))
    assert flagged.load.rows_flagged == 3 and not _result(flagged, "status.isin").in_inbox
    few = _with(actions={"status.isin": "fail"}, thresholds={"status.isin": Threshold(warn_above=5)})
    assert _result(_screen(lake, few), "status.isin").in_inbox


def test_a_threshold_or_action_for_a_rule_that_is_not_there_is_refused():
    with pytest.raises(ContractError, match=r"Did you mean `status\.isin`"):
        _ = _with(thresholds={"status.isn": Threshold(warn_above=1)}).rules
    with pytest.raises(ContractError, match="is about a partition"):
        _ = _with(m.row_count(at_least=1), actions={"row_count": "quarantine"}).rules


def _load_days(lake: Any, land: Any, days: int, rows: int = 40) -> list[str]:
    load_customer(lake, land)
    first, keys = date.fromisoformat(DAY), []
    for number in range(days):
        day = (first + timedelta(days=number)).isoformat()
        land("orders", day, [order(number * 1000 + row, ordered_at=f"{day} 10:00:00") for row in range(rows)])
        keys.append(day)
    assert all(outcome.committed for outcome in screen(lake, ORDERS, keys, "run"))
    return keys


def test_a_day_unlike_those_before_it_warns_with_the_reason_in_words_and_a_contract_may_make_it_fail(lake, land):
    last = date.fromisoformat(_load_days(lake, land, 9)[-1]) + timedelta(days=1)
    land("orders", str(last), [order(90_000, ordered_at=f"{last} 10:00:00")])
    outcome = _screen(lake, ORDERS, str(last))
    found = _result(outcome, "as_usual")
    assert outcome.committed and not found.passed and found.severity == "warn"
    assert "row_count 1; 9 of the last 9 days had 35 to 45" in found.actual
    outcome = _screen(lake, replace(ORDERS, actions={"as_usual": "fail"}), str(last))
    assert not outcome.committed and "9 of the last 9 days" in outcome.load.error


def test_a_range_judges_its_own_days_by_those_before_them_and_learns_in_silence(lake, land):
    load_customer(lake, land)
    keys = [(date.fromisoformat(DAY) + timedelta(days=number)).isoformat() for number in range(10)]
    for number, day in enumerate(keys):
        rows = 40 if number < 9 else 400
        land("orders", day, [order(number * 1000 + row, ordered_at=f"{day} 10:00:00") for row in range(rows)])
    verdicts = [_result(outcome, "as_usual") for outcome in screen(lake, ORDERS, keys, "run")]
    assert [verdict.passed for verdict in verdicts] == [True] * 9 + [False]
    assert verdicts[3].actual == "learning: 3 of 8 earlier partitions" and verdicts[8].actual == "as usual"


def test_a_number_that_is_new_in_the_history_is_being_learnt_and_not_as_usual(lake, land):
    last = date.fromisoformat(_load_days(lake, land, 9)[-1]) + timedelta(days=1)
    land("orders", str(last), [order(90_000 + row, ordered_at=f"{last} 10:00:00") for row in range(40)])
    found = _result(_screen(lake, _with(m.total("total_amount", at_least=0)), str(last)), "as_usual")
    assert found.passed
    assert found.actual == "as usual; learning, with fewer than 8 earlier values: total_amount.total"


def test_a_mart_has_bounds_too_and_one_that_fails_keeps_the_rows_it_had(lake):
    dates = replace(
        contract("marts.daily_revenue"), measures=(m.row_count(at_least=2, action="fail"),), foreign_keys=()
    )
    nothing = ", ".join(f"NULL::{column.duckdb_type} AS {name}" for name, column in dates.columns.items())
    with lake.connect() as con:
        (outcome,) = build_mart(lake, dates, con, f"(SELECT {nothing} WHERE false)", [DAY], "run")
    assert not outcome.committed and "`row_count` (expected rows at least 2)" in outcome.load.error


def test_every_verdict_is_kept_per_load_and_judged_without_a_finding_is_not_the_same_as_not_judged(lake, land):
    _land(lake, land, "10.00", "20.00")
    bounded = _with(m.row_count(at_least=2), m.mean("total_amount", at_least=99, action="fail"))
    assert not _screen(lake, bounded).committed
    assert _screen(lake, _with(m.row_count(at_least=2))).committed
    broken = _with(python_rules=(PythonRule("slow", ("status",), lambda _frame: 1 / 0, "slow"),))
    assert not _screen(lake, broken).committed
    with lake.connect() as con:
        con.execute("UPDATE lake.ops.loads SET rules = NULL WHERE asset = 'staging.customers'")
        kept = [(row["load"], row["rule"], row["verdict"], row["count"]) for row in verdicts_of(con, ORDERS.name)]
        isin = [(row["load"], row["verdict"], row["count"]) for row in verdicts_of(con, ORDERS.name, "status.isin")]
        mean = verdicts_of(con, ORDERS.name, "total_amount.mean")
        old = verdicts_of(con, "staging.customers", "email.matches")
        assert verdicts_of(con, ORDERS.name, partition="2020-01-01") == []
    assert kept == [("failed", "all", "not judged", None), ("failed", "total_amount.mean", "failed", 1)]
    assert isin == [("failed", "not judged", None), ("committed", "passed", 0), ("failed", "passed", 0)]
    assert [row["verdict"] for row in mean] == ["not judged", "not judged", "failed"]
    assert mean[-1]["actual"] == "mean: 15" and old[0]["verdict"] == "not recorded"
