from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from data_platform.contracts.registry import contract
from data_platform.errors import LoadFailed
from data_platform.quality import audit
from data_platform.quality.audit import build_mart

DAY, NEXT = "2026-01-05", "2026-01-06"
REVENUE = contract("marts.daily_revenue")
COLUMNS = ", ".join(REVENUE.columns)


def build(lake: Any, values: str, keys: list[str], **options: Any) -> list[Any]:
    with lake.connect() as con:
        con.execute(f"CREATE OR REPLACE TEMP TABLE candidate AS SELECT * FROM (VALUES {values}) AS t({COLUMNS})")
        return build_mart(lake, REVENUE, con, "candidate", keys, "run", **options)


def row(day: str, country: str = "DE", orders: int = 3, gross: str = "10.00") -> str:
    return f"(DATE '{day}', '{country}', {orders}, 2, 0, {gross}, 9.00)"


def marts(lake: Any) -> list[Any]:
    with lake.connect() as con:
        return con.execute(
            "SELECT revenue_date, country_code, order_count FROM lake.marts.daily_revenue ORDER BY ALL"
        ).fetchall()


def test_a_day_that_fails_its_audit_keeps_its_old_rows_while_the_other_day_commits(lake):
    assert all(outcome.committed for outcome in build(lake, row(DAY), [DAY]))
    bad, good = build(lake, f"{row(DAY, orders=-1)}, {row(NEXT, orders=7)}", [DAY, NEXT])
    assert (bad.committed, good.committed) == (False, True)
    assert "`order_count.ge`" in bad.load.error
    assert marts(lake) == [(dt.date(2026, 1, 5), "DE", 3), (dt.date(2026, 1, 6), "DE", 7)]
    with lake.connect() as con:
        assert con.execute("SELECT order_count, _failed_rules FROM lake.failed.daily_revenue").fetchall() == [
            (-1, "order_count.ge")
        ]
        verdicts = con.execute("SELECT partition_key, passed FROM lake.ops.audits ORDER BY audited_at, 1").fetchall()
    assert verdicts == [(DAY, True), (DAY, False), (NEXT, True)]


def test_a_day_that_passes_later_leaves_no_failing_rows_behind(lake):
    build(lake, row(DAY, orders=-1), [DAY])
    assert build(lake, row(DAY, orders=1), [DAY])[0].committed
    with lake.connect() as con:
        assert con.execute("SELECT count(*) FROM lake.failed.daily_revenue").fetchone() == (0,)


def test_a_repeated_key_fails_the_audit(lake):
    outcome = build(lake, f"{row(DAY)}, {row(DAY)}", [DAY])[0]
    assert not outcome.committed
    assert outcome.load.by_rule == {"key": 2}


def test_a_day_whose_input_failed_is_not_committed(lake):
    blocked, free = build(lake, f"{row(DAY)}, {row(NEXT)}", [DAY, NEXT], failed_upstream={DAY})
    assert (blocked.committed, free.committed) == (False, True)
    assert "built from failed its audit" in blocked.load.error


def test_rows_of_a_partition_nobody_asked_for_are_refused(lake):
    with pytest.raises(LoadFailed, match="was not asked for"):
        build(lake, f"{row(DAY)}, {row(NEXT)}", [DAY])


def test_a_null_where_the_contract_wants_a_value_fails_the_audit(lake):
    outcome = build(lake, f"(DATE '{DAY}', NULL, 1, 1, 0, 1.00, 1.00)", [DAY])[0]
    assert outcome.load.by_rule == {"country_code.not_null": 1}
    assert not outcome.committed


def test_of_two_builds_that_take_one_key_the_later_is_refused(lake, monkeypatch):
    payments = contract("marts.fct_payments")

    def values(day: str) -> str:
        return f"('T1', DATE '{day}', TIMESTAMP '{day} 10:00:00', 'O1', 'card', 'captured', 1.00)"

    def pay(day: str) -> bool:
        with lake.connect() as con:
            relation = f"(SELECT * FROM (VALUES {values(day)}) AS t({', '.join(payments.columns)}))"
            return build_mart(lake, payments, con, relation, [day], "run")[0].committed

    commit, overtaken = audit._commit, []

    def overtake(*args: Any) -> None:
        """The other day's build commits between our judging and our commit."""
        if not overtaken:
            overtaken.append(True)
            assert pay(DAY)
        commit(*args)

    monkeypatch.setattr(audit, "_commit", overtake)
    assert not pay(NEXT)
    with lake.connect() as con:
        assert con.execute("SELECT count(*) FROM lake.marts.fct_payments").fetchone() == (1,)
