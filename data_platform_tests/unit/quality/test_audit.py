from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_platform.contracts.registry import contract
from data_platform.errors import KeyConflict, LakeError, LoadFailed
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
    with pytest.raises(LoadFailed, match=f"rows of `{NEXT}`, which was not asked for"):
        build(lake, f"{row(DAY)}, {row(NEXT)}", [DAY])
    with pytest.raises(LoadFailed, match="without a value in `revenue_date`"):
        build(lake, f"{row(DAY)}, (NULL, 'DE', 1, 1, 0, 1.00, 1.00)", [DAY])


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


@pytest.fixture
def build_files(lake: Any, tmp_path: Path) -> Callable[..., list[Any]]:
    """Builds from Parquet files by day, as dbt leaves them; `unseen` rows are in the files and not in what is judged."""

    def built(values: str, keys: list[str], unseen: str = "") -> list[Any]:
        folder = tmp_path / "built"
        with duckdb.connect() as con:
            types = ", ".join(f"{column.name} {column.duckdb_type}" for column in REVENUE.columns.values())
            con.execute(f"CREATE TABLE rows ({types}); INSERT INTO rows VALUES {values}{unseen}")
            con.execute(f"COPY rows TO '{folder}' (FORMAT parquet, PARTITION_BY (revenue_date), OVERWRITE)")
        return build(lake, values, keys, files=sorted(folder.rglob("*.parquet")))

    return built


def committed_files(lake: Any) -> list[Path]:
    return [*(lake.attachment.data_path / "marts").rglob("*.parquet")]


def test_files_that_pass_join_the_mart_and_those_that_fail_do_not(lake, build_files):
    bad, good = build_files(f"{row(DAY, orders=-1)}, {row(NEXT, orders=7)}", [DAY, NEXT])
    assert (bad.committed, good.committed) == (False, True)
    assert marts(lake) == [(dt.date(2026, 1, 6), "DE", 7)]
    assert [file.stat().st_nlink for file in committed_files(lake)] == [2]
    with lake.connect() as con:
        assert con.execute("SELECT count(*) FROM lake.failed.daily_revenue").fetchone() == (1,)


def test_files_with_rows_that_nobody_judged_are_refused(lake, build_files):
    build_files(row(DAY), [DAY])
    with pytest.raises(LoadFailed, match="1 rows were judged, but 2 would be committed"):
        build_files(row(DAY), [DAY], unseen=f", {row(DAY, country='US')}")
    assert marts(lake) == [(dt.date(2026, 1, 5), "DE", 3)]
    assert len(committed_files(lake)) == 1


def test_files_are_taken_again_when_another_build_came_first(lake, build_files, monkeypatch):
    commit, attempts = lake.commit, []

    def overtaken(*given: Any, **named: Any) -> Any:
        attempts.append([file.path for part in given[0] for file in part.files])
        if len(attempts) == 1:
            lake.discard([file for part in given[0] for file in part.files])
            raise KeyConflict("another build")
        return commit(*given, **named)

    monkeypatch.setattr(type(lake), "commit", lambda _, *given, **named: overtaken(*given, **named))
    assert build_files(row(DAY), [DAY])[0].committed
    assert len(attempts) == 2 and committed_files(lake) == attempts[1] != attempts[0]


def test_a_build_that_fails_before_its_commit_leaves_no_file_behind(lake, build_files, monkeypatch):
    def full(*_: Any) -> None:
        raise LakeError("no space left")

    monkeypatch.setattr(audit, "recording", full)
    with pytest.raises(LakeError, match="no space"):
        build_files(row(DAY), [DAY])
    assert committed_files(lake) == []
