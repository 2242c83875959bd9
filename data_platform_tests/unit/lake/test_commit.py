"""The one way rows get into the lake: typed, by name, partition by partition, all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_platform.errors import CatalogError, KeyConflict, LakeError, UsageError
from data_platform.lake import commit as commits
from data_platform.lake import retrying, staging
from data_platform.lake.lake import Lake, Slice, slices_of
from data_platform.lake.outcomes import LoadRecord

TABLE = "staging.orders"
COLUMNS = {"id": "BIGINT", "amount": "DECIMAL(18,2)", "words": "VARCHAR", "day": "DATE"}
DAY, NEXT = date(2026, 1, 1), date(2026, 1, 2)
Rows = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def table(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.ensure_table(con, TABLE, COLUMNS, ("day",))


def load(day: date = DAY, **stated: Any) -> LoadRecord:
    return LoadRecord(TABLE, day.isoformat(), "run", "committed", **stated)


def put(lake: Lake, con: duckdb.DuckDBPyConnection, sql: str, day: date = DAY, **kwargs: Any) -> int:
    file = lake.stage(con, TABLE, sql, {"day": day})
    return lake.commit([Slice(TABLE, {"day": day}, (file,) if file else ())], [load(day)], **kwargs)


def parquet_files(lake: Lake) -> int:
    return len(list((lake.attachment.data_path / "staging").rglob("*.parquet")))


def test_columns_go_by_name_in_the_tables_types_and_missing_ones_are_null(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows
) -> None:
    put(lake, con, "SELECT 'x' AS words, 1.5 AS amount, 1::TINYINT AS ID")
    put(lake, con, "SELECT 2 AS id", NEXT)
    assert rows(f"SELECT * FROM lake.{TABLE} ORDER BY id") == [(1, Decimal("1.50"), "x", DAY), (2, None, None, NEXT)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1 AS idd", "no column `idd`. Did you mean `id`"),
        ("SELECT 'one' AS id", "Could not convert string"),
        ("SELECT 1.5 AS id", "cut off"),
        ("SELECT 1.005::DECIMAL(18,3) AS amount", "cut off"),
        ("SELECT 1 AS id, DATE '2026-01-02' AS day", "another partition"),
        ("SELECT 1 AS id, NULL::DATE AS day", "another partition"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_no_file(
    lake: Lake, con: duckdb.DuckDBPyConnection, sql: str, said: str
) -> None:
    with pytest.raises(LakeError, match=said):
        lake.stage(con, TABLE, sql, {"day": DAY})
    assert parquet_files(lake) == 0


def test_many_partitions_are_staged_in_one_scan_and_none_may_be_null(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows
) -> None:
    files = lake.stage_many(
        con, TABLE, "SELECT range AS id, DATE '2026-01-01' + (range % 40)::INTEGER AS day FROM range(4000)"
    )
    lake.commit(slices_of(files))
    assert rows(f"SELECT count(*), count(DISTINCT day) FROM lake.{TABLE}") == [(4000, 40)]
    with pytest.raises(LakeError, match="column `day`: A partition value cannot be NULL"):
        lake.stage_many(con, TABLE, "SELECT 1 AS id, unnest([DATE '2026-01-01', NULL]) AS day")
    assert parquet_files(lake) == sum(1 for _ in files)


def test_other_partitions_are_not_touched_and_an_empty_one_is_legitimate(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows
) -> None:
    put(lake, con, "SELECT 1 AS id")
    put(lake, con, "SELECT 2 AS id", NEXT)
    put(lake, con, "SELECT 3 AS id WHERE false")
    assert rows(f"SELECT id, day FROM lake.{TABLE}") == [(2, NEXT)]
    assert rows("SELECT count(*) FROM lake.ops.loads") == [(3,)]


def test_a_table_without_partitions_is_replaced_whole(lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    lake.ensure_table(con, "staging.all", {"id": "BIGINT"})
    for n in (1, 2):
        file = lake.stage(con, "staging.all", f"SELECT {n} AS id")
        assert file is not None
        lake.commit([Slice("staging.all", {}, (file,))])
    assert rows("SELECT id FROM lake.staging.all") == [(2,)]


@pytest.mark.parametrize(
    "value", ["a/b", "it's", '"', "'; DROP TABLE lake.ops.loads; --", "%41", "..", "", " ", "ü", "a=b", "*", "[x]"]
)
def test_a_partition_value_with_anything_in_it_is_overwritten_and_read(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows, value: str
) -> None:
    lake.ensure_table(con, "staging.odd", {"id": "BIGINT", 'quo"te': "VARCHAR", "part": "VARCHAR"}, ("part",))
    for n in (1, 2):
        file = lake.stage(con, "staging.odd", f"""SELECT {n} AS id, 'x' AS "quo""te" """, {"part": value})
        assert file is not None
        lake.commit([Slice("staging.odd", {"part": value}, (file,))])
    assert rows('SELECT id, "quo""te", part FROM lake.staging.odd') == [(2, "x", value)]


def test_what_check_raises_undoes_everything_and_it_sees_the_new_rows(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows
) -> None:
    put(lake, con, "SELECT 1 AS id")
    seen = []

    def check(inside: duckdb.DuckDBPyConnection) -> None:
        seen.extend(inside.execute(f"SELECT id FROM lake.{TABLE}").fetchall())
        raise KeyConflict("taken")

    with pytest.raises(KeyConflict, match="taken"):
        put(lake, con, "SELECT 2 AS id", check=check)
    assert seen == [(2,)]
    assert rows(f"SELECT id FROM lake.{TABLE}") == [(1,)]
    assert rows("SELECT count(*) FROM lake.ops.loads") == [(1,)]
    assert parquet_files(lake) == 1


def test_a_foreign_writer_in_between_costs_a_retry_and_no_row(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows
) -> None:
    put(lake, con, "SELECT 1 AS id")
    tries = []

    def interfere(_: duckdb.DuckDBPyConnection) -> None:
        tries.append(1)
        if len(tries) == 1:
            con.execute(f"DELETE FROM lake.{TABLE}")
            con.execute(f"INSERT INTO lake.{TABLE} VALUES (9, NULL, NULL, DATE '2026-01-02')")

    put(lake, con, "SELECT 2 AS id", check=interfere)
    assert len(tries) == 2
    assert rows(f"SELECT id FROM lake.{TABLE} ORDER BY id") == [(2,), (9,)]
    assert rows("SELECT count(*) FROM lake.ops.loads") == [(2,)]


def test_when_nobody_can_tell_whether_a_commit_landed_its_files_are_kept(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = commits.apply

    def lost(*args: Any) -> int:
        original(*args)
        raise duckdb.IOException("server closed the connection unexpectedly")

    def away(*_: Any) -> None:
        raise duckdb.IOException("connection to server failed: Connection refused")

    monkeypatch.setattr(commits, "apply", lost)
    monkeypatch.setattr(commits, "landed", away)
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.001)
    with pytest.raises(CatalogError, match="cannot be reached"):
        put(lake, con, "SELECT 1 AS id")
    assert rows(f"SELECT id FROM lake.{TABLE}") == [(1,)]


def test_a_snapshot_names_its_loads_and_the_ledger_its_snapshot(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows
) -> None:
    record = load(rows_read=3, by_rule={"key": 2}, business_days=(DAY,), source_files=("a.csv",))
    snapshot = lake.commit([Slice(TABLE, {"day": DAY})], [record])
    (found,) = rows(f"SELECT author, commit_extra_info FROM ducklake_snapshots('lake') WHERE snapshot_id = {snapshot}")
    assert found == ("data-platform", f'{{"load_ids": ["{record.load_id}"]}}')
    stored = rows("SELECT snapshot_id, rows_read, by_rule, business_days, source_files FROM lake.ops.loads")
    assert stored == [(snapshot, 3, '{"key": 2}', '["2026-01-01"]', '["a.csv"]')]


def test_the_same_partition_twice_or_a_file_of_another_is_refused(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(LakeError, match="given twice"):
        lake.commit([Slice(TABLE, {"day": DAY}), Slice(TABLE, {"day": datetime(2026, 1, 1)})])
    file = lake.stage(con, TABLE, "SELECT 1 AS id", {"day": DAY})
    assert file is not None
    with pytest.raises(LakeError, match="was staged for"):
        lake.commit([Slice(TABLE, {"day": NEXT}, (file,))])
    with pytest.raises(LakeError, match="is partitioned by"):
        lake.commit([Slice(TABLE)])


def test_a_mart_does_not_change_without_a_record_of_it(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.ensure_table(con, "marts.m", {"id": "BIGINT", "day": "DATE"}, ("day",))
    with pytest.raises(LakeError, match="without a load record"):
        lake.commit([Slice("marts.m", {"day": DAY})], [replace(load(NEXT), asset="marts.m")])


def test_only_failed_loads_are_recorded_alone(lake: Lake, rows: Rows) -> None:
    lake.record_failures([replace(load(), outcome="failed", error="why")])
    assert rows("SELECT outcome, error FROM lake.ops.loads") == [("failed", "why")]
    with pytest.raises(UsageError):
        lake.record_failures([load()])


def test_a_table_gains_columns_and_nothing_else_changes(lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    put(lake, con, "SELECT 1 AS id")
    lake.ensure_table(con, TABLE, COLUMNS | {"more": "INTEGER"}, ("day",))
    lake.ensure_table(con, TABLE, {"id": "BIGINT", "day": "DATE"}, ("day",))
    put(lake, con, "SELECT 2 AS id, 3 AS more", NEXT)
    assert rows(f"SELECT id, more FROM lake.{TABLE} ORDER BY id") == [(1, None), (2, 3)]
    with pytest.raises(LakeError, match="is BIGINT in the lake and VARCHAR"):
        lake.ensure_table(con, TABLE, {"id": "VARCHAR", "day": "DATE"}, ("day",))
    with pytest.raises(LakeError, match="is partitioned by"):
        lake.ensure_table(con, TABLE, COLUMNS)
    with pytest.raises(LakeError, match="differ in case"):
        lake.ensure_table(con, "staging.x", {"a": "INTEGER", "A": "INTEGER"})


def test_a_file_and_all_folders_down_to_it_are_on_the_disk_before_the_catalog_says_so(
    lake: Lake, con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync, apply = list[Path](), staging.fsync, commits.apply
    before = list[list[Path]]()
    monkeypatch.setattr(staging, "fsync", lambda path: (synced.append(path), fsync(path)))
    monkeypatch.setattr(commits, "apply", lambda *given: (before.append([*synced]), apply(*given))[1])
    put(lake, con, "SELECT 1 AS id")
    data = lake.attachment.data_path
    (file,) = (data / "staging").rglob("*.parquet")
    assert {file, file.parent, data / "staging/orders", data / "staging", data} <= set(before[0])


ACTION = st.tuples(st.integers(0, 3), st.integers(0, 5))


@hypothesis_settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTION, min_size=1, max_size=5))
def test_the_lake_holds_what_was_last_written_to_each_partition(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows, actions: list[tuple[int, int]]
) -> None:
    lake.commit([Slice(TABLE, {"day": date(2026, 1, 1 + day)}) for day in range(4)])
    held: dict[date, int] = {}
    for day, count in actions:
        held[date(2026, 1, 1 + day)] = count
        for _ in range(2):
            put(lake, con, f"SELECT range AS id FROM range({count})", date(2026, 1, 1 + day))
    assert dict(rows(f"SELECT day, count(*) FROM lake.{TABLE} GROUP BY 1")) == {day: n for day, n in held.items() if n}


def test_partitions_of_a_commit_are_replaced_by_one_delete_and_one_list_of_files(
    lake: Lake, con: duckdb.DuckDBPyConnection, rows: Rows
) -> None:
    days = [DAY + timedelta(days=number) for number in range(40)]
    by_day = f"SELECT i AS id, (DATE '{DAY}' + i::INTEGER) AS day FROM range({len(days)}) t(i)"
    parts = lake.stage_slices(con, TABLE, by_day, [{"day": day} for day in days])
    said: list[str] = []

    class Recorded:
        def execute(self, sql: str, *arguments: Any) -> Any:
            said.append(" ".join(sql.split()[:2]).partition("(")[0])
            return con.execute(sql, *arguments)

        def __getattr__(self, name: str) -> Any:
            return getattr(con, name)

    loads = tuple(load(day, rows_accepted=1) for day in days)
    commits.apply(Recorded(), commits.Change(parts, loads), lambda: True, commits.Attempt())  # type: ignore[arg-type]
    assert said.count("DELETE FROM") == said.count("CALL ducklake_add_data_files") == 1
    assert rows(f"SELECT count(*), count(DISTINCT day) FROM lake.{TABLE}") == [(40, 40)]
