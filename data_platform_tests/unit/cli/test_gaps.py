"""Which partitions are missing, failed or stale, what is said of them, and what a backfill then does: exactly those."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from data_platform.cli.engine import BACKFILL_TAG
from data_platform.cli.home import open_instance
from data_platform.lake.commit import snapshot_id
from data_platform.lake.lake import get_lake
from data_platform.settings import Settings
from data_platform_tests.unit.cli.tiny_shop import DAYS, EDGES, WHOLE, Shop, day, ran_of, said, typed
from data_platform_tests.unit.cli.tiny_shop import empty_instance as empty_instance
from data_platform_tests.unit.cli.tiny_shop import shop as shop

ALL_DAYS = set(DAYS.get_partition_keys())


@pytest.fixture
def loaded(shop: Shop) -> Shop:
    """The shop with all its days loaded and published."""
    shop.load_all()
    return shop


def gaps(*arguments: str) -> dict[tuple[str, str], str]:
    """Kind by asset and partition."""
    found = said("status", "--gaps", *arguments)["gaps"]
    assert len(found) == len({(gap["asset"], gap["partition"]) for gap in found}), "each once"
    return {(gap["asset"], gap["partition"]): gap["gap"] for gap in found}


def test_a_lake_without_a_load_is_all_gap_and_one_that_is_loaded_has_none(shop: Shop, settings: Settings) -> None:
    found = said("status", "--gaps")
    assert {gap["gap"] for gap in found["gaps"]} == {"missing"}
    assert found["commands"] == ["data-platform backfill '*' --only-missing"]
    assert not settings.lake_dir.exists(), "asking makes no lake"
    said("backfill", "*")
    assert ran_of(shop) == {asset: {""} if asset in WHOLE else ALL_DAYS for asset in EDGES}
    assert said("status", "--gaps") == {"gaps": [], "commands": []}
    assert "There is no gap" in typed("status", "--gaps").stderr


def test_late_rows_mark_exactly_the_days_they_touch_and_stale_rebuilds_those_alone(loaded: Shop) -> None:
    loaded.text["raw/orders", day(8)] = loaded.text["staging/orders", day(8)] = "with late rows"
    loaded.days["staging/orders", day(8)] = (2, 5, 8)
    loaded.text |= {("marts/fct_orders", day(number)): "with late rows" for number in (2, 5, 8)}
    loaded.load("raw/orders", day(8))
    loaded.load("staging/orders", day(8))
    ran_of(loaded)
    touched = {day(2), day(5), day(8)}
    assert gaps() == {("marts/fct_orders", key): "stale" for key in touched}
    assert said("status", "--gaps", "marts.fct_orders")["commands"] == [
        "data-platform backfill 'key:\"marts/fct_orders\"' --stale"
    ]
    planned = said("backfill", "*", "--stale", "--dry-run")
    assert ran_of(loaded) == {}
    done = said("backfill", "*", "--stale")
    hang = {"marts/fct_orders": touched, "published/fct_orders": touched, "marts/customer_segments": {""}}
    assert ran_of(loaded) == hang
    assert {row["asset"]: row["done"] for row in done["assets"]} == {asset: len(keys) for asset, keys in hang.items()}
    assert {row["asset"]: row["partitions"] for row in planned["assets"]} == {
        name: len(keys) for name, keys in hang.items()
    }
    assert gaps() == {}
    again = typed("backfill", "*", "--stale")
    assert "Nothing is stale: there is nothing to do." in again.stderr and ran_of(loaded) == {}


def test_a_staging_partition_whose_raw_one_changed_is_stale_and_its_rows_tell_what_else_is(loaded: Shop) -> None:
    loaded.text["raw/orders", day(4)] = "another file"
    loaded.load("raw/orders", day(4))
    ran_of(loaded)
    assert gaps() == {("staging/orders", day(4)): "stale"}
    said("backfill", "*", "--stale")
    assert ran_of(loaded) == {"staging/orders": {day(4)}}, "the same rows were accepted: no mart day changes"
    loaded.text["raw/orders", day(4)] = loaded.text["staging/orders", day(4)] = "a third one"
    loaded.days["staging/orders", day(4)] = (4, 6)
    loaded.load("raw/orders", day(4))
    ran_of(loaded)
    said("backfill", "*", "--stale")
    assert ran_of(loaded) == {
        "staging/orders": {day(4)}, "marts/fct_orders": {day(4), day(6)}, "published/fct_orders": {day(4), day(6)},
        "marts/customer_segments": {""},
    }  # fmt: skip
    assert gaps() == {}


def test_a_reload_of_the_same_file_makes_nothing_stale(loaded: Shop) -> None:
    loaded.load("raw/orders", *ALL_DAYS)
    loaded.load("staging/orders", *ALL_DAYS)
    assert gaps() == {}


@pytest.mark.slow
@pytest.mark.long
def test_a_table_without_partitions_is_stale_when_what_it_reads_changed(loaded: Shop) -> None:
    loaded.text["staging/customers", day(3)] = "a new name"
    loaded.load("staging/customers", day(3))
    ran_of(loaded)
    assert gaps() == {("marts/dim_customers", ""): "stale"}
    said("backfill", "*", "--stale")
    assert ran_of(loaded) == {"marts/dim_customers": {""}}
    assert gaps() == {}


def test_a_table_that_was_read_before_another_run_changed_its_parent_is_stale_though_it_was_committed_last(
    loaded: Shop,
) -> None:
    with get_lake().connect() as con:
        loaded.read_at = snapshot_id(con)
    loaded.text["marts/fct_orders", day(3)] = "new"
    loaded.load("marts/fct_orders", day(3), run_id="its own")
    loaded.load("marts/customer_segments", "", run_id="its own")
    loaded.publish("fct_orders")
    assert gaps() == {}, "marts of one build are read as they were committed"
    loaded.load("marts/fct_orders", day(4), run_id="its own")
    loaded.text["marts/fct_orders", day(4)] = "new"
    loaded.load("marts/fct_orders", day(4), run_id="another")
    loaded.load("marts/customer_segments", "", run_id="its own")
    loaded.publish("fct_orders")
    assert gaps() == {("marts/customer_segments", ""): "stale"}
    loaded.read_at = None
    said("backfill", "*", "--stale")
    assert gaps() == {}


def test_a_mart_day_that_readers_do_not_see_yet_is_stale_where_they_see_its_earlier_rows(loaded: Shop) -> None:
    loaded.text["marts/fct_orders", day(7)] = "rebuilt"
    loaded.load("marts/fct_orders", day(7))
    loaded.load("marts/customer_segments", "")
    ran_of(loaded)
    assert gaps() == {("published/fct_orders", day(7)): "stale"}
    said("backfill", "*", "--stale")
    assert ran_of(loaded) == {"published/fct_orders": {day(7)}}


def test_a_failed_attempt_is_a_gap_with_its_cause_and_only_failed_tries_it_again(loaded: Shop) -> None:
    loaded.bad = {("raw/orders", day(3)), ("raw/orders", day(4))}
    loaded.load("raw/orders", *sorted(ALL_DAYS)[1:5])
    found = said("status", "--gaps", "--from", day(1), "--to", day(9))
    assert [(gap["partition"], gap["gap"], gap["cause"]) for gap in found["gaps"]] == [
        (day(3), "failed", f"raw/orders {day(3)} is broken."), (day(4), "failed", f"raw/orders {day(4)} is broken."),
    ]  # fmt: skip
    assert found["commands"] == [f"data-platform backfill '*' --from {day(1)} --to {day(9)} --only-failed"]
    assert gaps("staging.orders") == {("raw/orders", day(3)): "failed", ("raw/orders", day(4)): "failed"}
    assert said("status", "--gaps", "staging.orders")["commands"] == [
        "data-platform backfill 'key:\"raw/orders\"+' --only-failed"
    ]
    assert f"{day(3)} … {day(4)}" in typed("status", "--gaps", "staging.orders").stdout
    shown = typed("status", "--gaps").stdout
    assert f"{day(3)} … {day(4)}" in shown and "is broken." in shown and "1 other cause" in shown
    loaded.bad.clear()
    ran_of(loaded)
    said("backfill", "*", "--only-failed")
    two = {day(3), day(4)}
    assert ran_of(loaded) == {
        "raw/orders": two, "staging/orders": two, "marts/fct_orders": two, "marts/customer_segments": {""},
        "published/fct_orders": two,
    }  # fmt: skip
    assert "No latest attempt failed" in typed("backfill", "*", "--only-failed").stderr


@pytest.mark.long
@pytest.mark.slow
def test_only_missing_loads_what_was_never_loaded_and_what_hangs_on_it(shop: Shop) -> None:
    shop.load_all(sorted(ALL_DAYS)[:4])
    shop.load("raw/orders", day(5), day(6))
    ran_of(shop)
    shop.bad = {("staging/orders", day(7))}
    said("backfill", "*", "--only-missing", "--to", day(7), code=1)
    rest = {day(5), day(6), day(7)}
    assert ran_of(shop) == {
        "raw/orders": {day(7)}, "raw/customers": rest, "staging/customers": rest, "staging/orders": rest,
        "marts/dim_customers": {""}, "marts/fct_orders": {day(5), day(6)}, "marts/customer_segments": {""},
        "published/fct_orders": {day(5), day(6)},
    }  # fmt: skip
    assert gaps("--to", day(7)) == {("staging/orders", day(7)): "failed", ("marts/fct_orders", day(7)): "missing"}
    shop.bad.clear()
    said("backfill", "*", "--only-missing", "--to", day(7))
    assert gaps("--to", day(7)) == {}
    assert "Every partition was loaded" in typed("backfill", "*", "--only-missing", "--to", day(7)).stderr


def test_the_plan_tells_rows_and_seconds_by_the_medians_of_the_ledger(shop: Shop, loaded: Shop) -> None:
    plan = said("backfill", "*", "--from", day(2), "--to", day(4), "--dry-run")
    rows = {row["asset"]: (row["partitions"], row["rows"], row["seconds"]) for row in plan["assets"]}
    assert rows["raw/orders"] == (3, 30, 1.5) and rows["marts/dim_customers"] == (1, 10, 0.5)
    assert rows["published/fct_orders"] == (3, None, None)
    assert (plan["partitions"], plan["rows"], plan["seconds"]) == (20, 170, 8.5)
    assert plan["without_history"] == ["published/fct_orders"]
    printed = typed("backfill", "*", "--from", day(2), "--to", day(4), "--dry-run")
    assert "no history" in printed.stdout and "20 partitions, about 170 rows and 8.5 s of work" in printed.stderr


def test_a_plan_without_any_history_says_so(shop: Shop) -> None:
    assert "the ledger has no history of them" in typed("backfill", "*", "--dry-run").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("*", "--stale", "--only-failed"), "`--only-failed` and `--stale` exclude each other"),
        (("*", "--only-missing", "--resume"), "`--only-missing` and `--resume` exclude each other"),
        (("--resume", "--from", day(1)), "`--resume` and a range exclude each other"),
        ((), "needs a selection"),
        (("--stale",), "needs a selection"),
        (("--resume", "nope"), "There is no backfill `nope`"),
    ],
)
def test_options_that_do_not_go_together_are_refused(shop: Shop, arguments: tuple[str, ...], message: str) -> None:
    assert message in typed("backfill", *arguments, code=2).stderr
    assert shop.ran == set()


def test_a_range_for_status_needs_gaps() -> None:
    assert "only with `--gaps`" in typed("status", "--from", day(1), code=2).stderr


def tags_of(settings: Settings, backfill: Any) -> list[dict[str, str]]:
    with open_instance(settings) as instance:
        return [dict(run.tags) for run in instance.get_runs(dg.RunsFilter(tags={BACKFILL_TAG: backfill}))]


@pytest.mark.slow
@pytest.mark.long
def test_every_run_of_a_backfill_says_what_was_asked_for(loaded: Shop, settings: Settings) -> None:
    loaded.bad = {("raw/orders", day(3))}
    done = said("backfill", "*", "--from", day(2), "--to", day(5), code=1)
    found = tags_of(settings, done["backfill"])
    assert len(found) == len(done["runs"]) > 1
    assert {(tags[f"{BACKFILL_TAG}_selection"], tags[f"{BACKFILL_TAG}_from"], tags[f"{BACKFILL_TAG}_to"]) for tags in found} == {
        ("*", day(2), day(5))
    }  # fmt: skip
