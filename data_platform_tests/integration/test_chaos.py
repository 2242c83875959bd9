"""Workers are killed and the laws hold; and the laws are no rubber stamp: each is shown a lake that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from data_platform.chaos import drops, worker
from data_platform.chaos.laws import violations
from data_platform.chaos.run import VICTIMS, Chaos, Result
from data_platform.chaos.worker import Plan, World, cycle, days_of
from data_platform.lake import points
from data_platform.lake.lake import Lake
from data_platform.lake.points import POINTS, reached

pytestmark = pytest.mark.slow
ORDERS = "staging.orders"


def killed(home: Path, catalog: str | None, kills: int, seed: int) -> Result:
    return Chaos(World(home, catalog), seed).run(seconds=3600, kills=kills)


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.long)])
def test_kills_at_named_points_and_random_times_break_no_law(home: Path, kills: int) -> None:
    result = killed(home, None, kills, seed=4)
    assert result.violations == []
    assert len(result.kills) == kills and {kill.victim for kill in result.kills} <= set(VICTIMS)
    assert result.counts["reads"] > kills, "the readers did not read meanwhile"


@pytest.mark.long
def test_a_hundred_kills_break_no_law_on_either_catalog(home: Path, catalog: str | None) -> None:
    result = killed(home, catalog, kills=100, seed=5)
    assert result.violations == []
    assert {kill.point for kill in result.kills} >= set(POINTS), "each point has had its kill"
    assert result.counts["versions read"] > 5


def test_a_cycle_reaches_every_point(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "READERS", timedelta(0))
    seen: set[str] = set()
    world = World(home)
    lake = Lake(world.settings())
    points.listen(seen.add)
    try:
        for generation in range(2):
            cycle(lake, days_of(generation), generation, Plan(0, uses_dbt=True, keeps_up=True), lambda _: None)
    finally:
        points.listen(None)
        lake.close()
    assert seen == set(POINTS)


@pytest.fixture
def loaded(home: Path) -> Iterator[Lake]:
    """A lake with one generation of the first day."""
    lake = Lake(World(home).settings())
    cycle(lake, drops.DAYS[:1], 1, Plan(0), lambda _: None)
    yield lake
    lake.close()


BREAKERS: dict[str, tuple[str, str]] = {
    "a partition with rows of two generations": (
        "torn", f"UPDATE lake.{ORDERS} SET total_amount = 99 WHERE order_id LIKE '%1'",
    ),
    "a partition that lacks a row": ("torn", f"DELETE FROM lake.{ORDERS} WHERE order_id LIKE '%07'"),
    "a partition that is gone": ("lost", f"DELETE FROM lake.{ORDERS}"),
    "rows that came twice": ("doubled", f"INSERT INTO lake.{ORDERS} FROM lake.{ORDERS}"),
    "a quarantined row that is gone": ("sum", "DELETE FROM lake.quarantine.orders"),
    "a value that another hash would have": (
        "torn", f"UPDATE lake.{ORDERS} SET status = 'placed' WHERE order_id LIKE '%07'",
    ),
    "a load recorded twice": ("doubled", "INSERT INTO lake.ops.loads FROM lake.ops.loads"),
    "readers who see half": (
        "readers",
        "CREATE OR REPLACE VIEW lake.published.fct_orders AS FROM lake.marts.fct_orders WHERE order_id NOT LIKE '%07'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BREAKERS)
def test_the_laws_find(what: str, loaded: Lake) -> None:
    law, sql = BREAKERS[what]
    with loaded.connect() as con:
        assert violations(con) == []
        con.execute(sql)
        assert law in {violation.law for violation in violations(con)}


def test_the_laws_find_a_load_that_was_reported_and_is_not_there(loaded: Lake) -> None:
    with loaded.connect() as con:
        assert [violation.law for violation in violations(con, ["never"])] == ["lost"]


def test_a_point_costs_less_than_a_microsecond_while_nobody_listens() -> None:
    import timeit

    assert min(timeit.repeat(lambda: reached("before commit"), number=10_000, repeat=5)) / 10_000 < 1e-6
