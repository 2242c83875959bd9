"""What the ledger is asked: the latest load, the latest audit, and which days of a mart are stale."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import duckdb

from data_platform.lake import ledger
from data_platform.lake.lake import Audit, Lake
from data_platform.lake.outcomes import LoadRecord

MON, TUE, WED = date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)


def record(lake: Lake, asset: str, key: str, *days: date, outcome: Any = "committed", **stated: Any) -> LoadRecord:
    load = LoadRecord(asset, key, "run", outcome, business_days=days, **stated)
    lake.commit((), [load])
    return load


def test_the_latest_load_is_the_last_commit_and_a_failed_one_only_when_asked_for(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    record(lake, "staging.t", "a", rows_read=1)
    second = record(lake, "staging.t", "a", rows_read=2, by_rule={"key": 1}, source_files=("x",))
    failed = record(lake, "staging.t", "a", outcome="failed", error="why")
    record(lake, "staging.t", "b")
    (found,) = ledger.latest_loads(con, "staging.t", keys=["a"])
    assert (found.load_id, found.rows_read, found.by_rule, found.source_files) == (
        second.load_id,
        2,
        {"key": 1},
        ("x",),
    )
    (attempt,) = ledger.latest_loads(con, "staging.t", outcome=None, keys=["a"])
    assert (attempt.load_id, attempt.error) == (failed.load_id, "why")
    assert [load.partition_key for load in ledger.latest_loads(con)] == ["a", "b"]
    assert [load.load_id for load in ledger.loads_since(con, found.snapshot_id, outcome="failed")] == [failed.load_id]


def test_the_order_of_loads_survives_the_merging_of_the_ledgers_files(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    for _ in range(5):
        last = record(lake, "staging.t", "a")
    before = [(load.load_id, load.snapshot_id) for load in ledger.loads_since(con, -1)]
    con.execute("CALL ducklake_merge_adjacent_files('lake')")
    assert [(load.load_id, load.snapshot_id) for load in ledger.loads_since(con, -1)] == before
    assert [load.load_id for load in ledger.latest_loads(con)] == [last.load_id]


def test_a_mart_day_is_stale_when_a_later_load_touched_it_or_left_it(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    def stale() -> list[date]:
        return ledger.stale_days(con, "marts.m", ["staging.s", "staging.other"])

    record(lake, "staging.s", "2026-01-06", MON, TUE)
    assert stale() == [MON, TUE], "never built"
    record(lake, "marts.m", MON.isoformat())
    record(lake, "marts.m", TUE.isoformat())
    assert stale() == []
    record(lake, "staging.s", "2026-01-06", TUE)
    assert stale() == [MON, TUE], "rows have left Monday"
    record(lake, "marts.m", MON.isoformat())
    record(lake, "marts.m", TUE.isoformat(), outcome="failed")
    assert stale() == [TUE], "a failed build builds nothing"
    record(lake, "staging.other", "2026-01-07", WED)
    record(lake, "staging.unrelated", "2026-01-07", MON)
    assert stale() == [TUE, WED]


def test_a_mart_without_partitions_is_stale_when_a_run_changed_rows_after_the_version_it_was_built_from(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    def stale(*runs: str) -> bool:
        return ledger.is_stale(con, "marts.m", ["staging.s"], runs or ("run",))

    record(lake, "staging.s", "2026-01-06", content_hash="one")
    assert stale() and not stale("another run"), "never built"
    (load,) = ledger.latest_loads(con, "staging.s")
    record(lake, "marts.m", "", built_from=load.snapshot_id)
    assert not stale()
    record(lake, "staging.s", "2026-01-06", content_hash="one")
    assert not stale(), "the same rows"
    record(lake, "staging.s", "2026-01-06", content_hash="two")
    record(lake, "marts.m", "", built_from=load.snapshot_id)
    assert stale(), "built of an earlier version, if later"
    record(lake, "marts.m", "")
    assert not stale()


def test_the_fates_of_runs_count_a_partition_once(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    def load(run: str, key: str, rows: int) -> LoadRecord:
        return LoadRecord("staging.orders", key, run, "committed", rows_read=rows, rows_accepted=rows)

    for record in (load("first", "a", 5), load("mine", "a", 7), load("mine", "b", 2), load("mine", "a", 6)):
        lake.commit([], [record])
    lake.record_failures([replace(load("mine", "c", 9), outcome="failed")])
    assert ledger.fates_of_runs(con, []) == {}
    assert ledger.fates_of_runs(con, ["mine"]) == {
        "staging.orders": {"read": 8, "accepted": 8, "quarantined": 0, "merged": 0}
    }


def test_the_latest_audit_of_a_load_counts(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.record_audits([Audit("marts.m", "a", "load-1", True)])
    lake.record_audits([Audit("marts.m", "a", "load-1", False, ("n.ge",)), Audit("marts.other", "a", "load-2", True)])
    found = ledger.latest_audits(con, "marts.m")
    assert {name: (audit.passed, audit.failed_rules) for name, audit in found.items()} == {"load-1": (False, ("n.ge",))}
