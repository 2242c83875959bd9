"""Foreign keys: parents that are partitioned in another way, or not at all, and tables that refer to themselves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pandera.ibis as pa
import pytest

from data_platform.contracts.model import REGISTRY, Contract, ForeignKey, Key, column, table
from data_platform.contracts.partitioning import UNPARTITIONED, Dimension, Partitioning, by
from data_platform.quality.against import judge_lake
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, rows


def made(name: str, partition: Partitioning, parent: str | None = None, **stated: Any) -> Contract:
    """A contract of rows `id` with a parent `up` in another table."""
    body = {"id": column(description="Number"), "up": column(description="Parent", nullable=True)}
    model = type("Made", (pa.DataFrameModel,), {**body, "__doc__": "Rows.", "__annotations__": {"id": str, "up": str}})
    REGISTRY.pop(f"staging.{name}", None)
    keys = (ForeignKey("up", f"staging.{parent}", "id", held=stated.pop("held", False)),) if parent else ()
    table(
        f"staging.{name}", grain="one row per id", owner="a@example.com", partition=partition, key=Key(("id",)),
        foreign_keys=keys, quarantine_limit=1.0, **stated,
    )(model)  # fmt: skip
    return REGISTRY[f"staging.{name}"]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    known = set(REGISTRY)
    yield
    for name in set(REGISTRY) - known:
        del REGISTRY[name]


def _row(number: str, up: str | None = None) -> dict[str, object]:
    return {"id": number, "up": up}


def _kept(lake: Any, name: str) -> str:
    return "".join(found for (found,) in rows(lake, f"SELECT id FROM lake.staging.{name} ORDER BY 1"))


def _screen(lake: Any, contract: Contract, *keys: str) -> None:
    for outcome in screen(lake, contract, list(keys), "run"):
        assert outcome.committed, outcome.load.error


SHOPS = Partitioning((Dimension("arrival_date", "day"), Dimension("shop", "static", keys=("A", "B"))))


@pytest.mark.parametrize(
    ("partition", "early", "late"),
    [
        (by("landed_date", "day"), DAY, NEXT),
        (by("landed_at", "hour"), f"{DAY}-23:00", f"{NEXT}-00:00"),
        (by("landed_month", "month"), "2026-01-01", "2026-02-01"),
        (SHOPS, f"{DAY}|A", f"{NEXT}|B"),
        (Partitioning((Dimension("shop", "static", keys=("A", "B")),)), "A", None),
        (UNPARTITIONED, "", None),
    ],
)
def test_a_parent_counts_when_its_partition_began_before_the_childs_ended(lake, land, partition, early, late):
    parents, children = made("parents", partition), made("children", by("arrival_date", "day"), "parents")
    land("parents", early, [_row("1")])
    _screen(lake, parents, early)
    if late is not None:
        land("parents", late, [_row("2")])
        _screen(lake, parents, late)
    land("children", DAY, [_row("a", "1"), _row("b", "2"), _row("c", "3"), _row("d")])
    _screen(lake, children, DAY)
    assert _kept(lake, "children") == "ad"
    with lake.connect(read_only=True) as con:
        assert judge_lake(con, children).differences == []


def test_a_child_without_partitions_finds_any_parent(lake, land):
    parents, children = made("parents", by("landed_date", "day")), made("children", UNPARTITIONED, "parents")
    land("parents", NEXT, [_row("1")])
    _screen(lake, parents, NEXT)
    land("children", "", [_row("a", "1"), _row("b", "2")])
    _screen(lake, children, "")
    assert _kept(lake, "children") == "a"


def test_a_table_that_refers_to_itself_is_judged_alike_however_often_it_is_loaded(lake, land):
    staff = made("staff", by("arrival_date", "day"), "staff")
    # b is under a, c under b; d is under nobody who is there, e under d; f and g are each other's, h is its own.
    file = [_row("b", "a"), _row("c", "b"), _row("a"), _row("d", "x"), _row("e", "d"), _row("f", "g"), _row("g", "f"), _row("h", "h")]  # fmt: skip
    land("staff", DAY, file)
    for _ in range(2):
        _screen(lake, staff, DAY)
        assert _kept(lake, "staff") == "abcfgh"
        with lake.connect(read_only=True) as con:
            assert judge_lake(con, staff).differences == []
    land("staff", DAY, [row for row in file if row["id"] != "a"])
    _screen(lake, staff, DAY)
    assert _kept(lake, "staff") == "fgh", "who leaves takes those along that were under him"


def test_the_order_in_which_days_of_such_a_table_are_loaded_does_not_matter_once_all_are_there(lake, land):
    staff = made("staff", by("arrival_date", "day"), "staff")
    land("staff", DAY, [_row("a"), _row("b", "c")])
    land("staff", NEXT, [_row("c", "a")])
    for days in permutations((DAY, NEXT)):
        for day in (*days, *days):
            _screen(lake, staff, day)
        assert _kept(lake, "staff") == "ac", "b came before its parent"
    _screen(lake, staff, DAY, NEXT)
    assert _kept(lake, "staff") == "ac"


def test_rows_that_are_held_for_a_parent_in_their_own_table_come_in_with_it(lake, land):
    staff = made("staff", by("arrival_date", "day"), "staff", held=True)
    land("staff", DAY, [_row("b", "c"), _row("a", "b")])
    (outcome,) = screen(lake, staff, [DAY], "run")
    assert outcome.load.rows_held == 2
    land("staff", NEXT, [_row("c")])
    _screen(lake, staff, NEXT)
    _screen(lake, staff, DAY)
    assert _kept(lake, "staff") == "abc"
