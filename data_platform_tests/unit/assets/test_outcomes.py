"""What Dagster records of loads: per-day materialisations, verdicts, and a failure that names the bad days."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from data_platform.assets import outcomes as words
from data_platform.assets.naming import asset_key, check_name
from data_platform.lake.outcomes import LoadRecord, Outcome, RuleResult

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-03-01")
KEY = asset_key("staging.orders")
RULES = ("amount.gt", "order_id.not_null")


def outcome(key: str, *, broken: int = 0, error: str = "") -> Outcome:
    sample = ({"amount": "-1", "email": "***"},) if broken else ()
    rules = (
        RuleResult(
            "amount.gt",
            "quarantine",
            broken == 0,
            "warn",
            broken,
            "gt 0",
            f"{broken} rows",
            sample,
            in_inbox=broken > 0,
        ),
        RuleResult("order_id.not_null", "quarantine", True, "warn", 0, "a value", "0 rows"),
    )
    load = LoadRecord(
        "staging.orders", key, "run", "failed" if error else "committed", rows_read=100, rows_accepted=100 - broken,
        rows_quarantined=broken, by_rule={"amount.gt": broken} if broken else {}, error=error,
    )  # fmt: skip
    return Outcome(load, () if error else rules)


def run(
    instance: dg.DagsterInstance, found: Sequence[Outcome], keys: tuple[str, ...] | None, rules: Sequence[str] = RULES
) -> dg.ExecuteInProcessResult:
    """One step that reports `found`, over a range of days, one day, or no partition."""

    @dg.asset(
        key=KEY,
        partitions_def=DAYS if keys else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(check_name(rule), asset=KEY) for rule in rules],
    )
    def orders(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        assert list(words.partition_keys(context)) == [each.partition_key for each in found]
        return words.report(context, KEY, found)

    job = dg.Definitions(assets=[orders], executor=dg.in_process_executor).resolve_implicit_global_asset_job_def()
    tags = {}
    if keys and len(keys) > 1:
        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    single = keys[0] if keys and len(keys) == 1 else None
    return job.execute_in_process(instance=instance, partition_key=single, tags=tags, raise_on_error=False)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def materialized(instance: dg.DagsterInstance) -> dict[str | None, dict[str, Any]]:
    records = instance.fetch_materializations(KEY, limit=500).records
    assert len(records) == len({record.partition_key for record in records}), "a day was materialised twice"
    return {
        record.partition_key: {name: value.value for name, value in record.asset_materialization.metadata.items()}
        for record in records
    }


def evaluations(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    return [record.event_log_entry.dagster_event.asset_check_evaluation_data for record in records]


def keys(count: int) -> tuple[str, ...]:
    return tuple(DAYS.get_partition_keys()[:count])


def test_each_day_of_a_good_range_is_materialised_once_with_its_own_numbers(instance: dg.DagsterInstance) -> None:
    result = run(instance, [outcome(key, broken=index) for index, key in enumerate(keys(3))], keys(3))
    assert result.success
    found = materialized(instance)
    assert {key: found[key]["rows_quarantined"] for key in found} == dict(zip(keys(3), (0, 1, 2), strict=True))
    assert found["2026-01-03"]["dagster/row_count"] == 98
    assert found["2026-01-03"]["quality_score"] == 0.98
    assert "**100 rows read**: 98 accepted, 2 quarantined" in found["2026-01-03"]["summary"]
    assert "| `amount.gt` | 2 rows | quarantine | gt 0 |" in found["2026-01-03"]["summary"]


def test_a_range_gives_each_rule_one_verdict_and_names_the_worst_day(instance: dg.DagsterInstance) -> None:
    result = run(instance, [outcome(key, broken=index) for index, key in enumerate(keys(3))], keys(3))
    whole = {each.check_name: each for each in evaluations(instance, result.run_id) if each.partition is None}
    assert set(whole) == {"amount__gt", "order_id__not_null"}
    verdict = whole["amount__gt"]
    assert not verdict.passed and verdict.severity == dg.AssetCheckSeverity.WARN
    assert verdict.metadata["rows"].value == 3
    assert "2 of 3 partitions" in verdict.metadata["actual"].value and "2026-01-03" in verdict.metadata["actual"].value
    assert verdict.metadata["expected"].value == "gt 0"
    assert verdict.metadata["sample"].records[0].data["email"] == "***"
    assert verdict.metadata["inbox"].value == "data-platform quarantine show orders --rule amount.gt"
    assert whole["order_id__not_null"].passed


def test_a_short_range_also_says_which_days_broke_a_rule(instance: dg.DagsterInstance) -> None:
    result = run(instance, [outcome(key, broken=index) for index, key in enumerate(keys(3))], keys(3))
    daily = [each for each in evaluations(instance, result.run_id) if each.partition]
    assert [(each.check_name, each.partition) for each in daily] == [
        ("amount__gt", "2026-01-02"),
        ("amount__gt", "2026-01-03"),
    ]


def test_a_long_range_keeps_to_one_verdict_per_rule(instance: dg.DagsterInstance) -> None:
    count = words.DETAILED_PARTITIONS + 1
    result = run(instance, [outcome(key, broken=1) for key in keys(count)], keys(count))
    assert len(evaluations(instance, result.run_id)) == len(RULES)


def test_the_bad_day_of_a_long_range_has_its_own_verdicts(instance: dg.DagsterInstance) -> None:
    days = keys(words.DETAILED_PARTITIONS + 1)
    found = [outcome(key, broken=1) for key in days]
    found[4] = replace(found[4], load=outcome(days[4], error="too many").load)
    result = run(instance, found, days)
    daily = [each for each in evaluations(instance, result.run_id) if each.partition]
    assert {(each.check_name, each.partition) for each in daily} == {("amount__gt", days[4])}


def test_good_days_are_recorded_before_the_step_fails_for_the_bad_ones(instance: dg.DagsterInstance) -> None:
    bad = outcome("2026-01-02", error="`orders.csv` is not there.")
    result = run(instance, [outcome("2026-01-01"), bad, outcome("2026-01-03", broken=4)], keys(3))
    assert not result.success
    assert set(materialized(instance)) == {"2026-01-01", "2026-01-03"}
    status = instance.get_status_by_partition(KEY, keys(3), DAYS)
    assert status is not None
    assert {key: value.value for key, value in status.items() if value} == {
        "2026-01-01": "MATERIALIZED", "2026-01-02": "FAILED", "2026-01-03": "MATERIALIZED",
    }  # fmt: skip
    step = next(event for event in result.all_events if event.event_type_value == "STEP_FAILURE")
    stated = step.step_failure_data.user_failure_data
    assert "`2026-01-02`: `orders.csv` is not there." in stated.description
    assert stated.metadata["partitions"].value == {"staging/orders": {"2026-01-02": "`orders.csv` is not there."}}
    assert stated.metadata["resume"].value == (
        "data-platform backfill 'key:\"staging/orders\"+' --from 2026-01-01 --to 2026-01-03"
    )
    whole = {each.check_name: each.passed for each in evaluations(instance, result.run_id) if each.partition is None}
    assert whole == {"amount__gt": False, "order_id__not_null": True}


def test_a_failed_load_is_permanent_and_not_tried_again(instance: dg.DagsterInstance) -> None:
    result = run(instance, [outcome("2026-01-02", error="it is broken")], ("2026-01-02",))
    assert not any(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)
    assert not result.success and materialized(instance) == {}


def test_one_day_gets_every_verdict(instance: dg.DagsterInstance) -> None:
    result = run(instance, [outcome("2026-01-02", broken=7)], ("2026-01-02",))
    assert result.success and materialized(instance)["2026-01-02"]["rows_accepted"] == 93
    assert {each.check_name: each.metadata["rows"].value for each in evaluations(instance, result.run_id)} == {
        "amount__gt": 7, "order_id__not_null": 0,
    }  # fmt: skip


def test_an_unpartitioned_table_is_reported_whole(instance: dg.DagsterInstance) -> None:
    result = run(instance, [outcome("", broken=1)], None)
    assert result.success and materialized(instance)[None]["rows_accepted"] == 99


def test_a_check_that_nothing_was_judged_by_does_not_pass(instance: dg.DagsterInstance) -> None:
    result = run(instance, [outcome("2026-01-02")], ("2026-01-02",), rules=(*RULES, "forgotten.rule"))
    found = {each.check_name: each.passed for each in evaluations(instance, result.run_id)}
    assert found == {"amount__gt": True, "order_id__not_null": True, "forgotten__rule": False}
