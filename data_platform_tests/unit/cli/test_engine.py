"""The backfill engine on small definitions: what is run, what is carried on, what is blocked."""

from collections.abc import Callable, Iterator
from datetime import date

import dagster as dg
import pytest

from data_platform.cli.backfill import resume
from data_platform.cli.engine import Engine, Report
from data_platform.cli.plan import Item, make_plan
from data_platform.errors import LakeError
from data_platform.lake.lake import get_lake
from data_platform.lake.outcomes import LoadRecord

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-11")
MONTHS = dg.MonthlyPartitionsDefinition(start_date="2026-01-01", end_date="2026-03-01")
Bad = dict[str, set[str]]


def asset(
    name: str, *deps: str, definition: dg.PartitionsDefinition | None = DAYS, bad: Bad | None = None
) -> dg.AssetsDefinition:
    """An asset that fails on its bad days after logging the good ones, as the platform's assets do."""

    @dg.asset(name=name, deps=list(deps), partitions_def=definition, backfill_policy=dg.BackfillPolicy.single_run())
    def made(context: dg.AssetExecutionContext) -> None:
        broken = (bad or {}).get(name, set())
        keys = context.partition_keys if definition else [""]
        hit = {key: f"{name} is broken on {key}" for key in keys if key in broken}
        if hit:
            for key in keys:
                if key not in broken:
                    context.log_event(dg.AssetMaterialization(name, partition=key))
            raise dg.Failure(
                "bad days", metadata={"partitions": dg.MetadataValue.json({name: hit})}, allow_retries=False
            )

    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def backfill(instance: dg.DagsterInstance) -> Callable[..., Report]:
    def run(assets: list[dg.AssetsDefinition], selection: str = "*", **dates: date) -> Report:
        defs = dg.Definitions(assets=assets, executor=dg.in_process_executor)
        plan = make_plan(defs, selection, dates.get("start"), dates.get("end"))
        return Engine(defs, instance).run(plan)

    return run


def shop(bad: Bad) -> list[dg.AssetsDefinition]:
    return [
        asset("raw", bad=bad),
        asset("other", bad=bad),
        asset("staging", "raw", bad=bad),
        asset("dim", "staging", definition=None, bad=bad),
        asset("fact", "staging", "dim", "other", bad=bad),
        asset("published", "fact", bad=bad),
        asset("report", "fact", definition=MONTHS, bad=bad),
    ]


def fates(report: Report, name: str) -> dict[str, str]:
    return {item.partition: fate for item, fate in report.fates.items() if item.asset == dg.AssetKey(name)}


def test_a_range_without_a_failure_is_one_run_per_partitions_definition(backfill: Callable[..., Report]) -> None:
    report = backfill(shop({}))
    assert report.succeeded
    assert [(len(run.assets), run.first, run.last) for run in report.runs] == [
        (6, "2026-01-01", "2026-01-10"),
        (1, "2026-01-01", "2026-02-01"),
    ]


def test_good_days_go_on_to_the_end_when_one_day_fails_at_the_start(backfill: Callable[..., Report]) -> None:
    report = backfill(shop({"raw": {"2026-01-04"}}), "* and not key:report")
    assert fates(report, "raw")["2026-01-04"] == "failed"
    for name in ("staging", "fact", "published"):
        found = fates(report, name)
        assert found.pop("2026-01-04") == "blocked"
        assert set(found.values()) == {"done"} and len(found) == 9
    assert fates(report, "other") == dict.fromkeys(DAYS.get_partition_keys(), "done")
    assert fates(report, "dim") == {"": "done"}
    assert [(run.first, run.last) for run in report.runs] == [
        ("2026-01-01", "2026-01-10"), ("2026-01-01", "2026-01-03"), ("2026-01-05", "2026-01-10"),
    ]  # fmt: skip
    assert "dim" in report.runs[2].assets, "a dimension is built again when later days feed it"


def test_failures_in_two_layers_each_name_their_own_cause(backfill: Callable[..., Report]) -> None:
    report = backfill(shop({"raw": {"2026-01-02"}, "fact": {"2026-01-07"}}), "* and not key:report")
    assert report.causes[Item(dg.AssetKey("raw"), "2026-01-02")] == "raw is broken on 2026-01-02"
    assert report.causes[Item(dg.AssetKey("fact"), "2026-01-07")] == "fact is broken on 2026-01-07"
    assert "fact [2026-01-07]" in report.causes[Item(dg.AssetKey("published"), "2026-01-07")]
    assert set(fates(report, "published").values()) == {"done", "blocked"}
    assert list(fates(report, "published").values()).count("done") == 8


def test_a_month_waits_for_a_failed_day_of_it_and_the_other_month_does_not(backfill: Callable[..., Report]) -> None:
    report = backfill(shop({"fact": {"2026-01-07"}}))
    assert fates(report, "report") == {"2026-01-01": "blocked", "2026-02-01": "done"}


def test_a_failed_dimension_blocks_what_reads_it(backfill: Callable[..., Report]) -> None:
    report = backfill(shop({"dim": {""}}), "* and not key:report")
    assert fates(report, "dim") == {"": "failed"}
    assert set(fates(report, "fact").values()) == {"blocked"}
    assert set(fates(report, "other").values()) == {"done"}


def test_a_step_that_dies_of_anything_else_fails_its_partitions_with_the_reason(
    backfill: Callable[..., Report],
) -> None:
    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def dying() -> None:
        raise ValueError("out of cheese")

    report = backfill([dying])
    assert set(fates(report, "dying").values()) == {"failed"} and len(report.runs) == 1
    assert all("out of cheese" in cause for cause in report.causes.values())


def test_an_error_of_ours_is_told_in_its_own_words(backfill: Callable[..., Report]) -> None:
    @dg.asset
    def reader() -> None:
        raise LakeError("The lake has no table `marts.x`.", fix="build it")

    report = backfill([reader], "*")
    assert list(report.causes.values()) == ["The lake has no table `marts.x`. Fix: build it"]


def test_dagster_shows_each_day_as_it_ended_and_all_runs_under_one_tag(
    backfill: Callable[..., Report], instance: dg.DagsterInstance
) -> None:
    report = backfill(shop({"raw": {"2026-01-04"}}), "* and not key:report")
    assert "2026-01-04" not in instance.get_materialized_partitions(dg.AssetKey("raw"))
    assert len(instance.get_materialized_partitions(dg.AssetKey("published"))) == 9
    tagged = instance.get_runs(dg.RunsFilter(tags={"data_platform/backfill": report.backfill_id}))
    assert {run.run_id for run in tagged} == {run.run_id for run in report.runs}


def test_progress_hears_of_every_item(instance: dg.DagsterInstance) -> None:
    defs = dg.Definitions(assets=shop({"raw": {"2026-01-04"}}), executor=dg.in_process_executor)
    plan = make_plan(defs, "*", None, None)
    heard: set[Item] = set()
    Engine(defs, instance, on_done=heard.add).run(plan)
    assert heard == set(plan.items())


@pytest.mark.parametrize(
    ("layer", "days", "recorded", "more"),
    [
        ("raw", (3, 4, 5), (3, 4, 5), ""),
        ("raw", (3, 4, 9), (3, 4, 9), " --only-failed"),
        ("raw", (3, 4, 9), (3,), ""),
        ("raw", (3,), (3,), ""),
        ("published", (3, 9), (), ""),
    ],
)
def test_what_to_type_again_leaves_out_the_good_days_between_the_bad_ones_that_the_ledger_knows(
    layer: str, days: tuple[int, ...], recorded: tuple[int, ...], more: str
) -> None:
    get_lake().record_failures(
        [LoadRecord(f"{layer}.orders", f"2026-01-0{day}", "run", "failed", error="broken") for day in recorded]
    )
    report = Report("id", {Item(dg.AssetKey([layer, "orders"]), f"2026-01-0{day}"): "failed" for day in days})
    (command,) = resume(report)
    assert command == (
        f"data-platform backfill 'key:\"{layer}/orders\"+' --from 2026-01-0{days[0]} --to 2026-01-0{days[-1]}{more}"
    )


def test_what_hangs_on_an_unpartitioned_table_is_made_again_for_the_days_that_were_asked_for() -> None:
    orders = {Item(dg.AssetKey(["staging", "orders"]), f"2026-01-0{day}"): "done" for day in (3, 4)}
    report = Report("id", {**orders, Item(dg.AssetKey(["marts", "dim_customers"])): "failed"})
    assert resume(report) == ["data-platform backfill 'key:\"marts/dim_customers\"+' --from 2026-01-03 --to 2026-01-04"]
