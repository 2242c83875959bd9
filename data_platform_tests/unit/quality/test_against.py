"""What a changed contract would do to the rows that the lake has, without doing it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from data_platform.contracts.measures import Threshold, distinct_count, row_count
from data_platform.contracts.model import Contract, Key, column
from data_platform.contracts.registry import contract
from data_platform.quality import judging
from data_platform.quality.against import Against, judge_lake
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, customer, order, rows

CUSTOMERS, ORDERS = contract("staging.customers"), contract("staging.orders")


class Wider(CUSTOMERS.model):  # type: ignore[name-defined, misc]
    """Customers, with a column that came as an extra one so far."""

    tier: str = column(description="Tier", isin=["gold"])
    full_name: str = column(description="Name", str_length={"max_value": 10})


def load(lake: Any, land: Any) -> None:
    land("customers", DAY, [
        customer(), customer(customer_id="C00000002", email="nobody"), customer(customer_id="C00000003", country_code="XX"),
        customer(customer_id="C00000004", full_name="Ann Lee the Third"), customer(customer_id="C00000004", full_name="Bo"),
    ])  # fmt: skip
    land("customers", NEXT, [customer(updated_at=f"{NEXT} 09:00:00")])
    assert all(outcome.committed for outcome in screen(lake, CUSTOMERS, [DAY, NEXT], "run"))


def judged(lake: Any, stated: Contract) -> Against:
    with lake.connect(read_only=True) as con:
        return judge_lake(con, stated)


def test_the_contract_as_it_was_makes_no_difference(lake, land):
    load(lake, land)
    found = judged(lake, CUSTOMERS)
    assert (found.partitions, found.rows, found.differences, found.refused) == (2, 6, [], [])


def test_rows_that_would_leave_and_rows_that_would_come_in_are_counted_by_partition_and_rule(lake, land):
    load(lake, land)
    before = rows(lake, "SELECT count(*) FROM lake.ops.loads")
    stricter = replace(CUSTOMERS, event_time="signed_up_at", actions={"signed_up_at.late": "quarantine"})
    found = judged(lake, stricter)
    assert found.by_rule == {"signed_up_at.late": {"to_quarantine": 3, "to_accept": 0}}
    assert [(row["partition"], row["to_quarantine"]) for row in found.differences] == [(DAY, 2), (NEXT, 1)]
    found = judged(lake, replace(CUSTOMERS, actions={"email.matches": "flag"}))
    assert found.differences == [{"partition": DAY, "rule": "email.matches", "to_quarantine": 0, "to_accept": 1}]
    assert (found.to_quarantine, found.to_accept) == (0, 1)
    assert rows(lake, "SELECT count(*) FROM lake.ops.loads") == before, "nothing is committed"


def test_a_column_that_raw_does_not_have_is_looked_for_among_the_extra_ones(lake, land):
    load(lake, land)
    found = judged(lake, replace(CUSTOMERS, model=Wider, key=Key(("customer_id", "tier"))))
    assert found.by_rule == {"tier.not_null": {"to_quarantine": 3, "to_accept": 0}}, "the first rule that a row breaks"
    nullable = type(
        "Nullable", (Wider,), {"__annotations__": {"tier": str}, "tier": column(description="T", nullable=True)}
    )
    nullable.__doc__ = "Customers."
    found = judged(lake, replace(CUSTOMERS, model=nullable))
    assert found.by_rule == {}, "of the two rows with one key the shorter name was kept"


def test_partitions_are_judged_in_chunks_and_progress_is_told(lake, land, monkeypatch):
    load(lake, land)
    monkeypatch.setattr(judging, "CHUNK_ROWS", 1)
    told: list[tuple[int, int]] = []
    with lake.connect(read_only=True) as con:
        found = judge_lake(con, replace(CUSTOMERS, actions={"email.matches": "flag"}), lambda *at: told.append(at))
        assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE database_name = 'temp'").fetchone() == (0,)
    assert (found.rows, found.to_accept, told) == (6, 1, [(0, 2), (1, 2), (2, 2)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"actions": {"country_code.isin": "fail", "email.matches": "flag"}}, "whose action is `fail`"),
        ({"actions": {"country_code.isin": "fail"}}, "1 rows break `country_code.isin`"),
        ({"thresholds": {"email.matches": Threshold(fail_above=0.1)}}, "more than its threshold 0.1"),
        ({"measures": (row_count(at_least=3, action="fail"),)}, "`row_count` expected rows at least 3; rows: 2"),
        ({"measures": (distinct_count("country_code", at_least=2, action="fail"),)}, "expected different values"),
    ],
)  # fmt: skip
def test_a_partition_that_would_not_commit_is_named_whether_its_rows_move_or_not(lake, land, changed, said):
    load(lake, land)
    stated = replace(CUSTOMERS, **changed)
    found = judged(lake, stated)
    refused = {
        outcome.partition_key: outcome.load.error
        for outcome in screen(lake, stated, [DAY, NEXT], "try")
        if not outcome.committed
    }
    assert DAY in refused and said in refused[DAY]
    assert {row["partition"] for row in found.refused} == set(refused), "as the load itself refuses them"
    assert all(str(row["why"]) in refused[str(row["partition"])] for row in found.refused)


def test_a_table_that_was_never_loaded_has_no_difference(lake, land):
    found = judged(lake, ORDERS)
    assert (found.partitions, found.rows, found.differences) == (0, 0, [])


def test_a_parent_that_came_later_makes_a_difference_too(lake, land):
    land("customers", DAY, [customer()])
    screen(lake, CUSTOMERS, [DAY], "run")
    land("orders", DAY, [order(1), order(2, customer_id="C00000009")])
    screen(lake, ORDERS, [DAY], "run")
    land("customers", DAY, [customer(), customer(customer_id="C00000009")])
    screen(lake, CUSTOMERS, [DAY], "run")
    found = judged(lake, ORDERS)
    assert found.by_rule == {"customer_id.exists": {"to_quarantine": 0, "to_accept": 1}}
