"""Selections and dates resolved to a plan, and what is said when they cannot be."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from data_platform.cli.engine import next_run
from data_platform.cli.plan import Item, make_plan
from data_platform.errors import UsageError

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-01-11")
OTHER_DAYS = dg.DailyPartitionsDefinition(start_date="2025-01-01", end_date="2025-01-11")
REGIONS = dg.MultiPartitionsDefinition({"day": DAYS, "region": dg.StaticPartitionsDefinition(["east", "west"])})


def asset(name: str, *deps: str, definition: dg.PartitionsDefinition | None = DAYS) -> dg.AssetsDefinition:
    @dg.asset(
        key=name.split("/"), deps=[dep.split("/") for dep in deps], partitions_def=definition, group_name=name.split("/")[0],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )  # fmt: skip
    def made() -> None: ...

    return made


DEFS = dg.Definitions(
    assets=[
        asset("raw/orders"),
        asset("raw/customers"),
        asset("staging/orders", "raw/orders"),
        asset("marts/dim", "raw/customers", definition=None),
        asset("marts/facts", "staging/orders", "marts/dim"),
        asset("archive/orders", definition=OTHER_DAYS),
        dg.AssetSpec("outside"),
    ]
)


def names(plan_keys: object) -> list[str]:
    return [key.to_user_string() for key in plan_keys]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("raw/orders", {"raw/orders"}),
        ('key:"raw/orders"+', {"raw/orders", "staging/orders", "marts/facts"}),
        ("+key:marts/dim", {"raw/customers", "marts/dim"}),
        ("group:raw or group:staging", {"raw/orders", "raw/customers", "staging/orders"}),
        ("group:raw and not key:raw/orders", {"raw/customers"}),
        ('key:"*/orders"', {"raw/orders", "staging/orders", "archive/orders"}),
    ],
)
def test_selections_are_dagsters(selection: str, expected: set[str]) -> None:
    assert set(names(make_plan(DEFS, selection, None, None).keys)) == expected


@pytest.mark.parametrize(
    "selection",
    [
        "raw/ordrs", 'key:"raw/ordrs"', "+key:raw/ordrs", "(key:raw/ordrs)+", 'key:"raw/orders" or key:"raw/ordrs"',
        'key:"raw/*" and not key:"raw/ordrs"', 'key: "raw/ordrs" or key:raw/orders',
    ],
)  # fmt: skip
def test_a_name_that_is_none_gets_the_nearest_one(selection: str) -> None:
    with pytest.raises(UsageError, match=r"`raw/ordrs` selects no asset\. Did you mean `raw/orders`\?") as caught:
        make_plan(DEFS, selection, None, None)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("selection", ["((", "raw/orders or", "", "group:", "key:"])
def test_what_is_no_selection_is_said_to_be_none(selection: str) -> None:
    with pytest.raises(UsageError, match="is no selection of assets"):
        make_plan(DEFS, selection, None, None)


def test_an_asset_that_nothing_here_makes_is_not_planned() -> None:
    assert "outside" not in names(make_plan(DEFS, "*", None, None).keys)
    with pytest.raises(UsageError, match="selects no asset"):
        make_plan(DEFS, "outside", None, None)


def test_days_outside_of_all_partitions_are_refused_with_the_range_there_is() -> None:
    with pytest.raises(UsageError, match=r"The day partitions run from 2026-01-01 to 2026-01-10\."):
        make_plan(DEFS, "raw/orders", date(2026, 3, 1), date(2026, 3, 2))
    with pytest.raises(UsageError, match="is before"):
        make_plan(DEFS, "raw/orders", date(2026, 1, 2), date(2026, 1, 1))


def test_assets_without_a_partition_in_the_range_are_left_out() -> None:
    plan = make_plan(DEFS, "*", date(2026, 1, 2), date(2026, 1, 3))
    assert "archive/orders" not in names(plan.keys)
    assert plan.size == 2 * 4 + 1


def test_one_wave_per_partitions_definition_with_the_unpartitioned_among_them() -> None:
    plan = make_plan(DEFS, "*", None, None)
    waves = [set(names(wave.assets)) for wave in plan.waves]
    assert {"marts/dim", "marts/facts", "raw/orders", "raw/customers", "staging/orders"} in waves
    assert {"archive/orders"} in waves and len(waves) == 2


def test_unpartitioned_assets_alone_are_a_wave_without_a_range() -> None:
    plan = make_plan(DEFS, "marts/dim", date(2026, 1, 2), None)
    assert [item.partition for item in plan.items()] == [""]
    assert plan.waves[0].definition is None


def test_an_unpartitioned_table_is_not_held_up_by_one_lost_day_of_its_parent() -> None:
    plan = make_plan(DEFS, "*", None, None)
    dim, facts = dg.AssetKey(["marts", "dim"]), dg.AssetKey(["marts", "facts"])
    raw, staging = dg.AssetKey(["raw", "customers"]), dg.AssetKey(["staging", "orders"])
    assert not plan.depends(Item(dim), Item(raw, "2026-01-01"))
    assert plan.depends(Item(facts, "2026-01-01"), Item(dim))
    assert plan.depends(Item(facts, "2026-01-01"), Item(staging, "2026-01-01"))
    assert not plan.depends(Item(facts, "2026-01-02"), Item(staging, "2026-01-01"))


def test_multi_partitions_run_one_by_one_because_a_range_of_them_is_no_row_of_keys() -> None:
    defs = dg.Definitions(assets=[asset("raw/regions", definition=REGIONS)])
    plan = make_plan(defs, "*", date(2026, 1, 1), date(2026, 1, 2))
    assert plan.size == 4
    assert len(next_run(plan, plan.waves[0], list(plan.items()))) == 1
