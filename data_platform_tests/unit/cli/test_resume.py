"""A backfill that failed or was stopped goes on where it was: what is done is not done again, all else is."""

from __future__ import annotations

import dagster as dg
import pytest

from data_platform.cli.home import open_instance
from data_platform.cli.resume import alone
from data_platform.lake import stopping
from data_platform.settings import Settings
from data_platform_tests.unit.cli.tiny_shop import DAYS, Shop, day, ran_of, said, typed
from data_platform_tests.unit.cli.tiny_shop import empty_instance as empty_instance
from data_platform_tests.unit.cli.tiny_shop import shop as shop

ALL_DAYS = set(DAYS.get_partition_keys())
RUNS = dg.DagsterRunStatus


def test_what_failed_and_what_it_blocked_is_gone_on_with_and_nothing_else(shop: Shop) -> None:
    shop.bad = {("raw/orders", day(3)), ("staging/orders", day(6))}
    first = said("backfill", "*", "--to", day(8), code=1)
    ran_of(shop)
    shop.bad.clear()
    again = said("backfill", "--resume")
    assert again["backfill"] == first["backfill"]
    two = {day(3), day(6)}
    assert ran_of(shop) == {
        "raw/orders": {day(3)}, "staging/orders": two, "marts/fct_orders": two, "marts/customer_segments": {""},
        "published/fct_orders": two,
    }  # fmt: skip
    assert said("status", "--gaps", "--to", day(8))["gaps"] == []
    assert "Every backfill has ended" in typed("backfill", "--resume").stderr
    assert "has ended" in typed("backfill", "--resume", first["backfill"]).stderr
    assert ran_of(shop) == {}


@pytest.mark.long
@pytest.mark.slow
def test_what_was_mended_by_another_command_is_done(shop: Shop) -> None:
    shop.bad = {("raw/orders", day(3))}
    first = said("backfill", "*", code=1)
    shop.bad.clear()
    said("backfill", 'key:"raw/orders"+', "--from", day(3), "--to", day(3))
    ran_of(shop)
    assert "nothing is left to do" in typed("backfill", "--resume", first["backfill"]).stderr
    assert ran_of(shop) == {}


@pytest.mark.long
@pytest.mark.slow
def test_a_backfill_of_missing_ones_goes_on_with_those_that_were_missing_then(shop: Shop) -> None:
    shop.load_all(sorted(ALL_DAYS)[:5])
    shop.bad = {("marts/fct_orders", day(7))}
    said("backfill", "*", "--only-missing", "--to", day(8), code=1)
    ran_of(shop)
    shop.bad.clear()
    planned = said("backfill", "--resume", "--dry-run")
    assert {row["asset"] for row in planned["assets"]} == {
        "marts/fct_orders", "published/fct_orders", "marts/customer_segments",
    }  # fmt: skip
    said("backfill", "--resume")
    assert ran_of(shop) == {
        "marts/fct_orders": {day(7)}, "published/fct_orders": {day(7)}, "marts/customer_segments": {""},
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.slow
def test_the_last_one_that_did_not_end_is_gone_on_with_and_any_by_its_id(shop: Shop) -> None:
    shop.bad = {("raw/orders", day(3)), ("raw/customers", day(2))}
    old = said("backfill", "raw/orders", code=1)["backfill"]
    new = said("backfill", "raw/customers", code=1)["backfill"]
    said("backfill", "staging/customers", "--from", day(5))
    shop.bad.clear()
    ran_of(shop)
    assert f"`{new}`: data-platform backfill raw/customers --to {day(8)}" in typed("backfill", "--resume").stderr
    assert ran_of(shop) == {"raw/customers": {day(2)}}
    typed("backfill", "--resume", old)
    assert ran_of(shop) == {"raw/orders": {day(3)}}


def test_an_interrupt_stops_between_partitions_and_says_how_to_go_on(shop: Shop, settings: Settings) -> None:
    shop.interrupt = ("staging/customers", day(4))
    stopped = typed("backfill", "*", code=1)
    assert ran_of(shop)["staging/customers"] == {day(1), day(2), day(3), day(4)}
    assert "20 of 50 partitions are done" in stopped.stderr
    command = stopped.stderr.partition("To go on: data-platform ")[2].split()
    assert command[:2] == ["backfill", "--resume"]
    assert not stopping.asked()
    with open_instance(settings) as instance:
        (run,) = instance.get_runs()
        assert run.status == RUNS.CANCELED, "who stops a run does not want to be told that it failed"
        told = instance.get_materialized_partitions(dg.AssetKey(["staging", "customers"]))
        assert told == {day(1), day(2), day(3), day(4)}
    shop.interrupt = None
    done = said(*command)
    assert done["problems"] == []
    found = ran_of(shop)
    assert found["staging/customers"] == ALL_DAYS - {day(1), day(2), day(3), day(4)} and "raw/orders" not in found
    assert said("status", "--gaps") == {"gaps": [], "commands": []}


def test_what_late_rows_lead_to_is_gone_on_with_to_the_readers(shop: Shop) -> None:
    shop.load_all()
    shop.text = {("staging/orders", day(8)): "new", ("marts/fct_orders", day(3)): "with the late row"}
    shop.days = {("staging/orders", day(8)): (8, 3)}
    shop.interrupt = ("marts/fct_orders", day(3))
    typed("backfill", "*", "--from", day(8), "--to", day(8), code=1)
    assert ran_of(shop)["marts/fct_orders"] == {day(8), day(3)}, "it was stopped once the late row's day was built"
    shop.interrupt = None
    planned = said("backfill", "--resume", "--dry-run")
    assert {row["asset"] for row in planned["assets"]} == {"marts/customer_segments", "published/fct_orders"}
    said("backfill", "--resume")
    assert ran_of(shop) == {"marts/customer_segments": {""}, "published/fct_orders": {day(3)}}
    assert said("status", "--gaps")["gaps"] == []
    assert "has ended" in typed("backfill", "--resume").stderr


def killed_after_a_commit(shop: Shop, settings: Settings) -> str:
    """The id of a backfill of five days whose process died after it had committed the third, which Dagster knows nothing
    of; the fifth failed."""
    shop.bad = {("raw/orders", day(3))}
    first = said("backfill", "raw/orders", "--to", day(5), code=1)["backfill"]
    with open_instance(settings) as instance:
        (run,) = instance.get_runs()
    shop.bad = {("raw/orders", day(5))}
    shop.load("raw/orders", day(3), day(5), run_id=run.run_id)
    shop.bad.clear()
    ran_of(shop)
    assert day(3) not in told_of_orders(settings)
    return str(first)


def told_of_orders(settings: Settings) -> set[str]:
    """The days of `raw/orders` that Dagster shows as materialised."""
    with open_instance(settings) as instance:
        return instance.get_materialized_partitions(dg.AssetKey(["raw", "orders"]))


@pytest.mark.slow
@pytest.mark.long
def test_dagster_is_told_of_what_a_dead_process_had_committed(shop: Shop, settings: Settings) -> None:
    first = killed_after_a_commit(shop, settings)
    said("backfill", "--resume", first)
    assert ran_of(shop) == {"raw/orders": {day(5)}}
    assert told_of_orders(settings) == {day(number) for number in range(1, 6)}


def test_a_backfill_that_another_process_works_on_is_left_to_it(shop: Shop, settings: Settings) -> None:
    first, known = killed_after_a_commit(shop, settings), told_of_orders(settings)
    with alone(settings, first):
        assert "is running still" in typed("backfill", "--resume", code=2).stderr
    assert ran_of(shop) == {}
    assert told_of_orders(settings) == known, "Dagster was told of what the other process will tell it itself"
    assert list((settings.home / "backfills").iterdir()) == []


@pytest.mark.slow
@pytest.mark.long
def test_a_backfill_that_is_stopped_before_its_first_run_is_typed_again(shop: Shop) -> None:
    stopping.ask()
    stopped = typed("backfill", "raw/orders", "--from", day(2), "--to", day(4), code=1)
    assert "0 of 3 partitions are done" in stopped.stderr and shop.ran == set()
    assert f"To go on: data-platform backfill raw/orders --from {day(2)} --to {day(4)}" in stopped.stderr
