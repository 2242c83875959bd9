"""What a rule caught counts once per file version, whatever became of its loads; what it costs is a share of screening."""

from __future__ import annotations

from dataclasses import replace

from data_platform.contracts.registry import contract
from data_platform.quality.screening import screen
from data_platform.quality.worth import Worth, worth
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, load_customer, order

ORDERS = contract("staging.orders")


def _land(lake, land, day: str, lost: int) -> None:
    rows = [order(n + 100 * int(day[-2:]), ordered_at=f"{day} 10:00:00") for n in range(20)]
    land("orders", day, [row | {"status": "lost"} if place < lost else row for place, row in enumerate(rows)])


def _worth(lake, rule: str = "status.isin") -> Worth:
    with lake.connect() as con:
        return next(each for each in worth(con, ORDERS, None) if each.rule == rule)


def test_what_was_caught_and_then_mended_or_failed_the_load_counts_once_per_file_version(lake, land):
    load_customer(lake, land)
    _land(lake, land, DAY, lost=3)
    strict = replace(ORDERS, actions={"status.isin": "fail"})
    assert not screen(lake, strict, [DAY], "run")[0].committed
    assert screen(lake, ORDERS, [DAY], "run")[0].committed and screen(lake, ORDERS, [DAY], "again")[0].committed
    lenient = replace(ORDERS, actions={"status.isin": "warn"})
    assert screen(lake, lenient, [DAY], "run")[0].committed
    assert (_worth(lake).caught, _worth(lake).read) == (3, 20)
    _land(lake, land, NEXT, lost=2)
    assert not screen(lake, strict, [NEXT], "run")[0].committed
    assert (_worth(lake).caught, _worth(lake).read) == (5, 40)


def test_another_version_of_a_file_counts_beside_the_first(lake, land):
    load_customer(lake, land)
    for lost, run in ((3, "first"), (0, "second")):
        _land(lake, land, DAY, lost)
        with lake.connect() as con:
            newest = "(SELECT max(snapshot_id) FROM lake.ops.loads WHERE asset = 'raw.orders')"
            con.execute(
                f"UPDATE lake.ops.loads SET source_files = '[\"{run}\"]' WHERE asset = 'raw.orders' AND snapshot_id = {newest}"
            )
        assert screen(lake, ORDERS, [DAY], run)[0].committed
    assert (_worth(lake).caught, _worth(lake).read) == (3, 40)


def test_a_rule_that_took_half_of_the_screening_says_so():
    found = Worth("status.isin", "warn", 0.5, 0.5, 0, 100)
    assert found.said("in 90 days") == "50% of the screening; caught nothing in 90 days"
