"""How partitions stand by the ledger: what changed when, and which business days that touched."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb

from data_platform.lake.lake import Lake
from data_platform.lake.outcomes import LoadRecord
from data_platform.lake.standings import read_standings

MON, TUE = date(2026, 1, 5), date(2026, 1, 6)


def record(lake: Lake, key: str, *days: date, run: str = "run", **stated: Any) -> int:
    load = LoadRecord("staging.t", key, run, "committed", business_days=days, **stated)
    return lake.commit((), [load])


def test_a_reload_with_the_same_rows_is_a_commit_and_no_change(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    first = record(lake, "a", MON, content_hash="x")
    last = record(lake, "a", MON, content_hash="x", rows_read=7, seconds=0.5)
    lake.record_failures([LoadRecord("staging.t", "a", "run", "failed", error="why")])
    found = read_standings(con).of["staging.t", "a"]
    assert (found.first, found.changed, found.committed, found.rows, found.seconds) == (first, first, last, 7, 0.5)
    assert (found.is_good, found.error) == (False, "why")
    assert read_standings(con).touched == {"staging.t": {MON: first}}


def test_rows_that_moved_touch_the_day_they_left(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    record(lake, "a", MON, content_hash="x", run="old")
    moved = record(lake, "a", TUE, content_hash="y", run="new")
    assert read_standings(con).touched == {"staging.t": {MON: moved, TUE: moved}}
    assert read_standings(con, runs=["new"]).touched == {"staging.t": {MON: moved, TUE: moved}}
    assert read_standings(con, runs=[]).touched == {}


def test_a_load_without_a_hash_or_of_another_file_is_a_change(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    record(lake, "a", content_hash="")
    unknown = record(lake, "a", content_hash="")
    record(lake, "b", content_hash="x", source_files=("f#1",))
    other = record(lake, "b", content_hash="x", source_files=("f#2",))
    found = read_standings(con).of
    assert (found["staging.t", "a"].changed, found["staging.t", "b"].changed) == (unknown, other)


def test_the_ledger_can_be_read_as_it_was(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    first = record(lake, "a", MON, content_hash="x")
    record(lake, "b", TUE, content_hash="y")
    then = read_standings(con, until=first)
    assert set(then.of) == {("staging.t", "a")} and then.touched == {"staging.t": {MON: first}}
    assert read_standings(con).version > then.version == first
